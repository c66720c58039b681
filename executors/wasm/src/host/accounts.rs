use alloy_primitives::Bytes;
use wasmtime::{Linker, Result};

use super::{Guest, Instance, MODULE, call::HostCall, length};
use crate::meter::{
    API_INK, COLD_ACCOUNT_GAS, FOREIGN_CODE_GAS, HOST_CALL_INK, POINTER_INK, write_ink,
};

/// Balances and code of any account.
pub(super) fn link(linker: &mut Linker<Instance>) -> Result<()> {
    linker
        .func_wrap(MODULE, "account_balance", balance)?
        .func_wrap(MODULE, "account_code", copy_code)?
        .func_wrap(MODULE, "account_code_size", code_size)?
        .func_wrap(MODULE, "account_codehash", code_hash)?;
    Ok(())
}

fn balance(guest: Guest<'_>, address: u32, destination: u32) -> Result<()> {
    let mut call = HostCall::begin(guest, HOST_CALL_INK + 2 * POINTER_INK + API_INK)?;
    call.require_gas(COLD_ACCOUNT_GAS)?;
    let address = call.address(address)?;
    let read = call.ask(|_, host| host.account(address))?;
    call.pay_gas(read.gas)?;
    Ok(call.write_word(destination, read.value.balance)?)
}

fn code_hash(guest: Guest<'_>, address: u32, destination: u32) -> Result<()> {
    let mut call = HostCall::begin(guest, HOST_CALL_INK + 2 * POINTER_INK + API_INK)?;
    call.require_gas(COLD_ACCOUNT_GAS)?;
    let address = call.address(address)?;
    let read = call.ask(|_, host| host.account(address))?;
    call.pay_gas(read.gas)?;
    Ok(call.write(destination, read.value.code_hash.as_slice())?)
}

fn code_size(guest: Guest<'_>, address: u32) -> Result<u32> {
    let mut call = HostCall::begin(guest, HOST_CALL_INK + API_INK)?;
    let code = code(&mut call, address)?;
    Ok(length(&code)?)
}

fn copy_code(
    guest: Guest<'_>,
    address: u32,
    offset: u32,
    size: u32,
    destination: u32,
) -> Result<u32> {
    let mut call = HostCall::begin(guest, HOST_CALL_INK + API_INK)?;
    let code = code(&mut call, address)?;
    call.pay_ink(write_ink(length(&code)?))?;
    let part = part(&code, offset, size);
    call.write(destination, part)?;
    Ok(length(part)?)
}

/// The code of the account whose address is at this pointer, paid for.
fn code(call: &mut HostCall<'_>, address: u32) -> Result<Bytes> {
    call.require_gas(COLD_ACCOUNT_GAS)?;
    let address = call.address(address)?;
    if let Some((last, code)) = &call.instance().last_code
        && *last == address
    {
        return Ok(code.clone());
    }
    let read = call.ask(|_, host| host.code(address))?;
    call.pay_gas(read.gas.saturating_add(FOREIGN_CODE_GAS))?;
    // An account without code can get some while the program runs.
    if !read.value.is_empty() {
        call.instance_mut().last_code = Some((address, read.value.clone()));
    }
    Ok(read.value)
}

/// At most `size` bytes from `offset` on, as many as there are.
pub(super) fn part(bytes: &[u8], offset: u32, size: u32) -> &[u8] {
    let rest = bytes.get(offset as usize..).unwrap_or_default();
    rest.get(..size as usize).unwrap_or(rest)
}
