use alloy_primitives::{Address, B256, Bytes, U256};
use wasmtime::{Linker, Result};
use weft_executor_core::{CallKind, CallRequest, CreateRequest, WriteError};

use super::{Guest, Instance, MODULE, accounts::part, call::HostCall, length};
use crate::meter::{API_INK, HOST_CALL_INK, POINTER_INK, read_ink, write_ink};

/// What programs see of a call that returned.
const SUCCESS: u32 = 0;
/// What they see of any other.
const FAILURE: u32 = 2;

/// Calls of other contracts, creations, and what came back.
pub(super) fn link(linker: &mut Linker<Instance>) -> Result<()> {
    linker
        .func_wrap(
            MODULE,
            "call_contract",
            |guest: Guest<'_>,
             to: u32,
             data: u32,
             data_length: u32,
             value: u32,
             gas: u64,
             return_length: u32| {
                let input = (data, data_length);
                call_contract(
                    guest,
                    CallKind::Call,
                    to,
                    input,
                    Some(value),
                    gas,
                    return_length,
                )
            },
        )?
        .func_wrap(
            MODULE,
            "delegate_call_contract",
            |guest: Guest<'_>,
             to: u32,
             data: u32,
             data_length: u32,
             gas: u64,
             return_length: u32| {
                let input = (data, data_length);
                call_contract(
                    guest,
                    CallKind::Delegate,
                    to,
                    input,
                    None,
                    gas,
                    return_length,
                )
            },
        )?
        .func_wrap(
            MODULE,
            "static_call_contract",
            |guest: Guest<'_>,
             to: u32,
             data: u32,
             data_length: u32,
             gas: u64,
             return_length: u32| {
                let input = (data, data_length);
                call_contract(guest, CallKind::Static, to, input, None, gas, return_length)
            },
        )?
        .func_wrap(
            MODULE,
            "create1",
            |guest: Guest<'_>,
             code: u32,
             code_length: u32,
             value: u32,
             address: u32,
             revert_length: u32| {
                create(
                    guest,
                    (code, code_length),
                    value,
                    None,
                    address,
                    revert_length,
                )
            },
        )?
        .func_wrap(
            MODULE,
            "create2",
            |guest: Guest<'_>,
             code: u32,
             code_length: u32,
             value: u32,
             salt: u32,
             address: u32,
             revert_length: u32| {
                create(
                    guest,
                    (code, code_length),
                    value,
                    Some(salt),
                    address,
                    revert_length,
                )
            },
        )?
        .func_wrap(
            MODULE,
            "return_data_size",
            |guest: Guest<'_>| -> Result<u32> {
                let call = HostCall::begin(guest, HOST_CALL_INK)?;
                Ok(length(&call.instance().return_data)?)
            },
        )?
        .func_wrap(MODULE, "read_return_data", read_return_data)?;
    Ok(())
}

fn call_contract(
    guest: Guest<'_>,
    kind: CallKind,
    to: u32,
    (data, data_length): (u32, u32),
    value: Option<u32>,
    gas: u64,
    return_length: u32,
) -> Result<u32> {
    let mut call = HostCall::begin(guest, HOST_CALL_INK + 3 * POINTER_INK + API_INK)?;
    // Once to take it out of the program, once to hand it to the other contract.
    call.pay_ink(2 * read_ink(data_length))?;
    let gas_left = call.gas_left()?;
    let request = CallRequest {
        kind,
        to: call.address(to)?,
        input: call.copy(data, data_length)?,
        value: value.map_or(Ok(U256::ZERO), |value| call.word(value))?,
        gas: gas.min(gas_left),
        gas_left,
    };
    let (status, output, used) = match call.ask(|_, host| match host.call(request) {
        // Value out of a static frame is the one failure that a program lives through.
        Err(WriteError::Static) => Ok(None),
        called => called.map(Some),
    })? {
        None => (FAILURE, Bytes::new(), 0),
        Some(called) if called.success => (SUCCESS, called.output, called.gas),
        Some(called) => (FAILURE, called.output, called.gas),
    };
    call.pay_gas(used)?;
    let output_length = length(&output)?;
    call.instance_mut().return_data = output;
    call.write_u32(return_length, output_length)?;
    Ok(status)
}

fn create(
    guest: Guest<'_>,
    (code, code_length): (u32, u32),
    value: u32,
    salt: Option<u32>,
    address: u32,
    revert_length: u32,
) -> Result<()> {
    let pointers = if salt.is_some() { 4 } else { 3 };
    let mut call = HostCall::begin(guest, HOST_CALL_INK + pointers * POINTER_INK + API_INK)?;
    call.pay_ink(2 * read_ink(code_length))?;
    let request = CreateRequest {
        init: call.copy(code, code_length)?,
        value: call.word(value)?,
        salt: salt
            .map(|salt| call.word(salt))
            .transpose()?
            .map(B256::from),
        gas_left: call.gas_left()?,
    };
    let created = call.ask(|_, host| host.create(request))?;
    call.pay_gas(created.gas)?;
    let output_length = length(&created.output)?;
    call.instance_mut().return_data = created.output;
    call.write_u32(revert_length, output_length)?;
    let created: Address = created.address.unwrap_or_default();
    Ok(call.write(address, created.as_slice())?)
}

fn read_return_data(guest: Guest<'_>, destination: u32, offset: u32, size: u32) -> Result<u32> {
    let mut call = HostCall::begin(guest, HOST_CALL_INK + API_INK)?;
    let data = call.instance().return_data.clone();
    let part = part(&data, offset, size);
    call.pay_ink(write_ink(length(part)?))?;
    if !part.is_empty() {
        call.write(destination, part)?;
    }
    Ok(length(part)?)
}
