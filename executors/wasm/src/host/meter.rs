use wasmtime::{Linker, Result};

use super::{Guest, Instance, MODULE, Stop, call::HostCall};
use crate::{
    memory::open_pages,
    meter::{HOST_CALL_INK, INK_PER_FUEL},
};

/// Gas, ink and memory.
pub(super) fn link(linker: &mut Linker<Instance>) -> Result<()> {
    linker
        .func_wrap(MODULE, "evm_gas_left", |guest: Guest<'_>| {
            HostCall::begin(guest, HOST_CALL_INK)?.gas_left()
        })?
        .func_wrap(MODULE, "evm_ink_left", |guest: Guest<'_>| {
            let fuel = HostCall::begin(guest, HOST_CALL_INK)?.fuel_left()?;
            Ok(fuel.saturating_mul(INK_PER_FUEL))
        })?
        .func_wrap(MODULE, "pay_for_memory_grow", pay_for_memory_grow)?;
    Ok(())
}

/// Growth is paid for by itself; modules have this import for Stylus' tools. A program that calls
/// it with pages has them counted and pays for them, and gets nothing for it, as in Stylus.
fn pay_for_memory_grow(guest: Guest<'_>, pages: u32) -> Result<()> {
    let pages = u64::from(pages & 0xffff);
    if pages == 0 {
        HostCall::begin(guest, HOST_CALL_INK)?;
        return Ok(());
    }
    let mut call = HostCall::begin(guest, 0)?;
    let gas = call.ask(|_, host| open_pages(pages, host.shared()).ok_or(Stop::OutOfGas))?;
    call.pay_gas(gas)
}
