use alloy_primitives::B256;
use alloy_trie::Nibbles;
use rayon::prelude::*;

use super::{
    Link, Output, PARALLEL_FROM, Scope,
    node::{Kind, Leaf, Node},
};
use crate::StateError;

/// What a block does to the value at one key.
pub(crate) trait LeafChange: Sync {
    /// The key.
    fn key(&self) -> &B256;

    /// Whether there is a value afterwards.
    fn keeps(&self) -> bool;

    /// The value afterwards; `None` when [`LeafChange::keeps`] is false. `value` and `storage` are
    /// those of the leaf; a leaf that is not there has none.
    fn value(
        &self,
        value: Option<&[u8]>,
        storage: &mut Link,
        scope: &Scope<'_>,
        out: &mut Output,
    ) -> Result<Option<Vec<u8>>, StateError>;
}

/// Applies changes to what is below `link`. They are not empty, in the order of their keys, each
/// key once, and their first `depth` nibbles are the path of `link`. Says whether anything may have
/// changed.
///
/// After an error the trie is of no use any more.
pub(crate) fn apply<C: LeafChange>(
    link: &mut Link,
    depth: usize,
    changes: &[C],
    scope: &Scope<'_>,
    out: &mut Output,
) -> Result<bool, StateError> {
    let Some(first) = changes.first() else {
        return Ok(false);
    };
    link.load(|| path(first.key(), depth), scope, out)?;
    let Some(node) = &mut link.node else {
        return plant(link, None, depth, changes, scope, out);
    };
    node.used = scope.block;
    match &mut node.kind {
        Kind::Leaf(leaf) => {
            if let [only] = changes
                && rest(only.key(), depth) == leaf.key
            {
                return update(link, depth, only, scope, out);
            }
            out.shrunk(node.size());
            let leaf = match link.node.take().map(|node| node.kind) {
                Some(Kind::Leaf(leaf)) => Some(leaf),
                _ => None,
            };
            plant(link, leaf, depth, changes, scope, out)
        }
        Kind::Extension { key, child } => {
            let key = *key;
            let below = depth.saturating_add(key.len());
            let from = changes
                .iter()
                .position(|change| rest(change.key(), depth).starts_with(&key));
            let (before, inside) = changes.split_at(from.unwrap_or(changes.len()));
            let count = inside
                .iter()
                .take_while(|change| rest(change.key(), depth).starts_with(&key))
                .count();
            let (inside, after) = inside.split_at(count);
            let leaves = before.iter().chain(after).filter(|change| change.keeps());
            let shared = leaves.map(|change| rest(change.key(), depth).common_prefix_length(&key));
            if let Some(shared) = shared.min() {
                split(link, shared, scope, out);
                apply(link, depth, changes, scope, out)?;
                return Ok(true);
            }
            let Some(inside_key) = inside.first().map(C::key) else {
                return Ok(false);
            };
            if !apply(child, below, inside, scope, out)? {
                return Ok(false);
            }
            link.changed = true;
            settle_extension(link, depth, inside_key, scope, out);
            Ok(true)
        }
        Kind::Branch(children) => {
            if !branch(children, depth, changes, scope, out)? {
                return Ok(false);
            }
            link.changed = true;
            settle_branch(link, depth, first.key(), scope, out)?;
            Ok(true)
        }
    }
}

/// Changes the value of the leaf behind `link`.
fn update<C: LeafChange>(
    link: &mut Link,
    depth: usize,
    change: &C,
    scope: &Scope<'_>,
    out: &mut Output,
) -> Result<bool, StateError> {
    let Some(Kind::Leaf(leaf)) = link.node.as_mut().map(|node| &mut node.kind) else {
        return Ok(false);
    };
    match change.value(Some(&leaf.value), &mut leaf.storage, scope, out)? {
        Some(value) if value == leaf.value => Ok(false),
        Some(value) => {
            out.shrunk(leaf.value.capacity());
            out.grown(value.capacity());
            leaf.value = value;
            link.changed = true;
            Ok(true)
        }
        None => {
            link.vacate(|| path(change.key(), depth), out);
            Ok(true)
        }
    }
}

