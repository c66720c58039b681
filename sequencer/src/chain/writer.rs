use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_consensus::{Header, Sealed};
use alloy_primitives::Address;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use weft_executor_core::{BlockEnv, ChangeSet, InvalidTransaction};
use weft_executor_parallel::{
    AccessListVerdict, BlockAccessList, BlockAccesses, BlockExecution, Engine, EngineError,
    ExecutionStats,
};
use weft_primitives::{
    BlockAttributes, ChainSpec, L1Origin, Receipt, RecoveredTransaction, Transaction,
    parse_attributes_deposit, unlinked_child_header,
};
use weft_state::{Store, Unwound};

use super::{
    AccessListRecord, ChainHandle, Head, LabelSource, Layers, WithdrawalIndex,
    inclusions::Inclusions,
    pending::{BlockHash, PendingBlock, PendingState, PendingStateError},
    recent::RecentBlocks,
    stages::{Publisher, Stages},
};
use crate::{error::NodeError, metrics::BlockSource};

/// Blocks that a slow subscriber may be behind before it is told that it missed some.
const BLOCK_FEED_CAPACITY: usize = 256;

/// The only one that adds blocks to the chain. Producing and replaying share its path.
///
/// A block goes through three stages, each on a thread of its own: it is executed by who calls
/// [`ChainWriter::execute`], sealed (state root, hash), and made durable. The next block is executed
/// on top of blocks that are still in the later stages.
#[derive(Debug)]
pub struct ChainWriter {
    spec: Arc<ChainSpec>,
    store: Store,
    layers: Arc<Layers>,
    engine: Arc<Engine>,
    /// Header of the last block that was given to the later stages. Its hash, its parent's and its
    /// roots are not known here.
    tip: Header,
    /// The L1 origin in force after it.
    origin: Option<L1Origin>,
    /// Blocks that were not durable when the last one was executed, oldest first.
    pending: VecDeque<PendingBlock>,
    stages: Stages,
}

/// A block that has been executed and is neither sealed nor durable yet.
#[derive(Debug)]
pub struct ExecutedBlock {
    /// Header without parent hash, roots and bloom.
    pub(super) header: Header,
    pub(super) transactions: Vec<Transaction>,
    pub(super) senders: Vec<Address>,
    pub(super) receipts: Vec<Receipt>,
    pub(super) changes: Arc<ChangeSet>,
    pub(super) accesses: BlockAccesses,
    pub(super) stats: ExecutionStats,
    pub(super) execution: Duration,
    /// When the transactions that somebody waits for were received, for latencies.
    pub(super) received: Vec<Instant>,
    /// Transactions that could not stand in the block, by their index among those given.
    pub dropped: Vec<(usize, InvalidTransaction)>,
}

impl ExecutedBlock {
    /// Number of the block.
    pub const fn number(&self) -> u64 {
        self.header.number
    }

    /// Timestamp of the block, in seconds since the Unix epoch.
    pub const fn timestamp(&self) -> u64 {
        self.header.timestamp
    }

    /// Gas limit of the block, in gas.
    pub const fn gas_limit(&self) -> u64 {
        self.header.gas_limit
    }

    /// Transactions of the block, deposits included.
    pub fn transactions(&self) -> &[Transaction] {
        &self.transactions
    }

    /// What the block changed.
    pub const fn changes(&self) -> &Arc<ChangeSet> {
        &self.changes
    }

    /// Time that the execution took.
    pub const fn execution(&self) -> Duration {
        self.execution
    }

    /// Says when transactions of the block were received, in any order.
    #[must_use]
    pub fn with_received(mut self, received: Vec<Instant>) -> Self {
        self.received = received;
        self
    }
}

impl ChainWriter {
    /// Takes over the chain in `store`, and starts the stages.
    ///
    /// # Errors
    /// When the store cannot be read or the system gives no threads.
    pub fn new(
        spec: Arc<ChainSpec>,
        store: Store,
        layers: Arc<Layers>,
        engine: Arc<Engine>,
        labels: LabelSource,
        source: BlockSource,
    ) -> Result<(Self, ChainHandle), NodeError> {
        let tip = store.head()?;
        let (head, head_receiver) = watch::channel(Head {
            header: tip.clone(),
        });
        let (blocks, _) = broadcast::channel(BLOCK_FEED_CAPACITY);
        let recent = RecentBlocks::default();
        let inclusions = Inclusions::default();
        let handle = ChainHandle {
            spec: spec.clone(),
            store: store.clone(),
            layers: layers.clone(),
            head: head_receiver,
            blocks: blocks.clone(),
            labels,
            recent: recent.clone(),
            inclusions: inclusions.clone(),
            access_lists: AccessListRecord::default(),
            withdrawals: WithdrawalIndex::default(),
            verified: match source {
                BlockSource::Derived => Some(Arc::default()),
                BlockSource::Produced => None,
            },
        };
        let stages = Stages::start(Publisher {
            store: store.clone(),
            head,
            blocks,
            recent,
            inclusions,
            source,
            chain_id: spec.chain_id(),
        })?;
        let writer = Self {
            origin: store.l1_origin(tip.number)?,
            tip: tip.into_inner(),
            spec,
            store,
            layers,
            engine,
            pending: VecDeque::new(),
            stages,
        };
        Ok((writer, handle))
    }

    /// Header of the last block of the chain, durable or not. Of what it says, number, timestamp,
    /// gas limit, gas used and base fee hold; the rest is known once the block is sealed.
    pub const fn tip(&self) -> &Header {
        &self.tip
    }

    /// The L1 origin in force after the last block, durable or not.
    pub const fn l1_origin(&self) -> Option<L1Origin> {
        self.origin
    }

