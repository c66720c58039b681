//! Rebuilding the chain from L1 alone.
//!
//! Two kinds of failure are kept apart. [`DerivationError::L1`] says that L1 could not be read: try
//! again. [`DerivationError::Batch`] says that what was posted is wrong: it will stay wrong.

mod ahead;
mod blocks;
mod events;
mod fault;
mod posted;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use alloy_eips::BlockId;
use alloy_primitives::B256;
use weft_batcher::BatchHeader;
use weft_primitives::{BlockAttributes, L1Origin, RecoveredTransaction, TransactionError};

use crate::{L1Block, L1Client, L1Error, PlacedDeposit, RollupInfo, contract::Rollup};

pub use ahead::ReadAheadConfig;
use ahead::{ReadAhead, ReadBatch};
pub use events::{BatchEvent, PlacedBatchEvent, batch_events, posted_batches};
pub use fault::{BatchFault, DerivationError};
pub use posted::PostedBatch;

/// How long batches that were found are handed out without another look at what L1 has removed.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// How the chain is read from L1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DerivationConfig {
    /// L1 blocks that must follow the one with a batch before the batch is read; 0 reads up to the
    /// newest block.
    pub confirmations: u64,
    /// How far is read ahead of the batch that is handed out.
    pub read_ahead: ReadAheadConfig,
}

/// Where derivation starts: behind a batch, whose last block the reader has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResumePoint {
    /// Index of the next batch.
    pub next_index: u64,
    /// Hash of the last batch; zero before the first.
    pub last_batch_hash: B256,
    /// Number of the last block.
    pub last_block: u64,
    /// Timestamp of the last block, in seconds since the Unix epoch.
    pub last_timestamp: u64,
    /// L1 origin of the last block.
    pub l1_origin: Option<L1Origin>,
    /// User deposits that the chain has taken in.
    pub deposits_consumed: u64,
    /// First L1 block that may hold the next batch.
    pub l1_block: u64,
    /// Index of the log in that block behind which it may be; `None` for any.
    pub after_log: Option<u64>,
}

impl ResumePoint {
    /// The start of a chain whose block 0 has this timestamp, in seconds since the Unix epoch.
    pub const fn start(info: &RollupInfo, genesis_timestamp: u64) -> Self {
        Self {
            next_index: 0,
            last_batch_hash: B256::ZERO,
            last_block: 0,
            last_timestamp: genesis_timestamp,
            l1_origin: None,
            deposits_consumed: 0,
            l1_block: info.deployment_block,
            after_log: None,
        }
    }

    /// Behind a batch that was read and checked before. `last_timestamp` and `l1_origin` are those of
    /// its last block, whose hash the caller must have compared with the batch's header.
    pub const fn after(
        batch: &PostedBatch,
        last_timestamp: u64,
        l1_origin: Option<L1Origin>,
    ) -> Self {
        Self {
            next_index: batch.index.saturating_add(1),
            last_batch_hash: batch.batch_hash,
            last_block: batch.header.last_block,
            last_timestamp,
            l1_origin,
            deposits_consumed: batch.header.deposits_consumed,
            // An L1 block may hold several batches.
            l1_block: batch.l1_block,
            after_log: Some(batch.log_index),
        }
    }
}

/// A block as L1 determines it. Executing it gives its header.
#[derive(Debug, Clone)]
pub struct DerivedBlock {
    /// Number of the block.
    pub number: u64,
    /// What its producer chose.
    pub attributes: BlockAttributes,
    /// All transactions in order: the attributes deposit and the user deposits when the block moves
    /// to a new L1 origin, then those of the batch. One whose sender cannot be recovered makes the
    /// batch wrong.
    pub transactions: Vec<Result<RecoveredTransaction, TransactionError>>,
}

/// A batch that is consistent in itself and with L1. Whether its blocks execute to the posted hash
/// is for the reader to find out.
#[derive(Debug, Clone)]
pub struct DerivedBatch {
    /// Where and what it is.
    pub posted: PostedBatch,
    /// Size of the encoded batch, in bytes.
    pub data_bytes: usize,
    /// Its blocks, in order.
    pub blocks: Vec<DerivedBlock>,
}

impl DerivedBatch {
    /// The header as posted.
    pub const fn header(&self) -> &BatchHeader {
        &self.posted.header
    }
}

