//! WebAssembly (wasmtime) as a machine that runs contract code.
//!
//! [`WasmMachine`] runs contracts whose code is a WASM program, in frames that another layer (the
//! EVM) gives it. The host interface is that of Arbitrum Stylus: imports from `vm_hooks`, entry
//! point `user_entrypoint`, memory exported as `memory`. `docs/execution-layers.md` has the whole
//! contract with its users.

mod arb_wasm;
mod cache;
mod code;
mod compiled;
mod current;
mod disk_cache;
mod ending;
mod frame;
mod host;
mod idle;
mod instrument;
mod machine;
mod memory;
mod meter;
mod module;
mod programs;
mod stack;
mod storage_cache;

pub use code::{MODULE_MAGIC, PROGRAM_PREFIX, is_program, stored_code};
pub use machine::{MachineError, WasmMachine};
pub use memory::{FREE_MEMORY_PAGES, MEMORY_PAGE_GAS};
pub use meter::{CALL_BASE_GAS, COMPILE_GAS_PER_BYTE, FUEL_PER_GAS, INK_PER_GAS, compile_gas};
pub use module::{
    CompileWork, MAX_MEMORY_PAGES, MAX_MODULE_SIZE, ModuleError, ModuleShape, validate,
};
