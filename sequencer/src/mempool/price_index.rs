use std::{cmp::Reverse, iter::Peekable};

use alloy_primitives::Address;

use super::{
    PooledTransaction,
    fee_order::{Caps, FeeOrder},
};

/// A transaction in the order of eviction. Of equal prices the newer one goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PriceKey {
    sequence: Reverse<u64>,
    pub(super) sender: Address,
    pub(super) nonce: u64,
}

impl From<&PooledTransaction> for PriceKey {
    fn from(transaction: &PooledTransaction) -> Self {
        Self {
            sequence: Reverse(transaction.sequence),
            sender: transaction.sender(),
            nonce: transaction.nonce(),
        }
    }
}

/// What could be evicted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Victim {
    /// Effective price, in wei per gas.
    pub(super) price: u128,
    pub(super) executable: bool,
    pub(super) key: PriceKey,
}

/// All waiting transactions by effective price. Only a full pool needs it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PriceIndex {
    queued: FeeOrder<PriceKey>,
    executable: FeeOrder<PriceKey>,
}

impl PriceIndex {
    /// An index of every transaction, and whether it is executable, under a base fee in wei per gas.
    pub(super) fn of<'a>(
        base_fee: u64,
        transactions: impl Iterator<Item = (&'a PooledTransaction, bool)>,
    ) -> Self {
        let mut index = Self {
            queued: FeeOrder::new(base_fee),
            executable: FeeOrder::new(base_fee),
        };
        for (transaction, executable) in transactions {
            index.insert(transaction, executable);
        }
        index
    }

    pub(super) fn set_base_fee(&mut self, base_fee: u64) {
        self.queued.set_base_fee(base_fee);
        self.executable.set_base_fee(base_fee);
    }

    pub(super) fn insert(&mut self, transaction: &PooledTransaction, executable: bool) {
        self.part(executable)
            .insert(Caps::from(transaction), PriceKey::from(transaction));
    }

    pub(super) fn remove(&mut self, transaction: &PooledTransaction, executable: bool) {
        self.part(executable)
            .remove(Caps::from(transaction), PriceKey::from(transaction));
    }

    /// What may be evicted for an executable or a queued transaction, in order: by price, queued
    /// before executable at the same price. For a queued transaction, only queued ones.
    pub(super) fn evictable(&self, for_executable: bool) -> impl Iterator<Item = Victim> {
        let victims = |executable: bool| {
            move |(price, key)| Victim {
                price,
                executable,
                key,
            }
        };
        let executable = for_executable.then(|| self.executable.ascending());
        Evictable {
            queued: self.queued.ascending().map(victims(false)).peekable(),
            executable: executable
                .into_iter()
                .flatten()
                .map(victims(true))
                .peekable(),
        }
    }

    const fn part(&mut self, executable: bool) -> &mut FeeOrder<PriceKey> {
        if executable {
            &mut self.executable
        } else {
            &mut self.queued
        }
    }
}

struct Evictable<Q: Iterator, E: Iterator> {
    queued: Peekable<Q>,
    executable: Peekable<E>,
}

impl<Q: Iterator<Item = Victim>, E: Iterator<Item = Victim>> Iterator for Evictable<Q, E> {
    type Item = Victim;

    fn next(&mut self) -> Option<Victim> {
        let queued_first = match (self.queued.peek(), self.executable.peek()) {
            (Some(queued), Some(executable)) => queued.price <= executable.price,
            (queued, _) => queued.is_some(),
        };
        if queued_first {
            self.queued.next()
        } else {
            self.executable.next()
        }
    }
}
