//! Transactions that wait for a block.
#![allow(missing_docs, unused_variables)]
use std::sync::Arc;

use alloy_primitives::{Address, B256};
use tokio::sync::broadcast;
use weft_executor_core::Account;
use weft_primitives::RecoveredTransaction;

/// Bounds of the pool.
#[derive(Debug, Clone)]
pub struct MempoolLimits {
    /// Transactions in total.
    pub max_transactions: usize,
    /// Transactions of one sender.
    pub max_per_sender: usize,
    /// Bytes (EIP-2718 encodings) in total.
    pub max_bytes: usize,
    /// Lowest tip that is taken in, in wei per gas.
    pub min_tip: u128,
    /// Largest encoding of one transaction, in bytes.
    pub max_transaction_bytes: usize,
}

/// What admission checks a transaction against: the rules of the next block.
#[derive(Debug, Clone)]
pub struct AdmissionRules {
    pub chain_id: u64,
    pub fork: weft_primitives::Fork,
    pub block_gas_limit: u64,
    /// Base fee of the next block, in wei per gas.
    pub base_fee: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MempoolError {
    #[error("already known")]
    AlreadyKnown,
}

/// The pool; clones share it. No method blocks on I/O.
#[derive(Debug, Clone)]
pub struct Mempool {}

/// One waiting transaction.
#[derive(Debug)]
pub struct PooledTransaction {
    pub transaction: RecoveredTransaction,
    pub hash: B256,
}

impl Mempool {
    pub fn new(limits: MempoolLimits, rules: AdmissionRules) -> Self {
        todo!()
    }
    /// Checks that need no state (size, type, chain id, intrinsic gas, initcode size, gas cap, fee fields, ...).
    pub fn check_stateless(&self, transaction: &RecoveredTransaction) -> Result<(), MempoolError> {
        todo!()
    }
    /// Takes a transaction in, after all checks. `account` is the sender's at the head
    /// (`Account::default()` when it does not exist).
    pub fn add(
        &self,
        transaction: RecoveredTransaction,
        account: Account,
    ) -> Result<Arc<PooledTransaction>, MempoolError> {
        todo!()
    }
    /// Whether any transaction could stand in the next block.
    pub fn has_ready(&self) -> bool {
        todo!()
    }
    /// Resolves once [`Self::has_ready`] holds.
    pub async fn ready(&self) {
        todo!()
    }
    /// Executable transactions for the next block in order of effective tip (first come among
    /// equals), nonces of one sender in order, gas limits adding up to at most `gas_limit`, at most
    /// `max_transactions` of them. They stay in the pool until [`Self::on_block`].
    pub fn best(&self, gas_limit: u64, max_transactions: usize) -> Vec<Arc<PooledTransaction>> {
        todo!()
    }
    /// Follows a new head: `changed` are accounts that the block changed, with their new state;
    /// `dropped` are transactions the engine found invalid.
    pub fn on_block(
        &self,
        rules: AdmissionRules,
        changed: &[(Address, Account)],
        dropped: &[B256],
    ) {
        todo!()
    }
    pub fn get(&self, hash: &B256) -> Option<Arc<PooledTransaction>> {
        todo!()
    }
    /// Nonce after the sender's last executable transaction; `None` when it has none waiting.
    pub fn next_nonce(&self, sender: Address) -> Option<u64> {
        todo!()
    }
    /// (pending = executable, queued = behind a nonce gap).
    pub fn status(&self) -> (usize, usize) {
        todo!()
    }
    /// All transactions: (pending, queued), by sender and nonce.
    pub fn content(&self) -> (Vec<Arc<PooledTransaction>>, Vec<Arc<PooledTransaction>>) {
        todo!()
    }
    /// Each transaction once it becomes executable.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<PooledTransaction>> {
        todo!()
    }
}
