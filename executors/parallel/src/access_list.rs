use std::collections::BTreeMap;

use alloy_eip7928::{
    AccountChanges, BalanceChange, BlockAccessIndex, BlockAccessList, CodeChange, NonceChange,
    SlotChanges, StorageChange,
};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, map::B256Map};

use crate::replay::{AccountEffect, Effects};

/// Puts a block's access list together, transaction by transaction.
#[derive(Debug, Default)]
pub(crate) struct AccessListBuilder {
    transactions: u64,
    accounts: BTreeMap<Address, Entry>,
    code: B256Map<Bytes>,
}

#[derive(Debug, Default)]
struct Entry {
    /// Slots looked at; those that nobody changed have no changes.
    slots: BTreeMap<U256, Vec<StorageChange>>,
    balances: Vec<BalanceChange>,
    nonces: Vec<NonceChange>,
    code: Vec<(BlockAccessIndex, B256)>,
}

impl AccessListBuilder {
    pub(crate) fn add(&mut self, effects: &Effects<'_>) {
        self.transactions = self.transactions.saturating_add(1);
        let index = BlockAccessIndex::new(self.transactions);
        for effect in &effects.accounts {
            let entry = self.accounts.entry(effect.address).or_default();
            entry.add(index, effect);
        }
        for effect in &effects.slots {
            let entry = self.accounts.entry(effect.address).or_default();
            let changes = entry.slots.entry(effect.slot).or_default();
            if effect.before != effect.after {
                changes.push(StorageChange::new(index, effect.after));
            }
        }
        for (hash, code) in effects.code {
            self.code.insert(*hash, code.clone());
        }
    }

    /// The list. `new_code` is the code that the block brought into being.
    pub(crate) fn finish(self, new_code: &BTreeMap<B256, Bytes>) -> BlockAccessList {
        let known = self.code;
        let code_of = |hash: B256| {
            if hash == KECCAK256_EMPTY {
                return Bytes::new();
            }
            let code = known.get(&hash).or_else(|| new_code.get(&hash));
            code.cloned().unwrap_or_default()
        };
        self.accounts
            .into_iter()
            .map(|(address, entry)| {
                let mut account = AccountChanges::new(address);
                for (slot, changes) in entry.slots {
                    if changes.is_empty() {
                        account.storage_reads.push(slot);
                    } else {
                        account
                            .storage_changes
                            .push(SlotChanges::new(slot, changes));
                    }
                }
                account.balance_changes = entry.balances;
                account.nonce_changes = entry.nonces;
                account.code_changes = entry
                    .code
                    .into_iter()
                    .map(|(index, hash)| CodeChange::new(index, code_of(hash)))
                    .collect();
                account
            })
            .collect()
    }
}

impl Entry {
    fn add(&mut self, index: BlockAccessIndex, effect: &AccountEffect) {
        let AccountEffect { before, after, .. } = effect;
        if before.balance != after.balance {
            self.balances.push(BalanceChange::new(index, after.balance));
        }
        if before.nonce != after.nonce {
            self.nonces.push(NonceChange::new(index, after.nonce));
        }
        if before.code_hash != after.code_hash {
            self.code.push((index, after.code_hash));
        }
    }
}
