use std::{fmt, path::Path, str::FromStr, sync::Arc};

use alloy_primitives::{B256, Bytes};
use weft_executor_core::{
    BlockEnv, Call, CallOutcome, ExecuteError, Execution, ExecutionLayer, Machine, StateView,
    Transfer,
};
use weft_executor_evm::EvmLayer;
use weft_executor_wasm::{MachineError, WasmMachine};
use weft_primitives::RecoveredTransaction;

/// Makes a machine, with a folder for what it wants to find again after a restart.
type MakeMachine = fn(Option<&Path>) -> Result<Arc<dyn Machine>, MachineError>;

/// The layers besides the EVM, with the names that users choose them by.
const MACHINES: [(&str, MakeMachine); 1] =
    [("wasm", |folder| Ok(Arc::new(WasmMachine::new(folder)?)))];

/// Folder inside a node's data folder in which layers keep what saves time after a restart.
pub const PROGRAMS: &str = "programs";

/// The EVM's name.
const EVM: &str = "evm";

/// Which execution layers a chain runs. All nodes of a chain must agree on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecutionMode {
    evm: bool,
    machines: [bool; MACHINES.len()],
}

impl ExecutionMode {
    /// The EVM alone.
    pub const EVM: Self = Self {
        evm: true,
        machines: [false; MACHINES.len()],
    };

    fn names() -> impl Iterator<Item = &'static str> {
        [EVM]
            .into_iter()
            .chain(MACHINES.iter().map(|(name, _)| *name))
    }
}

impl Default for ExecutionMode {
    /// All layers.
    fn default() -> Self {
        Self {
            evm: true,
            machines: [true; MACHINES.len()],
        }
    }
}

impl FromStr for ExecutionMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut mode = Self {
            evm: false,
            machines: [false; MACHINES.len()],
        };
        for name in text.split('+') {
            let known = MACHINES.iter().zip(&mut mode.machines);
            let chosen = [(EVM, &mut mode.evm)]
                .into_iter()
                .chain(known.map(|((name, _), chosen)| (*name, chosen)))
                .find(|(known, _)| *known == name);
            match chosen {
                Some((_, chosen)) if !*chosen => *chosen = true,
                _ => {
                    let names: Vec<_> = Self::names().collect();
                    return Err(format!(
                        "expected {}, or several joined by +; found {text:?}",
                        names.join(" or ")
                    ));
                }
            }
        }
        Ok(mode)
    }
}

impl fmt::Display for ExecutionMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chosen = [self.evm].into_iter().chain(self.machines);
        let names: Vec<_> = Self::names()
            .zip(chosen)
            .filter_map(|(name, chosen)| chosen.then_some(name))
            .collect();
        f.write_str(&names.join("+"))
    }
}

/// The layers that a node was started with.
pub struct Layers {
    evm: EvmLayer,
    machines: Vec<Arc<dyn Machine>>,
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.evm.fmt(f)
    }
}

impl Layers {
    /// Makes the layers of a mode. In `folder` they may keep what saves time after a restart.
    ///
    /// # Errors
    /// When this machine cannot run one of them.
    pub fn new(mode: ExecutionMode, folder: Option<&Path>) -> Result<Self, MachineError> {
        let chosen = MACHINES.iter().zip(mode.machines);
        let machines: Vec<_> = chosen
            .filter_map(|((_, make), chosen)| chosen.then_some(make))
            .map(|make| make(folder))
            .collect::<Result<_, _>>()?;
        let mut evm = EvmLayer::new();
        for machine in &machines {
            evm = evm.with_machine(Arc::clone(machine));
        }
        if !mode.evm {
            evm = evm.without_evm_contracts();
        }
        Ok(Self { evm, machines })
    }

    /// Name of the layer on which a contract with this code runs; `None` without code.
    pub fn of_code(&self, code: &[u8]) -> Option<&'static str> {
        if code.is_empty() {
            return None;
        }
        let machine = self.machines.iter().find(|machine| machine.owns(code));
        Some(machine.map_or(EVM, |machine| machine.name()))
    }

    /// Has a contract's code, with its hash, made ready to be run soon. It waits for nothing.
    pub fn prepare(&self, code_hash: B256, code: &Bytes) {
        if let Some(machine) = self.machines.iter().find(|machine| machine.owns(code)) {
            machine.prepare(code_hash, code);
        }
    }
}

impl ExecutionLayer for Layers {
    fn execute<S: StateView>(
        &self,
        block: &BlockEnv,
        transaction: &RecoveredTransaction,
        state: &mut S,
    ) -> Result<Execution, ExecuteError<S::Error>> {
        self.evm.execute(block, transaction, state)
    }

    fn transfer(&self, block: &BlockEnv, transaction: &RecoveredTransaction) -> Option<Transfer> {
        self.evm.transfer(block, transaction)
    }

    fn call<S: StateView>(
        &self,
        block: &BlockEnv,
        call: &Call,
        state: &mut S,
    ) -> Result<CallOutcome, ExecuteError<S::Error>> {
        self.evm.call(block, call, state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_back_as_they_are_written() {
        for text in ["evm", "wasm", "evm+wasm"] {
            assert_eq!(text.parse::<ExecutionMode>().unwrap().to_string(), text);
        }
        let mode: ExecutionMode = "wasm+evm".parse().unwrap();
        assert_eq!(mode, ExecutionMode::default());
        for wrong in ["", "jvm", "evm+", "evm+evm", "evm wasm", "EVM"] {
            assert!(wrong.parse::<ExecutionMode>().is_err(), "{wrong}");
        }
    }
}
