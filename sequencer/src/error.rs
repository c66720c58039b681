use std::{io, path::PathBuf};

use alloy_primitives::B256;
use weft_state::StateError;

use crate::{config::ConfigError, ledger::LedgerError, rpc::RpcServerError, verify::Difference};

/// Why the node cannot go on, or could not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The store failed: nothing more is acknowledged (invariant I6).
    #[error("store: {0}")]
    Store(#[from] StateError),
    /// Execution failed for a reason that is no transaction's fault.
    #[error("block {number}: {reason}")]
    Execution {
        /// Number of the block that was being made.
        number: u64,
        /// What failed.
        reason: String,
    },
    /// A block that was derived from L1 is not the block that was posted.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// A batch that L1 holds is wrong.
    #[error("{0}")]
    Wrong(Box<Difference>),
    /// The chain goes back to a lower block, because L1 has dropped what the blocks above took in.
    #[error(transparent)]
    DeepReorg(crate::l1::DeepReorg),
    /// L1 could not be read.
    #[error(transparent)]
    L1(#[from] weft_l1_bridge::L1Error),
    /// The contract could not be deployed or is not what it should be.
    #[error(transparent)]
    Rollup(#[from] weft_l1_bridge::RollupError),
    /// A transaction did not get into L1.
    #[error(transparent)]
    Send(#[from] weft_l1_bridge::SendError),
    /// The chain cannot be derived from what is on L1.
    #[error(transparent)]
    Derivation(#[from] weft_l1_bridge::DerivationError),
    /// A source of blobs cannot be used.
    #[error(transparent)]
    Blobs(#[from] weft_l1_bridge::BlobSourceError),
    /// The genesis cannot be used.
    #[error(transparent)]
    Spec(#[from] weft_primitives::ChainSpecError),
    /// The system gives the engine no threads.
    #[error(transparent)]
    Engine(#[from] weft_executor_parallel::StartError),
    /// This machine cannot run a layer.
    #[error(transparent)]
    Layer(#[from] weft_executor_wasm::MachineError),
    /// The batcher stopped.
    #[error("batcher: {0}")]
    Batcher(#[from] weft_batcher::SubmitterError),
    /// The operator's RPC server could not start.
    #[error(transparent)]
    Admin(#[from] crate::admin::AdminError),
    /// The RPC server could not start.
    #[error("rpc: {0}")]
    Rpc(#[from] RpcServerError),
    /// The ledger failed.
    #[error("ledger: {0}")]
    Ledger(#[from] LedgerError),
    /// The configuration is not usable.
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    /// A file of the data folder could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What was asked for cannot be done with what was given.
    #[error("{0}")]
    Setup(String),
}

impl NodeError {
    /// Whether L1 did not answer properly, so that another try may succeed.
    pub(crate) const fn is_trouble_of_l1(&self) -> bool {
        match self {
            Self::L1(error) | Self::Rollup(weft_l1_bridge::RollupError::L1(error)) => {
                error.is_retryable()
            }
            _ => false,
        }
    }

    /// For `map_err` on file operations.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

/// A difference between what was posted to L1 and what its data gives when executed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// A transaction of the batch cannot stand in its block.
    #[error("block {number}: transaction {index} of the batch cannot be executed: {reason}")]
    InvalidTransaction {
        /// Number of the block.
        number: u64,
        /// Position in the block.
        index: usize,
        /// Why.
        reason: String,
    },
    /// A block of the batch cannot be executed at all.
    #[error("block {number}: cannot be executed: {reason}")]
    Unexecutable {
        /// Number of the block.
        number: u64,
        /// Why.
        reason: String,
    },
    /// The last block of a batch has another hash than its header says.
    #[error("batch {batch}: block {number} derives to hash {derived}, posted {posted}")]
    BlockHash {
        /// Index of the batch.
        batch: u64,
        /// Number of the block.
        number: u64,
        /// What the data gives.
        derived: B256,
        /// What the batch header says.
        posted: B256,
    },
    /// The last block of a batch has another state root than its header says.
    #[error("batch {batch}: block {number} derives to state root {derived}, posted {posted}")]
    StateRoot {
        /// Index of the batch.
        batch: u64,
        /// Number of the block.
        number: u64,
        /// What the data gives.
        derived: B256,
        /// What the batch header says.
        posted: B256,
    },
    /// The tree of withdrawals after the last block of a batch has another root than its header says.
    #[error("batch {batch}: block {number} derives to withdrawals root {derived}, posted {posted}")]
    WithdrawalsRoot {
        /// Index of the batch.
        batch: u64,
        /// Number of the block.
        number: u64,
        /// What the data gives.
        derived: B256,
        /// What the batch header says.
        posted: B256,
    },
}
