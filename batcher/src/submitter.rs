use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy_primitives::B256;
use tokio::{sync::watch, task::JoinError};
use weft_primitives::{L1Origin, SealedBlock};

use crate::{
    BatchBlock, BatchBuilder, BatchEncodeError, BatchHeader, BatchPolicy, BatchPoster, ChainSource,
    ChainSourceError, ClosedBatch, EventSink, L1Market, LastBatch, MAX_POSTED_BYTES, NextBatch,
    Offer, PendingBatch, Placement, PlacementPolicy, PostError, Prepared, SubmitterControl,
    SubmitterEvent, SubmitterStatus, control::Orders,
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
        "block {block} takes {found} bytes as a batch: expected at most {most}, or no L1 node relays it"
    )]
    BlockTooLarge {
        /// Number of the block.
        block: u64,
        /// Most bytes that L1 takes, in calldata or in blobs.
        most: usize,
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
    placement: PlacementPolicy,
    retry: RetryPolicy,
    events: EventSink,
    status: watch::Sender<SubmitterStatus>,
    orders: watch::Receiver<Orders>,
    control: SubmitterControl,
    /// Where the last batch went.
    current: Option<Placement>,
}

/// How often L1 is read again while the chain makes no blocks.
const IDLE_RECHECK: Duration = Duration::from_secs(30);

/// A batch that is due.
struct Ready<D> {
    header: BatchHeader,
    prepared: Prepared<D>,
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
    /// Puts a submitter together; [`Self::run`] starts it. The policy's `max_bytes` is for batches
    /// that are posted as calldata; how much blobs hold is the poster's to say.
    pub fn new(
        chain: Arc<C>,
        poster: P,
        policy: BatchPolicy,
        retry: RetryPolicy,
        events: EventSink,
    ) -> Self {
        let status = watch::Sender::new(SubmitterStatus::default());
        let (orders_sender, orders) = watch::channel(Orders::default());
        let head = {
            let chain = Arc::clone(&chain);
            Arc::new(move || chain.head())
        };
        Self {
            chain,
            poster,
            policy,
            placement: PlacementPolicy {
                calldata_bytes: policy.max_bytes,
                ..PlacementPolicy::default()
            },
            retry,
            events: events.showing(status.clone()),
            control: SubmitterControl::new(orders_sender, status.clone(), head),
            status,
            orders,
            current: None,
        }
    }

    /// Follows what the submitter is doing.
    pub fn status(&self) -> watch::Receiver<SubmitterStatus> {
        self.status.subscribe()
    }

    /// A handle to pause and hurry it while it runs.
    pub fn control(&self) -> SubmitterControl {
        self.control.clone()
    }

