#![allow(missing_docs, unused_variables, dead_code)]
use std::{path::Path, sync::Arc};

use alloy_consensus::{Header, Sealed};
use alloy_primitives::{Address, B256, Bytes, U256};
use weft_executor_core::{Account, ChangeSet, StateView};
use weft_primitives::{Block, ChainSpec, L1Origin, Receipt, SealedBlock};

use crate::StateError;

/// Handle to the store; clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<()>,
}

/// A block that is ready to be made durable, with all that belongs to it.
#[derive(Debug, Clone)]
pub struct BlockBundle {
    pub block: SealedBlock,
    /// Senders of the transactions, in order.
    pub senders: Vec<Address>,
    pub receipts: Vec<Receipt>,
    pub changes: Arc<ChangeSet>,
    pub trie: TrieUpdates,
}

/// Trie nodes that a block changed; made by [`Store::state_root`].
#[derive(Debug, Clone, Default)]
pub struct TrieUpdates {}

/// Where a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionLocation {
    pub block_number: u64,
    pub index: u64,
}

/// A stored block with what RPC needs to answer about its transactions.
#[derive(Debug, Clone)]
pub struct BlockWithReceipts {
    pub block: SealedBlock,
    pub senders: Vec<Address>,
    pub receipts: Vec<Receipt>,
}

/// Merkle proof of an account (EIP-1186).
#[derive(Debug, Clone)]
pub struct AccountProof {
    pub address: Address,
    pub account: Option<Account>,
    pub storage_root: B256,
    pub proof: Vec<Bytes>,
    pub storage: Vec<StorageProof>,
}

/// Merkle proof of a slot (EIP-1186).
#[derive(Debug, Clone)]
pub struct StorageProof {
    pub slot: U256,
    pub value: U256,
    pub proof: Vec<Bytes>,
}

/// The world state after one block, as of when the reader was made: later commits do not show.
#[derive(Debug, Clone)]
pub struct StateReader {}

impl Store {
    /// Opens the store in `path`, or creates it with the genesis of `spec` when the folder is
    /// absent or empty.
    pub fn open(path: &Path, spec: &ChainSpec) -> Result<Self, StateError> {
        todo!()
    }
    /// Header of the last durable block.
    pub fn head(&self) -> Result<Sealed<Header>, StateError> {
        todo!()
    }
    /// State after the last durable block.
    pub fn latest_state(&self) -> Result<StateReader, StateError> {
        todo!()
    }
    /// State after block `number`; `None` when there is no such block.
    pub fn state_at(&self, number: u64) -> Result<Option<StateReader>, StateError> {
        todo!()
    }
    /// State root after `changes` on top of the last durable block, and the trie nodes to commit.
    pub fn state_root(&self, changes: &ChangeSet) -> Result<(B256, TrieUpdates), StateError> {
        todo!()
    }
    /// Makes one block durable (one atomic batch, fsync before return). It must be the child of
    /// the head.
    pub fn commit(&self, bundle: &BlockBundle) -> Result<(), StateError> {
        todo!()
    }
    pub fn header(&self, number: u64) -> Result<Option<Sealed<Header>>, StateError> {
        todo!()
    }
    pub fn block_number(&self, hash: B256) -> Result<Option<u64>, StateError> {
        todo!()
    }
    pub fn block(&self, number: u64) -> Result<Option<SealedBlock>, StateError> {
        todo!()
    }
    pub fn block_with_receipts(
        &self,
        number: u64,
    ) -> Result<Option<BlockWithReceipts>, StateError> {
        todo!()
    }
    pub fn transaction_location(
        &self,
        hash: B256,
    ) -> Result<Option<TransactionLocation>, StateError> {
        todo!()
    }
    /// L1 origin that was in force after block `number`; `None` when the chain had none yet.
    pub fn l1_origin(&self, number: u64) -> Result<Option<L1Origin>, StateError> {
        todo!()
    }
    /// Number of user deposits executed up to and including block `number`.
    pub fn deposit_count(&self, number: u64) -> Result<u64, StateError> {
        todo!()
    }
    /// Proof against the state root of the last durable block, and that block's header.
    pub fn proof(
        &self,
        address: Address,
        slots: &[U256],
    ) -> Result<(Sealed<Header>, AccountProof), StateError> {
        todo!()
    }
}

impl StateReader {
    /// Number of the block whose state this is.
    pub fn number(&self) -> u64 {
        todo!()
    }
}

impl StateView for StateReader {
    type Error = StateError;
    fn account(&mut self, address: Address) -> Result<Option<Account>, StateError> {
        todo!()
    }
    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, StateError> {
        todo!()
    }
    fn code(&mut self, code_hash: B256) -> Result<Bytes, StateError> {
        todo!()
    }
    fn block_hash(&mut self, number: u64) -> Result<B256, StateError> {
        todo!()
    }
}
