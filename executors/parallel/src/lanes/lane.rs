use std::{
    collections::{HashMap, hash_map::Entry},
    convert::Infallible,
};

use alloy_primitives::{
    Address, Bytes, U256,
    map::{AddressMap, B256Map, DefaultHashBuilder},
};
use weft_executor_core::{Account, TransactionChange};

use super::log::{LaneLog, Lengths, Look};

/// What the transactions of one lane have looked at and changed: a state of their own, that nobody
/// else sees before they are done. Accounts and slots have ids, in the order in which they were met.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    ids: Ids,
    pub(super) places: Places,
    /// Code that came into being.
    pub(super) code: B256Map<Bytes>,
    pub(super) log: LaneLog,
    /// Looks at the beneficiary without knowing what it has earned.
    pub(super) saw_beneficiary: u32,
    /// Whether the open transaction has looked at a place where lanes have met.
    pub(super) suspect: bool,
    /// Whether a transaction was more than a transfer.
    pub(super) executed: bool,
}

/// The ids of whole keys. The maps are worth keeping from block to block.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    accounts: AddressMap<u32>,
    slots: HashMap<(u32, U256), u32, DefaultHashBuilder>,
}

/// Accounts and slots by id.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) accounts: Vec<LaneAccount>,
    pub(crate) slots: Vec<LaneSlot>,
}

#[derive(Debug)]
pub(crate) struct LaneAccount {
    pub(crate) address: Address,
    /// What the lane's transactions found first.
    pub(crate) before: Option<Account>,
    pub(crate) current: Option<Account>,
    /// Whether it was ever changed, even if it was changed back.
    pub(crate) written: bool,
    /// Whether its storage was removed.
    pub(crate) wiped: bool,
    /// Whether lanes are known to have met there.
    pub(super) met: bool,
    /// The last of its slots that was met; the slots are a chain.
    last_slot: Option<u32>,
}

#[derive(Debug)]
pub(crate) struct LaneSlot {
    pub(crate) account: u32,
    /// The slot of the same account that was met before it.
    previous: Option<u32>,
    pub(crate) slot: U256,
    /// What the lane's transactions found first, or what there was before it was removed.
    pub(crate) before: U256,
    /// Whether it was removed in this block before the lane: the lane's transactions found zero.
    pub(super) removed: bool,
    pub(crate) current: U256,
    /// Whether it was ever changed, even if it was changed back.
    pub(crate) written: bool,
    /// Whether lanes are known to have met there.
    pub(super) met: bool,
}

impl LaneSlot {
    /// What the lane's transactions found first.
    pub(super) const fn found(&self) -> U256 {
        if self.removed {
            U256::ZERO
        } else {
            self.before
        }
    }
}

