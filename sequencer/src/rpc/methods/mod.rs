//! The methods, one file for each thing that is asked about.

mod blocks;
mod calls;
mod contracts;
mod estimate;
mod fees;
mod filters;
mod logs;
mod node;
mod parallelism;
mod raw;
mod send;
mod state;
mod subscriptions;
mod transactions;
mod txpool;
mod weft;
mod withdrawals;

use std::sync::Arc;

use alloy_eips::BlockId;
use jsonrpsee_core::{RegisterMethodError, server::Methods};

use super::{
    RpcError,
    api::{Api, Registry},
    params::Arguments,
};

/// All methods over `api`.
///
/// # Errors
/// When two methods have one name.
pub(super) fn all(api: Arc<Api>) -> Result<Methods, RegisterMethodError> {
    let mut registry = Registry::new(api);
    node::register(&mut registry);
    blocks::register(&mut registry);
    transactions::register(&mut registry);
    state::register(&mut registry);
    calls::register(&mut registry);
    fees::register(&mut registry);
    send::register(&mut registry);
    logs::register(&mut registry);
    filters::register(&mut registry);
    subscriptions::register(&mut registry);
    txpool::register(&mut registry);
    raw::register(&mut registry);
    weft::register(&mut registry);
    withdrawals::register(&mut registry);
    parallelism::register(&mut registry);
    contracts::register(&mut registry);
    registry.finish()
}

/// What a block argument must be.
const BLOCK: &str = "a block number, a block hash, latest, safe, finalized, pending, earliest or an EIP-1898 object";

/// A block argument; the head when it is missing.
fn block_or_latest(arguments: &mut Arguments) -> Result<BlockId, RpcError> {
    Ok(arguments.optional(BLOCK)?.unwrap_or_else(BlockId::latest))
}
