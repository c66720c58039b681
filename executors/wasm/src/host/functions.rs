use alloy_primitives::{Address, B256, Bytes, Log, U256, keccak256};
use wasmtime::{Caller, Linker, Result};

use super::{Instance, MODULE, Stop, call::HostCall};
use crate::{
    meter::{
        API_GAS, API_INK, COLD_ACCOUNT_GAS, HOST_CALL_INK, INK_PER_FUEL, INK_PER_GAS,
        MEMORY_PAGE_GAS, POINTER_INK, copy_gas, keccak_ink, log_gas, read_ink, write_ink,
    },
    sstore::{COLD_SLOT_GAS, SENTRY_GAS},
    world::{FlushError, StateFailed, with_world},
};

/// Gas that must be left beyond the access itself for an access to the storage cache (Stylus).
const CACHE_SENTRY_GAS: u64 = 10;

/// Most topics of a log.
const MAX_TOPICS: u32 = 4;

type Host<'a> = Caller<'a, Instance>;

impl From<StateFailed> for Stop {
    fn from(StateFailed: StateFailed) -> Self {
        Self::State
    }
}

/// Makes the host interface known to a linker.
pub(crate) fn link(linker: &mut Linker<Instance>) -> Result<()> {
    link_data(linker)?;
    link_storage(linker)?;
    link_context(linker)?;
    link_meter(linker)
}

/// Arguments, results, logs and hashing.
fn link_data(linker: &mut Linker<Instance>) -> Result<()> {
    linker
        .func_wrap(MODULE, "read_args", |host: Host<'_>, destination: u32| {
            let mut call = HostCall::begin(host, HOST_CALL_INK)?;
            let input = call.instance().context.input.clone();
            call.pay_ink(write_ink(length(&input)?))?;
            call.write(destination, &input)
        })?
        .func_wrap(
            MODULE,
            "write_result",
            |host: Host<'_>, data: u32, length: u32| -> Result<()> {
                let mut call = HostCall::begin(host, HOST_CALL_INK)?;
                call.pay_ink(read_ink(length))?;
                call.pay_gas(copy_gas(length))?;
                let result = Bytes::copy_from_slice(call.bytes(data, length)?);
                call.instance_mut().result = result;
                Ok(())
            },
        )?
        .func_wrap(
            MODULE,
            "return_data_size",
            |host: Host<'_>| -> Result<u32> {
                // No call into another contract can have returned anything.
                HostCall::begin(host, HOST_CALL_INK)?;
                Ok(0)
            },
        )?
        .func_wrap(
            MODULE,
            "read_return_data",
            |host: Host<'_>, _destination: u32, _offset: u32, _size: u32| -> Result<u32> {
                let mut call = HostCall::begin(host, HOST_CALL_INK + API_INK)?;
                call.pay_ink(write_ink(0))?;
                Ok(0)
            },
        )?
        .func_wrap(
            MODULE,
            "native_keccak256",
            |host: Host<'_>, data: u32, length: u32, digest: u32| {
                let mut call = HostCall::begin(host, keccak_ink(length))?;
                let hash = keccak256(call.bytes(data, length)?);
                call.write(digest, hash.as_slice())
            },
        )?
        .func_wrap(MODULE, "emit_log", emit_log)?;
    Ok(())
}

fn emit_log(host: Host<'_>, data: u32, length: u32, topics: u32) -> Result<()> {
    let mut call = HostCall::begin(host, HOST_CALL_INK + API_INK)?;
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
    let log = Log::new_unchecked(
        call.instance().context.contract,
        topics.chunks_exact(32).map(B256::from_slice).collect(),
        Bytes::copy_from_slice(data),
    );
    with_world(|world| world.log(log));
    Ok(())
}

