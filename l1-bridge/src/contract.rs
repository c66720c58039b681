//! The contracts: their ABI and code as compiled, and what their errors mean.

use alloy_eips::BlockNumHash;
use alloy_primitives::hex;
use alloy_sol_types::SolInterface;
use weft_batcher::BatchHeader;

/// A contract's code and ABI, from its artifact. Each has a module of its own, since they share
/// names of types.
macro_rules! contract {
    ($module:ident, $name:ident, $artifact:literal) => {
        #[allow(
            missing_docs,
            unreachable_pub,
            clippy::all,
            clippy::indexing_slicing,
            reason = "generated from the artifacts; the Solidity sources document them"
        )]
        mod $module {
            alloy_sol_types::sol!(
                #[derive(Debug)]
                $name,
                concat!(
                    env!("CARGO_MANIFEST_DIR"),
                    "/contracts/artifacts/",
                    $artifact
                )
            );
        }
    };
}

contract!(rollup, Rollup, "Rollup.json");
contract!(token_bridge, TokenBridge, "TokenBridge.json");
contract!(l1_origin, L1OriginPredeploy, "L1Origin.json");
contract!(withdrawals, WithdrawalsPredeploy, "Withdrawals.json");
contract!(
    l2_token_bridge,
    L2TokenBridgePredeploy,
    "L2TokenBridge.json"
);

pub(crate) use l1_origin::L1OriginPredeploy;
pub(crate) use l2_token_bridge::L2TokenBridgePredeploy;
pub(crate) use rollup::Rollup::{
    self, BatchHeader as AbiBatchHeader, RollupErrors, RollupParameters,
    Withdrawal as AbiWithdrawal,
};
pub(crate) use token_bridge::TokenBridge;
pub(crate) use withdrawals::WithdrawalsPredeploy;

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Try again: it passes by itself, or with what L1 says when it is read again.
    Retry,
    /// Try again, and let somebody look: it does not pass by itself.
    Alarm,
    /// Stop: it would fail again for ever.
    Stop,
}

/// Why a transaction or a call reverted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revert {
    /// The contract's error by name and values, or the raw bytes in hex.
    pub reason: String,
    /// What to do about it. To be stopped for are an account that lacks its role, and a program and
    /// a contract that do not fit each other.
    pub severity: Severity,
}

