use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use alloy_consensus::{Header, Sealed};
use alloy_primitives::B256;
use tokio::sync::{broadcast, watch};
use weft_executor_core::{BlockEnv, Call, CallOutcome, ExecuteError, ExecutionLayer, StateView};
use weft_executor_parallel::{BlockAccesses, EngineError, execute_sequential};
use weft_primitives::{BlockAttributes, ChainSpec, RecoveredTransaction, child_header};
use weft_state::{BlockBundle, StateError, Store};

use super::{
    AccessListRecord, BlockRecord, Layers, WithdrawalIndex, inclusions::Inclusions,
    recent::RecentBlocks,
};

/// The last durable block.
#[derive(Debug, Clone)]
pub struct Head {
    /// Its header.
    pub header: Sealed<Header>,
}

/// How far L1 has taken the chain in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct L1Labels {
    /// Last block whose batch is on L1 with the configured confirmations.
    pub safe: u64,
    /// Last block whose batch is in a finalized L1 block.
    pub finalized: u64,
}

/// Where the labels come from.
#[derive(Debug, Clone)]
pub enum LabelSource {
    /// From what L1 says about the posted batches.
    L1(watch::Receiver<L1Labels>),
    /// The chain has no L1 above it: a durable block is final.
    Durable,
}

/// What readers of the chain hold; clones share it.
#[derive(Debug, Clone)]
pub struct ChainHandle {
    pub(super) spec: Arc<ChainSpec>,
    pub(super) store: Store,
    pub(super) layers: Arc<Layers>,
    pub(super) head: watch::Receiver<Head>,
    pub(super) blocks: broadcast::Sender<Arc<BlockBundle>>,
    pub(super) labels: LabelSource,
    pub(super) recent: RecentBlocks,
    pub(super) inclusions: Inclusions,
    pub(super) access_lists: AccessListRecord,
    pub(super) withdrawals: WithdrawalIndex,
    /// Last block that was found to be what L1 holds; `None` when this process makes the blocks.
    pub(super) verified: Option<Arc<AtomicU64>>,
}

/// Why it cannot be said how the transactions of a block got along.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The state before the block is gone.
    #[error("state of block {0} is not kept")]
    StateNotKept(u64),
    /// The store failed.
    #[error("store: {0}")]
    State(#[from] StateError),
    /// The block did not execute as it had.
    #[error("block {number}: {reason}")]
    Execution {
        /// Number of the block.
        number: u64,
        /// What was different.
        reason: String,
    },
}

impl ChainHandle {
    /// The chain's spec.
    pub fn spec(&self) -> &ChainSpec {
        &self.spec
    }

    /// The store behind the chain.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The layers that the chain runs.
    pub fn layers(&self) -> &Layers {
        &self.layers
    }

    /// The withdrawals that the chain has started.
    pub const fn withdrawals(&self) -> &WithdrawalIndex {
        &self.withdrawals
    }

    /// Header of the last durable block.
    pub fn head(&self) -> Sealed<Header> {
        self.head.borrow().header.clone()
    }

    /// Number of the last durable block that needs no check any more: the head of a chain that this
    /// process makes, and of a chain that is derived from L1 the last block of the last batch that
    /// was found right.
    pub fn verified(&self) -> u64 {
        let head = self.head.borrow().header.number;
        match &self.verified {
            Some(verified) => verified.load(Ordering::Relaxed).min(head),
            None => head,
        }
    }

    /// Says up to which block the chain was found to be what L1 holds.
    pub(crate) fn set_verified(&self, number: u64) {
        if let Some(verified) = &self.verified {
            verified.store(number, Ordering::Relaxed);
        }
    }

    /// Follows the head; always holds the newest.
    pub fn watch_head(&self) -> watch::Receiver<Head> {
        self.head.clone()
    }

