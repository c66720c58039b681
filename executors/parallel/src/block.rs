use std::thread;

use weft_executor_core::{BlockEnv, ExecuteError, ExecutionLayer, StateView};
use weft_primitives::RecoveredTransaction;

use crate::{
    EngineError,
    access::Recorder,
    listed::{Listed, ListedView},
    plan::Plan,
    schedule::{MAX_WINDOW, Schedule},
    settlement::{Prepared, Settlement, Speculation},
    space::{Place, Space, SpaceView},
    sync::Mutex,
    turn::Turn,
};

/// A block that several threads execute.
///
/// Each thread executes transactions ahead of their turn, on what an access list says that they find,
/// and leaves what came out in a slot. In the order of the block the slots are settled, by one thread
/// at a time: an execution counts if everything that it had read is what is there now, and is done
/// again otherwise. So the result is that of the sequential execution, whatever the list says.
pub(crate) struct BlockRun<'a, 's, L, S: StateView> {
    layer: &'a L,
    block: &'a BlockEnv,
    transactions: &'a [RecoveredTransaction],
    schedule: Schedule<'a>,
    space: &'s Space,
    /// What the transactions are said to change.
    list: &'a Listed<'a>,
    /// What was prepared for transaction `i` is in slot `i % MAX_WINDOW`.
    slots: Vec<Mutex<Option<Prepared<Place>>>>,
    turn: Turn,
    settler: Mutex<Settler<'a, L, S>>,
}

struct Settler<'a, L, S: StateView> {
    settlement: Settlement<'a, L>,
    base: S,
    pace: Pace,
    error: Option<EngineError<S::Error>>,
}

/// Settled transactions after which waiting threads hear of it, at the latest.
const REPORT_INTERVAL: usize = 32;

impl<'a, 's, L: ExecutionLayer, S: StateView + Clone + Send> BlockRun<'a, 's, L, S> {
    #[expect(clippy::too_many_arguments, reason = "what is executed, and what with")]
    pub(crate) fn new(
        layer: &'a L,
        block: &'a BlockEnv,
        transactions: &'a [RecoveredTransaction],
        plan: &'a Plan,
        list: &'a Listed<'a>,
        state: &S,
        space: &'s Space,
        threads: usize,
    ) -> Self {
        let slots = transactions.len().min(MAX_WINDOW);
        Self {
            layer,
            block,
            transactions,
            schedule: Schedule::new(plan, threads),
            space,
            list,
            slots: (0..slots).map(|_| Mutex::new(None)).collect(),
            turn: Turn::default(),
            settler: Mutex::new(Settler {
                settlement: Settlement::new(layer, block, transactions.len()),
                base: state.clone(),
                pace: Pace::default(),
                error: None,
            }),
        }
    }

    /// Takes part until no transaction is left to claim.
    pub(crate) fn work(&self, worker: usize, state: S) {
        let _stop = StopOnPanic(&self.schedule);
        let mut view = SpaceView::new(self.space, state);
        let mut batch = Vec::new();
        while self.schedule.claim(worker, &mut batch) {
            for index in batch.drain(..) {
                let prepared = self.prepare(index, &mut view);
                if let Some(slot) = self.slot(index) {
                    *slot.lock() = Some(prepared);
                }
            }
            self.turn.run(|| self.settle());
        }
    }

    fn slot(&self, index: usize) -> Option<&Mutex<Option<Prepared<Place>>>> {
        self.slots.get(index % MAX_WINDOW)
    }

    fn prepare(&self, index: usize, view: &mut SpaceView<'_, S>) -> Prepared<Place> {
        let Some(transaction) = self.transactions.get(index) else {
            return Prepared::Nothing;
        };
        let transfer = Prepared::transfer(self.layer, self.block, transaction, view);
        if matches!(transfer, Prepared::Transfer(..)) {
            return transfer;
        }
        let mut view = ListedView {
            settled_state: view,
            list: self.list,
            position: index,
            unsaid: false,
        };
        let mut recorder = Recorder::new(&mut view);
        let result = self.layer.execute(self.block, transaction, &mut recorder);
        let reads = recorder.reads;
        if view.unsaid {
            return Prepared::Nothing;
        }
        match result {
            Ok(execution) => Prepared::Speculated(Box::new(Speculation {
                reads,
                result: Ok(execution),
            })),
            Err(ExecuteError::Invalid(reason)) => Prepared::Speculated(Box::new(Speculation {
                reads,
                result: Err(reason),
            })),
            // What failed on a guess may well not fail at the turn.
            Err(ExecuteError::State(_) | ExecuteError::Layer(_)) => Prepared::Nothing,
        }
    }

