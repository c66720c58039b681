use alloy_primitives::{
    B256,
    map::{B256Map, HashMap},
};
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

    /// Bytes that the nodes take as they are stored, about.
    pub(crate) fn bytes(&self) -> usize {
        /// A path as a key, and the start of an entry.
        const ENTRY: usize = 64;
        let storage = self.storage.iter().flat_map(|(_, updates)| &updates.nodes);
        let nodes = self.accounts.iter().chain(storage);
        nodes
            .map(|(_, node)| node.as_ref().map_or(0, |node| node.len()) + ENTRY)
            .sum()
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

/// Changes to a trie on disk that are not going to be written, to be looked up by path.
#[derive(Debug)]
pub(crate) struct TrieLayer {
    root: B256,
    accounts: HashMap<Nibbles, Option<UserValue>>,
    storage: B256Map<StorageLayer>,
}

#[derive(Debug)]
struct StorageLayer {
    wiped: bool,
    nodes: HashMap<Nibbles, Option<UserValue>>,
}

/// What a layer has to say of a node: nothing, or what it is now.
pub(crate) type LayerNode = Option<Option<UserValue>>;

impl TrieLayer {
    /// State root after the changes.
    pub(crate) const fn root(&self) -> B256 {
        self.root
    }

    pub(crate) fn account_node(&self, path: &Nibbles) -> LayerNode {
        self.accounts.get(path).cloned()
    }

    pub(crate) fn storage_node(&self, address_hash: B256, path: &Nibbles) -> LayerNode {
        let storage = self.storage.get(&address_hash)?;
        match storage.nodes.get(path) {
            Some(node) => Some(node.clone()),
            None => storage.wiped.then_some(None),
        }
    }
}

impl From<TrieUpdates> for TrieLayer {
    fn from(updates: TrieUpdates) -> Self {
        let storage = updates.storage.into_iter().map(|(owner, storage)| {
            let StorageTrieUpdates { wiped, nodes } = storage;
            let nodes = nodes.into_iter().collect();
            (owner, StorageLayer { wiped, nodes })
        });
        Self {
            root: updates.root,
            accounts: updates.accounts.into_iter().collect(),
            storage: storage.collect(),
        }
    }
}
