//! The chain's store on disk: flat state, Merkle Patricia trie, blocks, receipts, indexes and
//! history in one fjall database, so that one atomic batch covers all that a block changes.

mod error;
mod store;

pub use error::StateError;
pub use store::{
    AccountProof, BlockBundle, BlockWithReceipts, StateReader, StorageProof, Store,
    TransactionLocation, TrieUpdates,
};
