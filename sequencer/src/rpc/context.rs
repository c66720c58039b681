use std::sync::Arc;

use alloy_primitives::{Address, B256};
use futures::future::BoxFuture;
use serde::Serialize;
use weft_l1_bridge::bridge::BatchHeaderJson;

use crate::{
    chain::{ChainHandle, Preloader},
    mempool::Mempool,
};

/// What the RPC server answers from.
#[derive(Clone)]
pub struct RpcContext {
    /// The chain.
    pub chain: ChainHandle,
    /// Where sent transactions go; `None` on a node that only follows the chain.
    pub mempool: Option<Mempool>,
    /// Reads what sent transactions will look at; `None` where nothing is read ahead.
    pub preloader: Option<Preloader>,
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

    /// The L1 transactions that were sent to post the batch with this index, oldest first.
    fn attempts(&self, index: u64) -> BoxFuture<'_, Result<Vec<AttemptInfo>, L1InfoError>>;

    /// What L1 has done about the withdrawal with this hash.
    fn withdrawal(&self, hash: B256) -> BoxFuture<'_, Result<WithdrawalOnL1, L1InfoError>>;

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

    fn attempts(&self, _: u64) -> BoxFuture<'_, Result<Vec<AttemptInfo>, L1InfoError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn withdrawal(&self, _: B256) -> BoxFuture<'_, Result<WithdrawalOnL1, L1InfoError>> {
        Box::pin(std::future::ready(Ok(WithdrawalOnL1::default())))
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
    /// The header as the contract has it.
    pub header: BatchHeaderJson,
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

/// What L1 has done about a withdrawal, as far as the node has read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WithdrawalOnL1 {
    /// L1 transaction that proved it last.
    pub proven_by: Option<B256>,
    /// L1 transaction that paid it.
    pub finalized_by: Option<B256>,
}

/// An L1 transaction that was sent to post a batch, as `weft_getBatchAttempts` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptInfo {
    /// Its hash.
    pub transaction_hash: B256,
    /// Account that signed it.
    pub sender: Address,
    /// Its nonce.
    #[serde(with = "alloy_serde::quantity")]
    pub nonce: u64,
    /// Gas limit, in gas.
    #[serde(with = "alloy_serde::quantity")]
    pub gas_limit: u64,
    /// In wei.
    #[serde(with = "alloy_serde::quantity")]
    pub max_fee_per_gas: u128,
    /// In wei.
    #[serde(with = "alloy_serde::quantity")]
    pub max_priority_fee_per_gas: u128,
    /// In wei per blob gas; `null` for a transaction without blobs.
    #[serde(with = "alloy_serde::quantity::opt")]
    pub max_fee_per_blob_gas: Option<u128>,
    /// When it was first sent, in seconds since the Unix epoch.
    #[serde(with = "alloy_serde::quantity")]
    pub sent_at: u64,
    /// What has become of it.
    pub status: AttemptStatus,
    /// L1 block that it is in.
    #[serde(with = "alloy_serde::quantity::opt")]
    pub l1_block_number: Option<u64>,
    /// Why it failed.
    pub error: Option<String>,
}

/// What has become of an L1 transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AttemptStatus {
    /// Sent, and neither included nor given up.
    Sent,
    /// In an L1 block, and it succeeded.
    Included,
    /// Refused by the L1 node, or reverted in a block.
    Failed,
    /// Another transaction with the same nonce took its place.
    Replaced,
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
    /// Why the node takes in no deposits at the moment: L1 has dropped the block that the chain has as
    /// its origin.
    pub origin_problem: Option<String>,
}
