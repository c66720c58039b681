use std::fmt;

use serde::Serialize;

use super::ProgramsConfig;
use crate::measure::PairedLaps;

/// One contract in both forms, measured: one JSON object. Times are medians, in microseconds for
/// one transaction, the transaction's own work included.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProgramReport {
    /// The contract's name.
    pub program: &'static str,
    /// Threads that the engine may use.
    pub threads: usize,
    /// Transactions in the block.
    pub txs: usize,
    /// Runs of each that were counted.
    pub runs: usize,
    /// The EVM contract.
    pub evm_us: f64,
    /// The WASM program.
    pub wasm_us: f64,
    /// `evm_us / wasm_us`.
    pub ratio: f64,
    /// Gas of a transaction to the EVM contract.
    pub evm_gas: u64,
    /// Gas of a transaction to the WASM program.
    pub wasm_gas: u64,
}

impl ProgramReport {
    pub(super) fn new(
        program: &'static str,
        config: &ProgramsConfig,
        evm: &PairedLaps,
        wasm: &PairedLaps,
    ) -> Self {
        let (evm_us, wasm_us) = (evm.transaction_us(), wasm.transaction_us());
        Self {
            program,
            threads: config.threads.get(),
            txs: evm.transactions,
            runs: config.runs.get(),
            evm_us,
            wasm_us,
            ratio: evm_us / wasm_us,
            evm_gas: evm.gas / evm.transactions.max(1) as u64,
            wasm_gas: wasm.gas / wasm.transactions.max(1) as u64,
        }
    }
}

impl fmt::Display for ProgramReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<8} {:>6} txs, {} threads: EVM {:>8.2} us and {:>8} gas, WASM {:>8.2} us and {:>8} gas \
             a transaction, EVM / WASM {:.2}",
            self.program,
            self.txs,
            self.threads,
            self.evm_us,
            self.evm_gas,
            self.wasm_us,
            self.wasm_gas,
            self.ratio,
        )
    }
}
