use std::sync::Arc;

use alloy_primitives::B256;
use alloy_trie::Nibbles;
use fjall::{Snapshot, UserValue};

use crate::{
    StateError,
    encoding::{account_node_key, storage_node_key},
    tables::Tables,
    trie::TrieLayer,
};

/// Where a trie's nodes come from.
pub(crate) trait NodeSource {
    /// The encoded node at `path`; `None` when there is none.
    fn node(&self, path: &Nibbles) -> Result<Option<UserValue>, StateError>;

    /// The error for a node that cannot be used.
    fn corrupt(&self, path: &Nibbles, reason: String) -> StateError;
}

impl<S: NodeSource> NodeSource for &S {
    fn node(&self, path: &Nibbles) -> Result<Option<UserValue>, StateError> {
        (**self).node(path)
    }

    fn corrupt(&self, path: &Nibbles, reason: String) -> StateError {
        (**self).corrupt(path, reason)
    }
}

/// The account trie on disk, with changes on top, oldest first.
pub(crate) struct AccountNodes<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) layers: &'a [Arc<TrieLayer>],
}

impl NodeSource for AccountNodes<'_> {
    fn node(&self, path: &Nibbles) -> Result<Option<UserValue>, StateError> {
        let mut newest_first = self.layers.iter().rev();
        if let Some(node) = newest_first.find_map(|layer| layer.account_node(path)) {
            return Ok(node);
        }
        self.tables
            .account_trie
            .get(self.snapshot, account_node_key(path))
    }

    fn corrupt(&self, path: &Nibbles, reason: String) -> StateError {
        self.tables
            .account_trie
            .corrupt(account_node_key(path).as_ref(), reason)
    }
}

/// One account's storage trie, from where [`AccountNodes`] come from.
pub(crate) struct StorageNodes<'a> {
    pub(crate) accounts: &'a AccountNodes<'a>,
    pub(crate) address_hash: B256,
    /// Whether the trie starts out empty, whatever is stored.
    pub(crate) wiped: bool,
}

impl NodeSource for StorageNodes<'_> {
    fn node(&self, path: &Nibbles) -> Result<Option<UserValue>, StateError> {
        if self.wiped {
            return Ok(None);
        }
        let mut newest_first = self.accounts.layers.iter().rev();
        if let Some(node) =
            newest_first.find_map(|layer| layer.storage_node(self.address_hash, path))
        {
            return Ok(node);
        }
        self.accounts.tables.storage_trie.get(
            self.accounts.snapshot,
            storage_node_key(self.address_hash, path),
        )
    }

    fn corrupt(&self, path: &Nibbles, reason: String) -> StateError {
        self.accounts
            .tables
            .storage_trie
            .corrupt(storage_node_key(self.address_hash, path).as_ref(), reason)
    }
}
