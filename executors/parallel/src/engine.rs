use std::{
    fmt, mem,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_eip7928::BlockAccessList;
use alloy_primitives::{Address, U256};
use weft_executor_core::{BlockEnv, ExecutionLayer, StateView};
use weft_primitives::RecoveredTransaction;

use crate::{
    BlockExecution, EngineError, StartError,
    block::BlockRun,
    crew::Crew,
    false_list::{AccessListVerdict, check_form, compare},
    forecast::{forecast, stated_time},
    lanes::LaneRun,
    learn::Learner,
    listed::Listed,
    memory::Memory,
    plan::Plan,
    planner::{Planner, Segment},
    predict::{Predictor, declared_keys},
    stats::ExecutionStats,
};

/// Executes blocks on several threads, with the result of
/// [`execute_sequential`](crate::execute_sequential) in every bit.
pub struct Engine {
    /// `None` when the calling thread does it all.
    workers: Option<Workers>,
    threads: usize,
    /// In nanoseconds.
    parallel_from: u64,
    memory: Memory,
}

/// What an engine of more than one thread has.
#[derive(Debug)]
struct Workers {
    crew: Crew,
    learner: Learner,
}

/// Expected time from which on a block is executed by more than one thread: waking one takes some 50
/// microseconds.
const DEFAULT_PARALLEL_FROM: Duration = Duration::from_micros(800);

/// Functions of contracts that an engine knows what to expect of, at 8 KiB each at most.
pub const PREDICTOR_CAPACITY: usize = 4096;

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine with this many threads, which stay for its lifetime.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn new(threads: NonZeroUsize) -> Result<Self, StartError> {
        Self::with_predictor(threads, Predictor::new(PREDICTOR_CAPACITY))
    }

    /// As [`Engine::new`], with what an earlier engine has learned: see [`Engine::predictor`].
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn with_predictor(threads: NonZeroUsize, predictor: Predictor) -> Result<Self, StartError> {
        let workers = match threads.get() {
            1 => None,
            _ => Some(Workers {
                crew: Crew::new(threads)?,
                learner: Learner::new(Arc::new(predictor))?,
            }),
        };
        Ok(Self {
            workers,
            threads: threads.get(),
            parallel_from: nanoseconds(DEFAULT_PARALLEL_FROM),
            memory: Memory::default(),
        })
    }

    /// Sets the expected time from which on a block is executed by more than one thread. It changes
    /// how long blocks take, and nothing else.
    #[must_use]
    pub fn with_parallel_from(mut self, time: Duration) -> Self {
        self.parallel_from = nanoseconds(time);
        self
    }

    /// What the engine has learned from all blocks so far. Waits until it has. `None` when it has
    /// one thread, which needs no predictions.
    pub fn predictor(&self) -> Option<&Predictor> {
        let learner = &self.workers.as_ref()?.learner;
        learner.wait();
        Some(learner.predictor())
    }

    /// Accounts, and slots of accounts (`Some`), that the transaction is expected to look at: its
    /// sender, its receiver, its access list, and what the engine has learned of the like of it. It
    /// is a hint and may be wrong or miss some; there are some 200 at most, and one may come more than
    /// once.
    pub fn predicted_keys(
        &self,
        transaction: &RecoveredTransaction,
    ) -> Vec<(Address, Option<U256>)> {
        let mut keys = Vec::new();
        match &self.workers {
            Some(workers) => workers.learner.predictor().keys(transaction, &mut keys),
            None => declared_keys(transaction, &mut keys),
        }
        keys
    }

    /// Executes a block's transactions on top of `state`, which is the state after its parent.
    /// Those that are invalid at their turn are left out and reported.
    ///
    /// # Errors
    /// When the state cannot be read, the layer fails, or a deposit is invalid.
    pub fn execute<L: ExecutionLayer, S: StateView + Clone + Send>(
        &self,
        layer: &L,
        block: &BlockEnv,
        transactions: &[RecoveredTransaction],
        state: S,
    ) -> Result<BlockExecution, EngineError<S::Error>> {
        self.execute_with(layer, block, transactions, None, state)
    }

    /// As [`Engine::execute`], for a block that is said to have this access list. Each transaction
    /// is executed on what the list says that it finds, all at the same time, if there is more than
    /// one thread and the block is worth it. The list is checked and never believed: the execution is the same without it, and what is wrong with the list
    /// comes with it.
    ///
    /// # Errors
    /// As [`Engine::execute`].
    pub fn execute_with_access_list<L: ExecutionLayer, S: StateView + Clone + Send>(
        &self,
        layer: &L,
        block: &BlockEnv,
        transactions: &[RecoveredTransaction],
        list: &BlockAccessList,
        state: S,
    ) -> Result<(BlockExecution, AccessListVerdict), EngineError<S::Error>> {
        let form = check_form(list, transactions.len());
        let listed = form.is_ok().then(|| Listed::new(list));
        let execution = self.execute_with(layer, block, transactions, listed.as_ref(), state)?;
        let verdict = form.and_then(|()| compare(&execution.access_list(), list));
        Ok((execution, verdict))
    }

    fn execute_with<L: ExecutionLayer, S: StateView + Clone + Send>(
        &self,
        layer: &L,
        block: &BlockEnv,
        transactions: &[RecoveredTransaction],
        list: Option<&Listed<'_>>,
        state: S,
    ) -> Result<BlockExecution, EngineError<S::Error>> {
        let Some(workers) = &self.workers else {
            return self.execute_in_order(layer, block, transactions, state);
        };
        if let Some(list) = list {
            let plan = Plan::new(transactions);
            if plan.is_worth_threads() {
                return self.execute_listed(
                    &workers.crew,
                    &plan,
                    layer,
                    block,
                    transactions,
                    list,
                    state,
                );
            }
        }
        let time = stated_time(transactions);
        let Workers { crew, learner } = workers;
        if time < self.parallel_from {
            let execution = self.execute_in_order(layer, block, transactions, state)?;
            learner.hand_in_new(transactions, &execution.accesses);
            return Ok(execution);
        }
        if time / 4 >= self.parallel_from {
            crew.wake();
        }
        let mut forecasts = forecast(learner.predictor(), transactions, block.beneficiary, crew);
        let unknown: Vec<_> = forecasts
            .iter_mut()
            .flat_map(|forecast| mem::take(&mut forecast.unknown))
            .collect();
        let costs = forecasts.iter().flat_map(|forecast| &forecast.costs);
        let is_small = costs.map(|cost| u64::from(*cost)).sum::<u64>() < self.parallel_from;
        let mut planner = if is_small {
            Planner::in_order(transactions)
        } else {
            let all_known = unknown.is_empty();
            Planner::new(transactions, forecasts, crew.threads(), self.parallel_from)
                .with_all_known(all_known)
        };
        let (execution, stale) =
            self.execute_in_lanes(&mut planner, Some(crew), layer, block, transactions, state)?;
        // The last ones first: the first ones of a block wait for memory, which says little of how
        // long others take.
        let unknown = unknown.into_iter().rev().map(|index| index as usize);
        let wanted = stale.into_iter().chain(unknown);
        learner.hand_in(
            transactions,
            &execution.accesses,
            wanted,
            planner.expected(),
        );
        Ok(execution)
    }

    /// On the calling thread.
    fn execute_in_order<L: ExecutionLayer, S: StateView + Clone + Send>(
        &self,
        layer: &L,
        block: &BlockEnv,
        transactions: &[RecoveredTransaction],
        state: S,
    ) -> Result<BlockExecution, EngineError<S::Error>> {
        let mut planner = Planner::in_order(transactions);
        let (execution, _) =
            self.execute_in_lanes(&mut planner, None, layer, block, transactions, state)?;
        Ok(execution)
    }

    #[expect(clippy::too_many_arguments, reason = "what is executed, and what with")]
    fn execute_listed<L: ExecutionLayer, S: StateView + Clone + Send>(
        &self,
        crew: &Crew,
        plan: &Plan,
        layer: &L,
        block: &BlockEnv,
        transactions: &[RecoveredTransaction],
        list: &Listed<'_>,
        state: S,
    ) -> Result<BlockExecution, EngineError<S::Error>> {
        let mut space = self.memory.space(self.threads);
        let run = BlockRun::new(
            layer,
            block,
            transactions,
            plan,
            list,
            &state,
            &space,
            self.threads,
        );
        let states: Vec<_> = vec![state; self.threads].into_iter().enumerate().collect();
        crew.each(states, |(worker, state)| run.work(worker, state));
        let settlement = run.finish()?;
        let changes = space.take_changes(crew);
        self.memory.keep_space(space);
        let stats = ExecutionStats {
            threads: self.threads,
            speculated: settlement.speculated,
            reexecutions: settlement.stale,
        };
        Ok(settlement.into_execution(changes, stats))
    }

    fn execute_in_lanes<L: ExecutionLayer, S: StateView + Clone + Send>(
        &self,
        planner: &mut Planner,
        crew: Option<&Crew>,
        layer: &L,
        block: &BlockEnv,
        transactions: &[RecoveredTransaction],
        state: S,
    ) -> Result<(BlockExecution, Vec<usize>), EngineError<S::Error>> {
        let mut memory = self.memory.lanes(self.threads);
        let mut run = LaneRun::new(layer, block, transactions, state, &mut memory);
        while let Some(Segment { range, deal }) = planner.next_segment() {
            match (deal, crew) {
                (Some(deal), Some(crew)) => {
                    let outcome = run.side_by_side(crew, range, &deal)?;
                    planner.note(outcome);
                }
                _ => {
                    let start = Instant::now();
                    run.in_order(range)?;
                    planner.note_time(start.elapsed());
                }
            }
        }
        let finished = run.finish(crew)?;
        self.memory.keep_lanes(memory);
        Ok(finished)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
