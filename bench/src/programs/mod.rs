//! The same contract as a WASM program and as an EVM contract, called the same way: what a call
//! takes on each, through the engine.

mod contracts;
mod report;
mod twins;

use std::num::NonZeroUsize;

use weft_executor_evm::EvmLayer;

use crate::{BenchError, measure::Contestants, scenario::execution_layers};

pub use report::ProgramReport;
pub use twins::{Twins, UnknownProgram};

/// What to measure and how.
#[derive(Debug, Clone, Copy)]
pub struct ProgramsConfig {
    /// Which contract; `None` for all.
    pub program: Option<Twins>,
    /// Threads that the engine may use.
    pub threads: NonZeroUsize,
    /// What accounts are generated from.
    pub seed: u64,
    /// Runs of each twin that count; one more goes before them.
    pub runs: NonZeroUsize,
}

/// Measures all pairs, and hands over each report as soon as it is there.
///
/// # Errors
/// When a block cannot be executed, or a call in it fails.
pub fn run_programs(
    config: &ProgramsConfig,
    mut report: impl FnMut(ProgramReport),
) -> Result<(), BenchError> {
    let layer: EvmLayer = execution_layers()?;
    let contestants = Contestants::with_layer(layer.clone(), config.threads)?;
    let chosen = |twins: &Twins| config.program.is_none_or(|program| program == *twins);
    for twins in Twins::ALL.into_iter().filter(chosen) {
        let (evm, wasm) = twins.scenarios(&layer, config.seed)?;
        let (evm, wasm) =
            contestants.measure_pair(twins.name(), [&evm, &wasm], config.runs.get())?;
        report(ProgramReport::new(twins.name(), config, &evm, &wasm));
    }
    Ok(())
}