/// Applies changes to the children of a branch.
fn branch<C: LeafChange>(
    children: &mut [Link; 16],
    depth: usize,
    changes: &[C],
    scope: &Scope<'_>,
    out: &mut Output,
) -> Result<bool, StateError> {
    let below = depth.saturating_add(1);
    let mut changes_left = changes;
    let groups = children.iter_mut().zip(0u8..).filter_map(|(child, index)| {
        let count = changes_left.partition_point(|change| nibble(change.key(), depth) <= index);
        let (group, others) = changes_left.split_at(count);
        changes_left = others;
        (!group.is_empty()).then_some((child, group))
    });
    if changes.len() < PARALLEL_FROM {
        let mut changed = false;
        for (child, group) in groups {
            changed |= apply(child, below, group, scope, out)?;
        }
        return Ok(changed);
    }
    let groups: Vec<_> = groups.collect();
    let parts: Vec<(bool, Output)> = groups
        .into_par_iter()
        .map(|(child, group)| {
            let mut out = Output::default();
            Ok((apply(child, below, group, scope, &mut out)?, out))
        })
        .collect::<Result<_, StateError>>()?;
    let mut changed = false;
    for (part_changed, part) in parts {
        changed |= part_changed;
        out.append(part);
    }
    Ok(changed)
}

/// Puts the values of `changes`, and `leaf` unless they are about it, below a link behind which
/// there is nothing else.
fn plant<C: LeafChange>(
    link: &mut Link,
    leaf: Option<Leaf>,
    depth: usize,
    changes: &[C],
    scope: &Scope<'_>,
    out: &mut Output,
) -> Result<bool, StateError> {
    let Some(first) = changes.first() else {
        return Ok(false);
    };
    let existed = leaf.is_some();
    let mut leaf = leaf.map(|leaf| (whole_key(first.key(), depth, &leaf.key), leaf));
    let mut values = Vec::with_capacity(changes.len().saturating_add(1));
    for change in changes {
        let key = change.key();
        if let Some((other, leaf)) = leaf.take_if(|(other, _)| *other < *key) {
            values.push((other, leaf.value, leaf.storage));
        }
        let old = leaf.take_if(|(other, _)| other == key);
        if old.is_none() && !change.keeps() {
            continue;
        }
        let (old, mut storage) = match old {
            Some((_, leaf)) => (Some(leaf.value), leaf.storage),
            None => (None, Link::default()),
        };
        if let Some(value) = change.value(old.as_deref(), &mut storage, scope, out)? {
            values.push((*key, value, storage));
        }
    }
    values.extend(leaf.map(|(key, leaf)| (key, leaf.value, leaf.storage)));
    match grow(depth, values, scope, out) {
        Some(node) => {
            // What is stored under this path stays to be compared with.
            link.node = node.node;
            link.changed = true;
        }
        None => {
            link.vacate(|| path(first.key(), depth), out);
        }
    }
    Ok(existed || link.changed)
}

/// A trie of these values, which are in the order of their keys and share the first `depth` nibbles.
fn grow(
    depth: usize,
    mut values: Vec<(B256, Vec<u8>, Link)>,
    scope: &Scope<'_>,
    out: &mut Output,
) -> Option<Link> {
    if values.len() < 2 {
        let (key, value, storage) = values.pop()?;
        let leaf = Leaf {
            key: rest(&key, depth),
            value,
            storage,
        };
        return Some(Link::new(scope.block, Kind::Leaf(leaf), out));
    }
    let (first, last) = (values.first()?.0, values.last()?.0);
    let shared = rest(&first, depth).common_prefix_length(&rest(&last, depth));
    let fork = depth.saturating_add(shared);
    let mut children: Box<[Link; 16]> = Box::default();
    for (child, index) in children.iter_mut().zip(0u8..16).rev() {
        let from = values.partition_point(|(key, ..)| nibble(key, fork) < index);
        let group = values.split_off(from);
        if let Some(grown) = grow(fork.saturating_add(1), group, scope, out) {
            *child = grown;
        }
    }
    let branch = Link::new(scope.block, Kind::Branch(children), out);
    Some(if shared == 0 {
        branch
    } else {
        let kind = Kind::Extension {
            key: path(&first, fork).slice(depth..),
            child: branch,
        };
        Link::new(scope.block, kind, out)
    })
}

