use std::{borrow::Cow, cell::RefCell, rc::Rc, sync::Arc};

use alloy_primitives::{Address, B256, Bytes, keccak256};
use weft_executor_core::{Frame, FrameEnd, HaltReason, Host, Machine};

use crate::{
    MODULE_MAGIC, ModuleError,
    arb_wasm::{self, ARB_WASM},
    cache::{Entry, Own, SharedCache},
    code::{is_program, module_of, stored_code},
    compiled::{Compilers, MAX_STACK_BYTES, Program},
    current::enter,
    ending::{Ending, how_it_ended},
    host::Instance,
    memory::{MemoryGrowth, open_pages},
    meter::{FUEL_PER_GAS, call_gas, compile_gas, output_gas},
    module::validate,
};

/// Native code kept for later calls, in bytes.
const CACHE_BYTES: usize = 256 << 20;

/// Native stack that a frame needs: the program's own, and the host's around it.
const FRAME_STACK_BYTES: usize = MAX_STACK_BYTES + 256 * 1024;

/// Native stack that is added when there is less than a frame needs.
const STACK_SEGMENT_BYTES: usize = 4 << 20;

thread_local! {
    static OWN: RefCell<Own<Program>> = RefCell::new(Own::default());
}

/// The WebAssembly compiler could not be set up on this machine.
#[derive(Debug, thiserror::Error)]
#[error("wasmtime could not be set up: {0}")]
pub struct MachineError(String);

/// Runs WASM programs with the host interface of Arbitrum Stylus.
pub struct WasmMachine {
    compilers: Compilers,
    programs: SharedCache<Program>,
}

impl std::fmt::Debug for WasmMachine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WasmMachine").finish_non_exhaustive()
    }
}

impl WasmMachine {
    /// A machine that knows no programs yet.
    ///
    /// # Errors
    /// When WebAssembly cannot be compiled on this machine.
    pub fn new() -> Result<Self, MachineError> {
        let compilers = Compilers::new().map_err(|error| MachineError(format!("{error:#}")))?;
        Ok(Self {
            compilers,
            programs: SharedCache::new(CACHE_BYTES),
        })
    }

    /// The compiled program with this code hash; `module` is asked for when it was not compiled
    /// before.
    fn program<'a>(
        &self,
        code_hash: B256,
        module: impl FnOnce() -> Result<Cow<'a, [u8]>, ModuleError>,
    ) -> Result<Rc<Arc<Entry<Program>>>, ModuleError> {
        OWN.with(|own| {
            self.programs.get_or_make(code_hash, own, || {
                let program = self.compile(&module()?)?;
                let size = program.size() + size_of::<Program>();
                Ok((program, size))
            })
        })
    }

    /// Validates and compiles a module.
    fn compile(&self, module: &[u8]) -> Result<Program, ModuleError> {
        let shape = validate(module)?;
        self.compilers.compile(module, shape)
    }

    fn run_on_stack(&self, frame: &Frame, host: &mut dyn Host) -> Result<FrameEnd, HaltReason> {
        let gas = frame
            .gas
            .checked_sub(call_gas(frame.code.len()))
            .ok_or(HaltReason::OutOfGas)?;
        let program = self
            .program(frame.code_hash, || module_of(&frame.code))
            .map_err(|refused| HaltReason::Other(refused.reason()))?;
        let program = &program.value;
        let arguments = u32::try_from(frame.input.len())
            .map_err(|_| HaltReason::Other("wasm: the input is too long"))?;

        let pages = program.shape.initial_pages;
        let [open, ever] = *host.shared();
        let gas = open_pages(pages, host.shared())
            .and_then(|memory| gas.checked_sub(memory))
            .ok_or_else(|| {
                *host.shared() = [open, ever];
                HaltReason::OutOfGas
            })?;
        // More gas than fuel can count stays outside the machine.
        let metered = gas.min(u64::MAX / FUEL_PER_GAS);
        let instance = Instance::new(frame, MemoryGrowth::new(pages, metered));
        let ending = enter(host, || {
            let fuel = metered * FUEL_PER_GAS;
            let module = || module_of(&frame.code);
            let mut started = self.compilers.start(program, instance, fuel, module)?;
            let result = started.entrypoint.call(&mut started.store, arguments);
            how_it_ended(result, started.store)
        });
        let [pages_open, _] = host.shared();
        *pages_open = open;
        let (success, output, gas_left) = match ending.unwrap_or_else(Ending::of_error) {
            Ending::Returned { output, gas_left } => (true, output, gas_left),
            Ending::Reverted { output, gas_left } => (false, output, gas_left),
            Ending::Halted(reason) => return Err(reason),
            Ending::StateUnread => return Ok(FrameEnd::StateUnread),
        };
        let gas_left = gas_left + (gas - metered);
        let most_left = frame
            .gas
            .checked_sub(output_gas(output.len()))
            .ok_or(HaltReason::OutOfGas)?;
        let gas_left = gas_left.min(most_left);
        Ok(if success {
            FrameEnd::Returned { output, gas_left }
        } else {
            FrameEnd::Reverted { output, gas_left }
        })
    }
}

impl Machine for WasmMachine {
    fn name(&self) -> &'static str {
        "wasm"
    }

    fn owns(&self, code: &[u8]) -> bool {
        is_program(code)
    }

    fn assemble(&self, init: &Bytes) -> Option<Bytes> {
        init.starts_with(&MODULE_MAGIC).then(|| stored_code(init))
    }

    fn admit(&self, code: &Bytes, gas: u64) -> Result<u64, HaltReason> {
        let refused = |refused: ModuleError| HaltReason::Other(refused.reason());
        let module = module_of(code).map_err(refused)?;
        let price = compile_gas(module.len());
        if price > gas {
            return Err(HaltReason::OutOfGas);
        }
        self.program(keccak256(code), || Ok(module))
            .map_err(refused)?;
        Ok(price)
    }

    fn serves(&self, address: Address) -> bool {
        address == ARB_WASM
    }

    fn run(&self, frame: &Frame, host: &mut dyn Host) -> FrameEnd {
        if frame.code.is_empty() {
            return arb_wasm::answer(frame, host);
        }
        // Frames nest on the native stack, as deep as their callers' gas and memory allow.
        stacker::maybe_grow(FRAME_STACK_BYTES, STACK_SEGMENT_BYTES, || {
            self.run_on_stack(frame, host)
                .unwrap_or_else(FrameEnd::Halted)
        })
    }
}
