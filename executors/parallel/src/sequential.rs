use alloy_eip7928::BlockAccessList;
use weft_executor_core::{
    BlockEnv, ChangeSet, ExecutionLayer, InvalidTransaction, Overlay, StateView,
};
use weft_primitives::{Receipt, RecoveredTransaction};

use crate::{
    EngineError,
    accesses::BlockAccesses,
    conflicts::ConflictGraph,
    settlement::{Prepared, Settlement},
    stats::ExecutionStats,
};

/// What a block's transactions did. Block rewards, withdrawals and system calls are no transactions
/// and are not in it.
#[derive(Debug)]
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
    /// What the included transactions looked at and wrote.
    pub accesses: BlockAccesses,
    /// How the block was executed.
    pub stats: ExecutionStats,
}

/// Equal when the transactions did the same, however the engine went about it.
impl PartialEq for BlockExecution {
    fn eq(&self, other: &Self) -> bool {
        self.receipts == other.receipts
            && self.changes == other.changes
            && self.gas_used == other.gas_used
            && self.dropped == other.dropped
            && self.access_list() == other.access_list()
    }
}

impl BlockExecution {
    /// The block's access list, as [`BlockAccesses::access_list`] gives it.
    pub fn access_list(&self) -> BlockAccessList {
        self.accesses.access_list(&self.changes)
    }

    /// Which transactions had to wait for which, as [`BlockAccesses::conflicts`] gives it.
    pub fn conflicts(&self) -> ConflictGraph {
        self.accesses.conflicts(&self.changes)
    }
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
    settlement: Settlement<'a, L>,
    state: Overlay<S>,
}

impl<'a, L: ExecutionLayer, S: StateView> SequentialExecutor<'a, L, S> {
    /// An executor of the block on top of `state`, which is the state after its parent.
    pub fn new(layer: &'a L, block: &'a BlockEnv, state: S) -> Self {
        Self {
            settlement: Settlement::new(layer, block, 0),
            state: Overlay::new(state),
        }
    }

    /// Gas of the block that is not used yet, in gas. A transaction with a higher gas limit is
    /// dropped.
    pub const fn gas_left(&self) -> u64 {
        self.settlement.gas_left()
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
        self.settlement
            .push(transaction, Prepared::Nothing, &mut self.state)
    }

    /// What the pushed transactions did.
    ///
    /// # Errors
    /// When the beneficiary's account cannot be read.
    pub fn finish(mut self) -> Result<BlockExecution, EngineError<S::Error>> {
        self.settlement
            .pay_beneficiary(&mut self.state)
            .map_err(EngineError::State)?;
        Ok(self
            .settlement
            .into_execution(self.state.into_changes(), ExecutionStats::default()))
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
    executor.finish()
}
