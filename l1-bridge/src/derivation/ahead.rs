//! Reading ahead: data, decompression, senders and L1 origins of the next batches, while earlier ones
//! are executed.

use std::{
    collections::VecDeque,
    sync::{Arc, LazyLock},
};

use alloy_consensus::Transaction as _;
use alloy_primitives::Address;
use futures::{StreamExt, TryStreamExt, stream};
use rayon::{ThreadPool, ThreadPoolBuilder, prelude::*};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};
use weft_batcher::{BatchBlock, decode_batch};
use weft_primitives::{L1Origin, RecoveredTransaction, Transaction, TransactionError};

use super::{DerivationError, PostedBatch, posted};
use crate::{L1Client, L1Error, RollupInfo};

/// L1 blocks that are read at the same time for one batch.
const CONCURRENT_READS: usize = 8;
/// Memory of a batch whose size is not known yet, in KiB.
const UNKNOWN_KIB: u32 = 32 << 10;

/// Threads for what is read ahead, one for each core, which give way to others: it shall keep the cores
/// busy that execution leaves, and not hold up the blocks that are executed and sealed. `None` where the
/// system gives no threads; the common pool does it then.
static POOL: LazyLock<Option<ThreadPool>> = LazyLock::new(|| {
    ThreadPoolBuilder::new()
        .thread_name(|index| format!("weft-ahead-{index}"))
        .start_handler(|_| step_back())
        .build()
        .inspect_err(|error| tracing::warn!(%error, "no threads to read ahead with"))
        .ok()
});

fn step_back() {
    /// A third of the time that another thread gets, as Linux weighs them.
    const STEP: i32 = 5;
    // On Linux this is about the calling thread alone; where it fails, nothing is lost but that.
    if let Err(error) = rustix::process::nice(STEP) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}

/// How far is read ahead. Both bounds hold for what is not handed out yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadAheadConfig {
    /// Most batches; at least 1.
    pub batches: usize,
    /// Most memory, in KiB. One batch is read however large it is.
    pub kib: u32,
}

impl Default for ReadAheadConfig {
    fn default() -> Self {
        Self {
            batches: 16,
            kib: 256 << 10,
        }
    }
}

/// A batch as its data says, before it is compared with the chain before it.
#[derive(Debug)]
pub(super) struct ReadBatch {
    pub(super) data_bytes: usize,
    pub(super) blocks: Vec<ReadBlock>,
    /// The L1 blocks that its blocks move to; empty when they cannot be what the data names.
    pub(super) origins: Vec<L1Origin>,
    _memory: OwnedSemaphorePermit,
}

/// A block of a batch, with the senders of its transactions.
#[derive(Debug)]
pub(super) struct ReadBlock {
    pub(super) timestamp: u64,
    pub(super) gas_limit: u64,
    pub(super) beneficiary: Address,
    pub(super) l1_origin: Option<u64>,
    pub(super) transactions: Vec<Result<RecoveredTransaction, TransactionError>>,
}

/// The batches that are being read, oldest first.
#[derive(Debug)]
pub(super) struct ReadAhead {
    client: L1Client,
    info: Arc<RollupInfo>,
    config: ReadAheadConfig,
    jobs: VecDeque<Job>,
    memory: Arc<Semaphore>,
}

#[derive(Debug)]
struct Job {
    index: u64,
    task: JoinHandle<Result<ReadBatch, DerivationError>>,
}

/// Nobody waits for it any more.
impl Drop for Job {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ReadAhead {
    pub(super) fn new(client: L1Client, info: RollupInfo, config: ReadAheadConfig) -> Self {
        Self {
            client,
            info: Arc::new(info),
            memory: Arc::new(Semaphore::new(config.kib.max(UNKNOWN_KIB) as usize)),
            config,
            jobs: VecDeque::new(),
        }
    }

    /// Starts to read what is not read yet of `found`, which begins with the batch that is waited for.
    pub(super) fn start<'a>(&mut self, found: impl Iterator<Item = &'a PostedBatch>) {
        let next = self.jobs.back().map(|job| job.index);
        for posted in found.take(self.config.batches.max(1)) {
            if next.is_none_or(|last| posted.index > last) {
                self.jobs.push_back(Job {
                    index: posted.index,
                    task: tokio::spawn(read(
                        self.client.clone(),
                        self.info.clone(),
                        *posted,
                        self.memory.clone(),
                    )),
                });
            }
        }
    }

