use std::{
    convert::Infallible,
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use revm::database::{CacheDB, EmptyDB};
use weft_executor_evm::EvmLayer;
use weft_executor_parallel::{
    BlockExecution, Engine, EngineError, ExecutionStats, execute_sequential,
};

use weft_primitives::RecoveredTransaction;

use crate::{
    BenchError, PlainBlock, Scenario, base::BaseView, check_execution, check_plain,
    scenario::execution_layers,
};

/// How long each run of one contestant took, the fastest first.
#[derive(Debug, Default)]
pub(crate) struct Laps(Vec<Duration>);

impl Laps {
    pub(crate) fn push(&mut self, lap: Duration) {
        let place = self.0.partition_point(|faster| *faster <= lap);
        self.0.insert(place, lap);
    }

    /// Milliseconds of the run in the middle; between two, their mean. `None` without a run.
    pub(crate) fn median_ms(&self) -> Option<f64> {
        let middle = self.0.len() / 2;
        let upper = self.0.get(middle)?;
        let lower = if self.0.len().is_multiple_of(2) {
            self.0.get(middle.checked_sub(1)?)?
        } else {
            upper
        };
        Some((milliseconds(*lower) + milliseconds(*upper)) / 2.0)
    }

    /// Milliseconds of the fastest run. `None` without a run.
    pub(crate) fn min_ms(&self) -> Option<f64> {
        self.0.first().copied().map(milliseconds)
    }
}

fn milliseconds(lap: Duration) -> f64 {
    lap.as_secs_f64() * 1000.0
}

/// One block, measured.
#[derive(Debug, Default)]
pub(crate) struct BlockMeasurement {
    pub(crate) transactions: usize,
    pub(crate) gas: u64,
    pub(crate) plain: Laps,
    pub(crate) oracle: Laps,
    pub(crate) engine: Laps,
    /// Of the engine's last run.
    pub(crate) stats: ExecutionStats,
    /// Groups of transactions that share nothing.
    pub(crate) lanes: usize,
    /// Gas of the longest chain of transactions that wait for each other.
    pub(crate) critical_path_gas: u64,
}

/// One of two blocks that are compared.
#[derive(Debug, Default)]
pub(crate) struct PairedLaps {
    pub(crate) transactions: usize,
    pub(crate) gas: u64,
    laps: Laps,
}

impl PairedLaps {
    /// Median of one transaction, in microseconds.
    pub(crate) fn transaction_us(&self) -> f64 {
        let block = self.laps.median_ms().unwrap_or_default() * 1000.0;
        block / self.transactions.max(1) as f64
    }
}

/// The contestants that outlive a block.
pub(crate) struct Contestants {
    layer: EvmLayer,
    engine: Engine,
    threads: NonZeroUsize,
}

fn new_engine(threads: NonZeroUsize) -> Result<Engine, BenchError> {
    Engine::new(threads).map_err(|error| BenchError::Engine {
        contestant: "engine",
        reason: error.to_string(),
    })
}

impl Contestants {
    pub(crate) fn new(threads: NonZeroUsize) -> Result<Self, BenchError> {
        Self::with_layer(execution_layers()?, threads)
    }

    pub(crate) fn with_layer(layer: EvmLayer, threads: NonZeroUsize) -> Result<Self, BenchError> {
        Ok(Self {
            layer,
            engine: new_engine(threads)?,
            threads,
        })
    }

    /// Lets the contestants execute the block in turn, `runs` times each after one run to warm up,
    /// and checks what they give every time. `name` is said in errors.
    ///
    /// With a lure the engine is a new one in each run and has executed the lure, outside the time.
    pub(crate) fn measure(
        &self,
        name: &str,
        scenario: &Scenario,
        lure: Option<&Scenario>,
        runs: usize,
    ) -> Result<BlockMeasurement, BenchError> {
        let plain = PlainBlock::new(scenario);
        let lure = lure.map(|lure| (lure, PlainBlock::new(lure)));
        let wrong = |contestant| {
            move |mismatch| BenchError::WrongResult {
                workload: name.to_owned(),
                contestant,
                mismatch,
            }
        };
        let (_, expected) = self.oracle(scenario, &plain)?;
        let conflicts = expected.conflicts();
        let mut measurement = BlockMeasurement {
            transactions: scenario.transactions.len(),
            gas: expected.gas_used,
            lanes: conflicts.lanes,
            critical_path_gas: conflicts.critical_path_gas,
            ..BlockMeasurement::default()
        };
        for run in 0..=runs {
            let warm = run > 0;

            let (lap, found) = plain.run()?;
            check_plain(&scenario.block, &expected, &found).map_err(wrong("plain revm"))?;
            if warm {
                measurement.plain.push(lap);
            }
            drop(found);

            let (lap, found) = self.oracle(scenario, &plain)?;
            check_execution(&expected, &found).map_err(wrong("oracle"))?;
            if warm {
                measurement.oracle.push(lap);
            }
            drop(found);

            let lured = match &lure {
                Some((lure, before)) => Some(self.lured(lure, before)?),
                None => None,
            };
            let engine = lured.as_ref().unwrap_or(&self.engine);
            let (lap, found) = self.engine(engine, scenario, &plain)?;
            check_execution(&expected, &found).map_err(wrong("engine"))?;
            if warm {
                measurement.engine.push(lap);
            }
            measurement.stats = found.stats;
        }
        Ok(measurement)
    }

    /// Lets the engine execute two blocks in turn, `runs` times each after one run to warm up. All
    /// transactions must succeed, and the engine must give what the oracle gives.
    pub(crate) fn measure_pair(
        &self,
        name: &str,
        scenarios: [&Scenario; 2],
        runs: usize,
    ) -> Result<(PairedLaps, PairedLaps), BenchError> {
        let blocks = scenarios.map(|scenario| (scenario, PlainBlock::new(scenario)));
        let mut laps = scenarios.map(|scenario| PairedLaps {
            transactions: scenario.transactions.len(),
            ..PairedLaps::default()
        });
        for run in 0..=runs {
            for ((scenario, base), laps) in blocks.iter().zip(&mut laps) {
                let (lap, found) = self.engine(&self.engine, scenario, base)?;
                if run > 0 {
                    laps.laps.push(lap);
                    continue;
                }
                let (_, expected) = self.oracle(scenario, base)?;
                check_execution(&expected, &found).map_err(|mismatch| BenchError::WrongResult {
                    workload: name.to_owned(),
                    contestant: "engine",
                    mismatch,
                })?;
                if let Some(index) = found.receipts.iter().position(|receipt| !receipt.success) {
                    let workload = name.to_owned();
                    return Err(BenchError::CallFailed { workload, index });
                }
                laps.gas = found.gas_used;
            }
        }
        Ok(laps.into())
    }

    fn oracle(
        &self,
        scenario: &Scenario,
        plain: &PlainBlock,
    ) -> Result<(Duration, BlockExecution), BenchError> {
        let copy = Copy::new(scenario, plain);
        timed("oracle", || {
            let base = BaseView(&copy.base);
            execute_sequential(&self.layer, &scenario.block, &copy.transactions, base)
        })
    }

    /// An engine that has executed this block and nothing else.
    fn lured(&self, lure: &Scenario, plain: &PlainBlock) -> Result<Engine, BenchError> {
        let engine = new_engine(self.threads)?;
        self.engine(&engine, lure, plain)?;
        // Waits until it has learned.
        engine.predictor();
        Ok(engine)
    }

    fn engine(
        &self,
        engine: &Engine,
        scenario: &Scenario,
        plain: &PlainBlock,
    ) -> Result<(Duration, BlockExecution), BenchError> {
        let copy = Copy::new(scenario, plain);
        timed("engine", || {
            let base = BaseView(&copy.base);
            engine.execute(&self.layer, &scenario.block, &copy.transactions, base)
        })
    }
}

/// What a contestant is given for one run, as plain revm is: copied just before, so that nobody
/// finds in the caches what others do not.
struct Copy {
    base: CacheDB<EmptyDB>,
    transactions: Vec<RecoveredTransaction>,
}

impl Copy {
    fn new(scenario: &Scenario, plain: &PlainBlock) -> Self {
        // In the order in which plain revm's are made.
        let transactions = scenario.transactions.clone();
        Self {
            base: plain.base().clone(),
            transactions,
        }
    }
}

fn timed(
    contestant: &'static str,
    execute: impl FnOnce() -> Result<BlockExecution, EngineError<Infallible>>,
) -> Result<(Duration, BlockExecution), BenchError> {
    let start = Instant::now();
    let execution = execute();
    let elapsed = start.elapsed();
    let execution = execution.map_err(|error| BenchError::Engine {
        contestant,
        reason: error.to_string(),
    })?;
    Ok((elapsed, execution))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_minimum() {
        let mut laps = Laps::default();
        assert_eq!((laps.median_ms(), laps.min_ms()), (None, None));
        for lap in [9, 1, 4] {
            laps.push(Duration::from_millis(lap));
        }
        assert_eq!((laps.median_ms(), laps.min_ms()), (Some(4.0), Some(1.0)));
        laps.push(Duration::from_millis(6));
        assert_eq!((laps.median_ms(), laps.min_ms()), (Some(5.0), Some(1.0)));
    }
}
