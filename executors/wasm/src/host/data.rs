use alloy_primitives::{B256, Bytes};
use wasmtime::{Linker, Result};

use super::{Guest, Instance, MODULE, Stop, call::HostCall, length};
use crate::{
    current::with_host,
    meter::{API_INK, HOST_CALL_INK, keccak_ink, log_gas, read_ink, write_ink},
};

/// Most topics of a log.
const MAX_TOPICS: u32 = 4;

/// Arguments, results, logs and hashing.
pub(super) fn link(linker: &mut Linker<Instance>) -> Result<()> {
    linker
        .func_wrap(MODULE, "read_args", read_args)?
        .func_wrap(MODULE, "write_result", write_result)?
        .func_wrap(MODULE, "exit_early", |_: Guest<'_>, status: u32| {
            Err::<(), _>(Stop::Exit(status).into())
        })?
        .func_wrap(MODULE, "native_keccak256", native_keccak256)?
        .func_wrap(MODULE, "emit_log", emit_log)?;
    Ok(())
}

fn read_args(guest: Guest<'_>, destination: u32) -> Result<()> {
    let mut call = HostCall::begin(guest, HOST_CALL_INK)?;
    let input = call.instance().input.clone();
    call.pay_ink(write_ink(length(&input)?))?;
    Ok(call.write(destination, &input)?)
}

fn write_result(guest: Guest<'_>, data: u32, length: u32) -> Result<()> {
    let mut call = HostCall::begin(guest, HOST_CALL_INK)?;
    // Once to take it out of the program, once to hand it to the caller.
    call.pay_ink(2 * read_ink(length))?;
    let result = call.copy(data, length)?;
    call.instance_mut().result = result;
    Ok(())
}

fn native_keccak256(guest: Guest<'_>, data: u32, length: u32, digest: u32) -> Result<()> {
    let mut call = HostCall::begin(guest, keccak_ink(length))?;
    let bytes = call.bytes(data, length)?;
    let hash = with_host(|host| host.keccak256(bytes));
    Ok(call.write(digest, hash.as_slice())?)
}

fn emit_log(guest: Guest<'_>, data: u32, length: u32, topics: u32) -> Result<()> {
    let mut call = HostCall::begin(guest, HOST_CALL_INK + API_INK)?;
    if topics > MAX_TOPICS {
        return Err(Stop::Topics.into());
    }
    let data_length = length.checked_sub(32 * topics).ok_or(Stop::Topics)?;
    call.pay_ink(read_ink(length))?;
    call.pay_gas(log_gas(topics, data_length))?;
    let (topics, data) = call
        .bytes(data, length)?
        .split_at_checked(32 * topics as usize)
        .ok_or(Stop::Topics)?;
    let topics = topics.chunks_exact(32).map(B256::from_slice).collect();
    let data = Bytes::copy_from_slice(data);
    Ok(call.ask(|_, host| host.log(topics, data))?)
}
