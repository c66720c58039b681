use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{
    Address, Log, U256,
    map::{AddressMap, AddressSet, HashSet},
};
use weft_executor_core::{Account, StateView};

use crate::{
    meter::{API_GAS, COLD_ACCOUNT_GAS, WARM_ACCESS_GAS, cache_read_gas, cache_write_gas},
    sstore::{self, COLD_SLOT_GAS, SENTRY_GAS},
    world::{FlushError, Priced, StateFailed, World},
};

/// Slots that a program's storage cache holds at most: more could not be written back within any
/// transaction's gas, and the cache must not grow without bound.
const MAX_CACHED_SLOTS: usize = 1 << 16;

/// What a program reads and writes, on top of a state and of what the transaction did before it.
pub(crate) struct Journal<'a, S: StateView> {
    state: &'a mut S,
    program: Address,
    /// Accounts as the transaction has left them so far, where that is not what `state` says.
    accounts: AddressMap<Option<Account>>,
    warm_accounts: AddressSet,
    warm_slots: HashSet<U256>,
    slots: BTreeMap<U256, Slot>,
    cache: BTreeMap<U256, Cached>,
    cache_reads: u64,
    cache_writes: u64,
    logs: Vec<Log>,
    refund: i64,
    looked_at: BTreeSet<Address>,
    failure: Option<S::Error>,
}

/// A slot of the program's storage.
#[derive(Debug, Clone, Copy)]
struct Slot {
    original: U256,
    current: U256,
}

/// A slot in the storage cache.
#[derive(Debug, Clone, Copy)]
struct Cached {
    value: U256,
    /// The value that the state has, when the cache knows it.
    known: Option<U256>,
}

/// What a program did.
pub(crate) struct Effects {
    /// Slots whose values changed, with the new values, in order of slot.
    pub(crate) storage: Vec<(U256, U256)>,
    /// Logs in order.
    pub(crate) logs: Vec<Log>,
    /// Gas to refund (EIP-3529), before the cap.
    pub(crate) refund: u64,
}

impl<'a, S: StateView> Journal<'a, S> {
    pub(crate) fn new(
        state: &'a mut S,
        program: Address,
        accounts: AddressMap<Option<Account>>,
        warm_accounts: AddressSet,
        warm_slots: HashSet<U256>,
    ) -> Self {
        Self {
            state,
            program,
            accounts,
            warm_accounts,
            warm_slots,
            slots: BTreeMap::new(),
            cache: BTreeMap::new(),
            cache_reads: 0,
            cache_writes: 0,
            logs: Vec::new(),
            refund: 0,
            looked_at: BTreeSet::new(),
            failure: None,
        }
    }

    /// Why the state could not be read, when it could not.
    pub(crate) fn take_failure(&mut self) -> Option<S::Error> {
        self.failure.take()
    }

    /// Accounts other than the program itself that the program looked at.
    pub(crate) fn accounts_looked_at(&self) -> impl Iterator<Item = Address> {
        self.looked_at.iter().copied()
    }

    /// Slots that the program looked at, in order.
    pub(crate) fn slots_looked_at(&self) -> impl Iterator<Item = U256> {
        self.slots.keys().copied()
    }

    /// What the program did. What is still in the storage cache is lost, as in Stylus.
    pub(crate) fn into_effects(self) -> Effects {
        Effects {
            storage: self
                .slots
                .into_iter()
                .filter(|(_, slot)| slot.original != slot.current)
                .map(|(key, slot)| (key, slot.current))
                .collect(),
            logs: self.logs,
            refund: u64::try_from(self.refund).unwrap_or(0),
        }
    }

    fn keep<T>(&mut self, read: Result<T, S::Error>) -> Result<T, StateFailed> {
        read.map_err(|failure| {
            self.failure = Some(failure);
            StateFailed
        })
    }

    fn slot(&mut self, key: U256) -> Result<Slot, StateFailed> {
        if let Some(slot) = self.slots.get(&key) {
            return Ok(*slot);
        }
        let read = self.state.storage(self.program, key);
        let value = self.keep(read)?;
        let slot = Slot {
            original: value,
            current: value,
        };
        self.slots.insert(key, slot);
        Ok(slot)
    }

    /// EIP-2929's surcharge of this access to a slot.
    fn cold_slot_gas(&mut self, key: U256) -> u64 {
        if self.warm_slots.insert(key) {
            COLD_SLOT_GAS
        } else {
            0
        }
    }

    fn store(&mut self, key: U256, value: U256, gas_left: u64) -> Result<u64, FlushError> {
        if gas_left <= SENTRY_GAS {
            return Err(FlushError::OutOfGas);
        }
        let slot = self.slot(key).map_err(FlushError::State)?;
        let cold = self.cold_slot_gas(key);
        let (cost, refund) = sstore::cost_and_refund(slot.original, slot.current, value);
        let gas = cold + cost;
        if gas > gas_left {
            return Err(FlushError::OutOfGas);
        }
        self.refund += refund;
        self.slots.insert(
            key,
            Slot {
                current: value,
                ..slot
            },
        );
        Ok(gas)
    }
}

impl<S: StateView> World for Journal<'_, S> {
    fn load(&mut self, slot: U256) -> Result<Priced, StateFailed> {
        self.cache_reads += 1;
        let gas = cache_read_gas(self.cache_reads);
        if let Some(cached) = self.cache.get(&slot) {
            return Ok(Priced {
                value: cached.value,
                gas,
            });
        }
        let value = self.slot(slot)?.current;
        let access = match self.cold_slot_gas(slot) {
            0 => WARM_ACCESS_GAS,
            cold => cold,
        };
        self.cache.insert(
            slot,
            Cached {
                value,
                known: Some(value),
            },
        );
        Ok(Priced {
            value,
            gas: gas + access + API_GAS,
        })
    }

    fn cache(&mut self, slot: U256, value: U256) -> Option<u64> {
        if self.cache.len() >= MAX_CACHED_SLOTS && !self.cache.contains_key(&slot) {
            return None;
        }
        self.cache_writes += 1;
        self.cache
            .entry(slot)
            .and_modify(|cached| cached.value = value)
            .or_insert(Cached { value, known: None });
        Some(cache_write_gas(self.cache_writes))
    }

    fn flush(&mut self, clear: bool, gas_left: u64) -> Result<u64, FlushError> {
        let dirty: Vec<(U256, U256)> = self
            .cache
            .iter()
            .filter(|(_, cached)| cached.known != Some(cached.value))
            .map(|(slot, cached)| (*slot, cached.value))
            .collect();
        let mut gas = 0;
        for (slot, value) in dirty {
            gas += self.store(slot, value, gas_left - gas)?;
            if let Some(cached) = self.cache.get_mut(&slot) {
                cached.known = Some(value);
            }
        }
        if clear {
            self.cache.clear();
        }
        Ok(gas)
    }

    fn balance(&mut self, address: Address) -> Result<Priced, StateFailed> {
        let gas = if self.warm_accounts.insert(address) {
            COLD_ACCOUNT_GAS
        } else {
            WARM_ACCESS_GAS
        };
        self.looked_at.insert(address);
        let account = match self.accounts.get(&address) {
            Some(known) => *known,
            None => {
                let read = self.state.account(address);
                let account = self.keep(read)?;
                self.accounts.insert(address, account);
                account
            }
        };
        Ok(Priced {
            value: account.unwrap_or_default().balance,
            gas,
        })
    }

    fn log(&mut self, log: Log) {
        self.logs.push(log);
    }
}
