use std::time::Instant;

use alloy_consensus::Transaction as _;
use weft_executor_core::{BlockEnv, ExecuteError, ExecutionLayer, StateView};
use weft_primitives::RecoveredTransaction;

use super::{
    lane::Lane,
    log::{LaneExecution, LaneResult},
    outcome::{InvalidDeposit, Outcome},
    record::Included,
    settled::Settled,
    view::LaneView,
};
use crate::EngineError;

/// Of this many transactions the time of one is taken: that of each whose index it divides.
pub(crate) const TIMED: usize = 4;

/// Gas limit from which on the time of every transaction is taken.
const TIMED_GAS: u64 = 200_000;

/// Transactions whose accounts are looked up together: the memory answers several questions at once,
/// if they are asked at once.
pub(super) const PRELOADED: usize = 16;

/// Executes one transaction on what the view shows, and leaves in its lane what it wrote.
pub(super) fn execute<L: ExecutionLayer, S: StateView>(
    layer: &L,
    index: usize,
    transaction: &RecoveredTransaction,
    view: &mut LaneView<'_, S>,
) -> Result<LaneResult, EngineError<S::Error>> {
    let timed = index.is_multiple_of(TIMED) || transaction.gas_limit() >= TIMED_GAS;
    if let Some(transfer) = layer.transfer(view.block, transaction)
        && let Some(done) = view.transfer(&transfer)
    {
        return Ok(LaneResult::Transfer(done));
    }
    let start = timed.then(Instant::now);
    match layer.execute(view.block, transaction, view) {
        Ok(execution) => {
            view.apply(&execution.changes).map_err(EngineError::State)?;
            Ok(LaneResult::Execution(LaneExecution {
                success: execution.outcome.is_success(),
                time: start
                    .map(|start| u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX)),
                gas_used: execution.gas_used,
                sender_nonce: execution.sender_nonce,
                beneficiary_credit: execution.beneficiary_credit,
                logs: execution.logs,
                code: execution.changes.code,
            }))
        }
        Err(ExecuteError::Invalid(reason)) => Ok(LaneResult::Invalid(Box::new(reason))),
        Err(ExecuteError::State(error)) => Err(EngineError::State(error)),
        Err(ExecuteError::Layer(error)) => Err(EngineError::Layer(error)),
    }
}

/// Executes transactions at their turn, in one lane.
#[derive(Debug)]
pub(super) struct InOrder<'r, L, S> {
    pub(super) layer: &'r L,
    pub(super) block: &'r BlockEnv,
    pub(super) base: S,
    pub(super) settled: &'r Settled,
    pub(super) lane: Lane,
    pub(super) outcome: &'r mut Outcome,
}

impl<L: ExecutionLayer, S: StateView> InOrder<'_, L, S> {
    pub(super) fn view(&mut self) -> LaneView<'_, &mut S> {
        LaneView {
            lane: &mut self.lane,
            settled: self.settled,
            base: &mut self.base,
            block: self.block,
            earned: Some(&mut self.outcome.earned),
        }
    }

    /// Executes the block's next transaction.
    pub(super) fn execute(
        &mut self,
        index: usize,
        transaction: &RecoveredTransaction,
    ) -> Result<(), EngineError<S::Error>> {
        if let Some(reason) = self.outcome.no_room(self.block, transaction) {
            return self
                .outcome
                .leave_out(index, transaction, reason)
                .map_err(InvalidDeposit::into);
        }
        let layer = self.layer;
        let result = execute(layer, index, transaction, &mut self.view())?;
        self.add(index, transaction, result)
    }

    /// Takes in what the block's next transaction did; what it looked at and wrote is in the lane.
    pub(super) fn add(
        &mut self,
        index: usize,
        transaction: &RecoveredTransaction,
        mut result: LaneResult,
    ) -> Result<(), EngineError<S::Error>> {
        let place = Included::new(self.settled.lanes.len(), self.lane.log.transactions.len());
        if self
            .outcome
            .add(index, transaction, &mut result, place)
            .map_err(InvalidDeposit::into)?
        {
            self.lane.log.push(index, result);
        } else {
            self.lane.log.drop_open();
        }
        Ok(())
    }
}

impl InvalidDeposit {
    pub(super) fn into<E: std::error::Error>(self) -> EngineError<E> {
        EngineError::Deposit {
            index: self.index,
            reason: self.reason,
        }
    }
}