impl std::fmt::Display for Revert {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Revert {
    pub(crate) fn from_data(data: &[u8]) -> Self {
        match RollupErrors::abi_decode(data) {
            Ok(error) => Self {
                reason: crate::error::shorten(&format!("{error:?}")),
                severity: match error {
                    RollupErrors::AccessControlUnauthorizedAccount(_)
                    | RollupErrors::NotTopLevelCall(_)
                    | RollupErrors::CalldataNotCanonical(_)
                    | RollupErrors::DataHashMismatch(_)
                    | RollupErrors::BatchDataEmpty(_)
                    | RollupErrors::BlobCountMismatch(_)
                    | RollupErrors::BlockRangeEmpty(_)
                    | RollupErrors::ChainSpecHashMismatch(_)
                    | RollupErrors::ZeroAddress(_)
                    | RollupErrors::ZeroPeriod(_)
                    | RollupErrors::EscapeDelayTooShort(_)
                    | RollupErrors::ChainIsClosed(_)
                    | RollupErrors::ChallengeWindowOver(_)
                    | RollupErrors::WrongBond(_)
                    | RollupErrors::DisputeNotOpen(_)
                    | RollupErrors::MalformedProof(_)
                    | RollupErrors::WithdrawalNotInBatch(_)
                    | RollupErrors::AlreadyFinalized(_)
                    | RollupErrors::TargetIsRollup(_)
                    | RollupErrors::NoBatch(_)
                    | RollupErrors::AlreadyEscaped(_)
                    | RollupErrors::AlreadyRefunded(_) => Severity::Stop,
                    RollupErrors::EnforcedPause(_) => Severity::Alarm,
                    _ => Severity::Retry,
                },
            },
            Err(_) => Self {
                reason: crate::error::shorten(&hex::encode_prefixed(data)),
                severity: Severity::Retry,
            },
        }
    }
}

/// Whether a batch was refused because its L1 origin is no block that is over. Of the newest block this
/// says nothing: many nodes execute a call as within that block, and a transaction gets into a later one.
pub(crate) fn is_on_newest_block(revert: &[u8]) -> bool {
    matches!(
        RollupErrors::abi_decode(revert),
        Ok(RollupErrors::L1OriginMismatch(mismatch)) if mismatch.expected.is_zero()
    )
}

impl From<&BatchHeader> for AbiBatchHeader {
    fn from(header: &BatchHeader) -> Self {
        Self {
            previousBatchHash: header.previous_batch_hash,
            firstBlock: header.first_block,
            lastBlock: header.last_block,
            lastBlockHash: header.last_block_hash,
            stateRoot: header.state_root,
            withdrawalsRoot: header.withdrawals_root,
            l1OriginNumber: header.l1_origin.number,
            l1OriginHash: header.l1_origin.hash,
            depositsConsumed: header.deposits_consumed,
            blobCount: header.blob_count,
            dataHash: header.data_hash,
        }
    }
}

impl From<&AbiBatchHeader> for BatchHeader {
    fn from(header: &AbiBatchHeader) -> Self {
        Self {
            previous_batch_hash: header.previousBatchHash,
            first_block: header.firstBlock,
            last_block: header.lastBlock,
            last_block_hash: header.lastBlockHash,
            state_root: header.stateRoot,
            withdrawals_root: header.withdrawalsRoot,
            l1_origin: BlockNumHash::new(header.l1OriginNumber, header.l1OriginHash),
            deposits_consumed: header.depositsConsumed,
            blob_count: header.blobCount,
            data_hash: header.dataHash,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{B256, keccak256};
    use alloy_sol_types::SolValue;
    use proptest::prelude::*;
    use weft_primitives::{TxDeposit, predeploys};

    use super::*;

    proptest! {
        /// The batcher hashes headers without an ABI encoder: both must agree with the contract's
        /// `keccak256(abi.encode(header))`.
        #[test]
        fn batch_hash_is_that_of_the_abi_encoding(
            words in any::<[[u8; 32]; 6]>(),
            numbers in any::<[u64; 4]>(),
            blob_count in any::<u8>(),
        ) {
            let header = BatchHeader {
                previous_batch_hash: B256::from(words[0]),
                first_block: numbers[0],
                last_block: numbers[1],
                last_block_hash: B256::from(words[1]),
                state_root: B256::from(words[2]),
                withdrawals_root: B256::from(words[3]),
                l1_origin: BlockNumHash::new(numbers[3], B256::from(words[5])),
                deposits_consumed: numbers[2],
                blob_count,
                data_hash: B256::from(words[4]),
            };
            let abi = AbiBatchHeader::from(&header);
            prop_assert_eq!(header.hash(), keccak256(abi.abi_encode()));
            prop_assert_eq!(BatchHeader::from(&abi), header);
        }
    }

    /// The predeploy must understand what the attributes deposit says, and nobody else may say it.
    #[test]
    fn predeploy_and_attributes_deposit_agree() {
        let origin = weft_primitives::L1Origin {
            number: 5,
            hash: B256::repeat_byte(3),
            timestamp: 77,
            base_fee: alloy_primitives::U256::from(9),
        };
        let TxDeposit { from, input, .. } = weft_primitives::attributes_deposit(&origin);
        let call =
            <L1OriginPredeploy::setL1OriginCall as alloy_sol_types::SolCall>::abi_decode(&input)
                .unwrap();
        assert_eq!(call.number_, origin.number);
        assert_eq!(call.timestamp_, origin.timestamp);
        assert_eq!(call.baseFee, origin.base_fee);
        assert_eq!(call.hash_, origin.hash);
        assert_eq!(from, predeploys::DEPOSITOR);
        let code = L1OriginPredeploy::DEPLOYED_BYTECODE.to_vec();
        assert!(code.windows(20).any(|part| part == from.as_slice()));
    }
}
