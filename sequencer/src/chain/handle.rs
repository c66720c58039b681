use std::sync::Arc;

use alloy_consensus::{Header, Sealed};
use tokio::sync::{broadcast, watch};
use weft_executor_core::{BlockEnv, Call, CallOutcome, ExecuteError, ExecutionLayer, StateView};
use weft_primitives::{BlockAttributes, ChainSpec, child_header};
use weft_state::{BlockBundle, Store};

use super::Layers;

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
    spec: Arc<ChainSpec>,
    store: Store,
    layers: Arc<Layers>,
    head: watch::Receiver<Head>,
    blocks: broadcast::Sender<Arc<BlockBundle>>,
    labels: LabelSource,
}

impl ChainHandle {
    /// Puts a handle together from its parts.
    pub fn new(
        spec: Arc<ChainSpec>,
        store: Store,
        layers: Arc<Layers>,
        head: watch::Receiver<Head>,
        blocks: broadcast::Sender<Arc<BlockBundle>>,
        labels: LabelSource,
    ) -> Self {
        Self {
            spec,
            store,
            layers,
            head,
            blocks,
            labels,
        }
    }

    /// The chain's spec.
    pub fn spec(&self) -> &ChainSpec {
        &self.spec
    }

    /// The store behind the chain.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Header of the last durable block.
    pub fn head(&self) -> Sealed<Header> {
        self.head.borrow().header.clone()
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

    /// How far L1 has taken the chain in.
    pub fn labels(&self) -> L1Labels {
        match &self.labels {
            LabelSource::L1(labels) => *labels.borrow(),
            LabelSource::Durable => {
                let head = self.head.borrow().header.number;
                L1Labels {
                    safe: head,
                    finalized: head,
                }
            }
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
