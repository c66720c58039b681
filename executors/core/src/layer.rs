use std::error::Error;

use weft_primitives::RecoveredTransaction;

use crate::{BlockEnv, Call, CallOutcome, Execution, InvalidTransaction, StateView, Transfer};

/// A way to execute transactions. A value of this type is shared by all threads.
pub trait ExecutionLayer: Send + Sync + 'static {
    /// Executes one transaction on top of `state`, which it reads and does not write.
    ///
    /// Pure in the block, the transaction and what it reads; may run many times. Whether the
    /// transaction fits into what is left of the block's gas is the engine's to check.
    ///
    /// # Errors
    /// [`ExecuteError::Invalid`] when the transaction cannot stand at this point of the chain,
    /// [`ExecuteError::State`] when a read failed.
    fn execute<S: StateView>(
        &self,
        block: &BlockEnv,
        transaction: &RecoveredTransaction,
        state: &mut S,
    ) -> Result<Execution, ExecuteError<S::Error>>;

    /// The transaction as a [`Transfer`], when it is nothing else for this layer as long as neither
    /// its sender nor its receiver has code. A layer may always answer `None`.
    fn transfer(&self, block: &BlockEnv, transaction: &RecoveredTransaction) -> Option<Transfer> {
        let _ = (block, transaction);
        None
    }

    /// Executes a message without a signature on top of `state`, as `eth_call` does: nonce, sender
    /// code and base fee are not checked, and the sender pays only if `call.gas_price` is not zero.
    ///
    /// # Errors
    /// As [`ExecutionLayer::execute`].
    fn call<S: StateView>(
        &self,
        block: &BlockEnv,
        call: &Call,
        state: &mut S,
    ) -> Result<CallOutcome, ExecuteError<S::Error>>;
}

/// Why a transaction was not executed.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError<E: Error> {
    /// It cannot stand at this point of the chain: an ordinary outcome.
    #[error(transparent)]
    Invalid(#[from] InvalidTransaction),
    /// The state could not be read: the node cannot go on.
    #[error("state could not be read: {0}")]
    State(E),
    /// The layer itself failed.
    #[error("execution layer failed: {0}")]
    Layer(String),
}
