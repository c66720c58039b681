use alloy_primitives::{Address, B256, Bytes, U256};
use weft_executor_core::Account;

use super::lane::Lane;

/// The transactions of a block that count, up to some point: the lanes that executed them, the
/// oldest first. Lanes that ran side by side have not changed the same places.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) lanes: Vec<Lane>,
}

/// What settled lanes know of a slot.
#[derive(Debug, Clone, Copy)]
pub(super) enum SettledSlot {
    Value(U256),
    /// It went with all storage of its account, and nobody has looked at what it was.
    Removed,
}

impl Settled {
    /// The account, when one of the lanes has it; then `Some(None)` is an account that does not
    /// exist.
    ///
    /// Of lanes that ran side by side none has changed what another has: whichever has a place has
    /// its value.
    pub(super) fn account(&self, address: Address) -> Option<Option<Account>> {
        self.newest(|lane| {
            let id = lane.known_account(address)?;
            Some(lane.places.account(id).current)
        })
    }

    /// The slot's value, when one of the lanes knows it.
    pub(super) fn slot(&self, address: Address, slot: U256) -> Option<SettledSlot> {
        self.newest(|lane| {
            let account = lane.known_account(address)?;
            match lane.known_slot(account, slot) {
                Some(id) => Some(SettledSlot::Value(lane.places.slot(id).current)),
                None if lane.places.account(account).wiped => Some(SettledSlot::Removed),
                None => None,
            }
        })
    }

    /// Whether the account has storage, when the lanes know that.
    pub(super) fn has_storage(&self, address: Address) -> Option<bool> {
        self.newest(|lane| {
            let id = lane.known_account(address)?;
            let mut slots = lane.places.slots_of(id);
            if slots.any(|(_, slot)| !slot.current.is_zero()) {
                Some(true)
            } else if lane.places.account(id).wiped {
                Some(false)
            } else {
                None
            }
        })
    }

    pub(super) fn code(&self, code_hash: B256) -> Option<&Bytes> {
        self.lanes
            .iter()
            .rev()
            .find_map(|lane| lane.code.get(&code_hash))
    }

    fn newest<T>(&self, find: impl Fn(&Lane) -> Option<T>) -> Option<T> {
        self.lanes.iter().rev().find_map(find)
    }
}
