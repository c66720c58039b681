//! What readers have looked at lately, in front of the database: accounts, slots and code.
//!
//! An entry says since which block it holds. A reader takes it only when that block is not above
//! its own; a later commit changes the entry, so that it holds since that commit and is nothing for
//! older readers. What a reader has read from the database it puts in only while its own head is the
//! last one: a commit raises the head first and goes through the entries then, so that it meets
//! either the entry or, under the same lock, a reader that sees the new head.

mod codes;
mod sets;

use std::sync::atomic::{AtomicU64, Ordering};

use alloy_primitives::{Address, B256, Bytes, U256};
use weft_executor_core::Account;

use codes::Codes;
pub(crate) use sets::Held;
use sets::Sets;

/// How often readers found what they looked for in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheCounters {
    /// Accounts and slots that were found.
    pub hits: u64,
    /// Accounts and slots that were read from the database.
    pub misses: u64,
    /// Bytes that cached accounts and slots take.
    pub bytes: u64,
}

/// Caches that all readers of a store share.
pub(crate) struct HotState {
    /// Last block that commits have taken to the entries, or are taking.
    head: AtomicU64,
    values: Sets,
    codes: Codes,
}

impl HotState {
    pub(crate) fn new(head: u64, state_bytes: u64, code_bytes: u64) -> Self {
        Self {
            head: AtomicU64::new(head),
            values: Sets::new(state_bytes),
            codes: Codes::new(code_bytes),
        }
    }

    /// The account as of block `at`, if it is here; `Some(None)` when it did not exist.
    pub(crate) fn account(&self, address: Address, at: u64) -> Option<Option<Account>> {
        match self.values.get(address, None, at)? {
            Held::Account { account, .. } => Some(Some(account)),
            Held::Absent { .. } => Some(None),
            Held::Slot { .. } => None,
        }
    }

    /// The slot's value as of block `at`, if it is here.
    pub(crate) fn slot(&self, address: Address, slot: U256, at: u64) -> Option<U256> {
        match self.values.get(address, Some(slot), at)? {
            Held::Slot { value, .. } => Some(value),
            Held::Account { .. } | Held::Absent { .. } => None,
        }
    }

    /// Whether there is an entry for the last block. Counts neither as a hit nor as a miss.
    pub(crate) fn contains(&self, address: Address, slot: Option<U256>) -> bool {
        self.values.contains(address, slot)
    }

    /// Puts in what was read from the state after block `at`.
    pub(crate) fn fill(&self, held: Held, at: u64) {
        self.values
            .fill(held, at, || self.head.load(Ordering::Acquire) == at);
    }

    /// Takes over what block `number` has made of accounts and slots. To be called after the block is
    /// durable and before there are readers of its state.
    pub(crate) fn advance(&self, number: u64, changed: impl IntoIterator<Item = Held>) {
        self.head.store(number, Ordering::Release);
        for held in changed {
            self.values.set(held, number);
        }
    }

    pub(crate) fn code(&self, hash: &B256) -> Option<Bytes> {
        self.codes.get(hash)
    }

    pub(crate) fn fill_code(&self, hash: B256, code: Bytes) {
        self.codes.insert(hash, code);
    }

    pub(crate) fn counters(&self) -> CacheCounters {
        self.values.counters()
    }
}
