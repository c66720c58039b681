use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount, nodes::RlpNode};
use weft_executor_core::AccountChange;

use super::{
    super::{updates::StorageTrieUpdates, wipes_storage, written_slots},
    Link, Output, PARALLEL_FROM, Scope, apply,
    apply::LeafChange,
    fold::size_below,
    seal,
};
use crate::StateError;

/// What a block does to an account.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AccountLeaf<'a> {
    /// Hash of the address.
    pub(crate) key: B256,
    change: &'a AccountChange,
}

/// What a block does to a slot.
struct SlotLeaf {
    /// Hash of the slot.
    key: B256,
    value: U256,
}

impl LeafChange for AccountLeaf<'_> {
    fn key(&self) -> &B256 {
        &self.key
    }

    fn keeps(&self) -> bool {
        self.change.after.is_some()
    }

    fn value(
        &self,
        value: Option<&[u8]>,
        storage: &mut Link,
        scope: &Scope<'_>,
        out: &mut Output,
    ) -> Result<Option<Vec<u8>>, StateError> {
        let old_root = match value {
            Some(value) => {
                alloy_rlp::decode_exact::<TrieAccount>(value)
                    .map_err(|error| {
                        scope.corrupt(&Nibbles::unpack(self.key), format!("leaf: {error}"))
                    })?
                    .storage_root
            }
            None => EMPTY_ROOT_HASH,
        };
        let root = self.storage_root(old_root, storage, scope, out)?;
        Ok(self.change.after.map(|account| {
            alloy_rlp::encode(TrieAccount::new(
                account.nonce,
                account.balance,
                root,
                account.code_hash,
            ))
        }))
    }
}

impl<'a> AccountLeaf<'a> {
    pub(crate) fn new((address, change): &'a (Address, AccountChange)) -> Self {
        Self {
            key: keccak256(address),
            change,
        }
    }

    /// Applies what the block wrote to the account's slots.
    fn storage_root(
        &self,
        old_root: B256,
        storage: &mut Link,
        scope: &Scope<'_>,
        out: &mut Output,
    ) -> Result<B256, StateError> {
        let wiped = wipes_storage(self.change);
        let mut slots: Vec<SlotLeaf> = written_slots(self.change)
            .map(|(slot, value)| SlotLeaf {
                key: keccak256(slot.to_be_bytes::<32>()),
                value,
            })
            .collect();
        if !wiped && slots.is_empty() {
            return Ok(old_root);
        }
        if wiped {
            if let Some(node) = &storage.node {
                out.shrunk(size_below(node));
            }
            *storage = Link::default();
        } else if storage.is_absent() && old_root != EMPTY_ROOT_HASH {
            *storage = Link::folded(RlpNode::word_rlp(&old_root));
        }
        slots.sort_unstable_by_key(|slot| slot.key);
        let scope = Scope {
            owner: Some(self.key),
            ..*scope
        };
        let mut own = Output::default();
        apply(storage, 0, &slots, &scope, &mut own)?;
        seal(
            storage,
            &Nibbles::new(),
            slots.len() >= PARALLEL_FROM,
            &mut own,
        );
        out.bytes = out.bytes.saturating_add(own.bytes);
        let nodes = own.nodes;
        out.storage
            .push((self.key, StorageTrieUpdates { wiped, nodes }));
        Ok(storage.root().unwrap_or(EMPTY_ROOT_HASH))
    }
}

impl LeafChange for SlotLeaf {
    fn key(&self) -> &B256 {
        &self.key
    }

    fn keeps(&self) -> bool {
        !self.value.is_zero()
    }

    fn value(
        &self,
        _: Option<&[u8]>,
        _: &mut Link,
        _: &Scope<'_>,
        _: &mut Output,
    ) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.keeps().then(|| alloy_rlp::encode(self.value)))
    }
}