    /// Posts batches until something is wrong for good. Failures that may pass are waited out.
    ///
    /// # Errors
    /// Always: see [`SubmitterError`].
    pub async fn run(mut self) -> Result<Infallible, SubmitterError> {
        let mut wait = self.retry.first;
        loop {
            // `control` keeps the channel open.
            let _ = self.orders.wait_for(|orders| !orders.paused).await;
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
                        status.next = None;
                        status.last_error = Some(error.to_string());
                        status.failures = status.failures.saturating_add(1);
                    });
                    // Somebody who gives an order is not left waiting for the next try.
                    let _ = tokio::time::timeout(wait, self.orders.changed()).await;
                    wait = wait.saturating_mul(2).min(self.retry.most);
                }
            }
        }
    }

    /// Reads where L1 is, waits until the next batch is due, and posts it. Does nothing when the
    /// chain has nothing new for a while, so that L1 is read again: it may have reorganised.
    async fn step(&mut self) -> Result<(), StepError> {
        let last = self.poster.last_batch().await.map_err(step_error)?;
        self.status.send_modify(|status| {
            status.last_batch = Some(last);
            status.last_error = None;
        });
        let Some(Ready {
            header,
            prepared,
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
        let index = last.count;
        self.status.send_modify(|status| {
            status.next = None;
            status.pending = Some(PendingBatch {
                index,
                first_block: header.first_block,
                last_block: header.last_block,
                placement: prepared.placement,
                data_bytes: prepared.bytes,
                transaction: None,
            });
        });
        let posted = match self
            .poster
            .post(index, &header, &prepared, &self.events)
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
        self.current = Some(prepared.placement);
        tracing::info!(
            first_block = header.first_block,
            last_block = header.last_block,
            bytes = prepared.bytes,
            placement = %prepared.placement,
            tx_hash = %posted.tx_hash,
            l1_block = posted.l1_block,
            "batch posted"
        );
        self.status.send_modify(|status| {
            status.placement = self.current;
            status.last_batch = Some(LastBatch {
                count: index.saturating_add(1),
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

    /// Waits until the batch after `last` is due, chooses its place and encodes it; `None` when no
    /// block came for [`IDLE_RECHECK`], or the submitter was paused.
    async fn next_batch(&mut self, last: &LastBatch) -> Result<Option<Ready<P::Data>>, StepError> {
        self.check_same_chain(last).await?;
        let first_block = last.last_block.saturating_add(1);
        let market = self.market().await?;
        // While more comes than is posted, batches get full: so this is what one may grow to.
        let full = market.blobs.map_or(0, |blobs| blobs.space.capacity());
        let place = market.choose(full, self.current, &self.placement);
        let mut builder = BatchBuilder::new(self.policy_for(place, &market), first_block);
        loop {
            builder = self.fill(builder).await?;
            let orders = *self.orders.borrow_and_update();
            if orders.paused {
                self.status.send_modify(|status| status.next = None);
                return Ok(None);
            }
            self.show_next(&builder, first_block, place);
            let due_in = builder.due_in(since_epoch());
            let flushed = !builder.is_empty() && orders.flush_up_to >= first_block;
            if builder.is_full() || due_in == Some(Duration::ZERO) || flushed {
                break;
            }
            let more = self.chain.wait_for(builder.next_block());
            tokio::select! {
                () = more => {}
                _ = self.orders.changed() => {}
                () = tokio::time::sleep(due_in.unwrap_or(IDLE_RECHECK)) => {
                    if builder.is_empty() {
                        return Ok(None);
                    }
                }
            }
        }
        // The fees may have moved while the batch was filling.
        let market = self.market().await?;
        let (batch, place) = self.close(builder, &market).await?;
        self.make_ready(last.hash, batch, place).await.map(Some)
    }

    async fn market(&self) -> Result<L1Market, StepError> {
        self.poster.market().await.map_err(step_error)
    }

    /// The policy for batches that go there.
    fn policy_for(&self, place: Placement, market: &L1Market) -> BatchPolicy {
        match (place, market.blobs) {
            (Placement::Blobs, Some(blobs)) => BatchPolicy {
                max_bytes: blobs.space.capacity(),
                ..self.policy
            },
            _ => self.policy,
        }
    }

    fn show_next(&self, builder: &BatchBuilder, first_block: u64, placement: Placement) {
        let head = self.chain.head();
        self.status.send_modify(|status| {
            status.backlog_blocks = head.saturating_sub(first_block.saturating_sub(1));
            status.next = Some(NextBatch {
                first_block,
                blocks: builder.next_block().saturating_sub(first_block),
                bytes_at_most: builder.bytes_at_most(),
                placement,
            });
        });
    }

    /// Encodes the batch, and says where it goes now that its size is known. One that was to lie in
    /// blobs and is cheaper as calldata now is cut down to what calldata takes.
    async fn close(
        &self,
        builder: BatchBuilder,
        market: &L1Market,
    ) -> Result<(ClosedBatch, Placement), StepError> {
        let mut batch = self.encode(builder).await?;
        let mut place = market.choose(batch.data.len(), self.current, &self.placement);
        if place == Placement::Calldata
            && batch.data.len() > self.policy.max_bytes
            && batch.last_block > batch.first_block
        {
            let smaller = BatchBuilder::new(self.policy, batch.first_block);
            batch = self.encode(self.fill(smaller).await?).await?;
        }
        let blobs = market.blobs.map(|blobs| blobs.space.capacity());
        if place == Placement::Calldata
            && batch.data.len() > MAX_POSTED_BYTES
            && blobs.is_some()
            && market.pending.is_none()
        {
            place = Placement::Blobs;
        }
        let most = match place {
            Placement::Calldata => MAX_POSTED_BYTES,
            Placement::Blobs => blobs.unwrap_or(0),
        };
        if batch.data.len() > most {
            return Err(SubmitterError::BlockTooLarge {
                block: batch.first_block,
                most,
                found: batch.data.len(),
            }
            .into());
        }
        Ok((batch, place))
    }

    /// Encodes outside of tokio's threads, with less effort the more blocks wait behind the batch.
    async fn encode(&self, builder: BatchBuilder) -> Result<ClosedBatch, StepError> {
        let next_block = builder.next_block();
        let backlog = self
            .chain
            .head()
            .saturating_add(1)
            .saturating_sub(next_block);
        Ok(tokio::task::spawn_blocking(move || builder.close(backlog)).await??)
    }

    async fn make_ready(
        &self,
        previous_batch_hash: B256,
        batch: ClosedBatch,
        place: Placement,
    ) -> Result<Ready<P::Data>, StepError> {
        let ClosedBatch {
            first_block,
            last_block,
            data,
        } = batch;
        let prepared = self.poster.prepare(place, data).await.map_err(step_error)?;
        let chain = Arc::clone(&self.chain);
        let (blob_count, data_hash) = (prepared.blob_count, prepared.data_hash);
        let (header, origin) = tokio::task::spawn_blocking(move || {
            let last = read_block(chain.as_ref(), last_block)?;
            let origin = chain.l1_origin(last_block)?;
            let header = BatchHeader {
                previous_batch_hash,
                first_block,
                last_block,
                last_block_hash: last.hash(),
                state_root: last.header.state_root,
                withdrawals_root: chain.withdrawals_root(last_block)?,
                l1_origin: BatchHeader::origin_id(origin.as_ref()),
                deposits_consumed: chain.deposit_count(last_block)?,
                blob_count,
                data_hash,
            };
            Ok::<_, SubmitterError>((header, origin))
        })
        .await??;
        Ok(Ready {
            header,
            prepared,
            origin,
        })
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
