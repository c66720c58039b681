//! The stages behind execution: sealing (state root, header, hash) and making durable, each on a
//! thread of its own, with bounded queues between them. While a block is sealed the next one is
//! executed, and the one before it is written.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use alloy_consensus::{Header, Sealed, proofs};
use alloy_primitives::B256;
use parking_lot::Mutex;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use weft_executor_parallel::{BlockAccesses, ExecutionStats};
use weft_primitives::{Receipt, SealedBlock};
use weft_state::{BlockBundle, StateError, Store, Unwound};

use super::{
    BlockRecord, ExecutedBlock, Head, inclusions::Inclusions, pending::HashPromise,
    recent::RecentBlocks,
};
use crate::{
    error::NodeError,
    metrics::{BlockMetrics, BlockSource, Stage, TransactionState},
};

/// Blocks that wait between two stages: none. A stage hands a block over when the next one is free, so
/// each stage has a block; with more of them blocks would be smaller, and older before they are durable.
const QUEUE: usize = 0;

/// Transactions from which on parts of a header are computed side by side: a smaller block is done
/// before another thread has woken up.
const PARALLEL_FROM: usize = 64;

/// What a durable block is told to.
pub(super) struct Publisher {
    pub(super) store: Store,
    pub(super) head: watch::Sender<Head>,
    pub(super) blocks: broadcast::Sender<Arc<BlockBundle>>,
    pub(super) recent: RecentBlocks,
    pub(super) inclusions: Inclusions,
    pub(super) source: BlockSource,
    pub(super) chain_id: u64,
}

/// A caller who waits for a block that never comes must not hold up the end of the node.
impl Drop for Publisher {
    fn drop(&mut self) {
        self.inclusions.end();
    }
}

/// The running stages. Dropped, they finish what was pushed and end.
pub(super) struct Stages {
    /// `None` once they are told to end.
    queue: Option<SyncSender<ToSeal>>,
    threads: Vec<JoinHandle<()>>,
    failure: Failure,
    metrics: BlockMetrics,
    times: Arc<StageTimes>,
}

/// How long the last block took in each later stage, in nanoseconds.
#[derive(Default)]
struct StageTimes {
    seal: AtomicU64,
    commit: AtomicU64,
}

impl StageTimes {
    fn set(time: &AtomicU64, took: Duration) {
        time.store(
            u64::try_from(took.as_nanos()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }
}

impl fmt::Debug for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stages")
            .field("failed", &self.failure.token.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// What the sealing stage is given.
enum ToSeal {
    Block {
        block: Box<ExecutedBlock>,
        hash: HashPromise,
        since: Instant,
    },
    Flush(SyncSender<()>),
    Unwind(u64, SyncSender<Result<Unwound, StateError>>),
}

/// What the committing stage is given.
enum ToCommit {
    Block {
        block: Box<SealedUnit>,
        since: Instant,
    },
    Flush(SyncSender<()>),
    Unwind(u64, SyncSender<Result<Unwound, StateError>>),
}

/// A sealed block and what is told with it.
struct SealedUnit {
    bundle: Arc<BlockBundle>,
    dropped: usize,
    accesses: BlockAccesses,
    stats: ExecutionStats,
    received: Vec<Instant>,
}

/// The first error of any stage; clones share it.
#[derive(Clone, Default)]
struct Failure {
    error: Arc<Mutex<Option<NodeError>>>,
    token: CancellationToken,
}

impl Failure {
    fn set(&self, error: NodeError) {
        self.error.lock().get_or_insert(error);
        self.token.cancel();
    }
}

/// Held by a stage's thread: a stage that panics has failed too.
struct PanicIsFailure<'a>(&'a Failure, &'static str);

impl Drop for PanicIsFailure<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0
                .set(NodeError::Setup(format!("stage {} panicked", self.1)));
        }
    }
}

