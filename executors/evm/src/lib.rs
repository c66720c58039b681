//! The EVM as an execution layer, on revm.
#![allow(missing_docs, unused_variables)]
mod intrinsic;

pub use intrinsic::{IntrinsicGas, MAX_INITCODE_SIZE, intrinsic_gas};
use weft_executor_core::{
    BlockEnv, Call, CallOutcome, ExecuteError, Execution, ExecutionLayer, StateView,
};
use weft_primitives::RecoveredTransaction;

/// The EVM.
#[derive(Debug, Clone, Default)]
pub struct EvmLayer {}

impl EvmLayer {
    pub fn new() -> Self {
        Self {}
    }
}

impl ExecutionLayer for EvmLayer {
    fn execute<S: StateView>(
        &self,
        block: &BlockEnv,
        transaction: &RecoveredTransaction,
        state: &mut S,
    ) -> Result<Execution, ExecuteError<S::Error>> {
        todo!()
    }
    fn call<S: StateView>(
        &self,
        block: &BlockEnv,
        call: &Call,
        state: &mut S,
    ) -> Result<CallOutcome, ExecuteError<S::Error>> {
        todo!()
    }
}