/// Reads batches in the order in which they were posted, and ahead of what is asked for.
#[derive(Debug)]
pub struct Derivation {
    client: L1Client,
    info: RollupInfo,
    config: DerivationConfig,
    at: ResumePoint,
    /// Batches that are found and not handed out, and the last L1 block up to which they were looked
    /// for.
    found: VecDeque<PostedBatch>,
    scanned: Option<L1Block>,
    /// When they were looked for last.
    looked: Option<Instant>,
    ahead: ReadAhead,
    /// The first of `found`, once it is read.
    read: Option<ReadBatch>,
}

impl Derivation {
    /// Starts behind `from`. Nothing is read yet.
    pub fn new(
        client: L1Client,
        info: RollupInfo,
        from: ResumePoint,
        config: DerivationConfig,
    ) -> Self {
        Self {
            ahead: ReadAhead::new(client.clone(), info.clone(), config.read_ahead),
            client,
            info,
            config,
            at: from,
            found: VecDeque::new(),
            scanned: None,
            looked: None,
            read: None,
        }
    }

    /// Where the next call goes on.
    pub const fn resume_point(&self) -> &ResumePoint {
        &self.at
    }

    /// The batch that the next call is about, when it is found already: after
    /// [`DerivationError::Batch`] the one that is wrong.
    pub fn waiting(&self) -> Option<&PostedBatch> {
        self.found.front()
    }

    /// Looks at what is new on L1 without reading a batch.
    ///
    /// # Errors
    /// When L1 does not answer properly, has reorganised, or has removed batches before the
    /// [`Self::resume_point`].
    pub async fn look(&mut self) -> Result<(), DerivationError> {
        self.find_more().await
    }

    /// The next batch; `None` when L1 has none yet. After an error the same batch is tried again. May
    /// be dropped and called again; must be called from a tokio runtime.
    ///
    /// # Errors
    /// When L1 does not answer properly, has reorganised, has removed a batch that was handed out, or
    /// holds one that is wrong.
    pub async fn next_batch(&mut self) -> Result<Option<DerivedBatch>, DerivationError> {
        let is_due = self
            .looked
            .is_none_or(|looked| looked.elapsed() > LOOK_AGAIN);
        if self.found.is_empty() || is_due {
            self.find_more().await?;
            self.looked = Some(Instant::now());
        }
        let Some(posted) = self.found.front().copied() else {
            return Ok(None);
        };
        self.ahead
            .start(self.found.iter().skip(usize::from(self.read.is_some())));
        if self.read.is_none() {
            self.read = Some(self.ahead.first().await?);
        }
        let Some(read) = &self.read else {
            return Err(DerivationError::Interrupted);
        };
        let deposits = self.check(&posted, read).await?;
        let Some(read) = self.read.take() else {
            return Err(DerivationError::Interrupted);
        };
        self.found.pop_front();
        let batch = DerivedBatch {
            data_bytes: read.data_bytes,
            blocks: blocks::assemble(posted.header.first_block, read, &deposits),
            posted,
        };
        if let Some(last) = batch.blocks.last() {
            let origin = batch
                .blocks
                .iter()
                .rev()
                .find_map(|block| block.attributes.new_l1_origin);
            self.at = ResumePoint::after(
                &batch.posted,
                last.attributes.timestamp,
                origin.or(self.at.l1_origin),
            );
        }
        Ok(Some(batch))
    }

    /// Looks for batches in all further L1 blocks. Nothing is handed out before L1 is read to its end:
    /// what was posted long ago may have been removed since.
    async fn find_more(&mut self) -> Result<(), DerivationError> {
        let head = self.client.block_number().await?;
        let to = head.saturating_sub(self.config.confirmations);
        // An L1 that is shorter than it was is one that goes on, or another one, when it has grown.
        if let Some(scanned) = self.scanned.filter(|scanned| scanned.number <= head) {
            let now = self.client.existing_block(scanned.number).await?;
            if now.hash != scanned.hash {
                return Err(DerivationError::Reorg {
                    number: scanned.number,
                    expected: scanned.hash,
                    found: now.hash,
                });
            }
        }
        let span = self.client.config().max_log_range.max(1);
        let mut next = match &self.scanned {
            Some(scanned) => scanned.number.saturating_add(1),
            None => self.at.l1_block,
        };
        while next <= to {
            let end = next.saturating_add(span - 1).min(to);
            let pinned = self.client.existing_block(end).await?;
            let events = batch_events(&self.client, &self.info, next, end).await?;
            for placed in events {
                self.take(placed)?;
            }
            self.scanned = Some(pinned);
            next = end.saturating_add(1);
        }
        Ok(())
    }

