use alloy_primitives::B256;
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};
use fjall::UserValue;

/// Nodes of one trie that changed, by path, each path once; `None` is a node that is no more.
pub(crate) type NodeChanges = Vec<(Nibbles, Option<UserValue>)>;

/// Trie nodes that a block changed; made by [`Sealer::apply`](crate::Sealer::apply).
#[derive(Debug, Clone)]
pub struct TrieUpdates {
    pub(crate) parent_root: B256,
    pub(crate) root: B256,
    pub(crate) accounts: NodeChanges,
    /// By the hash of the address, each once.
    pub(crate) storage: Vec<(B256, StorageTrieUpdates)>,
}

impl TrieUpdates {
    /// State root before the changes.
    pub const fn parent_root(&self) -> B256 {
        self.parent_root
    }

    /// State root after the changes.
    pub const fn root(&self) -> B256 {
        self.root
    }
}

impl Default for TrieUpdates {
    /// No changes to the empty state.
    fn default() -> Self {
        Self {
            parent_root: EMPTY_ROOT_HASH,
            root: EMPTY_ROOT_HASH,
            accounts: NodeChanges::default(),
            storage: Vec::new(),
        }
    }
}

/// What changed in one account's storage trie.
#[derive(Debug, Clone, Default)]
pub(crate) struct StorageTrieUpdates {
    /// Whether all nodes from before are gone; `nodes` is written after that.
    pub(crate) wiped: bool,
    pub(crate) nodes: NodeChanges,
}