impl Stages {
    pub(super) fn start(publisher: Publisher) -> Result<Self, NodeError> {
        let failure = Failure::default();
        let (queue, to_seal) = sync_channel(QUEUE);
        let (sealed, to_commit) = sync_channel(QUEUE);
        let metrics = BlockMetrics::new(publisher.source, publisher.chain_id);
        let times = Arc::<StageTimes>::default();
        let committing = times.clone();
        let sealer = Sealer {
            parent: publisher.store.head()?.hash(),
            states: publisher.store.sealer(),
            store: publisher.store.clone(),
            metrics: metrics.clone(),
            times: times.clone(),
        };
        let threads = vec![
            stage("seal", &failure, move || sealer.run(&to_seal, &sealed))?,
            stage("commit", &failure, {
                let metrics = metrics.clone();
                move || publisher.run(&to_commit, &metrics, &committing)
            })?,
        ];
        Ok(Self {
            queue: Some(queue),
            threads,
            failure,
            metrics,
            times,
        })
    }

    /// Hands a block over; waits while the queue is full.
    pub(super) fn push(&self, block: ExecutedBlock, hash: HashPromise) -> Result<(), NodeError> {
        self.metrics.queue(Stage::Seal, true);
        self.send(ToSeal::Block {
            block: Box::new(block),
            hash,
            since: Instant::now(),
        })
    }

    /// Waits until everything that was pushed is durable.
    pub(super) fn flush(&self) -> Result<(), NodeError> {
        let (done, is_done) = sync_channel(1);
        self.send(ToSeal::Flush(done))?;
        is_done.recv().map_err(|_| self.failure())
    }

    /// Takes back every durable block above `number`, once everything that was pushed is durable.
    pub(super) fn unwind_to(&self, number: u64) -> Result<Unwound, NodeError> {
        let (done, is_done) = sync_channel(1);
        self.send(ToSeal::Unwind(number, done))?;
        Ok(is_done.recv().map_err(|_| self.failure())??)
    }

    /// How long sealing, and writing, took for the last block that went through; zero before one has.
    pub(super) fn last_times(&self) -> (Duration, Duration) {
        let time = |time: &AtomicU64| Duration::from_nanos(time.load(Ordering::Relaxed));
        (time(&self.times.seal), time(&self.times.commit))
    }

    pub(super) const fn failed(&self) -> &CancellationToken {
        &self.failure.token
    }

    /// The first error of any stage; afterwards a mere notice that there was one.
    pub(super) fn failure(&self) -> NodeError {
        let error = self.failure.error.lock().take();
        error.unwrap_or_else(|| NodeError::Setup("a stage of the pipeline has failed".to_owned()))
    }

    fn send(&self, message: ToSeal) -> Result<(), NodeError> {
        let sent = self.queue.as_ref().map(|queue| queue.send(message));
        match sent {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => Err(self.failure()),
        }
    }
}

impl Drop for Stages {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            // A panic has been told as a failure.
            let _ = thread.join();
        }
    }
}

fn stage(
    name: &'static str,
    failure: &Failure,
    work: impl FnOnce() -> Result<(), NodeError> + Send + 'static,
) -> Result<JoinHandle<()>, NodeError> {
    let failure = failure.clone();
    thread::Builder::new()
        .name(format!("weft-{name}"))
        .spawn(move || {
            let _guard = PanicIsFailure(&failure, name);
            if let Err(error) = work() {
                failure.set(error);
            }
        })
        .map_err(|error| NodeError::Setup(format!("cannot start thread {name}: {error}")))
}

/// The sealing stage.
struct Sealer {
    store: Store,
    states: weft_state::Sealer,
    /// Hash of the last sealed block.
    parent: B256,
    metrics: BlockMetrics,
    times: Arc<StageTimes>,
}

impl Sealer {
    fn run(
        mut self,
        blocks: &Receiver<ToSeal>,
        sealed: &SyncSender<ToCommit>,
    ) -> Result<(), NodeError> {
        while let Ok(message) = blocks.recv() {
            let next = match message {
                ToSeal::Flush(done) => ToCommit::Flush(done),
                ToSeal::Unwind(number, done) => {
                    let (unwound, is_unwound) = sync_channel(1);
                    if sealed.send(ToCommit::Unwind(number, unwound)).is_err() {
                        break;
                    }
                    let Ok(result) = is_unwound.recv() else {
                        break;
                    };
                    if let Ok(unwound) = &result {
                        self.parent = unwound.to.hash();
                        self.states = self.store.sealer();
                    }
                    // Whoever asked may be gone.
                    let _ = done.send(result);
                    continue;
                }
                ToSeal::Block { block, hash, since } => {
                    let started = Instant::now();
                    self.metrics.queue(Stage::Seal, false);
                    self.metrics.stage(Stage::Execute, None, block.execution);
                    self.metrics
                        .transactions(TransactionState::Executed, &block.received);
                    let unit = self.seal(*block)?;
                    hash.keep(unit.bundle.block.hash());
                    StageTimes::set(&self.times.seal, started.elapsed());
                    self.metrics.stage(
                        Stage::Seal,
                        Some(started.duration_since(since)),
                        started.elapsed(),
                    );
                    self.metrics.queue(Stage::Commit, true);
                    ToCommit::Block {
                        block: Box::new(unit),
                        since: Instant::now(),
                    }
                }
            };
            if sealed.send(next).is_err() {
                // The next stage has told why it ended.
                break;
            }
        }
        Ok(())
    }

