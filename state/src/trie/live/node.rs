use std::sync::Arc;

use alloy_primitives::B256;
use alloy_trie::{Nibbles, nodes::RlpNode};
use fjall::{Snapshot, UserValue};

use super::super::{self as trie, updates::StorageTrieUpdates};
use crate::{
    StateError,
    encoding::{account_node_key, storage_node_key},
    tables::Tables,
    trie::TrieLayer,
};

/// What a node holds of a child, or a trie of its root.
#[derive(Debug, Default)]
pub(crate) struct Link {
    /// The child as its parent's encoding names it: a hash, or the whole node when that is shorter.
    /// Of a child that has changed it is what is stored under the child's path; no bytes when
    /// nothing is.
    pub(super) reference: RlpNode,
    /// Whether the node differs from what `reference` names.
    pub(super) changed: bool,
    /// The child, unless it is folded or there is none.
    pub(super) node: Option<Box<Node>>,
}

#[derive(Debug)]
pub(super) struct Node {
    /// Block that came here last. No block comes to a node without coming to those above it.
    pub(super) used: u64,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Leaf(Leaf),
    /// A path that all keys below share; `key` is not empty and `child` is a branch.
    Extension {
        key: Nibbles,
        child: Link,
    },
    /// At least two children, each at its nibble.
    Branch(Box<[Link; 16]>),
}

/// The value at the end of a path.
#[derive(Debug)]
pub(super) struct Leaf {
    /// Rest of the path.
    pub(super) key: Nibbles,
    pub(super) value: Vec<u8>,
    /// An account's storage trie. What its root is stands in `value`; the link need not name it.
    pub(super) storage: Link,
}

/// A block's work on one trie: what does not change while it is done.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) snapshot: &'a Snapshot,
    /// Number of the block.
    pub(crate) block: u64,
    /// Hash of the address whose storage trie it is; `None` for the account trie.
    pub(crate) owner: Option<B256>,
    /// What lies over the snapshot, oldest first.
    pub(crate) layers: &'a [Arc<TrieLayer>],
}

/// What a block's work on tries has led to.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// Nodes to write by path; `None` is a node that is no more. No path comes twice.
    pub(crate) nodes: Vec<(Nibbles, Option<UserValue>)>,
    /// By the hash of the address.
    pub(crate) storage: Vec<(B256, StorageTrieUpdates)>,
    /// Bytes of memory that nodes have taken more than they have given back.
    pub(crate) bytes: i64,
    /// Depths at which nodes of the account trie were read from disk, a bit each.
    pub(crate) depths: u64,
    pub(super) scratch: Vec<u8>,
}

impl Output {
    pub(super) fn append(&mut self, mut other: Self) {
        if self.nodes.is_empty() {
            self.nodes = other.nodes;
        } else {
            self.nodes.append(&mut other.nodes);
        }
        self.storage.append(&mut other.storage);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.depths |= other.depths;
    }

    pub(super) fn grown(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add_unsigned(bytes as u64);
    }

    pub(super) fn shrunk(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub_unsigned(bytes as u64);
    }
}

impl Scope<'_> {
    /// The encoded node at `path`; `None` when there is none.
    fn stored(&self, path: &Nibbles) -> Result<Option<UserValue>, StateError> {
        let over = self.layers.iter().rev().find_map(|layer| match self.owner {
            None => layer.account_node(path),
            Some(owner) => layer.storage_node(owner, path),
        });
        if let Some(node) = over {
            return Ok(node);
        }
        match self.owner {
            None => self
                .tables
                .account_trie
                .get(self.snapshot, account_node_key(path)),
            Some(owner) => self
                .tables
                .storage_trie
                .get(self.snapshot, storage_node_key(owner, path)),
        }
    }

    /// The error for a node that cannot be used.
    pub(super) fn corrupt(&self, path: &Nibbles, reason: impl ToString) -> StateError {
        match self.owner {
            None => self
                .tables
                .account_trie
                .corrupt(account_node_key(path).as_ref(), reason),
            Some(owner) => self
                .tables
                .storage_trie
                .corrupt(storage_node_key(owner, path).as_ref(), reason),
        }
    }
}

