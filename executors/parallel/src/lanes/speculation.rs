use std::mem;

use weft_executor_core::{BlockEnv, ExecutionLayer, StateView};
use weft_primitives::RecoveredTransaction;

use super::{
    in_order::{PRELOADED, execute},
    lane::Lane,
    log::LaneResult,
    register::Register,
    settled::Settled,
    view::LaneView,
};

/// Looks at the beneficiary in one lane from which on all stop.
const TOO_MANY_SAW_BENEFICIARY: u32 = 2;

/// A lane tells where one transaction of this many has been.
const TELL_INTERVAL: usize = 8;

/// As [`TELL_INTERVAL`], where something is known of all transactions.
const TELL_INTERVAL_OF_KNOWN: usize = 32;

/// Gas of a transaction of which a lane always tells.
const TELL_GAS: u64 = 500_000;

/// Gas of transactions that may not hold, from which on lanes stop if it is more than one part of
/// this many of all their gas.
const SUSPECT_GAS: u64 = 300_000;
const SUSPECT_SHARE: u64 = 4;

/// What lanes that run side by side share.
pub(super) struct Speculation<'a, L> {
    pub(super) layer: &'a L,
    pub(super) block: &'a BlockEnv,
    pub(super) transactions: &'a [RecoveredTransaction],
    pub(super) settled: &'a Settled,
    pub(super) register: &'a Register,
    pub(super) transfers_apart: bool,
    /// Whether something is known of all transactions.
    pub(super) all_known: bool,
}

impl<L: ExecutionLayer> Speculation<'_, L> {
    /// Executes these transactions in the lane, until all are done, one fails or all lanes stop.
    pub(super) fn execute<S: StateView>(
        &self,
        number: u16,
        lane: &mut Lane,
        indexes: &[u32],
        base: S,
    ) {
        let mut view = LaneView {
            lane,
            settled: self.settled,
            base,
            block: self.block,
            earned: None,
        };
        let tell_interval = if self.all_known {
            TELL_INTERVAL_OF_KNOWN
        } else {
            TELL_INTERVAL
        };
        let mut untold = 0usize;
        let (mut gas, mut suspect_gas) = (0u64, 0u64);
        let mut preloaded = 0usize;
        for (position, index) in indexes.iter().enumerate() {
            let index = *index as usize;
            if self.register.stopped() {
                break;
            }
            let Some(transaction) = self.transactions.get(index) else {
                return;
            };
            if position >= preloaded {
                preloaded = position.saturating_add(PRELOADED).min(indexes.len());
                for index in indexes.get(position..preloaded).unwrap_or_default() {
                    if let Some(transaction) = self.transactions.get(*index as usize) {
                        view.preload(transaction);
                    }
                }
            }
            // What fails on a guess may well not fail at the turn.
            let Ok(result) = execute(self.layer, index, transaction, &mut view) else {
                view.lane.log.drop_open();
                return;
            };
            if !matches!(result, LaneResult::Transfer(_)) {
                view.lane.executed = true;
            }
            if view.lane.saw_beneficiary > TOO_MANY_SAW_BENEFICIARY {
                // Others will, and none of them holds.
                self.register.stop();
            }
            untold = untold.saturating_add(1);
            let gas_used = result.gas_used();
            gas = gas.saturating_add(gas_used);
            if mem::take(&mut view.lane.suspect) {
                suspect_gas = suspect_gas.saturating_add(gas_used);
                if suspect_gas >= SUSPECT_GAS && suspect_gas > gas / SUSPECT_SHARE {
                    self.register.stop();
                }
            }
            let long = gas_used >= TELL_GAS;
            view.lane.log.push(index, result);
            if self.transfers_apart && !view.lane.executed {
                continue;
            }
            if long || untold >= tell_interval {
                self.register.tell(number, view.lane);
                untold = 0;
            }
        }
    }
}
