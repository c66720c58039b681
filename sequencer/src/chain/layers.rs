use std::str::FromStr;

use weft_executor_core::{
    BlockEnv, Call, CallOutcome, ExecuteError, Execution, ExecutionLayer, StateView, Transfer,
};
use weft_executor_evm::EvmLayer;
use weft_executor_wasm::{MachineError, WasmLayer};
use weft_primitives::RecoveredTransaction;

/// Which execution layers a chain runs. All nodes of a chain must agree on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExecutionMode {
    /// The EVM alone.
    #[default]
    Evm,
    /// The EVM, and WASM for contracts that are WebAssembly modules.
    EvmAndWasm,
}

impl FromStr for ExecutionMode {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "evm" => Ok(Self::Evm),
            "evm+wasm" => Ok(Self::EvmAndWasm),
            other => Err(format!("expected evm or evm+wasm, found {other:?}")),
        }
    }
}

/// The layers that a node was started with.
#[derive(Debug)]
pub enum Layers {
    /// The EVM alone.
    Evm(EvmLayer),
    /// WASM contracts on top of the EVM.
    EvmAndWasm(WasmLayer<EvmLayer>),
}

impl Layers {
    /// Makes the layers of a mode.
    ///
    /// # Errors
    /// When this machine cannot run WebAssembly.
    pub fn new(mode: ExecutionMode) -> Result<Self, MachineError> {
        Ok(match mode {
            ExecutionMode::Evm => Self::Evm(EvmLayer::new()),
            ExecutionMode::EvmAndWasm => Self::EvmAndWasm(WasmLayer::new(EvmLayer::new())?),
        })
    }
}

impl ExecutionLayer for Layers {
    fn execute<S: StateView>(
        &self,
        block: &BlockEnv,
        transaction: &RecoveredTransaction,
        state: &mut S,
    ) -> Result<Execution, ExecuteError<S::Error>> {
        match self {
            Self::Evm(layer) => layer.execute(block, transaction, state),
            Self::EvmAndWasm(layer) => layer.execute(block, transaction, state),
        }
    }

    fn transfer(&self, block: &BlockEnv, transaction: &RecoveredTransaction) -> Option<Transfer> {
        match self {
            Self::Evm(layer) => layer.transfer(block, transaction),
            Self::EvmAndWasm(layer) => layer.transfer(block, transaction),
        }
    }

    fn call<S: StateView>(
        &self,
        block: &BlockEnv,
        call: &Call,
        state: &mut S,
    ) -> Result<CallOutcome, ExecuteError<S::Error>> {
        match self {
            Self::Evm(layer) => layer.call(block, call, state),
            Self::EvmAndWasm(layer) => layer.call(block, call, state),
        }
    }
}
