use std::{fmt, mem, num::NonZeroUsize, time::Instant};

use alloy_eip7928::BlockAccessList;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use weft_executor_core::{BlockEnv, ExecutionLayer, StateView};
use weft_primitives::RecoveredTransaction;

use crate::{
    BlockExecution, EngineError,
    block::BlockRun,
    false_list::{AccessListVerdict, check_form, compare},
    listed::Listed,
    forecast::{forecast, stated_cost},
    lanes::LaneRun,
    learn::learn,
    memory::Memory,
    plan::Plan,
    planner::{Planner, Segment},
    predict::Predictor,
    stats::ExecutionStats,
};

/// Executes blocks on several threads, with the result of
/// [`execute_sequential`](crate::execute_sequential) in every bit.
pub struct Engine {
    /// `None` when the calling thread does it all.
    pool: Option<ThreadPool>,
    threads: usize,
    parallel_from: u64,
    predictor: Predictor,
    memory: Memory,
}

/// Expected gas from which on a block is executed by more than one thread: some 200 microseconds.
const DEFAULT_PARALLEL_FROM: u64 = 1_500_000;

/// Functions of contracts that an engine knows what to expect of: 32 MiB at most.
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
    pub fn new(threads: NonZeroUsize) -> Result<Self, ThreadPoolBuildError> {
        let threads = threads.get();
        let pool = match threads {
            1 => None,
            _ => Some(
                ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .thread_name(|index| format!("weft-engine-{index}"))
                    .build()?,
            ),
        };
        Ok(Self {
            pool,
            threads,
            parallel_from: DEFAULT_PARALLEL_FROM,
            predictor: Predictor::new(PREDICTOR_CAPACITY),
            memory: Memory::default(),
        })
    }

    /// Sets the expected gas from which on a block is executed by more than one thread. It changes
    /// how long blocks take, and nothing else.
    pub const fn with_parallel_from(mut self, gas: u64) -> Self {
        self.parallel_from = gas;
        self
    }

    /// Sets what the engine knows of transactions before it has executed any: see
    /// [`Predictor::restore`]. It changes how long blocks take, and nothing else.
    pub fn with_predictor(mut self, predictor: Predictor) -> Self {
        self.predictor = predictor;
        self
    }

    /// What the engine has learned so far: see [`Predictor::save`].
    pub const fn predictor(&self) -> &Predictor {
        &self.predictor
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
    /// is executed on what the list says that it finds, all at the same time. The list is checked
    /// and never believed: the execution is the same without it, and what is wrong with the list
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
        if let Some(list) = list
            && let Some(pool) = &self.pool
        {
            let plan = Plan::new(transactions);
            if plan.is_worth_threads() {
                return pool.install(|| {
                    self.execute_parallel(&plan, layer, block, transactions, Some(list), state)
                });
            }
        }
        match &self.pool {
            Some(pool) if stated_cost(transactions) >= self.parallel_from => pool.install(|| {
                let start = Instant::now();
                let mut forecasts = forecast(&self.predictor, transactions);
                let unknown: Vec<_> = forecasts
                    .iter_mut()
                    .flat_map(|forecast| mem::take(&mut forecast.unknown))
                    .collect();
                let planner =
                    Planner::new(transactions, forecasts, self.threads, self.parallel_from);
                let (execution, stale) =
                    self.execute_in_lanes(planner, layer, block, transactions, state)?;
                let unknown = unknown.into_iter().map(|index| index as usize);
                learn(
                    &self.predictor,
                    transactions,
                    &execution.accesses,
                    stale.into_iter().chain(unknown),
                    start.elapsed(),
                );
                Ok(execution)
            }),
            _ => {
                let planner = Planner::in_order(transactions);
                let execution =
                    self.execute_in_lanes(planner, layer, block, transactions, state)?;
                Ok(execution.0)
            }
        }
    }

    /// On a thread of the pool.
    fn execute_parallel<L: ExecutionLayer, S: StateView + Clone + Send>(
        &self,
        plan: &Plan,
        layer: &L,
        block: &BlockEnv,
        transactions: &[RecoveredTransaction],
        list: Option<&Listed<'_>>,
        state: S,
    ) -> Result<BlockExecution, EngineError<S::Error>> {
        let mut space = self.memory.space(self.threads);
        let run = BlockRun::new(
            layer,
            block,
            transactions,
            plan,
            &state,
            &space,
            self.threads,
        )
        .with_list(list);
        let mut states = vec![state; self.threads].into_iter().enumerate();
        let first = states.next();
        rayon::scope(|scope| {
            let run = &run;
            for (worker, state) in states {
                scope.spawn(move |_| run.work(worker, state));
            }
            if let Some((worker, state)) = first {
                run.work(worker, state);
            }
        });
        let settlement = run.finish()?;
        let changes = space.take_changes();
        self.memory.keep_space(space);
        let stats = ExecutionStats {
            threads: self.threads,
            speculated: settlement.speculated,
            reexecutions: settlement.stale,
        };
        Ok(settlement.into_execution(changes, stats))
    }

    /// On the calling thread or, with a pool, on one of its threads.
    fn execute_in_lanes<L: ExecutionLayer, S: StateView + Clone + Send>(
        &self,
        mut planner: Planner,
        layer: &L,
        block: &BlockEnv,
        transactions: &[RecoveredTransaction],
        state: S,
    ) -> Result<(BlockExecution, Vec<usize>), EngineError<S::Error>> {
        let mut memory = self.memory.lanes(self.threads);
        let mut run = LaneRun::new(layer, block, transactions, state, &mut memory);
        let mut threads = 1;
        while let Some(Segment { range, deal }) = planner.next_segment() {
            match deal {
                None => run.in_order(range)?,
                Some(deal) => {
                    threads = self.threads;
                    let held = run.side_by_side(range, &deal)?;
                    planner.note(held);
                }
            }
        }
        let finished = run.finish(threads)?;
        self.memory.keep_lanes(memory);
        Ok(finished)
    }
}
