use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use alloy_primitives::U256;
use weft_executor_core::Account;

use super::{PooledTransaction, fee_order::Caps};

/// A transaction in its sender's queue.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) transaction: Arc<PooledTransaction>,
    /// Whether subscribers have heard of it, so that they hear of each transaction once.
    pub(super) announced: bool,
}

/// The waiting transactions of one sender.
///
/// Executable are the nonces from the account's up to [`Self::next_nonce`]: all of them are here,
/// and together they cost no more than the balance. The rest is queued. The executable ones are as
/// many as those two rules allow whenever the pool's lock is free.
#[derive(Debug)]
pub(super) struct SenderQueue {
    /// The newest state of the account that the pool has heard of.
    pub(super) account: Account,
    pub(super) entries: BTreeMap<u64, Entry>,
    /// First nonce that is not executable; the account's nonce at least.
    pub(super) next_nonce: u64,
    /// Cost of the executable transactions together, in wei.
    pub(super) spent: U256,
    /// No waiting transaction costs more than this, in wei; lets a balance be checked without a
    /// walk over the queue.
    pub(super) highest_cost: U256,
    /// How the pool's order of heads has this sender's first transaction: its caps, and when it came;
    /// `None` when it has none.
    pub(super) indexed_head: Option<(Caps, Reverse<u64>)>,
}

impl SenderQueue {
    pub(super) const fn new(account: Account) -> Self {
        Self {
            account,
            entries: BTreeMap::new(),
            next_nonce: account.nonce,
            spent: U256::ZERO,
            highest_cost: U256::ZERO,
            indexed_head: None,
        }
    }

    /// How many transactions are executable.
    pub(super) const fn executable(&self) -> usize {
        (self.next_nonce - self.account.nonce) as usize
    }

    /// The first executable transaction.
    pub(super) fn head(&self) -> Option<&Arc<PooledTransaction>> {
        self.executable_at(self.account.nonce)
    }

    /// The transaction at a nonce, when it is executable.
    pub(super) fn executable_at(&self, nonce: u64) -> Option<&Arc<PooledTransaction>> {
        if nonce >= self.next_nonce {
            return None;
        }
        self.entries.get(&nonce).map(|entry| &entry.transaction)
    }

    /// The transaction that would be executable next, when it is here and can be paid for.
    pub(super) fn promotable(&mut self) -> Option<&mut Entry> {
        let left = self.account.balance.saturating_sub(self.spent);
        self.entries
            .get_mut(&self.next_nonce)
            .filter(|entry| entry.transaction.cost() <= left)
    }
}

/// The newer of two states of one account.
///
/// A nonce never falls. At the same nonce a balance can only have grown, save for accounts whose
/// EIP-7702 delegation spends; for those the engine has the last word.
pub(super) fn newer(a: Account, b: Account) -> Account {
    if (a.nonce, a.balance) >= (b.nonce, b.balance) {
        a
    } else {
        b
    }
}