    /// Environment of a block after the last one, durable or not.
    pub fn next_env(&self, attributes: &BlockAttributes) -> BlockEnv {
        self.child(attributes).1
    }

    /// Executes transactions as the block after the last one. The chain stays as it is until the
    /// block is given to [`ChainWriter::append`].
    ///
    /// # Errors
    /// When the state cannot be read or a deposit cannot be executed.
    pub fn execute(
        &self,
        attributes: &BlockAttributes,
        transactions: Vec<RecoveredTransaction>,
    ) -> Result<ExecutedBlock, NodeError> {
        let started = Instant::now();
        let (header, env) = self.child(attributes);
        let execution = self
            .engine
            .execute(&*self.layers, &env, &transactions, self.state()?)
            .map_err(|error| self.execution_failed(&header, error))?;
        Ok(executed(header, transactions, execution, started))
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
        let started = Instant::now();
        let (header, env) = self.child(attributes);
        let (execution, verdict) = self
            .engine
            .execute_with_access_list(&*self.layers, &env, &transactions, list, self.state()?)
            .map_err(|error| self.execution_failed(&header, error))?;
        Ok((executed(header, transactions, execution, started), verdict))
    }

    /// Makes a block that was executed last the end of the chain and hands it to the later stages.
    /// Waits while they are busy with earlier blocks.
    ///
    /// # Errors
    /// What made a later stage fail; the node must stop then.
    pub fn append(&mut self, block: ExecutedBlock) -> Result<(), NodeError> {
        self.forget_durable()?;
        let (hash, promise) = BlockHash::promised();
        self.tip.clone_from(&block.header);
        if let Some(origin) = block
            .transactions
            .first()
            .and_then(parse_attributes_deposit)
        {
            self.origin = Some(origin);
        }
        self.pending.push_back(PendingBlock {
            number: block.header.number,
            changes: block.changes.clone(),
            hash,
        });
        self.stages.push(block, promise)
    }

    /// Waits until every appended block is durable.
    ///
    /// # Errors
    /// What made a stage fail; the node must stop then.
    pub fn flush(&mut self) -> Result<Sealed<Header>, NodeError> {
        self.stages.flush()?;
        Ok(self.store.head()?)
    }

    /// Takes back every block above `number`, after every appended block is durable: what was before
    /// and after. The head goes back; what was told of the blocks stays told. `number` is not above the
    /// last block, and not below what [`Store::oldest_state`] says.
    ///
    /// # Errors
    /// [`StateError::UnwindAboveHead`](weft_state::StateError) and
    /// [`StateError::UnwindTooFar`](weft_state::StateError), after which the chain is as it was; what
    /// made a stage fail, and when the store cannot be read or written: the node must stop then.
    pub fn unwind_to(&mut self, number: u64) -> Result<Unwound, NodeError> {
        let unwound = self.stages.unwind_to(number)?;
        self.pending.clear();
        self.tip = unwound.to.inner().clone();
        self.origin = self.store.l1_origin(number)?;
        Ok(unwound)
    }

    /// How long sealing, and writing, took for the last block that went through; zero before one has.
    pub fn last_stage_times(&self) -> (Duration, Duration) {
        self.stages.last_times()
    }

    /// Cancelled as soon as a later stage has failed.
    pub fn failed(&self) -> &CancellationToken {
        self.stages.failed()
    }

    /// What made a later stage fail. To be asked for once, after [`ChainWriter::failed`].
    pub fn failure(&self) -> NodeError {
        self.stages.failure()
    }

    fn state(&self) -> Result<PendingState, NodeError> {
        Ok(PendingState::new(&self.store, self.pending.iter())?)
    }

    /// Header and environment of the block after the last one.
    fn child(&self, attributes: &BlockAttributes) -> (Header, BlockEnv) {
        let header = unlinked_child_header(self.spec.chain_id(), &self.tip, attributes);
        let env = BlockEnv::from_header(&header, self.spec.chain_id(), self.spec.fork());
        (header, env)
    }

    fn forget_durable(&mut self) -> Result<(), NodeError> {
        let durable = self.store.head()?.number;
        while self
            .pending
            .front()
            .is_some_and(|block| block.number <= durable)
        {
            self.pending.pop_front();
        }
        Ok(())
    }

    /// A block that is unsealed because a stage has failed is that stage's error.
    fn execution_failed(
        &self,
        header: &Header,
        error: EngineError<PendingStateError>,
    ) -> NodeError {
        match error {
            EngineError::State(PendingStateError::Unsealed(_)) => self.stages.failure(),
            EngineError::State(PendingStateError::Store(error)) => NodeError::Store(error),
            other => NodeError::Execution {
                number: header.number,
                reason: other.to_string(),
            },
        }
    }
}

fn executed(
    mut header: Header,
    transactions: Vec<RecoveredTransaction>,
    execution: BlockExecution,
    started: Instant,
) -> ExecutedBlock {
    let BlockExecution {
        receipts,
        changes,
        gas_used,
        dropped,
        accesses,
        stats,
    } = execution;
    header.gas_used = gas_used;
    let mut left_out = dropped.iter().map(|(index, _)| *index).peekable();
    let (transactions, senders): (Vec<_>, Vec<Address>) = transactions
        .into_iter()
        .enumerate()
        .filter(|(index, _)| left_out.next_if_eq(index).is_none())
        .map(|(_, transaction)| transaction.into_parts())
        .unzip();
    ExecutedBlock {
        header,
        transactions,
        senders,
        receipts,
        changes: Arc::new(changes),
        accesses,
        stats,
        execution: started.elapsed(),
        received: Vec::new(),
        dropped,
    }
}