    fn seal(&mut self, block: ExecutedBlock) -> Result<SealedUnit, NodeError> {
        let mut root = || self.states.apply(&block.changes);
        let rest = || {
            (
                proofs::calculate_transaction_root(&block.transactions),
                Receipt::root(&block.receipts),
                Receipt::block_bloom(&block.receipts),
            )
        };
        let (root, (transactions_root, receipts_root, logs_bloom)) =
            if block.transactions.len() < PARALLEL_FROM {
                (root(), rest())
            } else {
                rayon::join(root, rest)
            };
        let (state_root, trie) = root?;
        let header = Sealed::new(Header {
            parent_hash: self.parent,
            state_root,
            transactions_root,
            receipts_root,
            logs_bloom,
            ..block.header
        });
        self.parent = header.hash();
        let bundle = Arc::new(BlockBundle {
            block: SealedBlock {
                header,
                transactions: block.transactions,
            },
            senders: block.senders,
            receipts: block.receipts,
            changes: block.changes,
            trie: Arc::new(trie),
        });
        Ok(SealedUnit {
            bundle,
            dropped: block.dropped.len(),
            accesses: block.accesses,
            stats: block.stats,
            received: block.received,
        })
    }
}

impl Publisher {
    /// The committing stage: makes blocks durable, and only then the head (invariants I2 and I6).
    fn run(
        self,
        blocks: &Receiver<ToCommit>,
        metrics: &BlockMetrics,
        times: &StageTimes,
    ) -> Result<(), NodeError> {
        while let Ok(message) = blocks.recv() {
            match message {
                // Whoever asked may be gone.
                ToCommit::Flush(done) => drop(done.send(())),
                ToCommit::Unwind(number, done) => drop(done.send(self.unwind_to(number))),
                ToCommit::Block { block, since } => {
                    let started = Instant::now();
                    metrics.queue(Stage::Commit, false);
                    self.store.commit(&block.bundle)?;
                    let (waited, busy) = (started.duration_since(since), started.elapsed());
                    StageTimes::set(&times.commit, busy);
                    metrics.transactions(TransactionState::Durable, &block.received);
                    self.publish(*block, metrics);
                    metrics.stage(Stage::Commit, Some(waited), busy);
                }
            }
        }
        Ok(())
    }

    /// The store goes first: who still knows the old head finds that its blocks are not there.
    fn unwind_to(&self, number: u64) -> Result<Unwound, StateError> {
        let unwound = self.store.unwind_to(number)?;
        self.recent.forget_above(number);
        self.head.send_replace(Head {
            header: unwound.to.clone(),
        });
        Ok(unwound)
    }

    fn publish(&self, unit: SealedUnit, metrics: &BlockMetrics) {
        let SealedUnit {
            bundle,
            dropped,
            accesses,
            stats,
            received: _,
        } = unit;
        self.recent.push(BlockRecord::new(
            bundle.block.number(),
            bundle.block.hash(),
            accesses,
            bundle.changes.clone(),
            Some(stats),
        ));
        self.head.send_replace(Head {
            header: bundle.block.header.clone(),
        });
        tracing::debug!(
            number = bundle.block.number(),
            hash = %bundle.block.hash(),
            transactions = bundle.block.transactions.len(),
            gas = bundle.block.header.gas_used,
            "block"
        );
        metrics.block(&bundle, stats.reexecutions, dropped);
        self.inclusions.publish(&bundle);
        // Nobody listening is fine.
        let _ = self.blocks.send(bundle);
    }
}