    /// Every block once it is durable, in order. A receiver that is too slow is told how many it
    /// missed.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<BlockBundle>> {
        self.blocks.subscribe()
    }

    /// Waits, from this call on, for the durable block that includes the transaction with this hash:
    /// the block and the index in it; `None` when the chain ends before.
    pub fn inclusion(
        &self,
        hash: B256,
    ) -> impl Future<Output = Option<(Arc<BlockBundle>, usize)>> + Send + use<> {
        self.inclusions.wait(hash)
    }

    /// How far L1 has taken the chain in.
    pub fn labels(&self) -> L1Labels {
        let head = self.head.borrow().header.number;
        let L1Labels { safe, finalized } = match &self.labels {
            LabelSource::L1(labels) => *labels.borrow(),
            LabelSource::Durable => L1Labels {
                safe: head,
                finalized: head,
            },
        };
        // L1 may have more of a chain than a node that rebuilds it or has gone back.
        L1Labels {
            safe: safe.min(head),
            finalized: finalized.min(head),
        }
    }

    /// Environment of a block that would follow the head now.
    pub fn pending_env(&self, now: u64) -> BlockEnv {
        let head = self.head();
        let header = child_header(
            self.spec.chain_id(),
            &head,
            &BlockAttributes {
                timestamp: now.max(head.timestamp),
                gas_limit: head.gas_limit,
                beneficiary: head.beneficiary,
                new_l1_origin: None,
            },
        );
        BlockEnv::from_header(&header, self.spec.chain_id(), self.spec.fork())
    }

    /// Environment in which the block of this header was executed.
    pub fn env_of(&self, header: &Header) -> BlockEnv {
        BlockEnv::from_header(header, self.spec.chain_id(), self.spec.fork())
    }

    /// How the transactions of a block got along; `None` when the chain has no such block. A block
    /// that this process executed not long ago is remembered, another one is executed again: CPU
    /// work, not for tokio's threads.
    ///
    /// # Errors
    /// When the block cannot be executed again.
    pub fn record(&self, number: u64) -> Result<Option<Arc<BlockRecord>>, RecordError> {
        if let Some(record) = self.recent.get(number) {
            return Ok(Some(record));
        }
        if number > self.head().number {
            return Ok(None);
        }
        let Some(block) = self.store.block_with_receipts(number)? else {
            return Ok(None);
        };
        let hash = block.block.hash();
        let Some(parent) = number.checked_sub(1) else {
            // Genesis has no transactions.
            return Ok(Some(Arc::new(BlockRecord::new(
                number,
                hash,
                BlockAccesses::default(),
                Arc::default(),
                None,
            ))));
        };
        let state = self
            .store
            .state_at(parent)?
            .ok_or(RecordError::StateNotKept(parent))?;
        let env = self.env_of(&block.block.header);
        let failed = |reason: String| RecordError::Execution { number, reason };
        let transactions: Vec<_> = block
            .block
            .transactions
            .into_iter()
            .zip(block.senders)
            .map(|(transaction, sender)| RecoveredTransaction::new_unchecked(transaction, sender))
            .collect();
        let execution =
            execute_sequential(&*self.layers, &env, &transactions, state).map_err(|error| {
                match error {
                    EngineError::State(error) => RecordError::State(error),
                    other => failed(other.to_string()),
                }
            })?;
        let (expected, found) = (block.block.header.gas_used, execution.gas_used);
        if expected != found || !execution.dropped.is_empty() {
            return Err(failed(format!(
                "expected {expected} gas used and no transaction left out, found {found} and {}",
                execution.dropped.len()
            )));
        }
        Ok(Some(Arc::new(BlockRecord::new(
            number,
            hash,
            execution.accesses,
            Arc::new(execution.changes),
            None,
        ))))
    }

    /// What became of the access lists that this node was given.
    pub const fn access_lists(&self) -> &AccessListRecord {
        &self.access_lists
    }

    /// What is remembered of the head, if it is.
    pub fn recent_record(&self) -> Option<Arc<BlockRecord>> {
        self.recent.get(self.head().number)
    }

    /// Executes a message (`eth_call`). CPU work: not for tokio's threads.
    ///
    /// # Errors
    /// As [`ExecutionLayer::call`].
    pub fn call<S: StateView>(
        &self,
        env: &BlockEnv,
        call: &Call,
        state: &mut S,
    ) -> Result<CallOutcome, ExecuteError<S::Error>> {
        self.layers.call(env, call, state)
    }
}
