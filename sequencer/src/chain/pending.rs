//! State after the last executed block, while the blocks below it are still being sealed or written.

use std::sync::{Arc, OnceLock};

use alloy_primitives::{Address, B256, Bytes, U256};
use weft_executor_core::{Account, ChangeSet, StateView};
use weft_state::{StateError, StateReader, Store};

/// A block that has been executed and may not be durable yet.
#[derive(Debug, Clone)]
pub(super) struct PendingBlock {
    pub(super) number: u64,
    pub(super) changes: Arc<ChangeSet>,
    pub(super) hash: BlockHash,
}

/// The hash of a block, which comes when the block is sealed. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct BlockHash {
    /// `None` inside: the block will never be sealed.
    hash: Arc<OnceLock<Option<B256>>>,
}

/// Who seals a block holds this. Dropped without a hash, it tells those who wait that there will be
/// none, so that nobody waits for a stage that has failed.
#[derive(Debug)]
pub(super) struct HashPromise(BlockHash);

impl BlockHash {
    /// A hash that is to come, and who gives it.
    pub(super) fn promised() -> (Self, HashPromise) {
        let hash = Self::default();
        (hash.clone(), HashPromise(hash))
    }

    /// Waits for the hash; `None` when there will be none.
    fn wait(&self) -> Option<B256> {
        *self.hash.wait()
    }
}

impl HashPromise {
    pub(super) fn keep(self, hash: B256) {
        // Set once: a promise is kept only once.
        let _ = self.0.hash.set(Some(hash));
    }
}

impl Drop for HashPromise {
    fn drop(&mut self) {
        let _ = self.0.hash.set(None);
    }
}

/// Why a pending state cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum PendingStateError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StateError),
    /// A block below was not sealed, because a stage has failed.
    #[error("expected the hash of block {0}, found it unsealed by a failed stage")]
    Unsealed(u64),
}

/// The world state after the last executed block.
#[derive(Debug, Clone)]
pub(super) struct PendingState {
    durable: StateReader,
    /// Blocks above the durable one, newest first.
    blocks: Arc<[PendingBlock]>,
}

impl PendingState {
    /// The state after the last of `executed`, which are in the order of the chain, begin at most
    /// one above the durable head, and may contain blocks that are durable by now.
    pub(super) fn new<'a>(
        store: &Store,
        executed: impl DoubleEndedIterator<Item = &'a PendingBlock>,
    ) -> Result<Self, StateError> {
        let durable = store.latest_state()?;
        let blocks = executed
            .rev()
            .take_while(|block| block.number > durable.number())
            .cloned()
            .collect();
        Ok(Self { durable, blocks })
    }
}

impl StateView for PendingState {
    type Error = PendingStateError;

    fn account(&mut self, address: Address) -> Result<Option<Account>, PendingStateError> {
        for block in &*self.blocks {
            if let Some(change) = block.changes.accounts.get(&address) {
                return Ok(change.after);
            }
        }
        Ok(self.durable.account(address)?)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, PendingStateError> {
        for block in &*self.blocks {
            let Some(change) = block.changes.accounts.get(&address) else {
                continue;
            };
            if change.after.is_none() {
                return Ok(U256::ZERO);
            }
            if let Some((_, after)) = change.storage.get(&slot) {
                return Ok(*after);
            }
            if change.storage_wiped {
                return Ok(U256::ZERO);
            }
        }
        Ok(self.durable.storage(address, slot)?)
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, PendingStateError> {
        for block in &*self.blocks {
            if let Some(code) = block.changes.code.get(&code_hash) {
                return Ok(code.clone());
            }
        }
        Ok(self.durable.code(code_hash)?)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, PendingStateError> {
        match self.blocks.iter().find(|block| block.number == number) {
            Some(block) => block.hash.wait().ok_or(PendingStateError::Unsealed(number)),
            None => Ok(self.durable.block_hash(number)?),
        }
    }
}
