//! The state's Merkle Patricia tries (Ethereum yellow paper, appendix D), keys hashed with
//! keccak-256: incremental roots, and proofs.
//!
//! Only the latest version is on disk, some blocks late, each node under its path. A node that is shorter than its
//! hash stands inside its parent and has no entry of its own; a root always has one.
//!
//! The node computes roots with [`live`]. [`state_root`] computes the same from what is on disk
//! alone, and is the oracle of its tests.

pub(crate) mod live;
mod node;
mod partial;
mod root;
mod source;
mod unwritten;
mod updates;

pub(crate) use node::{Link, Node};
pub(crate) use partial::load;
pub(crate) use root::{state_root, storage_root, wipes_storage, written_slots};
pub(crate) use source::{AccountNodes, NodeSource, StorageNodes};
pub(crate) use unwritten::UnwrittenTrie;
pub use updates::TrieUpdates;
pub(crate) use updates::{NodeChanges, StorageTrieUpdates, TrieLayer};

#[cfg(test)]
mod tests;
