use std::path::Path;

use alloy_primitives::{Address, B256, Bytes, keccak256};
use weft_executor_core::{Frame, FrameEnd, HaltReason, Host, Machine};

use crate::{
    MODULE_MAGIC,
    arb_wasm::{self, ARB_WASM},
    code::{is_program, module_of, stored_code},
    current::enter,
    ending::{Ending, how_it_ended},
    host::Instance,
    memory::{MemoryGrowth, open_pages},
    meter::{FUEL_PER_GAS, call_gas, compile_gas, output_gas, validate_gas},
    module::validate,
    programs::{Programs, validated},
    stack::MAX_STACK_BYTES,
};

/// Native stack that a frame needs: the program's own, and what the host does around it until the
/// next frame of a program. A thread with 2 MiB, as they are by default, has that for the first.
const FRAME_STACK_BYTES: usize = MAX_STACK_BYTES + 512 * 1024;

/// Native stack that is added when there is less than a frame needs.
const STACK_SEGMENT_BYTES: usize = 8 << 20;

/// The WebAssembly compiler could not be set up on this machine.
#[derive(Debug, thiserror::Error)]
#[error("wasmtime could not be set up: {0}")]
pub struct MachineError(pub(crate) String);

/// Runs WASM programs with the host interface of Arbitrum Stylus.
pub struct WasmMachine {
    programs: Programs,
}

impl std::fmt::Debug for WasmMachine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WasmMachine").finish_non_exhaustive()
    }
}

impl WasmMachine {
    /// A machine that knows no programs yet. It keeps compiled programs in `folder`, where a later
    /// one finds them; without a folder, or when it cannot be used, it compiles them again. Native
    /// code from the folder is executed: nobody but the node may be able to write to it.
    ///
    /// # Errors
    /// When WebAssembly cannot be compiled on this machine, or no thread can be started.
    pub fn new(folder: Option<&Path>) -> Result<Self, MachineError> {
        let programs = Programs::new(folder)?;
        Ok(Self { programs })
    }

    fn run_on_stack(&self, frame: &Frame, host: &mut dyn Host) -> Result<FrameEnd, HaltReason> {
        let gas = frame
            .gas
            .checked_sub(call_gas(frame.code.len()))
            .ok_or(HaltReason::OutOfGas)?;
        let program = self
            .programs
            .get(frame.code_hash, || validated(&frame.code))
            .map_err(HaltReason::from)?;
        let program = program.value();
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
            let compilers = self.programs.compilers();
            let mut started = compilers.start(program, frame.code_hash, instance, fuel, module)?;
            let result = started.entrypoint.call(&mut started.store, arguments);
            let ending = how_it_ended(result, &mut started.store);
            compilers.finish(program, frame.code_hash, started);
            ending
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
        let module = module_of(code)?;
        let length = module.len();
        let affordable = |price: u64| {
            if price > gas {
                return Err(HaltReason::OutOfGas);
            }
            Ok(price)
        };
        affordable(validate_gas(length))?;
        let program = self.programs.get(keccak256(code), || {
            let shape = validate(&module)?;
            affordable(compile_gas(length, &shape.work))?;
            Ok::<_, HaltReason>((module, shape))
        })?;
        affordable(compile_gas(length, &program.value().shape.work))
    }

    fn prepare(&self, code_hash: B256, code: &Bytes) {
        self.programs.prepare(code_hash, code);
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
