use std::{
    collections::{HashMap, hash_map::Entry},
    mem,
};

use alloy_primitives::{
    Address, B256, Bytes, U256,
    map::{AddressMap, B256Map, DefaultHashBuilder},
};
use crossbeam_utils::CachePadded;
#[cfg(not(test))]
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use weft_executor_core::{
    Account, AccountChange, ChangeSet, SortedMap, StateView, TransactionChange, TransactionChanges,
    WrittenSlot,
};

use crate::{settlement::WorldState, sync::Mutex};

/// The state of a block in the making, which all threads read while one of them settles: what was
/// read from the base so far, with all settled changes.
///
/// Accounts are spread over the shards by the first bits of their addresses, in order. Slots have
/// shards of their own, because those of a busy contract are what threads meet at.
///
/// Only the settling thread changes values. A thread that holds a shard of slots may take one of
/// accounts, never the other way round.
#[derive(Debug)]
pub(crate) struct Space {
    accounts: Box<[CachePadded<Mutex<AccountShard>>]>,
    slots: Box<[CachePadded<Mutex<SlotShard>>]>,
    /// Code that came into being.
    code: Mutex<B256Map<Bytes>>,
    /// Leaves as many of 16 bits as there are shards.
    shift: u32,
}

#[derive(Debug, Default)]
struct AccountShard {
    places: AddressMap<u32>,
    accounts: Vec<SpaceAccount>,
}

type SlotShard = HashMap<(Address, U256), WrittenSlot, DefaultHashBuilder>;

#[derive(Debug)]
struct SpaceAccount {
    address: Address,
    before: Option<Account>,
    current: Option<Account>,
    written: bool,
    wiped: bool,
    /// Slots of the account that are in the shards of slots.
    slots: Vec<U256>,
}

/// Where the space has an account.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    shard: u16,
    index: u32,
}

/// Most shards; a power of two.
const MAX_SHARDS: usize = 256;

#[expect(
    clippy::indexing_slicing,
    reason = "`shift` leaves as many bits as there are shards, and accounts are never removed, so a \
              place stays one"
)]
impl Space {
    pub(crate) fn new(threads: usize) -> Self {
        let shards = threads
            .saturating_mul(16)
            .clamp(2, MAX_SHARDS)
            .next_power_of_two();
        Self {
            accounts: (0..shards).map(|_| CachePadded::default()).collect(),
            slots: (0..shards).map(|_| CachePadded::default()).collect(),
            code: Mutex::default(),
            shift: u16::BITS - shards.trailing_zeros(),
        }
    }

    fn account_shard(&self, address: Address) -> u16 {
        u16::from_be_bytes([address[0], address[1]]) >> self.shift
    }

    fn account_lock(&self, shard: u16) -> &Mutex<AccountShard> {
        &self.accounts[usize::from(shard)]
    }

    fn slot_lock(&self, address: Address, slot: U256) -> &Mutex<SlotShard> {
        // Slots of mappings are hashes, others are small numbers, and both differ in their low bits.
        let limbs = slot.as_limbs();
        let mixed = (limbs[0] ^ limbs[3].rotate_left(32) ^ u64::from(address[19]))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &self.slots[usize::from((mixed >> 48) as u16 >> self.shift)]
    }

    /// Where the account is; `read` gives it when it is not there yet.
    fn locate<E>(
        &self,
        address: Address,
        read: impl FnOnce() -> Result<Option<Account>, E>,
    ) -> Result<Place, E> {
        let shard = self.account_shard(address);
        let lock = self.account_lock(shard);
        if let Some(index) = lock.lock().places.get(&address) {
            let index = *index;
            return Ok(Place { shard, index });
        }
        // Not under the lock: the disk may be slow. Whoever is second finds the same value.
        let before = read()?;
        let AccountShard { places, accounts } = &mut *lock.lock();
        let index = *places.entry(address).or_insert_with(|| {
            accounts.push(SpaceAccount {
                address,
                before,
                current: before,
                written: false,
                wiped: false,
                slots: Vec::new(),
            });
            // More accounts than that do not fit into memory.
            u32::try_from(accounts.len().saturating_sub(1)).unwrap_or(u32::MAX)
        });
        Ok(Place { shard, index })
    }

    fn with_account<T>(&self, place: Place, act: impl FnOnce(&mut SpaceAccount) -> T) -> T {
        act(&mut self.account_lock(place.shard).lock().accounts[place.index as usize])
    }

    /// The account, for a thread that needs its place only once.
    fn account<E>(
        &self,
        address: Address,
        read: impl FnOnce() -> Result<Option<Account>, E>,
    ) -> Result<Option<Account>, E> {
        let shard = self.account_shard(address);
        {
            let shard = self.account_lock(shard).lock();
            if let Some(index) = shard.places.get(&address) {
                return Ok(shard.accounts[*index as usize].current);
            }
        }
        let place = self.locate(address, read)?;
        Ok(self.with_account(place, |account| account.current))
    }

    /// A slot's value, when it is there.
    fn known_slot(&self, address: Address, slot: U256) -> Option<U256> {
        let shard = self.slot_lock(address, slot).lock();
        shard.get(&(address, slot)).map(|known| known.current)
    }

    /// Puts a slot there, with its value before the block, and gives its value now.
    fn insert_slot(&self, account: Place, address: Address, slot: U256, before: U256) -> U256 {
        match self.slot_lock(address, slot).lock().entry((address, slot)) {
            Entry::Occupied(entry) => entry.get().current,
            Entry::Vacant(entry) => {
                // Under both locks, so that a wipe either finds the slot in the list or is seen.
                let wiped = self.with_account(account, |account| {
                    account.slots.push(slot);
                    account.wiped
                });
                let current = if wiped { U256::ZERO } else { before };
                entry.insert(WrittenSlot {
                    before,
                    current,
                    written: wiped,
                });
                current
            }
        }
    }

