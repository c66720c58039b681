use std::sync::Arc;

use alloy_consensus::{Header, Sealed, proofs};
use alloy_primitives::Address;
use tokio::sync::{broadcast, watch};
use weft_executor_core::{BlockEnv, InvalidTransaction};
use weft_executor_parallel::{
    AccessListVerdict, BlockAccessList, BlockAccesses, BlockExecution, Engine, EngineError,
    ExecutionStats,
};
use weft_primitives::{
    BlockAttributes, ChainSpec, Receipt, RecoveredTransaction, SealedBlock, child_header,
};
use weft_state::{BlockBundle, StateError, Store};

use super::{BlockRecord, ChainHandle, Head, LabelSource, Layers, recent::RecentBlocks};
use crate::error::NodeError;

/// Blocks that a slow subscriber may be behind before it is told that it missed some.
const BLOCK_FEED_CAPACITY: usize = 256;

/// The only one that adds blocks to the chain. Producing and replaying share its path.
#[derive(Debug)]
pub struct ChainWriter {
    spec: Arc<ChainSpec>,
    store: Store,
    layers: Arc<Layers>,
    engine: Arc<Engine>,
    head: watch::Sender<Head>,
    blocks: broadcast::Sender<Arc<BlockBundle>>,
    recent: RecentBlocks,
}

/// A block that has been executed and sealed and is not durable yet.
#[derive(Debug)]
pub struct ExecutedBlock {
    /// The block with all that is to be written.
    pub bundle: BlockBundle,
    /// Transactions that could not stand in the block, by their index among those given.
    pub dropped: Vec<(usize, InvalidTransaction)>,
    /// What the included transactions looked at and wrote.
    pub accesses: BlockAccesses,
    /// How it was executed.
    pub stats: ExecutionStats,
}

impl ChainWriter {
    /// Takes over the chain in `store`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn new(
        spec: Arc<ChainSpec>,
        store: Store,
        layers: Arc<Layers>,
        engine: Arc<Engine>,
        labels: LabelSource,
    ) -> Result<(Self, ChainHandle), NodeError> {
        let (head, head_receiver) = watch::channel(Head {
            header: store.head()?,
        });
        let (blocks, _) = broadcast::channel(BLOCK_FEED_CAPACITY);
        let recent = RecentBlocks::default();
        let handle = ChainHandle::new(
            spec.clone(),
            store.clone(),
            layers.clone(),
            head_receiver,
            blocks.clone(),
            labels,
            recent.clone(),
        );
        let writer = Self {
            spec,
            store,
            layers,
            engine,
            head,
            blocks,
            recent,
        };
        Ok((writer, handle))
    }

    /// Header of the last durable block.
    pub fn head(&self) -> Sealed<Header> {
        self.head.borrow().header.clone()
    }

    /// Executes transactions as the block after the head and seals it. Nothing is written.
    ///
    /// # Errors
    /// When the state cannot be read or a deposit cannot be executed.
    pub fn execute(
        &self,
        attributes: &BlockAttributes,
        transactions: Vec<RecoveredTransaction>,
    ) -> Result<ExecutedBlock, NodeError> {
        let (header, env) = self.child(attributes);
        let state = self.store.latest_state()?;
        let execution = self
            .engine
            .execute(&*self.layers, &env, &transactions, state)
            .map_err(|error| execution_failed(&header, &error))?;
        self.seal(header, transactions, execution)
    }

    /// As [`ChainWriter::execute`], for a block that is said to have this access list; what is wrong
    /// with the list comes with the block.
    ///
    /// # Errors
    /// As [`ChainWriter::execute`].
    pub fn execute_with_access_list(
        &self,
        attributes: &BlockAttributes,
        transactions: Vec<RecoveredTransaction>,
        list: &BlockAccessList,
    ) -> Result<(ExecutedBlock, AccessListVerdict), NodeError> {
        let (header, env) = self.child(attributes);
        let state = self.store.latest_state()?;
        let (execution, verdict) = self
            .engine
            .execute_with_access_list(&*self.layers, &env, &transactions, list, state)
            .map_err(|error| execution_failed(&header, &error))?;
        Ok((self.seal(header, transactions, execution)?, verdict))
    }

    /// Header and environment of the block after the head.
    fn child(&self, attributes: &BlockAttributes) -> (Header, BlockEnv) {
        let header = child_header(self.spec.chain_id(), &self.head(), attributes);
        let env = BlockEnv::from_header(&header, self.spec.chain_id(), self.spec.fork());
        (header, env)
    }

    fn seal(
        &self,
        mut header: Header,
        transactions: Vec<RecoveredTransaction>,
        execution: BlockExecution,
    ) -> Result<ExecutedBlock, NodeError> {
        let BlockExecution {
            receipts,
            changes,
            gas_used,
            dropped,
            accesses,
            stats,
        } = execution;
        let mut left_out = dropped.iter().map(|(index, _)| *index).peekable();
        let (included, senders): (Vec<_>, Vec<Address>) = transactions
            .into_iter()
            .enumerate()
            .filter(|(index, _)| left_out.next_if_eq(index).is_none())
            .map(|(_, transaction)| transaction.into_parts())
            .unzip();
        let (state_root, trie) = self.store.state_root(&changes)?;
        header.state_root = state_root;
        header.gas_used = gas_used;
        header.transactions_root = proofs::calculate_transaction_root(&included);
        header.receipts_root = Receipt::root(&receipts);
        header.logs_bloom = Receipt::block_bloom(&receipts);
        Ok(ExecutedBlock {
            bundle: BlockBundle {
                block: SealedBlock {
                    header: Sealed::new(header),
                    transactions: included,
                },
                senders,
                receipts,
                changes: Arc::new(changes),
                trie,
            },
            dropped,
            accesses,
            stats,
        })
    }

    /// Makes a block durable, and only then the head (invariants I2 and I6).
    ///
    /// # Errors
    /// When it cannot be written; the node must stop then.
    pub fn commit(&self, executed: ExecutedBlock) -> Result<Arc<BlockBundle>, NodeError> {
        let bundle = executed.bundle;
        self.store.commit(&bundle)?;
        let bundle = Arc::new(bundle);
        self.recent.push(BlockRecord::new(
            bundle.block.number(),
            bundle.block.hash(),
            executed.accesses,
            bundle.changes.clone(),
            Some(executed.stats),
        ));
        self.head.send_replace(Head {
            header: bundle.block.header.clone(),
        });
        // Nobody listening is fine.
        let _ = self.blocks.send(bundle.clone());
        Ok(bundle)
    }
}

fn execution_failed(header: &Header, error: &EngineError<StateError>) -> NodeError {
    NodeError::Execution {
        number: header.number,
        reason: error.to_string(),
    }
}
