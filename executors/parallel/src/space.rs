use std::{
    collections::{HashMap, hash_map::Entry},
    mem,
};

use alloy_primitives::{
    Address, B256, Bytes, U256,
    map::{AddressMap, AddressSet, B256Map, DefaultHashBuilder},
};
use crossbeam_utils::CachePadded;
use weft_executor_core::{
    Account, AccountChange, ChangeSet, PartedMap, SortedMap, StateView, TransactionChange,
    TransactionChanges, WrittenSlot,
};

use crate::{
    crew::Crew,
    settlement::WorldState,
    sync::{AtomicUsize, Mutex, Ordering},
};

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
    /// How often the storage of an account was removed.
    wipes: AtomicUsize,
    /// Leaves as many of 16 bits as there are shards.
    shift: u32,
}

#[derive(Debug, Default)]
struct AccountShard {
    places: AddressMap<u32>,
    accounts: Vec<SpaceAccount>,
}

#[derive(Debug, Default)]
struct SlotShard {
    slots: HashMap<(Address, U256), WrittenSlot, DefaultHashBuilder>,
    /// Whose slots these are.
    owners: AddressSet,
}

#[derive(Debug)]
struct SpaceAccount {
    address: Address,
    before: Option<Account>,
    current: Option<Account>,
    written: bool,
    wiped: bool,
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
            wipes: AtomicUsize::new(0),
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
        shard.slots.get(&(address, slot)).map(|known| known.current)
    }

    /// Puts a slot there, with its value before the block, and gives its value now.
    fn insert_slot(&self, account: Place, address: Address, slot: U256, before: U256) -> U256 {
        let SlotShard { slots, owners } = &mut *self.slot_lock(address, slot).lock();
        match slots.entry((address, slot)) {
            Entry::Occupied(entry) => entry.get().current,
            Entry::Vacant(entry) => {
                // A wipe is counted before it looks into this shard: either it finds the slot, or
                // it is seen here.
                let wiped = self.wipes.load(Ordering::Acquire) > 0
                    && self.with_account(account, |account| account.wiped);
                let current = if wiped { U256::ZERO } else { before };
                entry.insert(WrittenSlot {
                    before,
                    current,
                    written: wiped,
                });
                owners.insert(address);
                current
            }
        }
    }

    /// Puts on top what a transaction wrote to an account. The slots are there.
    fn apply_account(&self, place: Place, address: Address, change: &TransactionChange) {
        self.with_account(place, |account| {
            account.current = change.account;
            account.written = true;
            account.wiped |= change.storage_wiped;
        });
        if change.storage_wiped {
            self.wipe(address);
        }
        for (slot, value) in &change.storage {
            let mut shard = self.slot_lock(address, *slot).lock();
            if let Some(known) = shard.slots.get_mut(&(address, *slot)) {
                known.current = *value;
                known.written = true;
            }
        }
    }

    /// Clears the slots of an account that is marked as wiped.
    fn wipe(&self, address: Address) {
        self.wipes.fetch_add(1, Ordering::AcqRel);
        for shard in &self.slots {
            let SlotShard { slots, owners } = &mut *shard.lock();
            if !owners.contains(&address) {
                continue;
            }
            for ((owner, _), slot) in slots {
                if *owner == address {
                    slot.current = U256::ZERO;
                    slot.written = true;
                }
            }
        }
    }

    /// Whether a slot of the account that is there is not zero.
    fn has_known_storage(&self, address: Address) -> bool {
        self.slots.iter().any(|shard| {
            let shard = shard.lock();
            shard.owners.contains(&address)
                && shard
                    .slots
                    .iter()
                    .any(|((owner, _), slot)| *owner == address && !slot.current.is_zero())
        })
    }

    /// What the block changed. The space is empty afterwards and keeps its memory for another block.
    pub(crate) fn take_changes(&mut self, crew: &Crew) -> ChangeSet {
        let written = crew.each(self.slots.iter_mut().collect(), |shard| {
            take_written(shard.get_mut())
        });
        let mut slots: Vec<_> = written.into_iter().flatten().collect();
        slots.sort_unstable_by_key(|(address, slot, _)| (*address, *slot));
        let parts = crew.each(self.accounts.iter_mut().collect(), |shard| {
            SortedMap::from_sorted(changes_of(shard.get_mut(), &slots))
        });
        let accounts = PartedMap::from_parts(parts);
        *self.wipes.get_mut() = 0;
        ChangeSet {
            accounts,
            code: mem::take(self.code.get_mut()).into_iter().collect(),
        }
    }
}

/// The slots of a shard that were written. The shard is empty afterwards.
fn take_written(shard: &mut SlotShard) -> Vec<(Address, U256, WrittenSlot)> {
    shard.owners.clear();
    shard
        .slots
        .drain()
        .filter(|(_, slot)| slot.written)
        .map(|((address, slot), value)| (address, slot, value))
        .collect()
}

/// What the block changed in the accounts of a shard, in the order of their addresses. `slots` are
/// all that were written, in order. The shard is empty afterwards.
fn changes_of(
    shard: &mut AccountShard,
    slots: &[(Address, U256, WrittenSlot)],
) -> Vec<(Address, AccountChange)> {
    let AccountShard { places, accounts } = shard;
    places.clear();
    accounts.retain(|account| account.written);
    accounts.sort_unstable_by_key(|account| account.address);
    let first = accounts.first().map(|account| account.address);
    let mut rest = first.map_or(&[][..], |first| {
        let start = slots.partition_point(|(address, ..)| *address < first);
        slots.get(start..).unwrap_or_default()
    });
    let changes = accounts.drain(..).filter_map(|account| {
        let address = account.address;
        let before = rest
            .iter()
            .take_while(|(owner, ..)| *owner < address)
            .count();
        rest = rest.get(before..).unwrap_or_default();
        let own = rest
            .iter()
            .take_while(|(owner, ..)| *owner == address)
            .count();
        let (own, others) = rest.split_at_checked(own)?;
        rest = others;
        let own = own.iter().map(|(_, slot, value)| (*slot, *value));
        let change = AccountChange::between(account.before, account.current, account.wiped, own)?;
        Some((address, change))
    });
    changes.collect()
}

/// A thread's access to the space.
#[derive(Debug)]
pub(crate) struct SpaceView<'a, S> {
    space: &'a Space,
    base: S,
    /// The last account of which a slot was read for the first time, and whether it was there before
    /// the block.
    owner: Option<(Address, Place, bool)>,
}

impl<'a, S: StateView> SpaceView<'a, S> {
    pub(crate) const fn new(space: &'a Space, base: S) -> Self {
        Self {
            space,
            base,
            owner: None,
        }
    }

    /// The slot's value; afterwards the slot is there.
    fn slot(&mut self, address: Address, slot: U256) -> Result<U256, S::Error> {
        if let Some(value) = self.space.known_slot(address, slot) {
            return Ok(value);
        }
        let (account, existed) = match self.owner {
            Some((owner, place, existed)) if owner == address => (place, existed),
            _ => {
                let place = self.locate(address)?;
                let existed = self
                    .space
                    .with_account(place, |account| account.before.is_some());
                self.owner = Some((address, place, existed));
                (place, existed)
            }
        };
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
        if self.space.has_known_storage(address) {
            return Ok(true);
        }
        let place = self.locate(address)?;
        let gone = self
            .space
            .with_account(place, |account| account.wiped || account.before.is_none());
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
            let place = self.locate(*address)?;
            for (slot, _) in &change.storage {
                self.slot(*address, *slot)?;
            }
            self.space.apply_account(place, *address, change);
        }
        Ok(())
    }
}
