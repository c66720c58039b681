use std::sync::Arc;

use alloy_primitives::{Address, B256};
use futures::future::BoxFuture;
use serde::Serialize;

use crate::{chain::ChainHandle, mempool::Mempool};

/// What the RPC server answers from.
#[derive(Clone)]
pub struct RpcContext {
    /// The chain.
    pub chain: ChainHandle,
    /// Where sent transactions go; `None` on a node that only follows the chain.
    pub mempool: Option<Mempool>,
    /// What is known about L1.
    pub l1: Arc<dyn L1Info>,
}

impl std::fmt::Debug for RpcContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RpcContext")
            .field("chain", &self.chain)
            .field("mempool", &self.mempool)
            .finish_non_exhaustive()
    }
}

/// What the `weft_` methods ask about L1.
pub trait L1Info: Send + Sync + 'static {
    /// The batch with this index; `None` when there is none yet.
    fn batch(&self, index: u64) -> BoxFuture<'_, Result<Option<BatchInfo>, L1InfoError>>;

    /// The batch that the block is in; `None` when it is in none yet.
    fn batch_of_block(&self, number: u64) -> BoxFuture<'_, Result<Option<BatchInfo>, L1InfoError>>;

    /// How the node stands with L1.
    fn status(&self) -> BoxFuture<'_, Result<L1Status, L1InfoError>>;
}

/// The answers of a chain that has no L1 above it.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoL1;

impl L1Info for NoL1 {
    fn batch(&self, _: u64) -> BoxFuture<'_, Result<Option<BatchInfo>, L1InfoError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn batch_of_block(&self, _: u64) -> BoxFuture<'_, Result<Option<BatchInfo>, L1InfoError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn status(&self) -> BoxFuture<'_, Result<L1Status, L1InfoError>> {
        Box::pin(std::future::ready(Ok(L1Status::default())))
    }
}

/// Why nothing could be said about L1.
#[derive(Debug, thiserror::Error)]
#[error("L1 information could not be read: {0}")]
pub struct L1InfoError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// A batch, as `weft_getBatch` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchInfo {
    /// Position in the sequence of batches, from 0.
    #[serde(with = "alloy_serde::quantity")]
    pub index: u64,
    /// Hash of the batch header.
    pub hash: B256,
    /// First block of the batch.
    #[serde(with = "alloy_serde::quantity")]
    pub first_block: u64,
    /// Last block of the batch.
    #[serde(with = "alloy_serde::quantity")]
    pub last_block: u64,
    /// Hash of the last block.
    pub last_block_hash: B256,
    /// L1 transaction that posted the batch.
    pub l1_transaction_hash: B256,
    /// L1 block of that transaction.
    #[serde(with = "alloy_serde::quantity")]
    pub l1_block_number: u64,
    /// How far L1 has taken it in.
    pub status: BatchStatus,
}

/// How far L1 has taken a batch in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchStatus {
    /// In an L1 block.
    Posted,
    /// Has the configured confirmations.
    Safe,
    /// In a finalized L1 block.
    Finalized,
}

/// How the node stands with L1.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct L1Status {
    /// The L1 contract that takes the batches.
    pub contract: Option<Address>,
    /// Newest L1 block that the node has seen.
    #[serde(with = "alloy_serde::quantity::opt")]
    pub head: Option<u64>,
    /// Number of batches posted.
    #[serde(with = "alloy_serde::quantity::opt")]
    pub batches: Option<u64>,
    /// Why the node cannot post at the moment.
    pub problem: Option<String>,
}
