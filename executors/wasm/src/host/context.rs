use alloy_primitives::U256;
use wasmtime::{Linker, Result};
use weft_executor_core::Host;

use super::{Guest, Instance, MODULE, Stop, call::HostCall};
use crate::meter::{HOST_CALL_INK, INK_PER_GAS, POINTER_INK};

/// The call, the transaction and the block.
pub(super) fn link(linker: &mut Linker<Instance>) -> Result<()> {
    macro_rules! numbers {
        ($($name:literal: $number:expr;)*) => {$(
            linker.func_wrap(MODULE, $name, |guest: Guest<'_>| -> Result<_> {
                let mut call = HostCall::begin(guest, HOST_CALL_INK)?;
                Ok(call.ask(|_, host| Ok::<_, Stop>($number(host)))?)
            })?;
        )*};
    }
    macro_rules! values {
        ($($name:literal: $bytes:expr;)*) => {$(
            linker.func_wrap(MODULE, $name, |guest: Guest<'_>, destination: u32| -> Result<()> {
                let mut call = HostCall::begin(guest, HOST_CALL_INK + POINTER_INK)?;
                let bytes = call.ask(|instance, host| Ok::<_, Stop>($bytes(instance, host)))?;
                Ok(call.write(destination, bytes.as_slice())?)
            })?;
        )*};
    }
    numbers! {
        "block_gas_limit": |host: &mut dyn Host| host.block().gas_limit;
        "block_number": |host: &mut dyn Host| host.block().number;
        "block_timestamp": |host: &mut dyn Host| host.block().timestamp;
        "chainid": |host: &mut dyn Host| host.block().chain_id;
        "tx_ink_price": |_: &mut dyn Host| INK_PER_GAS as u32;
        "msg_reentrant": |host: &mut dyn Host| u32::from(host.is_reentrant());
    }
    values! {
        "msg_sender": |instance: &mut Instance, _: &mut dyn Host| instance.caller;
        "msg_value": |instance: &mut Instance, _: &mut dyn Host| word(instance.value);
        "contract_address": |instance: &mut Instance, _: &mut dyn Host| instance.contract;
        "block_basefee": |_: &mut Instance, host: &mut dyn Host| {
            word(U256::from(host.transaction().base_fee))
        };
        "block_coinbase": |_: &mut Instance, host: &mut dyn Host| host.block().beneficiary;
        "tx_gas_price": |_: &mut Instance, host: &mut dyn Host| {
            word(U256::from(host.transaction().gas_price))
        };
        "tx_origin": |_: &mut Instance, host: &mut dyn Host| host.transaction().origin;
    }
    Ok(())
}

fn word(number: U256) -> [u8; 32] {
    number.to_be_bytes()
}
