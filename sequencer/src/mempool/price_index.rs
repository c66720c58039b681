use std::{
    cmp::Reverse,
    collections::{BTreeSet, btree_set},
    iter::Peekable,
};

use alloy_primitives::Address;

use super::PooledTransaction;

/// Place of a transaction in the order of eviction: the lower price first, the newer one first
/// among equals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PriceKey {
    /// Effective price, in wei per gas.
    pub(super) price: u128,
    sequence: Reverse<u64>,
    pub(super) sender: Address,
    pub(super) nonce: u64,
}

/// All waiting transactions by effective price under one base fee.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PriceIndex {
    base_fee: u64,
    queued: BTreeSet<PriceKey>,
    executable: BTreeSet<PriceKey>,
}

impl PriceIndex {
    /// The base fee that the prices are for, in wei per gas.
    pub(super) const fn base_fee(&self) -> u64 {
        self.base_fee
    }

    /// Puts the index under another base fee: every transaction, and whether it is executable.
    pub(super) fn rebuild<'a>(
        &mut self,
        base_fee: u64,
        transactions: impl Iterator<Item = (&'a PooledTransaction, bool)>,
    ) {
        self.base_fee = base_fee;
        let (executable, queued): (Vec<_>, Vec<_>) =
            transactions.partition(|(_, executable)| *executable);
        let keys = |list: Vec<(&PooledTransaction, bool)>| {
            list.into_iter()
                .map(|(transaction, _)| key(base_fee, transaction))
                .collect()
        };
        self.executable = keys(executable);
        self.queued = keys(queued);
    }

    pub(super) fn insert(&mut self, transaction: &PooledTransaction, executable: bool) {
        let key = key(self.base_fee, transaction);
        self.part(executable).insert(key);
    }

    pub(super) fn remove(&mut self, transaction: &PooledTransaction, executable: bool) {
        let key = key(self.base_fee, transaction);
        self.part(executable).remove(&key);
    }

    /// What may be evicted for an executable or a queued transaction, and whether it is executable,
    /// in order: by price, queued before executable at the same price. For a queued transaction,
    /// only queued ones.
    pub(super) fn evictable(&self, for_executable: bool) -> impl Iterator<Item = (PriceKey, bool)> {
        let executable = if for_executable {
            self.executable.iter()
        } else {
            btree_set::Iter::default()
        };
        Evictable {
            queued: self.queued.iter().peekable(),
            executable: executable.peekable(),
        }
    }

    const fn part(&mut self, executable: bool) -> &mut BTreeSet<PriceKey> {
        if executable {
            &mut self.executable
        } else {
            &mut self.queued
        }
    }
}

fn key(base_fee: u64, transaction: &PooledTransaction) -> PriceKey {
    PriceKey {
        price: transaction.effective_price(base_fee),
        sequence: Reverse(transaction.sequence),
        sender: transaction.sender(),
        nonce: transaction.nonce(),
    }
}

struct Evictable<'a> {
    queued: Peekable<btree_set::Iter<'a, PriceKey>>,
    executable: Peekable<btree_set::Iter<'a, PriceKey>>,
}

impl Iterator for Evictable<'_> {
    type Item = (PriceKey, bool);

    fn next(&mut self) -> Option<Self::Item> {
        let queued_first = match (self.queued.peek(), self.executable.peek()) {
            (Some(queued), Some(executable)) => queued.price <= executable.price,
            (queued, _) => queued.is_some(),
        };
        let part = if queued_first {
            &mut self.queued
        } else {
            &mut self.executable
        };
        part.next().map(|key| (*key, !queued_first))
    }
}