    fn take(&mut self, placed: PlacedBatchEvent) -> Result<(), DerivationError> {
        let is_before = placed.l1_block == self.at.l1_block
            && self.at.after_log.is_some_and(|at| placed.log_index <= at);
        if is_before {
            return Ok(());
        }
        match placed.event {
            BatchEvent::Posted(batch) => {
                let last = self.found.back();
                let expected =
                    last.map_or(self.at.next_index, |batch| batch.index.saturating_add(1));
                if batch.index < expected {
                    // Found before an answer of L1 that failed.
                    return Ok(());
                }
                if batch.index != expected {
                    return Err(L1Error::answer(
                        format!("BatchPosted event in L1 block {}", placed.l1_block),
                        format!("batch {expected}"),
                        format!("batch {}", batch.index),
                    )
                    .into());
                }
                self.found.push_back(*batch);
            }
            BatchEvent::Rejected { from_index, .. } if from_index < self.at.next_index => {
                return Err(DerivationError::Rejected {
                    from_index,
                    l1_block: placed.l1_block,
                });
            }
            BatchEvent::Rejected { from_index, .. } => {
                let first = self.found.front().map(|batch| batch.index);
                if first.is_some_and(|first| from_index <= first) {
                    self.read = None;
                }
                self.found.retain(|batch| batch.index < from_index);
                self.ahead.forget_from(from_index);
            }
            BatchEvent::Challenged { .. }
            | BatchEvent::Upheld { .. }
            | BatchEvent::Settled { .. } => {}
        }
        Ok(())
    }

    /// Compares a batch with the chain before it, and reads the deposits that it takes in.
    async fn check(
        &self,
        posted: &PostedBatch,
        read: &ReadBatch,
    ) -> Result<Vec<PlacedDeposit>, DerivationError> {
        let fault = |fault| DerivationError::Batch {
            index: posted.index,
            fault,
        };
        let result = self.check_with_deposits(posted, read).await?;
        // What was read is of the chain that holds the batch only if L1 still has that block: else
        // what looks wrong may be of two chains.
        let now = self.client.existing_block(posted.l1_block).await?;
        if now.hash != posted.l1_block_hash {
            return Err(DerivationError::Reorg {
                number: posted.l1_block,
                expected: posted.l1_block_hash,
                found: now.hash,
            });
        }
        result.map_err(fault)
    }

    async fn check_with_deposits(
        &self,
        posted: &PostedBatch,
        read: &ReadBatch,
    ) -> Result<Result<Vec<PlacedDeposit>, BatchFault>, L1Error> {
        let own = blocks::check_header(&self.at, posted)
            .and_then(|()| blocks::check_blocks(&self.at, &self.info, posted, &read.blocks));
        if let Err(fault) = own {
            return Ok(Err(fault));
        }
        let last_origin = read.origins.last().or(self.at.l1_origin.as_ref());
        let expected = BatchHeader::origin_id(last_origin);
        if posted.header.l1_origin != expected {
            return Ok(Err(BatchFault::HeaderOrigin {
                expected,
                found: posted.header.l1_origin,
            }));
        }
        let deposits = self.read_deposits(read.origins.last()).await?;
        let consumed = self
            .at
            .deposits_consumed
            .saturating_add(deposits.len() as u64);
        if posted.header.deposits_consumed != consumed {
            if let Some(origin) = read.origins.last() {
                self.check_deposit_count(origin, consumed).await?;
            }
            return Ok(Err(BatchFault::Deposits {
                expected: consumed,
                found: posted.header.deposits_consumed,
            }));
        }
        Ok(Ok(deposits))
    }

    /// The contract counts its deposits: an L1 node that leaves out logs must not make a batch look
    /// wrong. A node that keeps no old states cannot be asked.
    async fn check_deposit_count(&self, origin: &L1Origin, read: u64) -> Result<(), L1Error> {
        let at = BlockId::number(origin.number);
        let call = Rollup::depositCountCall {};
        match self.client.view(self.info.contract, &call, at).await {
            Ok(counted) if counted != read => Err(L1Error::answer(
                format!("deposits up to L1 block {}", origin.number),
                format!("{counted}, which the contract has counted"),
                format!("logs of {read}"),
            )),
            Ok(_) | Err(L1Error::Refused { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The deposits up to a batch's last origin.
    async fn read_deposits(&self, last: Option<&L1Origin>) -> Result<Vec<PlacedDeposit>, L1Error> {
        let Some(last) = last else {
            return Ok(Vec::new());
        };
        let after = match &self.at.l1_origin {
            Some(origin) => origin.number,
            None => self.info.deployment_block.saturating_sub(1),
        };
        self.client
            .deposits(self.info.contract, after, last.number)
            .await
    }
}
