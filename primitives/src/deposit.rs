use alloy_primitives::{Address, B256, Bytes, Log, TxKind, U256, b256};
use op_alloy_consensus::{DepositSourceDomain, L1InfoDepositSource, TxDeposit, UserDepositSource};

use crate::{L1Origin, Transaction, predeploys};

/// `keccak256("TransactionDeposited(address,address,uint256,bytes)")`, the event of the OP Stack's
/// portal, which weft's L1 contract emits too.
const DEPOSIT_EVENT_TOPIC: B256 =
    b256!("0xb3813568d9991fc951961fcb4c784893574240a28925604d09fc577c55bb7c32");

/// Selector of `setL1Origin(uint64,uint64,uint256,bytes32)`.
const SET_L1_ORIGIN: [u8; 4] = [0xb6, 0x0d, 0xec, 0xfe];

/// Gas of the attributes deposit, in gas: a bound, well above what the predeploy needs.
pub const ATTRIBUTES_GAS_LIMIT: u64 = 1_000_000;

/// Why a log of the L1 contract is not a deposit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DepositError {
    /// The log's topics are not those of a deposit event.
    #[error(
        "deposit log: expected topic {DEPOSIT_EVENT_TOPIC} and three indexed fields, found {0} topics starting with {1:?}"
    )]
    Topics(usize, Option<B256>),
    /// Only version 0 of the opaque data is known.
    #[error("deposit log: expected version 0, found {0}")]
    Version(U256),
    /// The event's data is not one ABI-encoded byte string.
    #[error("deposit log: data of {0} bytes is not one ABI-encoded byte string")]
    Data(usize),
    /// The opaque data is shorter than its fixed fields.
    #[error("deposit log: expected at least 73 bytes of opaque data, found {0}")]
    OpaqueData(usize),
}

/// The deposit transaction that a `TransactionDeposited` log of the L1 contract stands for.
///
/// `log_index` is the log's index in its L1 block. The source hash and the layout of the opaque
/// data (mint 32, value 32, gas limit 8, is-creation 1, input) are the OP Stack's
/// (<https://specs.optimism.io/protocol/deposits.html>), save that `mint` above 2^128 is refused by
/// the contract and saturates here.
///
/// # Errors
/// When the log is not a well-formed deposit of version 0.
pub fn user_deposit_from_log(
    log: &Log,
    l1_block_hash: B256,
    log_index: u64,
) -> Result<TxDeposit, DepositError> {
    let &[topic, from, to, version] = log.topics() else {
        return Err(DepositError::Topics(
            log.topics().len(),
            log.topics().first().copied(),
        ));
    };
    if topic != DEPOSIT_EVENT_TOPIC {
        return Err(DepositError::Topics(4, Some(topic)));
    }
    if version != B256::ZERO {
        return Err(DepositError::Version(version.into()));
    }
    let opaque = abi_bytes(&log.data.data).ok_or(DepositError::Data(log.data.data.len()))?;
    let short = || DepositError::OpaqueData(opaque.len());
    let (mint, rest) = opaque.split_at_checked(32).ok_or_else(short)?;
    let (value, rest) = rest.split_at_checked(32).ok_or_else(short)?;
    let (gas, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
    let (is_creation, input) = rest.split_first().ok_or_else(short)?;
    Ok(TxDeposit {
        source_hash: DepositSourceDomain::User(UserDepositSource::new(l1_block_hash, log_index))
            .source_hash(),
        from: Address::from_word(from),
        to: if *is_creation == 0 {
            TxKind::Call(Address::from_word(to))
        } else {
            TxKind::Create
        },
        mint: U256::from_be_slice(mint).saturating_to(),
        value: U256::from_be_slice(value),
        gas_limit: u64::from_be_bytes(*gas),
        is_system_transaction: false,
        input: Bytes::copy_from_slice(input),
    })
}

/// Content of `abi.encode(bytes)`: an offset of 32, a length, the content and its padding.
fn abi_bytes(data: &[u8]) -> Option<&[u8]> {
    let (offset, rest) = data.split_at_checked(32)?;
    let (length, content) = rest.split_at_checked(32)?;
    if U256::from_be_slice(offset) != U256::from(32) {
        return None;
    }
    let length = usize::try_from(U256::from_be_slice(length)).ok()?;
    content.get(..length)
}

/// The system deposit that tells the [`predeploys::L1_ORIGIN`] predeploy about a new L1 origin. It
/// stands first in the block that moves to that origin.
pub fn attributes_deposit(origin: &L1Origin) -> TxDeposit {
    let mut input = Vec::with_capacity(4 + 4 * 32);
    input.extend_from_slice(&SET_L1_ORIGIN);
    input.extend_from_slice(&U256::from(origin.number).to_be_bytes::<32>());
    input.extend_from_slice(&U256::from(origin.timestamp).to_be_bytes::<32>());
    input.extend_from_slice(&origin.base_fee.to_be_bytes::<32>());
    input.extend_from_slice(origin.hash.as_slice());
    TxDeposit {
        source_hash: DepositSourceDomain::L1Info(L1InfoDepositSource::new(origin.hash, 0))
            .source_hash(),
        from: predeploys::DEPOSITOR,
        to: TxKind::Call(predeploys::L1_ORIGIN),
        mint: 0,
        value: U256::ZERO,
        gas_limit: ATTRIBUTES_GAS_LIMIT,
        is_system_transaction: false,
        input: input.into(),
    }
}

/// The L1 origin that an attributes deposit carries; `None` for any other transaction.
pub fn parse_attributes_deposit(transaction: &Transaction) -> Option<L1Origin> {
    let deposit = transaction.as_deposit()?;
    if deposit.from != predeploys::DEPOSITOR {
        return None;
    }
    let words = deposit.input.strip_prefix(&SET_L1_ORIGIN)?;
    let (words, rest) = words.as_chunks::<32>();
    let &[number, timestamp, base_fee, hash] = words else {
        return None;
    };
    if !rest.is_empty() {
        return None;
    }
    Some(L1Origin {
        number: U256::from_be_bytes(number).try_into().ok()?,
        hash: hash.into(),
        timestamp: U256::from_be_bytes(timestamp).try_into().ok()?,
        base_fee: U256::from_be_bytes(base_fee),
    })
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;

    use super::*;

    #[test]
    fn constants_are_the_hashes_of_their_signatures() {
        assert_eq!(
            keccak256("TransactionDeposited(address,address,uint256,bytes)"),
            DEPOSIT_EVENT_TOPIC
        );
        assert_eq!(
            keccak256("setL1Origin(uint64,uint64,uint256,bytes32)")[..4],
            SET_L1_ORIGIN
        );
    }

    #[test]
    fn attributes_deposit_round_trips() {
        let origin = L1Origin {
            number: 77,
            hash: B256::repeat_byte(9),
            timestamp: 1_700_000_000,
            base_fee: U256::from(7_000_000_000u64),
        };
        let transaction = Transaction::from(attributes_deposit(&origin));
        assert_eq!(parse_attributes_deposit(&transaction), Some(origin));
    }
}
