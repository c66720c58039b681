use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use crate::{
    BenchError, Crafted, Fixture, Report, Selection, Workload, fixture_files, measure::Contestants,
};

/// What to measure and how.
#[derive(Debug, Clone)]
pub struct RunConfig {
    /// Which workloads.
    pub selection: Selection,
    /// Threads that the engine may use.
    pub threads: NonZeroUsize,
    /// What workloads are generated from.
    pub seed: u64,
    /// Runs of each contestant that count; one more goes before them.
    pub runs: NonZeroUsize,
    /// Transactions in a generated block; `None` for each workload's own number.
    pub transactions: Option<NonZeroUsize>,
    /// Where real blocks are.
    pub fixtures: Option<PathBuf>,
}

/// Measures, and hands over each report as soon as it is there. Gives what was left out of
/// [`Selection::All`], in words.
///
/// # Errors
/// When a block cannot be executed or read, or a contestant gives a wrong result.
pub fn run(
    config: &RunConfig,
    mut report: impl FnMut(Report),
) -> Result<Option<String>, BenchError> {
    let contestants = Contestants::new(config.threads)?;
    let mut generated = |workload| -> Result<(), BenchError> {
        report(measure_workload(config, &contestants, workload)?);
        Ok(())
    };
    match config.selection {
        Selection::One(workload) => generated(workload)?,
        Selection::Fixtures => {
            let folder = config.fixtures.as_deref();
            let files = fixture_files(folder.ok_or(BenchError::NoFixturesFolder)?)?;
            report(measure_fixtures(config, &contestants, &files)?);
        }
        Selection::Crafted => {
            for crafted in Crafted::ALL {
                generated(Workload::Crafted(crafted))?;
            }
        }
        Selection::All => {
            for workload in Workload::ALL {
                generated(workload)?;
            }
            let folder = config.fixtures.as_deref();
            match folder
                .ok_or(BenchError::NoFixturesFolder)
                .and_then(fixture_files)
            {
                Ok(files) => report(measure_fixtures(config, &contestants, &files)?),
                Err(error) => return Ok(Some(format!("fixtures not measured: {error}"))),
            }
        }
    }
    Ok(None)
}

fn measure_workload(
    config: &RunConfig,
    contestants: &Contestants,
    workload: Workload,
) -> Result<Report, BenchError> {
    let transactions = config
        .transactions
        .map_or(workload.default_transactions(), NonZeroUsize::get);
    let scenario = workload.generate(config.seed, transactions)?;
    let runs = config.runs.get();
    let lure = workload.lure(config.seed, transactions);
    let block = contestants.measure(workload.name(), &scenario, lure.as_ref(), runs)?;
    let threads = config.threads.get();
    Ok(Report::of_workload(
        workload.name(),
        threads,
        config.seed,
        runs,
        &block,
    ))
}

fn measure_fixtures(
    config: &RunConfig,
    contestants: &Contestants,
    files: &[impl AsRef<Path>],
) -> Result<Report, BenchError> {
    let runs = config.runs.get();
    let mut blocks = Vec::with_capacity(files.len());
    for file in files {
        let path = file.as_ref();
        let fixture = Fixture::read(path)?;
        let name = format!("block {}", fixture.number);
        let block = contestants.measure(&name, &fixture.scenario, None, runs)?;
        if block.gas != fixture.gas_used {
            return Err(BenchError::Fixture {
                path: path.to_owned(),
                reason: format!(
                    "{} gas used, the header says {}",
                    block.gas, fixture.gas_used
                ),
            });
        }
        blocks.push((fixture.number, block));
    }
    blocks.sort_unstable_by_key(|(number, _)| *number);
    Ok(Report::of_fixtures(config.threads.get(), runs, &blocks))
}
