use alloy_primitives::{U256, map::U256Map};
use weft_executor_core::{Host, Priced, StateUnread, WriteError};

use crate::meter::{API_GAS, cache_read_gas, cache_write_gas};

/// Slots that can be written to the cache at most: more could not be written back within any
/// transaction's gas, and the cache must not grow without bound.
const MAX_SLOTS: usize = 1 << 16;

/// Slots that there is room for after a reset.
const MAX_KEPT_SLOTS: usize = 64;

/// What one frame of a program has read and written of its storage. What is not flushed is lost.
#[derive(Debug, Default)]
pub(crate) struct StorageCache {
    slots: U256Map<Cached>,
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

    /// Forgets everything, and keeps the room for a few slots.
    pub(crate) fn reset(&mut self) {
        self.slots.clear();
        self.slots.shrink_to(MAX_KEPT_SLOTS);
        self.reads = 0;
        self.writes = 0;
    }

    /// Writes back what is new, in order of slot, and says the gas, which is at most `gas_left`. With `clear` the
    /// cache is empty afterwards.
    pub(crate) fn flush(
        &mut self,
        clear: bool,
        gas_left: u64,
        host: &mut dyn Host,
    ) -> Result<u64, WriteError> {
        let mut left = gas_left;
        let mut new: Vec<(U256, &mut Cached)> = self
            .slots
            .iter_mut()
            .filter(|(_, cached)| cached.known != Some(cached.value))
            .map(|(slot, cached)| (*slot, cached))
            .collect();
        new.sort_unstable_by_key(|(slot, _)| *slot);
        for (slot, cached) in new {
            let gas = host.set_storage(slot, cached.value, left)?;
            left = left.checked_sub(gas).ok_or(WriteError::OutOfGas)?;
            cached.known = Some(cached.value);
        }
        if clear {
            self.slots.clear();
        }
        Ok(gas_left - left)
    }
}
