use std::{error::Error, io};

use rayon::ThreadPoolBuildError;
use weft_executor_core::InvalidTransaction;

/// Why a block was not executed. A transaction that is merely invalid is no reason: it is left out.
#[derive(Debug, thiserror::Error)]
pub enum EngineError<E: Error> {
    /// The state could not be read: the node cannot go on.
    #[error("state could not be read: {0}")]
    State(E),
    /// The layer itself failed.
    #[error("execution layer failed: {0}")]
    Layer(String),
    /// A deposit cannot be left out, because L1 has decided that the block has it.
    #[error("deposit {index} cannot be executed: {reason}")]
    Deposit {
        /// Position among the block's transactions.
        index: usize,
        /// Why it cannot stand at its place.
        reason: InvalidTransaction,
    },
}

/// Why an engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system gives no threads to execute with.
    #[error("threads of the engine could not be started: {0}")]
    Workers(#[from] ThreadPoolBuildError),
    /// The system gives no thread to learn on.
    #[error("the engine's learning thread could not be started: {0}")]
    Learner(#[from] io::Error),
}
