use alloy_rlp::{Decodable, Encodable};
use alloy_trie::{
    Nibbles, TrieMask,
    nodes::{BranchNode, ExtensionNodeRef, LeafNodeRef, RlpNode, TrieNode},
};

/// Length of every key of a secure trie, in nibbles.
pub(crate) const KEY_NIBBLES: usize = 64;

/// A node in memory. Children that nobody asked for stay references.
#[derive(Debug)]
pub(crate) enum Node {
    /// The value at `key`, the rest of the path.
    Leaf { key: Nibbles, value: Vec<u8> },
    /// A path that all keys below share; `key` is not empty and `child` is a branch.
    Extension { key: Nibbles, child: Link },
    /// At least two children, each at its nibble.
    Branch { children: Box<[Link; 16]> },
}

/// What a node holds of a child.
#[derive(Debug, Default)]
pub(crate) enum Link {
    #[default]
    Empty,
    /// The child as its parent's encoding names it: a hash, or the whole node when that is shorter.
    Reference(RlpNode),
    /// The child in memory. `reference` is known while nothing at or below it has changed.
    Loaded {
        node: Box<Node>,
        reference: Option<RlpNode>,
    },
}

impl Link {
    /// A node that is new or changed.
    pub(crate) fn changed(node: Node) -> Self {
        Self::Loaded {
            node: Box::new(node),
            reference: None,
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

impl Node {
    /// A branch with two children at different nibbles.
    pub(crate) fn branch_of(first: (u8, Link), second: (u8, Link)) -> Self {
        let mut children: Box<[Link; 16]> = Box::default();
        for (nibble, link) in [first, second] {
            if let Some(child) = children.get_mut(usize::from(nibble)) {
                *child = link;
            }
        }
        Self::Branch { children }
    }

    /// Decodes a node that stands at `path`.
    pub(crate) fn decode(path: &Nibbles, mut bytes: &[u8]) -> Result<Self, alloy_rlp::Error> {
        let node = TrieNode::decode(&mut bytes)?;
        if !bytes.is_empty() {
            return Err(alloy_rlp::Error::UnexpectedLength);
        }
        let rest = KEY_NIBBLES.saturating_sub(path.len());
        match node {
            TrieNode::EmptyRoot => Err(alloy_rlp::Error::Custom("an empty node is not stored")),
            TrieNode::Leaf(leaf) if leaf.key.len() == rest => Ok(Self::Leaf {
                key: leaf.key,
                value: leaf.value,
            }),
            TrieNode::Leaf(_) => Err(alloy_rlp::Error::Custom("leaf is not at the end of a key")),
            TrieNode::Extension(extension)
                if !extension.key.is_empty() && extension.key.len() < rest =>
            {
                Ok(Self::Extension {
                    key: extension.key,
                    child: Link::Reference(extension.child),
                })
            }
            TrieNode::Extension(_) => Err(alloy_rlp::Error::Custom("extension has no room")),
            TrieNode::Branch(branch) if rest > 0 => {
                let mut children: Box<[Link; 16]> = Box::default();
                let nibbles = (0..16).filter(|nibble| branch.state_mask.is_bit_set(*nibble));
                for (nibble, reference) in nibbles.zip(branch.stack) {
                    if let Some(child) = children.get_mut(usize::from(nibble)) {
                        *child = Link::Reference(reference);
                    }
                }
                Ok(Self::Branch { children })
            }
            TrieNode::Branch(_) => Err(alloy_rlp::Error::Custom("branch is at the end of a key")),
        }
    }

    /// Encodes the node, given the references of its children in order.
    pub(crate) fn encode(&self, mut references: impl Iterator<Item = RlpNode>) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Leaf { key, value } => LeafNodeRef { key, value }.encode(&mut out),
            Self::Extension { key, .. } => {
                let child = references.next().unwrap_or_default();
                ExtensionNodeRef { key, child: &child }.encode(&mut out);
            }
            Self::Branch { children } => {
                let mut mask = TrieMask::default();
                for (nibble, child) in (0..).zip(children.iter()) {
                    if !child.is_empty() {
                        mask.set_bit(nibble);
                    }
                }
                BranchNode::new(references.collect(), mask).encode(&mut out);
            }
        }
        out
    }

    /// Children with their paths below this node.
    pub(crate) fn children_mut(&mut self) -> Vec<(Nibbles, &mut Link)> {
        match self {
            Self::Leaf { .. } => Vec::new(),
            Self::Extension { key, child } => vec![(*key, child)],
            Self::Branch { children } => (0..)
                .zip(children.iter_mut())
                .filter(|(_, child)| !child.is_empty())
                .map(|(nibble, child)| (Nibbles::from_nibbles_unchecked([nibble]), child))
                .collect(),
        }
    }
}
