use alloy_primitives::{Address, Bytes, U256};
use weft_executor_core::Host;

use super::{Guest, Instance, Stop};
use crate::{
    current::with_host,
    meter::{FUEL_PER_GAS, fuel_for_ink},
};

/// A call from a program into the host.
pub(super) struct HostCall<'a> {
    guest: Guest<'a>,
}

impl<'a> HostCall<'a> {
    /// Begins a host call: pays for memory that grew since the last one, and for the call.
    pub(super) fn begin(guest: Guest<'a>, ink: u64) -> wasmtime::Result<Self> {
        let mut call = Self { guest };
        let owed = call.instance().growth.owed_fuel();
        call.pay_fuel(owed.saturating_add(fuel_for_ink(ink)))?;
        let gas = call.gas_left()?;
        call.guest.data_mut().growth.settled(gas);
        Ok(call)
    }

    pub(super) fn instance(&self) -> &Instance {
        self.guest.data()
    }

    pub(super) fn instance_mut(&mut self) -> &mut Instance {
        self.guest.data_mut()
    }

    /// Asks the frame's host for something that can fail.
    pub(super) fn ask<T, E: Into<Stop>>(
        &mut self,
        act: impl FnOnce(&mut Instance, &mut dyn Host) -> Result<T, E>,
    ) -> Result<T, Stop> {
        with_host(|host| act(self.guest.data_mut(), host)).map_err(Into::into)
    }

    pub(super) fn fuel_left(&self) -> wasmtime::Result<u64> {
        self.guest.get_fuel()
    }

    pub(super) fn gas_left(&self) -> wasmtime::Result<u64> {
        Ok(self.fuel_left()? / FUEL_PER_GAS)
    }

    fn pay_fuel(&mut self, fuel: u64) -> wasmtime::Result<()> {
        let left = self.fuel_left()?.checked_sub(fuel).ok_or(Stop::OutOfGas)?;
        self.guest.set_fuel(left)
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
    pub(super) fn bytes(&self, pointer: u32, length: u32) -> Result<&[u8], Stop> {
        let memory = self.instance().memory.ok_or(Stop::Pointer)?;
        let (start, end) = bounds(pointer, length as usize)?;
        memory
            .data(&self.guest)
            .get(start..end)
            .ok_or(Stop::Pointer)
    }

    /// A copy of bytes of the program's memory.
    pub(super) fn copy(&self, pointer: u32, length: u32) -> Result<Bytes, Stop> {
        self.bytes(pointer, length).map(Bytes::copy_from_slice)
    }

    /// A value of fixed size in the program's memory.
    fn read<const N: usize>(&self, pointer: u32) -> Result<[u8; N], Stop> {
        let bytes = self.bytes(pointer, N as u32)?;
        bytes.try_into().map_err(|_| Stop::Pointer)
    }

    /// A number of 32 bytes in the program's memory.
    pub(super) fn word(&self, pointer: u32) -> Result<U256, Stop> {
        self.read::<32>(pointer).map(U256::from_be_bytes)
    }

    /// An address in the program's memory.
    pub(super) fn address(&self, pointer: u32) -> Result<Address, Stop> {
        self.read::<20>(pointer).map(Address::from)
    }

    /// Writes to the program's memory.
    pub(super) fn write(&mut self, pointer: u32, bytes: &[u8]) -> Result<(), Stop> {
        let memory = self.instance().memory.ok_or(Stop::Pointer)?;
        let (start, end) = bounds(pointer, bytes.len())?;
        memory
            .data_mut(&mut self.guest)
            .get_mut(start..end)
            .ok_or(Stop::Pointer)?
            .copy_from_slice(bytes);
        Ok(())
    }

    /// Writes a number of 32 bytes to the program's memory.
    pub(super) fn write_word(&mut self, pointer: u32, word: U256) -> Result<(), Stop> {
        self.write(pointer, &word.to_be_bytes::<32>())
    }

    /// Writes a number as the program's own instructions read it.
    pub(super) fn write_u32(&mut self, pointer: u32, number: u32) -> Result<(), Stop> {
        self.write(pointer, &number.to_le_bytes())
    }
}

fn bounds(pointer: u32, length: usize) -> Result<(usize, usize), Stop> {
    let start = usize::try_from(pointer).map_err(|_| Stop::Pointer)?;
    let end = start.checked_add(length).ok_or(Stop::Pointer)?;
    Ok((start, end))
}