impl Link {
    /// A trie of which nothing is in memory; `reference` names its root.
    pub(crate) const fn folded(reference: RlpNode) -> Self {
        Self {
            reference,
            changed: false,
            node: None,
        }
    }

    /// A node where none was.
    pub(super) fn new(block: u64, kind: Kind, out: &mut Output) -> Self {
        let node = Node { used: block, kind };
        out.grown(node.size());
        Self {
            reference: RlpNode::default(),
            changed: true,
            node: Some(Box::new(node)),
        }
    }

    /// Hash of a sealed trie's root; `None` for the empty trie.
    pub(crate) fn root(&self) -> Option<B256> {
        self.reference.as_hash()
    }

    /// Whether there is no child, changes included.
    pub(super) fn is_absent(&self) -> bool {
        self.node.is_none() && (self.changed || self.reference.is_empty())
    }

    /// Brings the child into memory, if there is one. `path` is where it stands.
    pub(super) fn load(
        &mut self,
        path: impl FnOnce() -> Nibbles,
        scope: &Scope<'_>,
        out: &mut Output,
    ) -> Result<(), StateError> {
        if self.node.is_some() || self.is_absent() {
            return Ok(());
        }
        let path = path();
        let stored;
        let bytes: &[u8] = if self.reference.is_hash() {
            stored = scope.stored(&path)?.ok_or_else(|| {
                scope.corrupt(&path, "its parent names this node, found no entry")
            })?;
            if scope.owner.is_none() {
                // A path of 64 nibbles is only a leaf's whose parent is as deep as can be.
                out.depths |= 1u64.checked_shl(path.len() as u32).unwrap_or_default();
            }
            &stored
        } else {
            &self.reference
        };
        let node = trie::Node::decode(&path, bytes).map_err(|error| scope.corrupt(&path, error))?;
        let node = Node {
            used: scope.block,
            kind: Kind::from(node),
        };
        out.grown(node.size());
        self.node = Some(Box::new(node));
        Ok(())
    }

    /// The node, which will stand somewhere else or nowhere from now on: the entry under `path` has
    /// to go.
    pub(super) fn vacate(
        &mut self,
        path: impl FnOnce() -> Nibbles,
        out: &mut Output,
    ) -> Option<Box<Node>> {
        if self.reference.is_hash() {
            out.nodes.push((path(), None));
        }
        self.reference = RlpNode::default();
        self.changed = false;
        let node = self.node.take()?;
        out.shrunk(node.size());
        Some(node)
    }
}

/// What the allocator adds to a piece of memory, about.
const ALLOCATION: usize = 16;

impl Node {
    /// Bytes of memory that the node takes, those below it left out.
    pub(super) fn size(&self) -> usize {
        let own = size_of::<Self>() + ALLOCATION;
        own.saturating_add(match &self.kind {
            Kind::Leaf(leaf) => leaf.value.capacity().saturating_add(ALLOCATION),
            Kind::Extension { .. } => 0,
            Kind::Branch(_) => size_of::<[Link; 16]>() + ALLOCATION,
        })
    }
}

impl From<trie::Node> for Kind {
    fn from(node: trie::Node) -> Self {
        let reference = |link| match link {
            trie::Link::Reference(reference) => Link::folded(reference),
            trie::Link::Empty | trie::Link::Loaded { .. } => Link::default(),
        };
        match node {
            trie::Node::Leaf { key, value } => Self::Leaf(Leaf {
                key,
                value,
                storage: Link::default(),
            }),
            trie::Node::Extension { key, child } => Self::Extension {
                key,
                child: reference(child),
            },
            trie::Node::Branch { children } => Self::Branch(Box::new((*children).map(reference))),
        }
    }
}
