use wasmtime::Caller;

use super::{Instance, Stop};
use crate::meter::{FUEL_PER_GAS, fuel_for_ink};

/// A call from a program into the host.
pub(super) struct HostCall<'a> {
    caller: Caller<'a, Instance>,
}

impl<'a> HostCall<'a> {
    /// Begins a host call: pays for memory that grew since the last one, and for the call.
    pub(super) fn begin(caller: Caller<'a, Instance>, ink: u64) -> wasmtime::Result<Self> {
        let mut call = Self { caller };
        let owed = call.instance().growth.owed_fuel();
        call.pay_fuel(owed.saturating_add(fuel_for_ink(ink)))?;
        let gas = call.gas_left()?;
        call.caller.data_mut().growth.settled(gas);
        Ok(call)
    }

    pub(super) fn instance(&self) -> &Instance {
        self.caller.data()
    }

    pub(super) fn instance_mut(&mut self) -> &mut Instance {
        self.caller.data_mut()
    }

    pub(super) fn fuel_left(&self) -> wasmtime::Result<u64> {
        self.caller.get_fuel()
    }

    pub(super) fn gas_left(&self) -> wasmtime::Result<u64> {
        Ok(self.fuel_left()? / FUEL_PER_GAS)
    }

    fn pay_fuel(&mut self, fuel: u64) -> wasmtime::Result<()> {
        let left = self.fuel_left()?.checked_sub(fuel).ok_or(Stop::OutOfGas)?;
        self.caller.set_fuel(left)
    }

    pub(super) fn pay_ink(&mut self, ink: u64) -> wasmtime::Result<()> {
        self.pay_fuel(fuel_for_ink(ink))
    }

    pub(super) fn pay_gas(&mut self, gas: u64) -> wasmtime::Result<()> {
        self.pay_fuel(gas.saturating_mul(FUEL_PER_GAS))
    }

    /// Stops the program unless this much gas is left.
    pub(super) fn require_gas(&self, gas: u64) -> wasmtime::Result<()> {
        if self.gas_left()? < gas {
            return Err(Stop::OutOfGas.into());
        }
        Ok(())
    }

    /// Bytes of the program's memory.
    pub(super) fn bytes(&self, pointer: u32, length: u32) -> wasmtime::Result<&[u8]> {
        let memory = self.instance().memory.ok_or(Stop::Pointer)?;
        let (start, end) = bounds(pointer, length as usize)?;
        let bytes = memory.data(&self.caller).get(start..end);
        Ok(bytes.ok_or(Stop::Pointer)?)
    }

    /// A value of fixed size in the program's memory.
    pub(super) fn read<const N: usize>(&self, pointer: u32) -> wasmtime::Result<[u8; N]> {
        let bytes = self.bytes(pointer, N as u32)?;
        Ok(bytes.try_into().map_err(|_| Stop::Pointer)?)
    }

    /// Writes to the program's memory.
    pub(super) fn write(&mut self, pointer: u32, bytes: &[u8]) -> wasmtime::Result<()> {
        let memory = self.instance().memory.ok_or(Stop::Pointer)?;
        let (start, end) = bounds(pointer, bytes.len())?;
        memory
            .data_mut(&mut self.caller)
            .get_mut(start..end)
            .ok_or(Stop::Pointer)?
            .copy_from_slice(bytes);
        Ok(())
    }
}

fn bounds(pointer: u32, length: usize) -> Result<(usize, usize), Stop> {
    let start = usize::try_from(pointer).map_err(|_| Stop::Pointer)?;
    let end = start.checked_add(length).ok_or(Stop::Pointer)?;
    Ok((start, end))
}