    /// Waits for the first batch, which [`Self::start`] was given. May be dropped and called again.
    pub(super) async fn first(&mut self) -> Result<ReadBatch, DerivationError> {
        let Some(job) = self.jobs.front_mut() else {
            return Err(DerivationError::Interrupted);
        };
        let result = (&mut job.task).await;
        let result = result.unwrap_or(Err(DerivationError::Interrupted));
        match &result {
            Ok(_) => drop(self.jobs.pop_front()),
            // Whatever failed, the others may have met it too: they are read again.
            Err(_) => self.jobs.clear(),
        }
        result
    }

    /// Gives up batches from this index on.
    pub(super) fn forget_from(&mut self, index: u64) {
        self.jobs.retain(|job| job.index < index);
    }
}

/// Reads one batch. Waits for its turn to have memory: turns go in the order of the batches.
async fn read(
    client: L1Client,
    info: Arc<RollupInfo>,
    posted: PostedBatch,
    memory: Arc<Semaphore>,
) -> Result<ReadBatch, DerivationError> {
    let mut memory = memory
        .acquire_many_owned(UNKNOWN_KIB)
        .await
        .map_err(|_| DerivationError::Interrupted)?;
    let index = posted.index;
    let data = posted::fetch_data(&client, &info, &posted).await?;
    let data_bytes = data.len();
    // Decompression, hashing and signatures of up to 32 MiB: not for tokio's threads.
    let decoded = tokio::task::spawn_blocking(move || {
        let decode = || {
            decode_batch(&data).map(|blocks| blocks.into_iter().map(recover).collect::<Vec<_>>())
        };
        match &*POOL {
            Some(pool) => pool.install(decode),
            None => decode(),
        }
    })
    .await
    .map_err(|_| DerivationError::Interrupted)?;
    let blocks = decoded.map_err(|error| DerivationError::Batch {
        index,
        fault: error.into(),
    })?;
    if let Some(surplus) = (UNKNOWN_KIB as usize).checked_sub(kib(&blocks)) {
        drop(memory.split(surplus));
    }
    let origins = read_origins(&client, &posted, &blocks).await?;
    Ok(ReadBatch {
        data_bytes,
        blocks,
        origins,
        _memory: memory,
    })
}

/// Recovers senders on all cores.
fn recover(block: BatchBlock) -> ReadBlock {
    ReadBlock {
        timestamp: block.timestamp,
        gas_limit: block.gas_limit,
        beneficiary: block.beneficiary,
        l1_origin: block.l1_origin,
        transactions: block
            .transactions
            .into_par_iter()
            .map(Transaction::recover)
            .collect(),
    }
}

/// About what blocks take in memory, in KiB.
fn kib(blocks: &[ReadBlock]) -> usize {
    const TRANSACTION: usize = size_of::<Result<RecoveredTransaction, TransactionError>>();
    let transactions = blocks.iter().flat_map(|block| &block.transactions);
    let bytes = transactions
        .map(|transaction| {
            let content = transaction.as_ref().map_or(0, |transaction| {
                let list = transaction.access_list();
                let list = list.map_or(0, |list| list.size());
                transaction.input().len().saturating_add(list)
            });
            TRANSACTION.saturating_add(content)
        })
        .fold(size_of_val(blocks), usize::saturating_add);
    (bytes >> 10).saturating_add(1)
}

/// The origins that the blocks name, if they can be: in order, and before the batch. L1 must not be
/// asked for others, because not to have them would look like a failure of L1.
async fn read_origins(
    client: &L1Client,
    posted: &PostedBatch,
    blocks: &[ReadBlock],
) -> Result<Vec<L1Origin>, L1Error> {
    let numbers: Vec<u64> = blocks.iter().filter_map(|block| block.l1_origin).collect();
    let in_order = numbers.is_sorted_by(|a, b| a < b);
    let before = numbers.last().is_none_or(|last| *last < posted.l1_block);
    if !in_order || !before {
        return Ok(Vec::new());
    }
    stream::iter(numbers)
        .map(|number| client.existing_block(number))
        .buffered(CONCURRENT_READS)
        .try_collect()
        .await
}
