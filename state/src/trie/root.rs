use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount};
use rayon::prelude::*;
use weft_executor_core::{AccountChange, ChangeSet};

use super::{
    AccountNodes, NodeSource, StorageNodes, TrieUpdates, partial::PartialTrie,
    updates::StorageTrieUpdates,
};
use crate::StateError;

/// What a change does to one account's storage trie.
pub(crate) struct StorageOutcome {
    pub(crate) root: B256,
    pub(crate) updates: StorageTrieUpdates,
}

/// Blocks that change fewer accounts are done before a thread has woken up.
const PARALLEL_FROM: usize = 16;

/// Applies `changes` to the tries in `nodes`, whose state root is `parent_root`. In a large block,
/// storage tries are computed in parallel on the calling rayon pool.
pub(crate) fn state_root(
    nodes: &AccountNodes<'_>,
    parent_root: B256,
    changes: &ChangeSet,
) -> Result<TrieUpdates, StateError> {
    let outcome = |(address, change): &(Address, AccountChange)| {
        let address_hash = keccak256(address);
        let storage = storage_root(nodes, address_hash, change)?;
        Ok((address_hash, storage))
    };
    let parallel = changes.accounts.len() >= PARALLEL_FROM;
    let mut outcomes: Vec<(B256, Option<_>)> = Vec::with_capacity(changes.accounts.len());
    for part in changes.accounts.slices() {
        let part: Vec<_> = if parallel {
            part.par_iter()
                .map(outcome)
                .collect::<Result<_, StateError>>()?
        } else {
            part.iter()
                .map(outcome)
                .collect::<Result<_, StateError>>()?
        };
        outcomes.extend(part);
    }

    let mut accounts = PartialTrie::open(nodes)?;
    let mut storage_updates = Vec::new();
    for ((address, change), (address_hash, storage)) in changes.accounts.iter().zip(outcomes) {
        update_account(
            nodes,
            &mut accounts,
            *address,
            address_hash,
            change,
            storage.as_ref().map(|storage| storage.root),
        )?;
        if let Some(storage) = storage {
            storage_updates.push((address_hash, storage.updates));
        }
    }
    let (root, accounts) = accounts.finish();
    Ok(TrieUpdates {
        parent_root,
        root,
        accounts,
        storage: storage_updates,
    })
}

/// `None` when the change leaves the storage as it was.
pub(crate) fn storage_root(
    nodes: &AccountNodes<'_>,
    address_hash: B256,
    change: &AccountChange,
) -> Result<Option<StorageOutcome>, StateError> {
    let wiped = wipes_storage(change);
    let writes = written_slots(change);
    if !wiped && writes.clone().next().is_none() {
        return Ok(None);
    }
    let mut trie = PartialTrie::open(StorageNodes {
        accounts: nodes,
        address_hash,
        wiped,
    })?;
    for (slot, value) in writes {
        let key = Nibbles::unpack(keccak256(slot.to_be_bytes::<32>()));
        if value.is_zero() {
            trie.remove(&key)?;
        } else {
            trie.insert(&key, alloy_rlp::encode(value))?;
        }
    }
    let (root, nodes) = trie.finish();
    Ok(Some(StorageOutcome {
        root,
        updates: StorageTrieUpdates { wiped, nodes },
    }))
}

fn update_account(
    nodes: &AccountNodes<'_>,
    accounts: &mut PartialTrie<&AccountNodes<'_>>,
    address: Address,
    address_hash: B256,
    change: &AccountChange,
    new_storage_root: Option<B256>,
) -> Result<(), StateError> {
    let key = Nibbles::unpack(address_hash);
    let Some(account) = change.after else {
        return accounts.remove(&key);
    };
    let storage_root = match new_storage_root {
        Some(root) => root,
        None => match accounts.get(&key)? {
            None => EMPTY_ROOT_HASH,
            Some(leaf) => {
                alloy_rlp::decode_exact::<TrieAccount>(leaf)
                    .map_err(|error| {
                        nodes.corrupt(&key, format!("leaf of account {address}: {error}"))
                    })?
                    .storage_root
            }
        },
    };
    accounts.insert(
        &key,
        alloy_rlp::encode(TrieAccount::new(
            account.nonce,
            account.balance,
            storage_root,
            account.code_hash,
        )),
    )
}

/// Whether storage from before the block is gone. An account that is no more has no storage.
pub(crate) const fn wipes_storage(change: &AccountChange) -> bool {
    change.storage_wiped || change.after.is_none()
}

/// Slots with their values after the block, of those that the block changed.
pub(crate) fn written_slots(
    change: &AccountChange,
) -> impl Iterator<Item = (U256, U256)> + Clone + '_ {
    let (wiped, exists) = (wipes_storage(change), change.after.is_some());
    change
        .storage
        .iter()
        .filter(move |(_, (before, after))| exists && (wiped || before != after))
        .map(|(slot, (_, after))| (*slot, *after))
}
