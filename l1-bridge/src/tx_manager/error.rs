use alloy_primitives::{Address, B256};

use super::{BlobError, CapReached, SignerError};
use crate::{
    L1Error,
    contract::{Revert, Severity},
};

/// Why a transaction did not get into L1.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// L1 did not answer properly.
    #[error(transparent)]
    L1(#[from] L1Error),
    /// The transaction was not sent, because it would revert.
    #[error("the transaction would revert: {0}")]
    WouldRevert(Revert),
    /// The transaction is in a block and reverted there.
    #[error("L1 transaction {tx_hash} reverted in block {l1_block}")]
    Reverted {
        /// The transaction.
        tx_hash: B256,
        /// Its L1 block.
        l1_block: u64,
    },
    /// Another transaction of this account took the nonce: what was read of L1 before is out of
    /// date.
    #[error("another transaction of {account} took nonce {nonce}")]
    NonceTaken {
        /// The account.
        account: Address,
        /// The nonce.
        nonce: u64,
    },
    /// L1 is behind the nonce that it showed before: it reorganised, or another node answers.
    #[error("the next nonce of {account} was {expected} before, found {found}")]
    NonceBehind {
        /// The account.
        account: Address,
        /// The next nonce when L1 was read.
        expected: u64,
        /// The next nonce now.
        found: u64,
    },
    /// The transaction waits for longer than the caller does.
    #[error(
        "stuck: no transaction with nonce {nonce} of {account} was included after {attempts} attempts, the last with a fee cap of {max_fee_per_gas} wei"
    )]
    Stuck {
        /// The account.
        account: Address,
        /// The nonce.
        nonce: u64,
        /// Transactions sent.
        attempts: u32,
        /// Fee cap of the last, in wei per gas.
        max_fee_per_gas: u128,
    },
    /// L1 asks for more than may be paid, for longer than the caller waits.
    #[error(transparent)]
    CapReached(#[from] CapReached),
    /// L1 cannot execute blob transactions ahead, and no gas limit was given.
    #[error(
        "L1 cannot execute blob transactions ahead, and the transaction has no fixed gas limit"
    )]
    CannotSimulate,
    /// The blobs cannot be sent.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// The key cannot sign.
    #[error(transparent)]
    Signer(#[from] SignerError),
}

impl SendError {
    /// What to do about it.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::L1(error) if error.is_retryable() => Severity::Retry,
            Self::L1(_) | Self::Blobs(_) => Severity::Stop,
            Self::WouldRevert(revert) => revert.severity,
            Self::Reverted { .. } | Self::NonceTaken { .. } | Self::NonceBehind { .. } => {
                Severity::Retry
            }
            Self::Stuck { .. } | Self::CapReached(_) | Self::CannotSimulate => Severity::Alarm,
            Self::Signer(error) => error.severity(),
        }
    }
}
