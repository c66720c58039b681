//! WebAssembly (wasmtime) as an execution layer.
//!
//! [`WasmLayer`] stands in front of another layer (the EVM) and takes the transactions whose
//! receiver is a WASM program, and the creations whose init data is a WASM module. The host
//! interface is that of Arbitrum Stylus: imports from `vm_hooks`, entry point `user_entrypoint`,
//! memory exported as `memory`. `docs/execution-layers.md` has the whole contract with its users.

mod cache;
mod code;
mod compiler;
mod disk_cache;
mod envelope;
mod frame;
mod host;
mod instrument;
mod journal;
mod layer;
mod machine;
mod masked;
mod message;
mod meter;
mod module;
mod sstore;
mod world;

pub use code::{MODULE_MAGIC, PROGRAM_PREFIX, is_program, stored_code};
pub use compiler::Compiler;
pub use disk_cache::DiskCache;
pub use layer::WasmLayer;
pub use machine::MachineError;
pub use meter::{
    CALL_BASE_GAS, CODE_DEPOSIT_GAS_PER_BYTE, COMPILE_GAS_PER_BYTE, FREE_MEMORY_PAGES,
    FUEL_PER_GAS, INK_PER_GAS, MEMORY_PAGE_GAS,
};
pub use module::{MAX_MEMORY_PAGES, MAX_MODULE_SIZE, ModuleError, ModuleShape, validate};
