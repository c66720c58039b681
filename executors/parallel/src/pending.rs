use std::collections::HashMap;

use alloy_primitives::{
    Address, B256, Bytes, U256,
    map::{AddressMap, B256Map, DefaultHashBuilder},
};
use weft_executor_core::{Account, StateView, TransactionChanges};

/// What a thread's own transactions wrote ahead of their turn, each value with the index of its
/// transaction: what the thread's next ones most likely find when their turn comes.
///
/// It may be wrong, like everything that is done ahead of its turn.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    accounts: AddressMap<PendingAccount>,
    slots: HashMap<(Address, U256), (usize, U256), DefaultHashBuilder>,
    code: B256Map<Bytes>,
    /// One above the index of the last transaction.
    end: usize,
}

#[derive(Debug)]
struct PendingAccount {
    index: usize,
    account: Option<Account>,
    /// Transaction that removed the storage.
    wiped: Option<usize>,
}

impl Pending {
    /// Forgets what has been settled, once all has been.
    pub(crate) fn forget_settled(&mut self, settled: usize) {
        if settled >= self.end && self.end > 0 {
            self.accounts.clear();
            self.slots.clear();
            self.code.clear();
            self.end = 0;
        }
    }

    pub(crate) fn add(&mut self, index: usize, changes: &TransactionChanges) {
        self.end = self.end.max(index.saturating_add(1));
        for (address, change) in &changes.accounts {
            let wiped = self
                .accounts
                .get(address)
                .and_then(|known| known.wiped)
                .max(change.storage_wiped.then_some(index));
            self.accounts.insert(
                *address,
                PendingAccount {
                    index,
                    account: change.account,
                    wiped,
                },
            );
            for (slot, value) in &change.storage {
                self.slots.insert((*address, *slot), (index, *value));
            }
        }
        for (hash, code) in &changes.code {
            self.code.insert(*hash, code.clone());
        }
    }
}

/// The settled state with a thread's pending writes on top.
pub(crate) struct PendingView<'a, V> {
    pub(crate) settled_state: &'a mut V,
    pub(crate) pending: &'a Pending,
    /// Number of settled transactions: what these wrote is in `settled_state`.
    pub(crate) settled: usize,
}

impl<V: StateView> StateView for PendingView<'_, V> {
    type Error = V::Error;

    fn account(&mut self, address: Address) -> Result<Option<Account>, V::Error> {
        match self.pending.accounts.get(&address) {
            Some(known) if known.index >= self.settled => Ok(known.account),
            _ => self.settled_state.account(address),
        }
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, V::Error> {
        let wiped = self
            .pending
            .accounts
            .get(&address)
            .and_then(|known| known.wiped)
            .filter(|index| *index >= self.settled);
        match self.pending.slots.get(&(address, slot)) {
            Some((index, value)) if *index >= self.settled && Some(*index) >= wiped => Ok(*value),
            _ if wiped.is_some() => Ok(U256::ZERO),
            _ => self.settled_state.storage(address, slot),
        }
    }

    fn has_storage(&mut self, address: Address) -> Result<bool, V::Error> {
        self.settled_state.has_storage(address)
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, V::Error> {
        match self.pending.code.get(&code_hash) {
            Some(code) => Ok(code.clone()),
            None => self.settled_state.code(code_hash),
        }
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, V::Error> {
        self.settled_state.block_hash(number)
    }
}
