use std::collections::HashMap;

use alloy_eip7928::{AccountChanges, BlockAccessIndex, BlockAccessList, StorageChange};
use alloy_primitives::{
    Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256,
    map::{AddressMap, B256Map, DefaultHashBuilder},
};
use weft_executor_core::{Account, StateView};

/// An access list that somebody has given, ready to be asked for values.
#[derive(Debug)]
pub(crate) struct Listed<'a> {
    accounts: AddressMap<ListedAccount<'a>>,
    slots: HashMap<(Address, U256), &'a [StorageChange], DefaultHashBuilder>,
    code: B256Map<Bytes>,
}

#[derive(Debug)]
struct ListedAccount<'a> {
    changes: &'a AccountChanges,
    code: Vec<(BlockAccessIndex, B256)>,
}

impl<'a> Listed<'a> {
    /// The changes of each account and slot are in the order of their indices.
    pub(crate) fn new(list: &'a BlockAccessList) -> Self {
        let mut listed = Self {
            accounts: AddressMap::default(),
            slots: HashMap::default(),
            code: B256Map::default(),
        };
        for changes in list {
            let mut code = Vec::with_capacity(changes.code_changes.len());
            for change in &changes.code_changes {
                let hash = if change.new_code.is_empty() {
                    KECCAK256_EMPTY
                } else {
                    keccak256(&change.new_code)
                };
                listed.code.insert(hash, change.new_code.clone());
                code.push((change.block_access_index, hash));
            }
            let account = ListedAccount { changes, code };
            listed.accounts.insert(changes.address, account);
            for slot in &changes.storage_changes {
                let key = (changes.address, slot.slot);
                listed.slots.insert(key, &slot.changes);
            }
        }
        listed
    }
}

/// The last value before the transaction with this position in the block.
fn value_before<T, V>(
    changes: &[T],
    position: usize,
    change: impl Fn(&T) -> (BlockAccessIndex, V),
) -> Option<V> {
    let end = changes.partition_point(|entry| change(entry).0.get() <= position as u64);
    let last = end.checked_sub(1)?;
    changes.get(last).map(|entry| change(entry).1)
}

/// What a transaction finds if the list is true: the settled state with the list's values of all
/// earlier transactions on top.
pub(crate) struct ListedView<'a, V> {
    pub(crate) settled_state: &'a mut V,
    pub(crate) list: &'a Listed<'a>,
    /// The transaction's position in the block.
    pub(crate) position: usize,
    /// Whether the transaction looked at an empty account that exists. One that somebody touches is
    /// deleted (EIP-161), of which no list says anything.
    pub(crate) unsaid: bool,
}

impl<V: StateView> StateView for ListedView<'_, V> {
    type Error = V::Error;

    fn account(&mut self, address: Address) -> Result<Option<Account>, V::Error> {
        let settled = self.settled_state.account(address)?;
        let Some(listed) = self.list.accounts.get(&address) else {
            return Ok(settled);
        };
        let position = self.position;
        let balance = value_before(&listed.changes.balance_changes, position, |change| {
            (change.block_access_index, change.post_balance)
        });
        let nonce = value_before(&listed.changes.nonce_changes, position, |change| {
            (change.block_access_index, change.new_nonce)
        });
        let code_hash = value_before(&listed.code, position, |change| *change);
        if balance.is_none() && nonce.is_none() && code_hash.is_none() {
            self.unsaid |= settled.is_some_and(|account| account.is_empty());
            return Ok(settled);
        }
        let known = settled.unwrap_or_default();
        let account = Account {
            nonce: nonce.unwrap_or(known.nonce),
            balance: balance.unwrap_or(known.balance),
            code_hash: code_hash.unwrap_or(known.code_hash),
        };
        Ok((!account.is_empty()).then_some(account))
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, V::Error> {
        let changes = self.list.slots.get(&(address, slot));
        let listed = changes.and_then(|changes| {
            value_before(changes, self.position, |change| {
                (change.block_access_index, change.new_value)
            })
        });
        match listed {
            Some(value) => Ok(value),
            None => self.settled_state.storage(address, slot),
        }
    }

    fn has_storage(&mut self, address: Address) -> Result<bool, V::Error> {
        self.settled_state.has_storage(address)
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, V::Error> {
        match self.list.code.get(&code_hash) {
            Some(code) => Ok(code.clone()),
            None => self.settled_state.code(code_hash),
        }
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, V::Error> {
        self.settled_state.block_hash(number)
    }
}
