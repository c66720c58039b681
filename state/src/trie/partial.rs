use alloy_primitives::{B256, keccak256, map::HashMap};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, nodes::RlpNode};

use super::{Link, Node, NodeSource, updates::NodeChanges};
use crate::StateError;

/// A trie of which only the touched paths are in memory.
#[derive(Debug)]
pub(crate) struct PartialTrie<S> {
    source: S,
    root: Link,
    /// Every node that was read under its own path, and what it was. Whatever the changed trie does
    /// not have under that path any more has to be deleted.
    stored: HashMap<Nibbles, RlpNode>,
}

/// Reads the node at `path` that its parent names by `reference`. The flag says whether it has an
/// entry of its own.
pub(crate) fn load(
    source: &impl NodeSource,
    path: &Nibbles,
    reference: &RlpNode,
) -> Result<(Node, bool), StateError> {
    let decode = |bytes: &[u8]| {
        Node::decode(path, bytes).map_err(|error| source.corrupt(path, error.to_string()))
    };
    if !reference.is_hash() {
        return Ok((decode(reference)?, false));
    }
    let bytes = source.node(path)?.ok_or_else(|| {
        source.corrupt(
            path,
            "its parent names this node, found no entry".to_owned(),
        )
    })?;
    Ok((decode(&bytes)?, true))
}

impl<S: NodeSource> PartialTrie<S> {
    /// The trie in `source`; empty when it has no root.
    pub(crate) fn open(source: S) -> Result<Self, StateError> {
        let path = Nibbles::new();
        let mut stored = HashMap::default();
        let root = match source.node(&path)? {
            None => Link::Empty,
            Some(bytes) => {
                let reference = RlpNode::word_rlp(&keccak256(&bytes));
                stored.insert(path, reference.clone());
                Link::Loaded {
                    node: Box::new(
                        Node::decode(&path, &bytes)
                            .map_err(|error| source.corrupt(&path, error.to_string()))?,
                    ),
                    reference: Some(reference),
                }
            }
        };
        Ok(Self {
            source,
            root,
            stored,
        })
    }

    /// The value at a key of 64 nibbles.
    pub(crate) fn get(&mut self, key: &Nibbles) -> Result<Option<&[u8]>, StateError> {
        let mut link = &mut self.root;
        let mut depth = 0;
        loop {
            let path = key.slice(..depth);
            if let Link::Reference(reference) = link {
                let reference = std::mem::take(reference);
                *link = loaded(&self.source, &mut self.stored, &path, reference)?;
            }
            let Link::Loaded { node, .. } = link else {
                return Ok(None);
            };
            let rest = key.slice(depth..);
            match &mut **node {
                Node::Leaf { key, value } => {
                    return Ok((*key == rest).then_some(value.as_slice()));
                }
                Node::Extension { key, child } => {
                    if !rest.starts_with(key) {
                        return Ok(None);
                    }
                    depth += key.len();
                    link = child;
                }
                Node::Branch { children } => {
                    let Some(child) = child_at(children, &rest) else {
                        return Ok(None);
                    };
                    depth += 1;
                    link = child;
                }
            }
        }
    }

    /// Sets the value at a key of 64 nibbles. The value is not empty.
    ///
    /// The trie is of no use any more after an error.
    pub(crate) fn insert(&mut self, key: &Nibbles, value: Vec<u8>) -> Result<(), StateError> {
        let root = std::mem::take(&mut self.root);
        self.root = self.insert_below(root, Nibbles::new(), key, value)?;
        Ok(())
    }

    /// Removes the value at a key of 64 nibbles, if there is one.
    ///
    /// The trie is of no use any more after an error.
    pub(crate) fn remove(&mut self, key: &Nibbles) -> Result<(), StateError> {
        let root = std::mem::take(&mut self.root);
        self.root = self.remove_below(root, Nibbles::new(), key)?;
        Ok(())
    }

