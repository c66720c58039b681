use wasmtime::{Linker, Result};

use super::{Guest, Instance, MODULE, Stop, call::HostCall};
use crate::meter::{
    API_GAS, API_INK, CACHE_SENTRY_GAS, COLD_SLOT_GAS, HOST_CALL_INK, POINTER_INK,
    STORE_SENTRY_GAS, TRANSIENT_GAS,
};

/// Storage through its cache, and transient storage.
pub(super) fn link(linker: &mut Linker<Instance>) -> Result<()> {
    linker
        .func_wrap(MODULE, "storage_load_bytes32", load)?
        .func_wrap(MODULE, "storage_cache_bytes32", store)?
        .func_wrap(MODULE, "storage_flush_cache", flush)?
        .func_wrap(MODULE, "transient_load_bytes32", load_transient)?
        .func_wrap(MODULE, "transient_store_bytes32", store_transient)?;
    Ok(())
}

fn load(guest: Guest<'_>, key: u32, destination: u32) -> Result<()> {
    let mut call = HostCall::begin(guest, HOST_CALL_INK + 2 * POINTER_INK)?;
    call.require_gas(COLD_SLOT_GAS + CACHE_SENTRY_GAS + API_GAS)?;
    let slot = call.word(key)?;
    let read = call.ask(|instance, host| instance.storage.load(slot, host))?;
    call.pay_gas(read.gas)?;
    Ok(call.write_word(destination, read.value)?)
}

fn store(guest: Guest<'_>, key: u32, value: u32) -> Result<()> {
    let mut call = HostCall::begin(guest, HOST_CALL_INK + 2 * POINTER_INK)?;
    call.require_gas(STORE_SENTRY_GAS + CACHE_SENTRY_GAS)?;
    let (slot, value) = (call.word(key)?, call.word(value)?);
    let stored = call.instance_mut().storage.store(slot, value);
    call.pay_gas(stored.ok_or(Stop::StorageCache)?)
}

fn flush(guest: Guest<'_>, clear: u32) -> Result<()> {
    let mut call = HostCall::begin(guest, HOST_CALL_INK + API_INK)?;
    call.require_gas(STORE_SENTRY_GAS)?;
    let gas_left = call.gas_left()?;
    let gas = call.ask(|instance, host| instance.storage.flush(clear != 0, gas_left, host))?;
    call.pay_gas(gas)
}

fn load_transient(guest: Guest<'_>, key: u32, destination: u32) -> Result<()> {
    let mut call = HostCall::begin(guest, HOST_CALL_INK + 2 * POINTER_INK + API_INK)?;
    call.pay_gas(TRANSIENT_GAS)?;
    let slot = call.word(key)?;
    let value = call.ask(|_, host| Ok::<_, Stop>(host.transient_storage(slot)))?;
    Ok(call.write_word(destination, value)?)
}

fn store_transient(guest: Guest<'_>, key: u32, value: u32) -> Result<()> {
    let mut call = HostCall::begin(guest, HOST_CALL_INK + 2 * POINTER_INK + API_INK)?;
    call.pay_gas(TRANSIENT_GAS)?;
    let (slot, value) = (call.word(key)?, call.word(value)?);
    Ok(call.ask(|_, host| host.set_transient_storage(slot, value))?)
}
