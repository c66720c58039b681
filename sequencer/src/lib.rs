//! The node: mempool, block producer, commit pipeline, JSON-RPC, ledger, and what wires them.

pub mod admin;
pub mod chain;
pub mod config;
pub mod deploy;
pub mod dev;
mod error;
pub mod follower;
pub mod l1;
pub mod ledger;
pub mod mempool;
pub mod metrics;
pub mod node;
pub mod open_files;
mod ops;
pub mod production;
mod returned;
pub mod rpc;
pub mod signal;
mod store_check;
mod tasks;
mod trouble;
pub mod verify;
pub mod watcher;

pub use error::{Mismatch, NodeError};
pub use weft_l1_bridge::{BlobReader, BlobSourceError};
pub use weft_primitives::ChainSpec;
pub use weft_state::History;