/// An id of a new place. More of them do not fit into memory.
fn next_id(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[expect(
    clippy::indexing_slicing,
    reason = "places are never removed, so an id stays one"
)]
impl Places {
    pub(crate) fn account(&self, id: u32) -> &LaneAccount {
        &self.accounts[id as usize]
    }

    pub(super) fn account_mut(&mut self, id: u32) -> &mut LaneAccount {
        &mut self.accounts[id as usize]
    }

    pub(crate) fn slot(&self, id: u32) -> &LaneSlot {
        &self.slots[id as usize]
    }

    pub(super) fn slot_mut(&mut self, id: u32) -> &mut LaneSlot {
        &mut self.slots[id as usize]
    }

    /// The slots of an account, the last one first.
    pub(crate) fn slots_of(&self, account: u32) -> impl Iterator<Item = (u32, &LaneSlot)> {
        let mut next = self.account(account).last_slot;
        std::iter::from_fn(move || {
            let id = next?;
            let slot = self.slot(id);
            next = slot.previous;
            Some((id, slot))
        })
    }
}

impl Lane {
    /// An empty lane, in the memory of earlier ones, with room for what is expected.
    pub(super) fn new(ids: Ids, lists: (Places, LaneLog), expected: Lengths) -> Self {
        let (mut places, mut log) = lists;
        places.accounts.reserve(expected.accounts);
        places.slots.reserve(expected.slots);
        log.reserve(expected);
        Self {
            ids,
            places,
            log,
            ..Self::default()
        }
    }

    pub(super) fn lengths(&self) -> Lengths {
        Lengths {
            accounts: self.places.accounts.len(),
            slots: self.places.slots.len(),
            ..self.log.lengths()
        }
    }

    /// Takes out the memory for another lane. Nothing can be looked up any more.
    pub(super) fn take_ids(&mut self) -> Ids {
        let mut ids = std::mem::take(&mut self.ids);
        ids.accounts.clear();
        ids.slots.clear();
        ids
    }

    pub(super) fn known_account(&self, address: Address) -> Option<u32> {
        self.ids.accounts.get(&address).copied()
    }

    /// The account's id; `find` gives the account when it is not there yet.
    pub(super) fn account_id<E>(
        &mut self,
        address: Address,
        find: impl FnOnce() -> Result<Option<Account>, E>,
    ) -> Result<u32, E> {
        match self.ids.accounts.entry(address) {
            Entry::Occupied(entry) => Ok(*entry.get()),
            Entry::Vacant(entry) => {
                let before = find()?;
                let id = next_id(self.places.accounts.len());
                self.places.accounts.push(LaneAccount {
                    address,
                    before,
                    current: before,
                    written: false,
                    wiped: false,
                    met: false,
                    last_slot: None,
                });
                Ok(*entry.insert(id))
            }
        }
    }

    pub(super) fn known_slot(&self, account: u32, slot: U256) -> Option<u32> {
        self.ids.slots.get(&(account, slot)).copied()
    }

    /// The slot's id; `find` gives its value when it is not there yet, and whether that has been
    /// removed.
    pub(super) fn slot_id<E>(
        &mut self,
        account: u32,
        slot: U256,
        find: impl FnOnce() -> Result<(U256, bool), E>,
    ) -> Result<u32, E> {
        match self.ids.slots.entry((account, slot)) {
            Entry::Occupied(entry) => Ok(*entry.get()),
            Entry::Vacant(entry) => {
                let (before, removed) = find()?;
                let id = next_id(self.places.slots.len());
                let owner = self.places.account_mut(account);
                let previous = owner.last_slot.replace(id);
                let gone = removed || owner.wiped;
                self.places.slots.push(LaneSlot {
                    account,
                    previous,
                    slot,
                    before,
                    removed,
                    current: if gone { U256::ZERO } else { before },
                    written: gone && !before.is_zero(),
                    met: false,
                });
                Ok(*entry.insert(id))
            }
        }
    }

    /// The id of an account that was this before the lane.
    pub(super) fn account_before(&mut self, address: Address, before: Option<Account>) -> u32 {
        let Ok(id) = self.account_id(address, || Ok::<_, Infallible>(before));
        id
    }

    /// The id of a slot that was this before the lane; `removed` says whether it was removed since.
    pub(super) fn slot_before(
        &mut self,
        account: u32,
        slot: U256,
        before: U256,
        removed: bool,
    ) -> u32 {
        let Ok(id) = self.slot_id(account, slot, || Ok::<_, Infallible>((before, removed)));
        id
    }

    /// Sets an account, and leaves its storage as it is.
    pub(super) fn set_account(&mut self, id: u32, account: Option<Account>) {
        let entry = self.places.account_mut(id);
        entry.current = account;
        entry.written = true;
    }

    pub(super) fn set_slot(&mut self, id: u32, value: U256) {
        let entry = self.places.slot_mut(id);
        entry.current = value;
        entry.written = true;
    }

    /// Removes the storage of an account.
    pub(super) fn wipe(&mut self, account: u32) {
        let slots: Vec<u32> = self
            .places
            .slots_of(account)
            .filter(|(_, slot)| !slot.current.is_zero())
            .map(|(id, _)| id)
            .collect();
        for id in slots {
            self.set_slot(id, U256::ZERO);
        }
        let entry = self.places.account_mut(account);
        entry.wiped = true;
        let current = entry.current;
        // A wipe is a change even where the account comes out the same.
        self.set_account(account, current);
    }

    /// The account's id, found among what the open transaction has looked at: mostly little.
    pub(super) fn seen_account(&self, address: Address) -> Option<u32> {
        self.log
            .few_open_looks()
            .iter()
            .find_map(|look| match look {
                Look::Account(id) if self.places.account(*id).address == address => Some(*id),
                _ => None,
            })
    }

    /// As [`Self::seen_account`], for a slot.
    pub(super) fn seen_slot(&self, account: u32, slot: U256) -> Option<u32> {
        self.log
            .few_open_looks()
            .iter()
            .find_map(|look| match look {
                Look::Slot(id) => {
                    let known = self.places.slot(*id);
                    (known.slot == slot && known.account == account).then_some(*id)
                }
                _ => None,
            })
    }

    /// Sets an account as a transaction has left it, and writes that down if it is a change.
    pub(super) fn write_account(&mut self, id: u32, change: &TransactionChange) {
        if change.storage_wiped {
            self.wipe(id);
        }
        if change.storage_wiped || self.places.account(id).current != change.account {
            self.set_account(id, change.account);
            self.log
                .write_account(id, change.account, change.storage_wiped);
        }
    }

    /// Sets a slot as a transaction has left it, and writes that down, be it no change: the slot was
    /// looked at.
    pub(super) fn write_slot(&mut self, id: u32, value: U256) {
        if self.places.slot(id).current != value {
            self.set_slot(id, value);
        }
        self.log.write_slot(id, value);
    }
}