/// Storage and balances.
fn link_storage(linker: &mut Linker<Instance>) -> Result<()> {
    linker
        .func_wrap(
            MODULE,
            "storage_load_bytes32",
            |host: Host<'_>, key: u32, destination: u32| {
                let mut call = HostCall::begin(host, HOST_CALL_INK + 2 * POINTER_INK)?;
                call.require_gas(COLD_SLOT_GAS + CACHE_SENTRY_GAS + API_GAS)?;
                let slot = U256::from_be_bytes(call.read::<32>(key)?);
                let read = with_world(|world| world.load(slot)).map_err(Stop::from)?;
                call.pay_gas(read.gas)?;
                call.write(destination, &read.value.to_be_bytes::<32>())
            },
        )?
        .func_wrap(
            MODULE,
            "storage_cache_bytes32",
            |host: Host<'_>, key: u32, value: u32| {
                let mut call = HostCall::begin(host, HOST_CALL_INK + 2 * POINTER_INK)?;
                call.require_gas(SENTRY_GAS + CACHE_SENTRY_GAS)?;
                let slot = U256::from_be_bytes(call.read::<32>(key)?);
                let value = U256::from_be_bytes(call.read::<32>(value)?);
                let gas = with_world(|world| world.cache(slot, value)).ok_or(Stop::StorageCache)?;
                call.pay_gas(gas)
            },
        )?
        .func_wrap(
            MODULE,
            "storage_flush_cache",
            |host: Host<'_>, clear: u32| {
                let mut call = HostCall::begin(host, HOST_CALL_INK + API_INK)?;
                call.require_gas(SENTRY_GAS)?;
                let gas_left = call.gas_left()?;
                let gas =
                    with_world(|world| world.flush(clear != 0, gas_left)).map_err(|error| {
                        match error {
                            FlushError::OutOfGas => Stop::OutOfGas,
                            FlushError::State(failed) => failed.into(),
                        }
                    })?;
                call.pay_gas(gas)
            },
        )?
        .func_wrap(
            MODULE,
            "account_balance",
            |host: Host<'_>, address: u32, destination: u32| {
                let mut call = HostCall::begin(host, HOST_CALL_INK + 2 * POINTER_INK + API_INK)?;
                call.require_gas(COLD_ACCOUNT_GAS)?;
                let address = Address::from(call.read::<20>(address)?);
                let read = with_world(|world| world.balance(address)).map_err(Stop::from)?;
                call.pay_gas(read.gas)?;
                call.write(destination, &read.value.to_be_bytes::<32>())
            },
        )?;
    Ok(())
}

/// The call, the transaction and the block.
fn link_context(linker: &mut Linker<Instance>) -> Result<()> {
    macro_rules! numbers {
        ($($name:literal: $number:expr;)*) => {$(
            linker.func_wrap(MODULE, $name, |host: Host<'_>| {
                let call = HostCall::begin(host, HOST_CALL_INK)?;
                Ok($number(&call.instance().context))
            })?;
        )*};
    }
    macro_rules! values {
        ($($name:literal: $bytes:expr;)*) => {$(
            linker.func_wrap(MODULE, $name, |host: Host<'_>, destination: u32| {
                let mut call = HostCall::begin(host, HOST_CALL_INK + POINTER_INK)?;
                let bytes = $bytes(&call.instance().context);
                call.write(destination, bytes.as_slice())
            })?;
        )*};
    }
    use super::Context;
    numbers! {
        "block_gas_limit": |context: &Context| context.block_gas_limit;
        "block_number": |context: &Context| context.block_number;
        "block_timestamp": |context: &Context| context.timestamp;
        "chainid": |context: &Context| context.chain_id;
        "tx_ink_price": |_: &Context| INK_PER_GAS as u32;
        // Without calls between contracts, no program can be entered again.
        "msg_reentrant": |_: &Context| 0_u32;
    }
    values! {
        "msg_sender": |context: &Context| context.sender;
        "msg_value": |context: &Context| B256::from(context.value);
        "contract_address": |context: &Context| context.contract;
        "block_basefee": |context: &Context| B256::from(U256::from(context.base_fee));
        "block_coinbase": |context: &Context| context.beneficiary;
        "tx_gas_price": |context: &Context| B256::from(U256::from(context.gas_price));
        "tx_origin": |context: &Context| context.origin;
    }
    Ok(())
}

/// Gas, ink and memory.
fn link_meter(linker: &mut Linker<Instance>) -> Result<()> {
    linker
        .func_wrap(MODULE, "evm_gas_left", |host: Host<'_>| {
            HostCall::begin(host, HOST_CALL_INK)?.gas_left()
        })?
        .func_wrap(MODULE, "evm_ink_left", |host: Host<'_>| {
            let fuel = HostCall::begin(host, HOST_CALL_INK)?.fuel_left()?;
            Ok(fuel.saturating_mul(INK_PER_FUEL))
        })?
        .func_wrap(
            MODULE,
            "pay_for_memory_grow",
            |host: Host<'_>, pages: u32| -> Result<()> {
                // Growth is paid for by itself; modules must only have this import to satisfy
                // Stylus' tools, and a call with pages pays without a return, as in Stylus.
                let mut call = HostCall::begin(host, HOST_CALL_INK)?;
                call.pay_gas(u64::from(pages & 0xffff).saturating_mul(MEMORY_PAGE_GAS))
            },
        )?;
    Ok(())
}

fn length(bytes: &[u8]) -> Result<u32, Stop> {
    u32::try_from(bytes.len()).map_err(|_| Stop::Pointer)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::host::{Context, MemoryGrowth};

    pub(in crate::host) fn instance() -> Instance {
        Instance {
            context: Context {
                input: Bytes::new(),
                sender: Address::ZERO,
                contract: Address::ZERO,
                value: U256::ZERO,
                origin: Address::ZERO,
                gas_price: 0,
                block_number: 0,
                timestamp: 0,
                base_fee: 0,
                block_gas_limit: 0,
                beneficiary: Address::ZERO,
                chain_id: 0,
            },
            memory: None,
            result: Bytes::new(),
            growth: MemoryGrowth::new(0, 0),
        }
    }
}