    /// The root hash, and what has to be written so that the source has this trie.
    pub(crate) fn finish(mut self) -> (B256, NodeChanges) {
        let mut changes = NodeChanges::default();
        let root = seal(
            &mut self.root,
            Nibbles::new(),
            &mut self.stored,
            &mut changes,
        );
        changes.extend(self.stored.into_keys().map(|path| (path, None)));
        let hash = root
            .and_then(|reference| reference.as_hash())
            .unwrap_or(EMPTY_ROOT_HASH);
        (hash, changes)
    }

    fn insert_below(
        &mut self,
        link: Link,
        path: Nibbles,
        key: &Nibbles,
        value: Vec<u8>,
    ) -> Result<Link, StateError> {
        let rest = key.slice(path.len()..);
        let node = match self.take(link, &path)? {
            None => Node::Leaf { key: rest, value },
            Some(Node::Leaf { key: old, .. }) if old == rest => Node::Leaf { key: rest, value },
            Some(Node::Leaf {
                key: old,
                value: old_value,
            }) => {
                let shared = old.common_prefix_length(&rest);
                fork(
                    &rest,
                    shared,
                    (nibble(&old, shared), leaf(&old, shared + 1, old_value)),
                    (nibble(&rest, shared), leaf(&rest, shared + 1, value)),
                )
            }
            Some(Node::Extension { key: old, child }) => {
                let shared = old.common_prefix_length(&rest);
                if shared == old.len() {
                    Node::Extension {
                        key: old,
                        child: self.insert_below(child, path.join(&old), key, value)?,
                    }
                } else {
                    let below = old.slice(shared + 1..);
                    let kept = if below.is_empty() {
                        child
                    } else {
                        Link::changed(Node::Extension { key: below, child })
                    };
                    fork(
                        &rest,
                        shared,
                        (nibble(&old, shared), kept),
                        (nibble(&rest, shared), leaf(&rest, shared + 1, value)),
                    )
                }
            }
            Some(Node::Branch { mut children }) => {
                if let Some(child) = child_at(&mut children, &rest) {
                    let taken = std::mem::take(child);
                    let below = path.join(&rest.slice(..1));
                    *child = self.insert_below(taken, below, key, value)?;
                }
                Node::Branch { children }
            }
        };
        Ok(Link::changed(node))
    }

    fn remove_below(
        &mut self,
        link: Link,
        path: Nibbles,
        key: &Nibbles,
    ) -> Result<Link, StateError> {
        let rest = key.slice(path.len()..);
        match self.take(link, &path)? {
            None => Ok(Link::Empty),
            Some(Node::Leaf { key: old, .. }) if old == rest => Ok(Link::Empty),
            Some(node @ Node::Leaf { .. }) => Ok(Link::changed(node)),
            Some(Node::Extension { key: old, child }) => {
                if !rest.starts_with(&old) {
                    return Ok(Link::changed(Node::Extension { key: old, child }));
                }
                let below = path.join(&old);
                let child = self.remove_below(child, below, key)?;
                self.extend(old, child, &below)
            }
            Some(Node::Branch { mut children }) => {
                if let Some(child) = child_at(&mut children, &rest) {
                    let taken = std::mem::take(child);
                    let below = path.join(&rest.slice(..1));
                    *child = self.remove_below(taken, below, key)?;
                }
                let mut left = (0u8..)
                    .zip(children.iter_mut())
                    .filter(|(_, child)| !child.is_empty());
                match (left.next(), left.next()) {
                    (None, _) => Ok(Link::Empty),
                    (Some((nibble, only)), None) => {
                        let only = std::mem::take(only);
                        let step = Nibbles::from_nibbles_unchecked([nibble]);
                        let below = path.join(&step);
                        self.extend(step, only, &below)
                    }
                    (Some(_), Some(_)) => Ok(Link::changed(Node::Branch { children })),
                }
            }
        }
    }

