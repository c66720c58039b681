//! The host interface: Stylus' `vm_hooks`, as far as it is here.

mod call;
mod functions;
mod imports;

pub(crate) use functions::link;
pub(crate) use imports::check_import;

use alloy_primitives::{Address, Bytes, U256};
use wasmtime::{Memory, ResourceLimiter};

use crate::{
    MAX_MEMORY_PAGES,
    meter::{FUEL_PER_GAS, memory_gas},
};

/// The only module that programs may import from.
pub(crate) const MODULE: &str = "vm_hooks";

/// Bytes in a page of WebAssembly memory.
const PAGE_BYTES: usize = 64 * 1024;

/// What a program can ask about its call, its transaction and its block.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) input: Bytes,
    pub(crate) sender: Address,
    pub(crate) contract: Address,
    pub(crate) value: U256,
    pub(crate) origin: Address,
    pub(crate) gas_price: u128,
    pub(crate) block_number: u64,
    pub(crate) timestamp: u64,
    pub(crate) base_fee: u64,
    pub(crate) block_gas_limit: u64,
    pub(crate) beneficiary: Address,
    pub(crate) chain_id: u64,
}

/// Why the host stopped a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    #[error("out of gas")]
    OutOfGas,
    #[error("wasm: a pointer given to the host is out of bounds")]
    Pointer,
    #[error("wasm: emit_log was given bad topics")]
    Topics,
    #[error("wasm: too many slots in the storage cache")]
    StorageCache,
    #[error("the state could not be read")]
    State,
}

/// What wasmtime's store holds for a running program.
pub(crate) struct Instance {
    pub(crate) context: Context,
    /// The program's memory, from the end of instantiation on.
    pub(crate) memory: Option<Memory>,
    /// What `write_result` was given last.
    pub(crate) result: Bytes,
    pub(crate) growth: MemoryGrowth,
}

/// Bounds memory and keeps the account of what growing it costs.
///
/// wasmtime asks for a growth where fuel cannot be reached. So a growth is only granted against
/// the gas that was left when the account was last settled, and it is paid at the next host call
/// or at the program's end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemoryGrowth {
    pages: u64,
    paid_pages: u64,
    gas_when_settled: u64,
}

impl MemoryGrowth {
    /// Memory of `pages` pages that are paid for, with `gas` left.
    pub(crate) fn new(pages: u64, gas: u64) -> Self {
        Self {
            pages,
            paid_pages: pages,
            gas_when_settled: gas,
        }
    }

    /// Fuel owed for growth.
    pub(crate) fn owed_fuel(&self) -> u64 {
        (memory_gas(self.pages) - memory_gas(self.paid_pages)) * FUEL_PER_GAS
    }

    /// Notes that what was owed is paid and that `gas` is left.
    pub(crate) fn settled(&mut self, gas: u64) {
        self.paid_pages = self.pages;
        self.gas_when_settled = gas;
    }
}

impl ResourceLimiter for MemoryGrowth {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let pages = desired.div_ceil(PAGE_BYTES) as u64;
        if pages > MAX_MEMORY_PAGES || maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        if pages > self.pages {
            if memory_gas(pages) - memory_gas(self.paid_pages) > self.gas_when_settled {
                return Err(Stop::OutOfGas.into());
            }
            self.pages = pages;
        }
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        _desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // The size that a table begins with was checked with the module; the instruction that
        // grows one is not allowed.
        Ok(current == 0)
    }
}
