use std::{collections::HashMap, mem};

use alloy_primitives::Address;
use weft_executor_core::Account;

/// Accounts in one of the two generations.
const GENERATION: usize = 32_768;

/// The accounts that blocks changed last, in bounded memory.
///
/// Who adds a transaction has read the sender's account some time before: a block may have come in
/// between, and the sender need not have anything waiting that would remember it. What is in here
/// is never stale, because every block's changes come in.
#[derive(Debug, Default)]
pub(super) struct RecentAccounts {
    young: HashMap<Address, Account>,
    old: HashMap<Address, Account>,
}

impl RecentAccounts {
    pub(super) fn insert(&mut self, address: Address, account: Account) {
        if self.young.len() >= GENERATION {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(address, account);
    }

    pub(super) fn get(&self, address: &Address) -> Option<Account> {
        self.young
            .get(address)
            .or_else(|| self.old.get(address))
            .copied()
    }
}
