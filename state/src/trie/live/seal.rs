use alloy_primitives::keccak256;
use alloy_rlp::{BufMut, EMPTY_STRING_CODE, Encodable, Header};
use alloy_trie::{
    Nibbles,
    nodes::{ExtensionNodeRef, LeafNodeRef, RlpNode},
};
use rayon::prelude::*;

use super::{
    Link, Output,
    node::{Kind, Leaf},
};

/// Encodes and hashes what has changed at and below `link`, and puts the nodes to write into `out`.
/// Shared among threads when the block is a large one.
pub(crate) fn seal(link: &mut Link, path: &Nibbles, parallel: bool, out: &mut Output) {
    if !link.changed {
        return;
    }
    link.changed = false;
    let Some(node) = &mut link.node else {
        return;
    };
    match &mut node.kind {
        Kind::Leaf(_) => {}
        Kind::Extension { key, child } => seal(child, &path.join(key), parallel, out),
        Kind::Branch(children) if parallel => {
            let children: Vec<_> = children.iter_mut().zip(0u8..).collect();
            let parts: Vec<_> = children
                .into_par_iter()
                .filter(|(child, _)| child.changed)
                .map(|(child, index)| {
                    let mut out = Output::default();
                    seal(child, &step(path, index), false, &mut out);
                    out
                })
                .collect();
            for part in parts {
                out.append(part);
            }
        }
        Kind::Branch(children) => {
            for (child, index) in children.iter_mut().zip(0u8..) {
                if child.changed {
                    seal(child, &step(path, index), false, out);
                }
            }
        }
    }
    let bytes = &mut out.scratch;
    bytes.clear();
    encode(&node.kind, bytes);
    let reference = if path.is_empty() {
        // A root has an entry however short it is.
        RlpNode::word_rlp(&keccak256(&*bytes))
    } else {
        RlpNode::from_rlp(bytes)
    };
    if !reference.is_hash() {
        if link.reference.is_hash() {
            out.nodes.push((*path, None));
        }
    } else if reference != link.reference {
        out.nodes.push((*path, Some(bytes.as_slice().into())));
    }
    link.reference = reference;
}

fn step(path: &Nibbles, index: u8) -> Nibbles {
    let mut below = *path;
    below.push(index);
    below
}

/// Encodes a node whose children are sealed.
fn encode(kind: &Kind, out: &mut Vec<u8>) {
    match kind {
        Kind::Leaf(Leaf { key, value, .. }) => LeafNodeRef { key, value }.encode(out),
        Kind::Extension { key, child } => ExtensionNodeRef {
            key,
            child: &child.reference,
        }
        .encode(out),
        Kind::Branch(children) => {
            // Of each child its reference, or one byte; and one byte in the place of a value.
            let payload = children
                .iter()
                .map(|child| child.reference.len().max(1))
                .sum::<usize>()
                .saturating_add(1);
            Header {
                list: true,
                payload_length: payload,
            }
            .encode(out);
            for child in children.iter() {
                if child.reference.is_empty() {
                    out.put_u8(EMPTY_STRING_CODE);
                } else {
                    out.put_slice(&child.reference);
                }
            }
            out.put_u8(EMPTY_STRING_CODE);
        }
    }
}
