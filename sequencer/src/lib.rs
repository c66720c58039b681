//! The node: mempool, block producer, commit pipeline, JSON-RPC, ledger, and what wires them.

pub mod chain;
pub mod config;
pub mod ledger;
pub mod mempool;
pub mod rpc;