    /// Puts on top what a transaction wrote to an account. The slots are there.
    fn apply_account(&self, place: Place, address: Address, change: &TransactionChange) {
        let wiped = self.with_account(place, |account| {
            account.current = change.account;
            account.written = true;
            change.storage_wiped.then(|| {
                account.wiped = true;
                account.slots.clone()
            })
        });
        for slot in wiped.into_iter().flatten() {
            self.set_slot(address, slot, U256::ZERO);
        }
        for (slot, value) in &change.storage {
            self.set_slot(address, *slot, *value);
        }
    }

    fn set_slot(&self, address: Address, slot: U256, value: U256) {
        let mut shard = self.slot_lock(address, slot).lock();
        if let Some(known) = shard.get_mut(&(address, slot)) {
            known.current = value;
            known.written = true;
        }
    }

    /// What the block changed. The space is empty afterwards and keeps its memory for another block.
    pub(crate) fn take_changes(&mut self) -> ChangeSet {
        #[cfg(not(test))]
        let shards = self.accounts.par_iter();
        // A model checker knows no thread but its own.
        #[cfg(test)]
        let shards = self.accounts.iter();
        let parts: Vec<Vec<_>> = shards
            .map(|shard| self.changes_of(&mut shard.lock().accounts))
            .collect();
        let mut accounts = Vec::with_capacity(parts.iter().map(Vec::len).sum());
        accounts.extend(parts.into_iter().flatten());
        for shard in &mut self.accounts {
            let shard = shard.get_mut();
            shard.places.clear();
            shard.accounts.clear();
        }
        for shard in &mut self.slots {
            shard.get_mut().clear();
        }
        ChangeSet {
            accounts: SortedMap::from_sorted(accounts),
            code: mem::take(self.code.get_mut()).into_iter().collect(),
        }
    }

    /// What the block changed in the accounts of a shard, in the order of their addresses.
    fn changes_of(&self, accounts: &mut Vec<SpaceAccount>) -> Vec<(Address, AccountChange)> {
        accounts.retain(|account| account.written);
        accounts.sort_unstable_by_key(|account| account.address);
        let changes = accounts.iter_mut().filter_map(|account| {
            let address = account.address;
            let slots = mem::take(&mut account.slots).into_iter();
            let slots = slots.filter_map(|slot| {
                let shard = self.slot_lock(address, slot).lock();
                shard.get(&(address, slot)).map(|known| (slot, *known))
            });
            let change =
                AccountChange::between(account.before, account.current, account.wiped, slots)?;
            Some((address, change))
        });
        changes.collect()
    }
}

/// A thread's access to the space.
#[derive(Debug)]
pub(crate) struct SpaceView<'a, S> {
    space: &'a Space,
    base: S,
}

impl<'a, S: StateView> SpaceView<'a, S> {
    pub(crate) const fn new(space: &'a Space, base: S) -> Self {
        Self { space, base }
    }

    /// The slot's value; afterwards the slot is there.
    fn slot(&mut self, address: Address, slot: U256) -> Result<U256, S::Error> {
        if let Some(value) = self.space.known_slot(address, slot) {
            return Ok(value);
        }
        let account = WorldState::locate(self, address)?;
        let existed = self
            .space
            .with_account(account, |account| account.before.is_some());
        // Not under a lock: the disk may be slow. Whoever is second finds the same value.
        let before = if existed {
            self.base.storage(address, slot)?
        } else {
            U256::ZERO
        };
        Ok(self.space.insert_slot(account, address, slot, before))
    }
}

impl<S: StateView> StateView for SpaceView<'_, S> {
    type Error = S::Error;

    fn account(&mut self, address: Address) -> Result<Option<Account>, S::Error> {
        self.space.account(address, || self.base.account(address))
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, S::Error> {
        self.slot(address, slot)
    }

    fn has_storage(&mut self, address: Address) -> Result<bool, S::Error> {
        let account = WorldState::locate(self, address)?;
        let (gone, slots) = self.space.with_account(account, |account| {
            (
                account.wiped || account.before.is_none(),
                account.slots.clone(),
            )
        });
        for slot in slots {
            if !self.slot(address, slot)?.is_zero() {
                return Ok(true);
            }
        }
        // Nothing clears single slots of an account that has no code.
        if gone {
            return Ok(false);
        }
        self.base.has_storage(address)
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, S::Error> {
        let new = self.space.code.lock().get(&code_hash).cloned();
        new.map_or_else(|| self.base.code(code_hash), Ok)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, S::Error> {
        self.base.block_hash(number)
    }
}

impl<S: StateView> WorldState for SpaceView<'_, S> {
    type Place = Place;

    fn locate(&mut self, address: Address) -> Result<Place, S::Error> {
        self.space.locate(address, || self.base.account(address))
    }

    fn account_at(&self, place: Place) -> Option<Account> {
        self.space.with_account(place, |account| account.current)
    }

    fn set_account_at(&mut self, place: Place, account: Option<Account>) {
        self.space.with_account(place, |entry| {
            entry.current = account;
            entry.written = true;
        });
    }

    fn apply(&mut self, changes: &TransactionChanges) -> Result<(), S::Error> {
        // Code first: no account names code that is not there.
        if !changes.code.is_empty() {
            let mut code = self.space.code.lock();
            code.extend(changes.code.iter().cloned());
        }
        for (address, change) in &changes.accounts {
            let place = WorldState::locate(self, *address)?;
            for (slot, _) in &change.storage {
                self.slot(*address, *slot)?;
            }
            self.space.apply_account(place, *address, change);
        }
        Ok(())
    }
}
