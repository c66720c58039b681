//! A trie that stays in memory from block to block.
//!
//! Whatever part of it was not used lately is folded: all that stays of it is the reference that
//! its parent's encoding holds anyway, and it is read again when it is needed. A block's changes
//! go through the trie twice, both times only along changed paths: [`apply`] gives it its new
//! shape from the top down, and [`seal`] encodes and hashes it from the bottom up.
//!
//! The storage trie of an account hangs on the account's leaf.

mod apply;
mod fold;
mod leaf;
mod node;
mod seal;

#[cfg(test)]
pub(crate) use apply::LeafChange;
pub(crate) use apply::apply;
pub(crate) use fold::{PLACES, fold_at};
pub(crate) use leaf::AccountLeaf;
pub(crate) use node::{Link, Output, Scope};
pub(crate) use seal::seal;

/// From so many changes below one node on, its children are shared among threads. Fewer are done
/// before a thread has woken up.
const PARALLEL_FROM: usize = 256;
