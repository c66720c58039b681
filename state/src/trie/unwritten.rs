use std::sync::{Arc, OnceLock};

use alloy_primitives::{
    B256,
    map::{B256Map, HashMap},
};

use alloy_trie::Nibbles;
use fjall::UserValue;

use super::{
    TrieLayer, TrieUpdates,
    updates::{NodeChanges, StorageTrieUpdates},
};

/// Trie nodes of the last durable blocks that are in no table yet.
///
/// Nodes near the root change with every block. They are written once for many blocks, and a block
/// that was cut off before is no worse off: the nodes follow from the keys that it changed.
#[derive(Debug, Clone)]
pub(crate) struct UnwrittenTrie {
    /// Block up to which the tables have the trie's nodes.
    written: u64,
    /// The blocks above, in order.
    blocks: Arc<[Arc<Block>]>,
    bytes: usize,
}

#[derive(Debug)]
struct Block {
    updates: Arc<TrieUpdates>,
    /// Made when somebody looks nodes up.
    layer: OnceLock<Arc<TrieLayer>>,
}

impl UnwrittenTrie {
    /// None: the tables have all nodes up to this block.
    pub(crate) fn none(written: u64) -> Self {
        Self {
            written,
            blocks: Arc::default(),
            bytes: 0,
        }
    }

    /// Block up to which the tables have the trie's nodes.
    pub(crate) const fn written(&self) -> u64 {
        self.written
    }

    /// How many blocks' nodes there are.
    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Bytes of the nodes, about.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// These and the nodes of a block, or of several as one.
    pub(crate) fn with(&self, updates: Arc<TrieUpdates>) -> Self {
        let bytes = self.bytes.saturating_add(updates.bytes());
        let block = Arc::new(Block {
            updates,
            layer: OnceLock::new(),
        });
        Self {
            written: self.written,
            blocks: self.blocks.iter().cloned().chain([block]).collect(),
            bytes,
        }
    }

    /// What lies over the tables, oldest first.
    pub(crate) fn layers(&self) -> Vec<Arc<TrieLayer>> {
        let layer = |block: &Arc<Block>| {
            let made = || Arc::new(TrieLayer::from(TrieUpdates::clone(&block.updates)));
            Arc::clone(block.layer.get_or_init(made))
        };
        self.blocks.iter().map(layer).collect()
    }

    /// All of it as one change: what the last block to change it has made of each node.
    pub(crate) fn merged(&self) -> (NodeChanges, Vec<(B256, StorageTrieUpdates)>) {
        let mut accounts: HashMap<Nibbles, Option<UserValue>> = HashMap::default();
        let mut storage = B256Map::<(bool, HashMap<Nibbles, Option<UserValue>>)>::default();
        for block in &*self.blocks {
            accounts.extend(block.updates.accounts.iter().cloned());
            for (owner, updates) in &block.updates.storage {
                let (wiped, nodes) = storage.entry(*owner).or_default();
                if updates.wiped {
                    *wiped = true;
                    nodes.clear();
                }
                nodes.extend(updates.nodes.iter().cloned());
            }
        }
        let mut accounts: NodeChanges = accounts.into_iter().collect();
        // The database takes keys faster in order.
        accounts.sort_unstable_by(|(left, _), (right, _)| {
            (left.len(), left).cmp(&(right.len(), right))
        });
        let storage = storage
            .into_iter()
            .map(|(owner, (wiped, nodes))| {
                let nodes = nodes.into_iter().collect();
                (owner, StorageTrieUpdates { wiped, nodes })
            })
            .collect();
        (accounts, storage)
    }
}