/// Makes room in an extension for keys that leave it after its first `shared` nibbles: there stands
/// a branch then, with one child for the present.
fn split(link: &mut Link, shared: usize, scope: &Scope<'_>, out: &mut Output) {
    let Some(mut node) = link.node.take() else {
        return;
    };
    if let Kind::Extension { key, child } = &mut node.kind {
        let (key, child) = (*key, std::mem::take(child));
        let left = key.slice(shared.saturating_add(1)..);
        let below = if left.is_empty() {
            child
        } else {
            Link::new(scope.block, Kind::Extension { key: left, child }, out)
        };
        let mut children: Box<[Link; 16]> = Box::default();
        if let Some(place) = children.get_mut(usize::from(key.get(shared).unwrap_or_default())) {
            *place = below;
        }
        out.shrunk(node.size());
        node.kind = if shared == 0 {
            Kind::Branch(children)
        } else {
            Kind::Extension {
                key: key.slice(..shared),
                child: Link::new(scope.block, Kind::Branch(children), out),
            }
        };
        out.grown(node.size());
    }
    link.node = Some(node);
    link.changed = true;
}

/// Puts an extension right whose child has changed. `key` is one that goes through the child.
fn settle_extension(
    link: &mut Link,
    depth: usize,
    key: &B256,
    scope: &Scope<'_>,
    out: &mut Output,
) {
    let Some(Kind::Extension { key: own, child }) = link.node.as_mut().map(|node| &mut node.kind)
    else {
        return;
    };
    if child.is_absent() {
        link.vacate(|| path(key, depth), out);
        return;
    }
    let is_branch = child
        .node
        .as_ref()
        .is_none_or(|node| matches!(node.kind, Kind::Branch(_)));
    if is_branch {
        return;
    }
    let own = *own;
    let below = depth.saturating_add(own.len());
    let merged = child.vacate(|| path(key, below), out);
    replace(link, own, merged, scope, out);
}

/// Puts a branch right of which children have changed: it may have too few. `key` is one that goes
/// through it.
fn settle_branch(
    link: &mut Link,
    depth: usize,
    key: &B256,
    scope: &Scope<'_>,
    out: &mut Output,
) -> Result<(), StateError> {
    let Some(Kind::Branch(children)) = link.node.as_mut().map(|node| &mut node.kind) else {
        return Ok(());
    };
    let mut left = children
        .iter_mut()
        .zip(0u8..)
        .filter(|(child, _)| !child.is_absent());
    let (child, index) = match (left.next(), left.next()) {
        (Some(_), Some(_)) => return Ok(()),
        (None, _) => {
            link.vacate(|| path(key, depth), out);
            return Ok(());
        }
        (Some(only), None) => only,
    };
    let step = Nibbles::from_nibbles_unchecked([index]);
    let child_path = || path(key, depth).join(&step);
    child.load(child_path, scope, out)?;
    let is_branch = child
        .node
        .as_ref()
        .is_some_and(|node| matches!(node.kind, Kind::Branch(_)));
    if is_branch {
        // The child stays where it is, below an extension in the place of this branch.
        let child = std::mem::take(child);
        if let Some(node) = &mut link.node {
            out.shrunk(node.size());
            node.kind = Kind::Extension { key: step, child };
            out.grown(node.size());
        }
    } else {
        let merged = child.vacate(child_path, out);
        replace(link, step, merged, scope, out);
    }
    Ok(())
}

/// Puts a leaf or an extension from below in the place of the node behind `link`, with `key` in
/// front of its own.
fn replace(
    link: &mut Link,
    key: Nibbles,
    below: Option<Box<Node>>,
    scope: &Scope<'_>,
    out: &mut Output,
) {
    if let Some(node) = &link.node {
        out.shrunk(node.size());
    }
    link.node = below.map(|mut node| {
        // It is another node now, which is not on disk before this block is.
        node.used = scope.block;
        match &mut node.kind {
            Kind::Leaf(Leaf { key: own, .. }) | Kind::Extension { key: own, .. } => {
                *own = key.join(own);
            }
            Kind::Branch(_) => {}
        }
        out.grown(node.size());
        node
    });
}

/// The first `depth` nibbles of a key.
pub(super) fn path(key: &B256, depth: usize) -> Nibbles {
    Nibbles::unpack(key).slice(..depth)
}

/// A key's nibbles from `depth` on.
fn rest(key: &B256, depth: usize) -> Nibbles {
    Nibbles::unpack(key).slice(depth..)
}

/// The key that has `depth` nibbles of `key`, and then those of `rest`.
fn whole_key(key: &B256, depth: usize, rest: &Nibbles) -> B256 {
    B256::left_padding_from(&path(key, depth).join(rest).pack())
}

/// The nibble at `index`, which is below 64.
fn nibble(key: &B256, index: usize) -> u8 {
    let byte = key.get(index / 2).copied().unwrap_or_default();
    if index.is_multiple_of(2) {
        byte >> 4
    } else {
        byte & 0x0f
    }
}
