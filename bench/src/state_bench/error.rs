use std::io;

/// Why there is no number.
#[derive(Debug, thiserror::Error)]
pub enum StateBenchError {
    /// The store could not be made, opened, read or written.
    #[error(transparent)]
    State(#[from] weft_state::StateError),
    /// A file could not be used, or the system gave no threads.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The chain's specification is wrong.
    #[error(transparent)]
    Spec(#[from] weft_primitives::ChainSpecError),
    /// The engine gave no threads.
    #[error(transparent)]
    Start(#[from] weft_executor_parallel::StartError),
    /// A block could not be executed, or transfers were left out of it.
    #[error("block {number}: expected all transfers to be executed: {reason}")]
    Block {
        /// Number of the block.
        number: u64,
        /// What went wrong.
        reason: String,
    },
}
