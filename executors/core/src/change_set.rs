use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};

use crate::{Account, PartedMap, SortedMap};

/// What one transaction wrote: the values after it, of what it changed only.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransactionChanges {
    /// Accounts written, each address at most once.
    pub accounts: Vec<(Address, TransactionChange)>,
    /// Code that came into being, by its hash.
    pub code: Vec<(B256, Bytes)>,
}

/// What one transaction wrote to one account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransactionChange {
    /// The account afterwards; `None` when it does not exist any more.
    pub account: Option<Account>,
    /// Whether all storage from before the transaction is gone; `storage` is written after that.
    pub storage_wiped: bool,
    /// Slots written, each at most once, with their values afterwards. Those that a contract looked
    /// at in the transaction that created it are among them, because they are not read from the state.
    pub storage: Vec<(U256, U256)>,
}

/// What a block changed, with the values before and after: enough to go forward and back.
///
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChangeSet {
    /// Accounts that the block wrote.
    pub accounts: PartedMap<Address, AccountChange>,
    /// Code that came into being, by its hash.
    pub code: BTreeMap<B256, Bytes>,
}

/// What a block changed in one account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountChange {
    /// The account before the block; `None` when it did not exist.
    pub before: Option<Account>,
    /// The account after the block; `None` when it does not exist any more.
    pub after: Option<Account>,
    /// Whether storage from before the block that is not in `storage` is gone. The store looks up
    /// what that was.
    pub storage_wiped: bool,
    /// Slots written: value before and after the block. With `storage_wiped`, all slots that are not
    /// zero afterwards, even with equal values, and no others.
    pub storage: SortedMap<U256, (U256, U256)>,
}

/// A slot that a block has looked at.
#[derive(Debug, Clone, Copy)]
pub struct WrittenSlot {
    /// Value before the block.
    pub before: U256,
    /// Value now.
    pub current: U256,
    /// Whether the block wrote it, be it the same value.
    pub written: bool,
}

impl AccountChange {
    /// What a block changed in an account; `None` when that is nothing. `wiped` says whether the
    /// block has removed the storage that the account had.
    pub fn between(
        before: Option<Account>,
        after: Option<Account>,
        wiped: bool,
        slots: impl Iterator<Item = (U256, WrittenSlot)>,
    ) -> Option<Self> {
        let mut slots: Vec<_> = slots.collect();
        slots.sort_unstable_by_key(|(key, _)| *key);
        Self::from_sorted(before, after, wiped, slots)
    }

    /// As [`AccountChange::between`], with the slots in order, each once.
    pub fn from_sorted(
        before: Option<Account>,
        after: Option<Account>,
        wiped: bool,
        slots: Vec<(U256, WrittenSlot)>,
    ) -> Option<Self> {
        // What did not exist before the block had nothing to wipe.
        let storage_wiped = wiped && before.is_some();
        let storage: Vec<_> = slots
            .into_iter()
            // Under a wipe a slot must be named to keep its value, even the value it had before, and
            // one that is gone need not be: that would say which slots somebody had looked at.
            .filter(|(_, slot)| {
                if storage_wiped {
                    !slot.current.is_zero()
                } else {
                    slot.written && slot.before != slot.current
                }
            })
            .map(|(key, slot)| (key, (slot.before, slot.current)))
            .collect();
        if before == after && storage.is_empty() && !storage_wiped {
            return None;
        }
        Some(Self {
            before,
            after,
            storage_wiped,
            storage: SortedMap::from_sorted(storage),
        })
    }
}
