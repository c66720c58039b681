use std::collections::BTreeMap;

use alloy_primitives::U256;
use weft_executor_core::{Host, Priced, StateUnread, WriteError};

use crate::meter::{API_GAS, cache_read_gas, cache_write_gas};

/// Slots that can be written to the cache at most: more could not be written back within any
/// transaction's gas, and the cache must not grow without bound.
const MAX_SLOTS: usize = 1 << 16;

/// What one frame of a program has read and written of its storage. What is not flushed is lost.
#[derive(Debug, Default)]
pub(crate) struct StorageCache {
    // In order of slot, which is the order in which it is written back.
    slots: BTreeMap<U256, Cached>,
    reads: u64,
    writes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Cached {
    value: U256,
    /// The value that the state has, when the cache knows it.
    known: Option<U256>,
}

impl StorageCache {
    /// Reads a slot and says the gas.
    pub(crate) fn load(
        &mut self,
        slot: U256,
        host: &mut dyn Host,
    ) -> Result<Priced<U256>, StateUnread> {
        self.reads += 1;
        let gas = cache_read_gas(self.reads);
        if let Some(Cached { value, .. }) = self.slots.get(&slot) {
            return Ok(Priced { value: *value, gas });
        }
        let read = host.storage(slot)?;
        let known = Some(read.value);
        self.slots.insert(
            slot,
            Cached {
                value: read.value,
                known,
            },
        );
        Ok(Priced {
            value: read.value,
            gas: read.gas.saturating_add(gas + API_GAS),
        })
    }

    /// Notes a new value of a slot and says the gas; `None` when the cache is full.
    pub(crate) fn store(&mut self, slot: U256, value: U256) -> Option<u64> {
        if self.slots.len() >= MAX_SLOTS && !self.slots.contains_key(&slot) {
            return None;
        }
        self.writes += 1;
        self.slots
            .entry(slot)
            .and_modify(|cached| cached.value = value)
            .or_insert(Cached { value, known: None });
        Some(cache_write_gas(self.writes))
    }

    /// Writes back what is new and says the gas, which is at most `gas_left`. With `clear` the
    /// cache is empty afterwards.
    pub(crate) fn flush(
        &mut self,
        clear: bool,
        gas_left: u64,
        host: &mut dyn Host,
    ) -> Result<u64, WriteError> {
        let mut left = gas_left;
        for (slot, cached) in &mut self.slots {
            if cached.known != Some(cached.value) {
                let gas = host.set_storage(*slot, cached.value, left)?;
                left = left.checked_sub(gas).ok_or(WriteError::OutOfGas)?;
                cached.known = Some(cached.value);
            }
        }
        if clear {
            self.slots.clear();
        }
        Ok(gas_left - left)
    }
}
