use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy_primitives::{B256, keccak256};
use tokio::{sync::watch, task::JoinError};
use weft_primitives::{L1Origin, SealedBlock};

use crate::{
    BatchBlock, BatchBuilder, BatchEncodeError, BatchHeader, BatchPolicy, BatchPoster, ChainSource,
    ChainSourceError, EventSink, LastBatch, MAX_POSTED_BYTES, Offer, PostError, SubmitterEvent,
};

/// How long to wait before another try: doubled from `first` up to `most`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Wait after the first failure.
    pub first: Duration,
    /// Longest wait.
    pub most: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            most: Duration::from_secs(30),
        }
    }
}

/// What the submitter is doing, for status calls and metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubmitterStatus {
    /// The contract's state when it was last read; `None` before the first reading.
    pub last_batch: Option<LastBatch>,
    /// First and last block of the batch that is on its way to L1.
    pub pending: Option<(u64, u64)>,
    /// The error that is being waited out.
    pub last_error: Option<String>,
    /// Failures since the last success.
    pub failures: u32,
}

/// Why the submitter stopped for good.
#[derive(Debug, thiserror::Error)]
pub enum SubmitterError {
    /// The contract has blocks that this chain does not have.
    #[error(
        "L1 has the chain up to block {l1_block} ({l1_hash}), but its head here is block {head}: the data folder is older than what was posted"
    )]
    Behind {
        /// Last block on L1.
        l1_block: u64,
        /// Its hash.
        l1_hash: B256,
        /// Last block here.
        head: u64,
    },
    /// The contract holds another chain than this one.
    #[error(
        "L1 holds another chain: expected block {block} to be {ours}, found {l1_hash} in the contract"
    )]
    Forked {
        /// Last block on L1.
        block: u64,
        /// Hash of this block here.
        ours: B256,
        /// Hash of this block in the contract.
        l1_hash: B256,
    },
    /// The chain has a hole below its head.
    #[error("chain: block {0} is missing below the head")]
    MissingBlock(u64),
    /// A single block is too large to be posted.
    #[error(
        "block {block} takes {found} bytes as a batch: expected at most {MAX_POSTED_BYTES}, or no L1 node relays it"
    )]
    BlockTooLarge {
        /// Number of the block.
        block: u64,
        /// Size of its batch, in bytes.
        found: usize,
    },
    /// The chain cannot be read.
    #[error(transparent)]
    Source(#[from] ChainSourceError),
    /// A block cannot be encoded.
    #[error(transparent)]
    Encode(#[from] BatchEncodeError),
    /// L1 refuses for good.
    #[error("L1: {0}")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Work outside of tokio's threads ended early.
    #[error("batch encoding ended early: {0}")]
    Worker(#[from] JoinError),
}

/// Posts the chain's blocks to L1, in order and without gap (I4).
///
/// It trusts no memory of its own: where to go on is read from the contract before every batch. It
/// may be dropped at any time; the next one finds out from L1 what arrived.
#[derive(Debug)]
pub struct Submitter<C, P> {
    chain: Arc<C>,
    poster: P,
    policy: BatchPolicy,
    retry: RetryPolicy,
    events: EventSink,
    status: watch::Sender<SubmitterStatus>,
}

/// How often L1 is read again while the chain makes no blocks.
const IDLE_RECHECK: Duration = Duration::from_secs(30);

/// A batch that is due.
struct Ready {
    header: BatchHeader,
    data: Vec<u8>,
    /// The L1 origin of its last block.
    origin: Option<L1Origin>,
}

/// A step that failed: either to be tried again or the end.
enum StepError {
    Retry(Box<dyn std::error::Error + Send + Sync>),
    Stop(SubmitterError),
}

impl<E: Into<SubmitterError>> From<E> for StepError {
    fn from(error: E) -> Self {
        Self::Stop(error.into())
    }
}

fn step_error(error: PostError) -> StepError {
    match error {
        PostError::Retry(error) => StepError::Retry(error),
        PostError::Fatal(error) => StepError::Stop(SubmitterError::Refused(error)),
    }
}

impl<C: ChainSource, P: BatchPoster> Submitter<C, P> {
    /// Puts a submitter together; [`Self::run`] starts it.
    pub fn new(
        chain: Arc<C>,
        poster: P,
        policy: BatchPolicy,
        retry: RetryPolicy,
        events: EventSink,
    ) -> Self {
        Self {
            chain,
            poster,
            policy,
            retry,
            events,
            status: watch::Sender::new(SubmitterStatus::default()),
        }
    }

    /// Follows what the submitter is doing.
    pub fn status(&self) -> watch::Receiver<SubmitterStatus> {
        self.status.subscribe()
    }

    /// Posts batches until something is wrong for good. Failures that may pass are waited out.
    ///
    /// # Errors
    /// Always: see [`SubmitterError`].
    pub async fn run(self) -> Result<Infallible, SubmitterError> {
        let mut wait = self.retry.first;
        loop {
            match self.step().await {
                Ok(()) => {
                    wait = self.retry.first;
                    self.status.send_modify(|status| {
                        status.last_error = None;
                        status.failures = 0;
                    });
                }
                Err(StepError::Stop(error)) => return Err(error),
                Err(StepError::Retry(error)) => {
                    tracing::warn!(%error, retry_in = ?wait, "posting to L1 failed");
                    self.status.send_modify(|status| {
                        status.pending = None;
                        status.last_error = Some(error.to_string());
                        status.failures = status.failures.saturating_add(1);
                    });
                    tokio::time::sleep(wait).await;
                    wait = wait.saturating_mul(2).min(self.retry.most);
                }
            }
        }
    }

    /// Reads where L1 is, waits until the next batch is due, and posts it. Does nothing when the
    /// chain has nothing new for a while, so that L1 is read again: it may have reorganised.
    async fn step(&self) -> Result<(), StepError> {
        let last = self.poster.last_batch().await.map_err(step_error)?;
        self.status.send_modify(|status| {
            status.last_batch = Some(last);
            status.last_error = None;
        });
        let Some(Ready {
            header,
            data,
            origin,
        }) = self.next_batch(&last).await?
        else {
            return Ok(());
        };
        // The last origin stands for all: each was on the chain of the one after it.
        if let Some(origin) = &origin {
            self.poster.check_origin(origin).await.map_err(step_error)?;
        }
        let batch_hash = header.hash();
        self.status
            .send_modify(|status| status.pending = Some((header.first_block, header.last_block)));
        let posted = match self
            .poster
            .post(last.count, &header, &data, &self.events)
            .await
        {
            Ok(posted) => posted,
            Err(error) => {
                self.events
                    .send(SubmitterEvent::Failed {
                        batch_hash,
                        header,
                        error: error.to_string(),
                    })
                    .await;
                return Err(step_error(error));
            }
        };
        tracing::info!(
            first_block = header.first_block,
            last_block = header.last_block,
            bytes = data.len(),
            tx_hash = %posted.tx_hash,
            l1_block = posted.l1_block,
            "batch posted"
        );
        self.status.send_modify(|status| {
            status.pending = None;
            status.last_batch = Some(LastBatch {
                count: last.count.saturating_add(1),
                hash: batch_hash,
                last_block: header.last_block,
                last_block_hash: header.last_block_hash,
            });
        });
        self.events
            .send(SubmitterEvent::Included {
                batch_hash,
                header,
                posted,
            })
            .await;
        Ok(())
    }

    /// Waits until the batch after `last` is due and encodes it; `None` when no block came for
    /// [`IDLE_RECHECK`].
    async fn next_batch(&self, last: &LastBatch) -> Result<Option<Ready>, StepError> {
        self.check_same_chain(last).await?;
        let first_block = last.last_block.saturating_add(1);
        let mut builder = BatchBuilder::new(self.policy, first_block);
        loop {
            builder = self.fill(builder).await?;
            let due_in = builder.due_in(since_epoch());
            if builder.is_full() || due_in == Some(Duration::ZERO) {
                break;
            }
            let more = self.chain.wait_for(builder.next_block());
            let timed_out = tokio::time::timeout(due_in.unwrap_or(IDLE_RECHECK), more)
                .await
                .is_err();
            if timed_out && builder.is_empty() {
                return Ok(None);
            }
        }
        let chain = Arc::clone(&self.chain);
        let previous_batch_hash = last.hash;
        let batch = tokio::task::spawn_blocking(move || {
            let backlog = (chain.head().saturating_add(1)).saturating_sub(builder.next_block());
            let batch = builder.close(backlog)?;
            if batch.data.len() > MAX_POSTED_BYTES {
                return Err(SubmitterError::BlockTooLarge {
                    block: batch.first_block,
                    found: batch.data.len(),
                });
            }
            let last = read_block(chain.as_ref(), batch.last_block)?;
            let header = BatchHeader {
                previous_batch_hash,
                first_block: batch.first_block,
                last_block: batch.last_block,
                last_block_hash: last.hash(),
                state_root: last.header.state_root,
                withdrawals_root: B256::ZERO,
                deposits_consumed: chain.deposit_count(batch.last_block)?,
                blob_count: 0,
                data_hash: keccak256(&batch.data),
            };
            Ok(Ready {
                header,
                data: batch.data,
                origin: chain.l1_origin(batch.last_block)?,
            })
        })
        .await??;
        Ok(Some(batch))
    }

    /// Offers the builder all blocks that there are, until it is full.
    async fn fill(&self, mut builder: BatchBuilder) -> Result<BatchBuilder, StepError> {
        let chain = Arc::clone(&self.chain);
        let builder = tokio::task::spawn_blocking(move || {
            while builder.next_block() <= chain.head() {
                let block = read_block(chain.as_ref(), builder.next_block())?;
                if builder.offer(BatchBlock::from(&block))? != Offer::Taken {
                    break;
                }
            }
            Ok::<_, SubmitterError>(builder)
        })
        .await??;
        Ok(builder)
    }

    async fn check_same_chain(&self, last: &LastBatch) -> Result<(), StepError> {
        let chain = Arc::clone(&self.chain);
        let &LastBatch {
            last_block,
            last_block_hash,
            ..
        } = last;
        tokio::task::spawn_blocking(move || {
            let head = chain.head();
            if last_block > head {
                return Err(SubmitterError::Behind {
                    l1_block: last_block,
                    l1_hash: last_block_hash,
                    head,
                });
            }
            let ours = read_block(chain.as_ref(), last_block)?.hash();
            if ours != last_block_hash {
                return Err(SubmitterError::Forked {
                    block: last_block,
                    ours,
                    l1_hash: last_block_hash,
                });
            }
            Ok(())
        })
        .await??;
        Ok(())
    }
}

fn read_block(chain: &impl ChainSource, number: u64) -> Result<SealedBlock, SubmitterError> {
    chain
        .block(number)?
        .ok_or(SubmitterError::MissingBlock(number))
}

fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
