use std::io;

use alloy_primitives::B256;

use crate::ingest::SigningError;

/// Why there is no number.
#[derive(Debug, thiserror::Error)]
pub enum DeriveBenchError {
    /// A transaction could not be signed, or what was signed is no transaction.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// What was signed is no transaction.
    #[error(transparent)]
    Transaction(#[from] weft_primitives::TransactionError),
    /// A file could not be used, or the system gave no threads.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The chain's specification is wrong.
    #[error(transparent)]
    Spec(#[from] weft_primitives::ChainSpecError),
    /// A chain could not be made or followed.
    #[error(transparent)]
    Node(#[from] weft_sequencer::NodeError),
    /// The chain's store could not be used.
    #[error(transparent)]
    State(#[from] weft_state::StateError),
    /// Blocks could not be encoded.
    #[error(transparent)]
    Encode(#[from] weft_batcher::BatchEncodeError),
    /// A batch could not be posted.
    #[error(transparent)]
    Post(#[from] weft_batcher::PostError),
    /// L1 could not be spoken to.
    #[error(transparent)]
    L1(#[from] weft_l1_bridge::L1Error),
    /// The contract could not be deployed.
    #[error(transparent)]
    Rollup(#[from] weft_l1_bridge::RollupError),
    /// A transaction was left out of its block.
    #[error("block {number}: expected all transactions to be executed: {reason}")]
    LeftOut {
        /// Number of the block.
        number: u64,
        /// Why.
        reason: String,
    },
    /// The derived chain is not the one that was made.
    #[error("expected the derived chain to end at {expected}, found {found}")]
    OtherChain {
        /// Hash of the last block that was made.
        expected: B256,
        /// Hash of the last block that was derived.
        found: B256,
    },
}