    /// Puts `child`, which stands at `child_path`, under the path `key`: a leaf or an extension
    /// takes the path in, a branch gets an extension above it.
    fn extend(
        &mut self,
        key: Nibbles,
        child: Link,
        child_path: &Nibbles,
    ) -> Result<Link, StateError> {
        let child = match child {
            Link::Reference(reference) => {
                loaded(&self.source, &mut self.stored, child_path, reference)?
            }
            other => other,
        };
        let (node, reference) = match child {
            Link::Loaded { node, reference } => (node, reference),
            Link::Empty | Link::Reference(_) => return Ok(Link::Empty),
        };
        Ok(Link::changed(match *node {
            Node::Leaf { key: rest, value } => Node::Leaf {
                key: key.join(&rest),
                value,
            },
            Node::Extension { key: rest, child } => Node::Extension {
                key: key.join(&rest),
                child,
            },
            Node::Branch { children } => Node::Extension {
                key,
                child: Link::Loaded {
                    node: Box::new(Node::Branch { children }),
                    reference,
                },
            },
        }))
    }

    /// The node behind a link that is about to be rebuilt.
    fn take(&mut self, link: Link, path: &Nibbles) -> Result<Option<Node>, StateError> {
        let link = match link {
            Link::Reference(reference) => loaded(&self.source, &mut self.stored, path, reference)?,
            other => other,
        };
        Ok(match link {
            Link::Loaded { node, .. } => Some(*node),
            Link::Empty | Link::Reference(_) => None,
        })
    }
}

fn loaded(
    source: &impl NodeSource,
    stored: &mut HashMap<Nibbles, RlpNode>,
    path: &Nibbles,
    reference: RlpNode,
) -> Result<Link, StateError> {
    let (node, own_entry) = load(source, path, &reference)?;
    if own_entry {
        stored.insert(*path, reference.clone());
    }
    Ok(Link::Loaded {
        node: Box::new(node),
        reference: Some(reference),
    })
}

/// Two children that part after the first `shared` nibbles of `key`.
fn fork(key: &Nibbles, shared: usize, first: (u8, Link), second: (u8, Link)) -> Node {
    let branch = Node::branch_of(first, second);
    if shared == 0 {
        branch
    } else {
        Node::Extension {
            key: key.slice(..shared),
            child: Link::changed(branch),
        }
    }
}

fn leaf(key: &Nibbles, from: usize, value: Vec<u8>) -> Link {
    Link::changed(Node::Leaf {
        key: key.slice(from..),
        value,
    })
}

/// The nibble at `index`, which is inside `key`: two different keys of one length part before
/// their end.
fn nibble(key: &Nibbles, index: usize) -> u8 {
    key.get(index).unwrap_or_default()
}

fn child_at<'a>(children: &'a mut [Link; 16], key: &Nibbles) -> Option<&'a mut Link> {
    children.get_mut(usize::from(key.first()?))
}

/// Encodes and hashes what has changed, bottom up, and returns what a parent writes of this node.
/// Takes every path that still has an entry out of `stored`.
fn seal(
    link: &mut Link,
    path: Nibbles,
    stored: &mut HashMap<Nibbles, RlpNode>,
    changes: &mut NodeChanges,
) -> Option<RlpNode> {
    let (node, reference) = match link {
        Link::Empty => return None,
        Link::Reference(reference) => return Some(reference.clone()),
        Link::Loaded { node, reference } => (node, reference),
    };
    let references: Vec<_> = node
        .children_mut()
        .into_iter()
        .filter_map(|(step, child)| seal(child, path.join(&step), stored, changes))
        .collect();
    if let Some(reference) = reference {
        stored.remove(&path);
        return Some(reference.clone());
    }
    let bytes = node.encode(references.into_iter());
    let sealed = if path.is_empty() {
        RlpNode::word_rlp(&keccak256(&bytes))
    } else {
        RlpNode::from_rlp(&bytes)
    };
    if sealed.is_hash() && stored.remove(&path).as_ref() != Some(&sealed) {
        changes.push((path, Some(bytes.into())));
    }
    Some(sealed)
}