    /// Settles what is ready, in order.
    fn settle(&self) {
        let settler = &mut *self.settler.lock();
        if settler.error.is_some() {
            return;
        }
        let start = settler.settlement.pushed;
        if let Err(error) = self.settle_ready(settler) {
            settler.error = Some(error);
            self.schedule.stop();
        } else if settler.settlement.pushed != start {
            self.schedule.settled(settler.settlement.pushed);
        }
    }

    fn settle_ready(&self, settler: &mut Settler<'a, L, S>) -> Result<(), EngineError<S::Error>> {
        let Settler {
            settlement,
            base,
            pace,
            ..
        } = settler;
        let mut view = SpaceView::new(self.space, base.clone());
        loop {
            let index = settlement.pushed;
            let Some(transaction) = self.transactions.get(index) else {
                return Ok(());
            };
            let prepared = self.slot(index).and_then(|slot| slot.lock().take());
            if let Some(prepared) = prepared {
                let speculated = matches!(prepared, Prepared::Speculated(_));
                let stale = settlement.stale;
                settlement.push(transaction, prepared, &mut view)?;
                if speculated && let Some(run) = pace.next(settlement.stale != stale) {
                    self.schedule.go_serial(run);
                }
            } else if let Some(run) = self.schedule.claim_serial(index) {
                for transaction in self.transactions.get(run).unwrap_or_default() {
                    let prepared =
                        Prepared::transfer(self.layer, self.block, transaction, &mut view);
                    settlement.push(transaction, prepared, &mut view)?;
                }
            } else {
                return Ok(());
            }
            if settlement.pushed % REPORT_INTERVAL == 0 {
                self.schedule.settled(settlement.pushed);
            }
        }
    }

    /// What the threads have done, once all of them are.
    pub(crate) fn finish(self) -> Result<Settlement<'a, L>, EngineError<S::Error>> {
        let Settler {
            mut settlement,
            base,
            error,
            ..
        } = self.settler.into_inner();
        if let Some(error) = error {
            return Err(error);
        }
        settlement
            .pay_beneficiary(&mut SpaceView::new(self.space, base))
            .map_err(EngineError::State)?;
        Ok(settlement)
    }
}

/// Ends the block for the other threads when one panics, so that nobody waits for it.
struct StopOnPanic<'a, 'b>(&'a Schedule<'b>);

impl Drop for StopOnPanic<'_, '_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
        }
    }
}

/// Decides when working ahead has become useless: transactions then run at their turn only, for
/// longer each time that another attempt fails.
#[derive(Debug)]
struct Pace {
    /// Speculations since the last decision, and how many of them did not hold.
    tried: usize,
    stale: usize,
    /// Length of the next serial run, in transactions.
    run: usize,
}

const FIRST_SERIAL_RUN: usize = 32;
const LONGEST_SERIAL_RUN: usize = 1024;
const SAMPLE: usize = 12;

impl Default for Pace {
    fn default() -> Self {
        Self {
            tried: 0,
            stale: 0,
            run: FIRST_SERIAL_RUN,
        }
    }
}

impl Pace {
    /// Takes note of a speculation. When it has been one too many, the number of transactions that
    /// should run serially.
    fn next(&mut self, stale: bool) -> Option<usize> {
        self.tried = self.tried.saturating_add(1);
        self.stale = self.stale.saturating_add(usize::from(stale));
        if self.tried < SAMPLE {
            return None;
        }
        let mostly_stale = self.stale.saturating_mul(3) >= self.tried.saturating_mul(2);
        self.tried = 0;
        self.stale = 0;
        if !mostly_stale {
            self.run = FIRST_SERIAL_RUN;
            return None;
        }
        let run = self.run;
        self.run = run.saturating_mul(2).min(LONGEST_SERIAL_RUN);
        Some(run)
    }
}
