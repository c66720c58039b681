//! The execution engine: runs the transactions of a block through an execution layer, in order.
#![allow(missing_docs, unused_variables)]
use std::error::Error;

use weft_executor_core::{
    BlockEnv, ChangeSet, Execution, ExecutionLayer, InvalidTransaction, StateView,
};
use weft_primitives::{Receipt, RecoveredTransaction};

/// What a block's transactions did.
#[derive(Debug, Clone)]
pub struct BlockExecution {
    /// One for each included transaction, in order.
    pub receipts: Vec<Receipt>,
    pub changes: ChangeSet,
    pub gas_used: u64,
    /// Index (into the given transactions) and reason of those left out.
    pub dropped: Vec<(usize, InvalidTransaction)>,
}

/// Why a block was not executed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError<E: Error> {
    #[error("state could not be read: {0}")]
    State(E),
    #[error("execution layer failed: {0}")]
    Layer(String),
    #[error("deposit {index} cannot be executed: {reason}")]
    Deposit {
        index: usize,
        reason: InvalidTransaction,
    },
}

/// Executes a block's transactions one after another. Those that are invalid at their turn are left out and reported.
pub fn execute_sequential<L: ExecutionLayer, S: StateView>(
    layer: &L,
    block: &BlockEnv,
    transactions: &[RecoveredTransaction],
    state: S,
) -> Result<BlockExecution, EngineError<S::Error>> {
    todo!()
}
