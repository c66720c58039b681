use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use wasmtime::{InstancePre, Linker, Store, Trap};
use weft_executor_core::HaltReason;

use crate::{
    ModuleError,
    cache::BoundedCache,
    compiler::{Compiler, StackExhausted, link_stack_bound},
    host::{self, Context, Instance, MemoryGrowth, Stop},
    meter::{FUEL_PER_GAS, memory_gas},
    module::ModuleShape,
    world::{World, enter},
};

/// Native code kept for later calls, in bytes.
const CACHE_BYTES: usize = 256 << 20;

/// The WebAssembly compiler could not be set up on this machine.
#[derive(Debug, thiserror::Error)]
#[error("wasmtime could not be set up: {0}")]
pub struct MachineError(pub(crate) String);

/// A compiled module.
pub(crate) struct Program {
    instance: InstancePre<Instance>,
    shape: ModuleShape,
    /// Size of the native code, in bytes.
    size: usize,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The entry point returned 0.
    Returned {
        /// Result data.
        output: Bytes,
        /// Gas that is left.
        gas_left: u64,
    },
    /// The entry point returned something else.
    Reverted {
        /// Result data.
        output: Bytes,
        /// Gas that is left.
        gas_left: u64,
    },
    /// It was stopped; nothing is left of its gas.
    Halted(HaltReason),
    /// The state could not be read; the journal has the reason.
    StateFailed,
}

/// Compiles and runs programs.
pub(crate) struct Machine {
    compiler: Arc<Compiler>,
    linker: Linker<Instance>,
    programs: BoundedCache<B256, Program>,
}

impl Machine {
    pub(crate) fn new() -> Result<Self, MachineError> {
        Self::with_compiler(Arc::new(Compiler::new(None)?))
    }

    /// A machine that takes its modules from this compiler.
    pub(crate) fn with_compiler(compiler: Arc<Compiler>) -> Result<Self, MachineError> {
        let mut linker = Linker::new(compiler.engine());
        host::link(&mut linker)
            .and_then(|()| link_stack_bound(&mut linker))
            .map_err(|error| MachineError(format!("{error:#}")))?;
        Ok(Self {
            compiler,
            linker,
            programs: BoundedCache::new(CACHE_BYTES),
        })
    }

    /// The program with this code hash, when it was compiled before.
    pub(crate) fn known(&self, code_hash: B256) -> Option<Arc<Program>> {
        self.programs.get(code_hash)
    }

    /// Validates and compiles a module and keeps it under the hash of its stored code.
    pub(crate) fn compile(
        &self,
        code_hash: B256,
        module: &[u8],
    ) -> Result<Arc<Program>, ModuleError> {
        let compiled = self.compiler.module(code_hash, module)?;
        let instance = self
            .linker
            .instantiate_pre(&compiled.module)
            .map_err(|_| ModuleError::Compiler)?;
        let program = Arc::new(Program {
            instance,
            shape: compiled.shape,
            size: compiled.size(),
        });
        self.programs
            .insert(code_hash, Arc::clone(&program), program.size);
        Ok(program)
    }

    /// Runs a program's entry point with this much gas.
    pub(crate) fn run(
        &self,
        program: &Program,
        context: Context,
        gas: u64,
        world: &mut dyn World,
    ) -> Ended {
        // More gas than fuel can count stays outside the machine.
        let metered = gas.min(u64::MAX / FUEL_PER_GAS);
        let initial = memory_gas(program.shape.initial_pages);
        let Some(budget) = metered.checked_sub(initial) else {
            return Ended::Halted(HaltReason::OutOfGas);
        };
        let Ok(arguments) = u32::try_from(context.input.len()) else {
            return Ended::Halted(HaltReason::Other("wasm: the input is too long"));
        };
        let mut store = Store::new(
            self.compiler.engine(),
            Instance {
                context,
                memory: None,
                result: Bytes::new(),
                growth: MemoryGrowth::new(program.shape.initial_pages, budget),
            },
        );
        store.limiter(|instance| &mut instance.growth);
        match enter(world, || start(program, &mut store, budget, arguments)) {
            Ok((status, fuel)) => {
                let gas_left = fuel / FUEL_PER_GAS + (gas - metered);
                let output = std::mem::take(&mut store.data_mut().result);
                if status == 0 {
                    Ended::Returned { output, gas_left }
                } else {
                    Ended::Reverted { output, gas_left }
                }
            }
            Err(error) => ended_by(&error),
        }
    }
}

/// Runs the entry point; the result and the fuel that is left.
fn start(
    program: &Program,
    store: &mut Store<Instance>,
    gas: u64,
    arguments: u32,
) -> wasmtime::Result<(u32, u64)> {
    store.set_fuel(gas.saturating_mul(FUEL_PER_GAS))?;
    let instance = program.instance.instantiate(&mut *store)?;
    store.data_mut().memory = instance.get_memory(&mut *store, "memory");
    let entrypoint = instance.get_typed_func::<u32, u32>(&mut *store, "user_entrypoint")?;
    let status = entrypoint.call(&mut *store, arguments)?;
    // wasmtime checks fuel at calls and loops only, so the last instructions may have used more
    // than there was; nothing left counts as too little.
    let fuel = store
        .get_fuel()?
        .checked_sub(store.data().growth.owed_fuel())
        .filter(|left| *left > 0)
        .ok_or(Stop::OutOfGas)?;
    Ok((status, fuel))
}

fn ended_by(error: &wasmtime::Error) -> Ended {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return match stop {
            Stop::OutOfGas => Ended::Halted(HaltReason::OutOfGas),
            Stop::State => Ended::StateFailed,
            Stop::Pointer => halted("wasm: a pointer given to the host is out of bounds"),
            Stop::Topics => halted("wasm: emit_log was given bad topics"),
            Stop::StorageCache => halted("wasm: too many slots in the storage cache"),
        };
    }
    if error.is::<StackExhausted>() {
        return Ended::Halted(HaltReason::CallDepth);
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Ended::Halted(HaltReason::OutOfGas),
        Some(Trap::UnreachableCodeReached) => halted("wasm: unreachable instruction executed"),
        Some(Trap::StackOverflow) => Ended::Halted(HaltReason::CallDepth),
        Some(Trap::MemoryOutOfBounds) => halted("wasm: memory access out of bounds"),
        Some(Trap::TableOutOfBounds | Trap::IndirectCallToNull | Trap::BadSignature) => {
            halted("wasm: bad indirect call")
        }
        Some(
            Trap::IntegerOverflow | Trap::IntegerDivisionByZero | Trap::BadConversionToInteger,
        ) => halted("wasm: division by zero or integer overflow"),
        _ => halted("wasm: the program was stopped"),
    }
}

const fn halted(reason: &'static str) -> Ended {
    Ended::Halted(HaltReason::Other(reason))
}
