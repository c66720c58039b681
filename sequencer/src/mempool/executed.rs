use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::Arc,
};

use alloy_primitives::{Address, B256};

use super::PooledTransaction;

/// Transactions of blocks that are executed and not durable yet: they no longer wait, and cannot be
/// found in the chain yet.
#[derive(Debug, Default)]
pub(super) struct Executed {
    /// By block number, in the order of the chain.
    blocks: VecDeque<(u64, Vec<Arc<PooledTransaction>>)>,
    by_hash: HashMap<B256, Arc<PooledTransaction>>,
    /// The nonce after a sender's last transaction here, and the block of that.
    next_nonces: HashMap<Address, (u64, u64)>,
}

impl Executed {
    /// Adds the transactions of the next block.
    pub(super) fn push(&mut self, number: u64, included: Vec<Arc<PooledTransaction>>) {
        for transaction in &included {
            self.by_hash
                .insert(transaction.hash, Arc::clone(transaction));
            let next = transaction.nonce().saturating_add(1);
            self.next_nonces
                .insert(transaction.sender(), (next, number));
        }
        self.blocks.push_back((number, included));
    }

    /// Takes out what blocks up to this number have included.
    pub(super) fn forget(&mut self, number: u64) -> Vec<Arc<PooledTransaction>> {
        let mut forgotten = Vec::new();
        while let Some((_, included)) = self.blocks.pop_front_if(|(block, _)| *block <= number) {
            for transaction in &included {
                self.by_hash.remove(&transaction.hash);
                if let Entry::Occupied(entry) = self.next_nonces.entry(transaction.sender())
                    && entry.get().1 <= number
                {
                    entry.remove();
                }
            }
            forgotten.extend(included);
        }
        forgotten
    }

    pub(super) fn get(&self, hash: &B256) -> Option<Arc<PooledTransaction>> {
        self.by_hash.get(hash).cloned()
    }

    /// The nonce after the sender's last transaction here.
    pub(super) fn next_nonce(&self, sender: Address) -> Option<u64> {
        self.next_nonces.get(&sender).map(|(next, _)| *next)
    }
}
