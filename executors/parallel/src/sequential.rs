use alloy_consensus::{Transaction as _, Typed2718};
use weft_executor_core::{
    BlockEnv, ChangeSet, ExecuteError, ExecutionLayer, InvalidTransaction, Overlay, StateView,
};
use weft_primitives::{Receipt, RecoveredTransaction};

use crate::EngineError;

/// What a block's transactions did. Block rewards, withdrawals and system calls are no transactions
/// and are not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockExecution {
    /// One for each included transaction, in order. Before Byzantium Ethereum's receipts carry a
    /// state root in the place of `success`, which is not computed here.
    pub receipts: Vec<Receipt>,
    /// What the block changed, with the values before and after.
    pub changes: ChangeSet,
    /// Gas used by all included transactions, in gas.
    pub gas_used: u64,
    /// Index (into the given transactions) and reason of those left out, in order.
    pub dropped: Vec<(usize, InvalidTransaction)>,
}

/// What became of a transaction that was given to a [`SequentialExecutor`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// It is in the block.
    Included {
        /// Gas that it used, in gas.
        gas_used: u64,
    },
    /// It cannot stand at this place. It changed nothing, and the next one can follow.
    Dropped(InvalidTransaction),
}

/// Executes a block's transactions one after another, as they are pushed.
#[derive(Debug)]
pub struct SequentialExecutor<'a, L, S> {
    layer: &'a L,
    block: &'a BlockEnv,
    state: Overlay<S>,
    pushed: usize,
    receipts: Vec<Receipt>,
    gas_used: u64,
    dropped: Vec<(usize, InvalidTransaction)>,
}

impl<'a, L: ExecutionLayer, S: StateView> SequentialExecutor<'a, L, S> {
    /// An executor of the block on top of `state`, which is the state after its parent.
    pub fn new(layer: &'a L, block: &'a BlockEnv, state: S) -> Self {
        Self {
            layer,
            block,
            state: Overlay::new(state),
            pushed: 0,
            receipts: Vec::new(),
            gas_used: 0,
            dropped: Vec::new(),
        }
    }

    /// Gas of the block that is not used yet, in gas. A transaction with a higher gas limit is
    /// dropped.
    pub const fn gas_left(&self) -> u64 {
        self.block.gas_limit.saturating_sub(self.gas_used)
    }

    /// Executes the next transaction of the block.
    ///
    /// # Errors
    /// When the state cannot be read, the layer fails, or the transaction is a deposit and invalid.
    /// The executor is then of no use any more.
    pub fn push(
        &mut self,
        transaction: &RecoveredTransaction,
    ) -> Result<Pushed, EngineError<S::Error>> {
        let index = self.pushed;
        self.pushed = self.pushed.saturating_add(1);
        let left = self.gas_left();
        let result = if transaction.gas_limit() > left {
            Err(ExecuteError::Invalid(InvalidTransaction::BlockGasLimit {
                wanted: transaction.gas_limit(),
                left,
            }))
        } else {
            self.layer.execute(self.block, transaction, &mut self.state)
        };
        let execution = match result {
            Ok(execution) => execution,
            Err(ExecuteError::State(error)) => return Err(EngineError::State(error)),
            Err(ExecuteError::Layer(error)) => return Err(EngineError::Layer(error)),
            Err(ExecuteError::Invalid(reason)) if transaction.is_deposit() => {
                return Err(EngineError::Deposit { index, reason });
            }
            Err(ExecuteError::Invalid(reason)) => {
                self.dropped.push((index, reason.clone()));
                return Ok(Pushed::Dropped(reason));
            }
        };
        self.state
            .apply(&execution.changes)
            .map_err(EngineError::State)?;
        self.gas_used = self.gas_used.saturating_add(execution.gas_used);
        self.receipts.push(Receipt {
            tx_type: transaction.ty(),
            success: execution.outcome.is_success(),
            cumulative_gas_used: self.gas_used,
            logs: execution.logs,
            deposit_nonce: transaction.is_deposit().then_some(execution.sender_nonce),
        });
        Ok(Pushed::Included {
            gas_used: execution.gas_used,
        })
    }

    /// What the pushed transactions did.
    pub fn finish(self) -> BlockExecution {
        BlockExecution {
            receipts: self.receipts,
            changes: self.state.into_changes(),
            gas_used: self.gas_used,
            dropped: self.dropped,
        }
    }
}

/// Executes a block's transactions one after another. Those that are invalid at their turn are left
/// out and reported.
///
/// # Errors
/// As [`SequentialExecutor::push`].
pub fn execute_sequential<L: ExecutionLayer, S: StateView>(
    layer: &L,
    block: &BlockEnv,
    transactions: &[RecoveredTransaction],
    state: S,
) -> Result<BlockExecution, EngineError<S::Error>> {
    let mut executor = SequentialExecutor::new(layer, block, state);
    for transaction in transactions {
        executor.push(transaction)?;
    }
    Ok(executor.finish())
}
