//! The chain's store on disk: flat state, Merkle Patricia trie, blocks, receipts, indexes and
//! history in one fjall database, so that one atomic batch covers all that a block changes.
//!
//! `docs/state.md` lists every keyspace with its keys and values.

mod cache;
mod commit;
mod data_folder;
mod encoding;
mod error;
mod files;
mod genesis;
mod history;
mod import;
mod journal;
mod log_index;
mod open;
mod options;
mod preload;
mod proof;
mod reader;
mod sealer;
mod store;
mod tables;
mod trie;
mod trie_recovery;
mod unwind;

pub use cache::CacheCounters;
pub use commit::BlockBundle;
pub use error::StateError;
pub use genesis::genesis_header;
pub use history::{History, ParseHistoryError};
pub use import::ImportedAccounts;
pub use log_index::LogQuery;
pub use options::StoreOptions;
pub use preload::{CodeListener, PreloadCounters, Preloader, StateKey};
pub use proof::{AccountProof, StorageProof};
pub use reader::StateReader;
pub use sealer::Sealer;
pub use store::{BlockWithReceipts, Store, TransactionLocation};
pub use trie::TrieUpdates;
pub use unwind::Unwound;

#[cfg(test)]
mod tests;
