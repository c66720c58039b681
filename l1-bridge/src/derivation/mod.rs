//! Rebuilding the chain from L1 alone.
//!
//! Two kinds of failure are kept apart. [`DerivationError::L1`] says that L1 could not be read: try
//! again. [`DerivationError::Batch`] says that what was posted is wrong: it will stay wrong.

mod fault;
mod posted;

use std::collections::VecDeque;

use alloy_primitives::B256;
use futures::{StreamExt, TryStreamExt, stream};
use weft_batcher::{BatchBlock, BatchHeader, decode_batch};
use weft_primitives::{BlockAttributes, L1Origin, Transaction, attributes_deposit};

use crate::{L1Block, L1Client, L1Error, PlacedDeposit, RollupInfo};

pub use fault::{BatchFault, DerivationError};
pub use posted::{PostedBatch, posted_batches};

/// L1 blocks that are read at the same time.
const CONCURRENT_READS: usize = 8;

/// How the chain is read from L1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DerivationConfig {
    /// L1 blocks that must follow the one with a batch before the batch is read; 0 reads up to the
    /// newest block.
    pub confirmations: u64,
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
    /// to a new L1 origin, then those of the batch.
    pub transactions: Vec<Transaction>,
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

/// Reads batches in the order in which they were posted.
#[derive(Debug)]
pub struct Derivation {
    client: L1Client,
    info: RollupInfo,
    config: DerivationConfig,
    at: ResumePoint,
    /// Batches that are found but not read, and the last L1 block up to which they were looked for.
    found: VecDeque<PostedBatch>,
    scanned: Option<L1Block>,
}

impl Derivation {
    /// Starts behind `from`.
    pub const fn new(
        client: L1Client,
        info: RollupInfo,
        from: ResumePoint,
        config: DerivationConfig,
    ) -> Self {
        Self {
            client,
            info,
            config,
            at: from,
            found: VecDeque::new(),
            scanned: None,
        }
    }

    /// Where the next call goes on.
    pub const fn resume_point(&self) -> &ResumePoint {
        &self.at
    }

    /// The next batch; `None` when L1 has none yet. After an error the same batch is tried again.
    ///
    /// # Errors
    /// When L1 does not answer properly, has reorganised, or holds a batch that is wrong.
    pub async fn next_batch(&mut self) -> Result<Option<DerivedBatch>, DerivationError> {
        if self.found.is_empty() {
            self.find_more().await?;
        }
        let Some(posted) = self.found.front().cloned() else {
            return Ok(None);
        };
        let batch = self.derive(posted).await?;
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
        self.found.pop_front();
        Ok(Some(batch))
    }

    /// Looks for batches in further L1 blocks, up to the first that holds some.
    async fn find_more(&mut self) -> Result<(), DerivationError> {
        let head = self.client.block_number().await?;
        let to = head.saturating_sub(self.config.confirmations);
        if let Some(scanned) = &self.scanned {
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
        while next <= to && self.found.is_empty() {
            let end = next.saturating_add(span - 1).min(to);
            let pinned = self.client.existing_block(end).await?;
            let batches = posted_batches(&self.client, &self.info, next, end).await?;
            let mut expected = self.at.next_index;
            for batch in batches {
                // The L1 block of a resume point may hold batches that were read before.
                if batch.index < expected {
                    continue;
                }
                if batch.index != expected {
                    return Err(L1Error::answer(
                        format!("BatchPosted events of L1 blocks {next} to {end}"),
                        format!("batch {expected}"),
                        format!("batch {}", batch.index),
                    )
                    .into());
                }
                expected = expected.saturating_add(1);
                self.found.push_back(batch);
            }
            self.scanned = Some(pinned);
            next = end.saturating_add(1);
        }
        Ok(())
    }

    async fn derive(&self, posted: PostedBatch) -> Result<DerivedBatch, DerivationError> {
        let index = posted.index;
        let wrong = |fault| DerivationError::Batch { index, fault };
        let data = posted::fetch_data(&self.client, &self.info, &posted).await?;
        self.check_header(&posted, &data).map_err(wrong)?;
        let data_bytes = data.len();
        // Decompression and hashing of up to 32 MiB: not for tokio's threads.
        let decoded = tokio::task::spawn_blocking(move || decode_batch(&data))
            .await
            .map_err(|_| DerivationError::Interrupted)?;
        let blocks = decoded.map_err(|error| wrong(error.into()))?;
        self.check_blocks(&posted, &blocks).map_err(wrong)?;

        let origins = self.read_origins(&blocks).await?;
        let deposits = self.read_deposits(origins.last()).await?;
        let consumed = self
            .at
            .deposits_consumed
            .saturating_add(deposits.len() as u64);
        if posted.header.deposits_consumed != consumed {
            return Err(wrong(BatchFault::Deposits {
                expected: consumed,
                found: posted.header.deposits_consumed,
            }));
        }
        Ok(DerivedBatch {
            blocks: assemble(posted.header.first_block, blocks, &origins, &deposits),
            posted,
            data_bytes,
        })
    }

    fn check_header(&self, posted: &PostedBatch, data: &[u8]) -> Result<(), BatchFault> {
        let header = &posted.header;
        let data_hash = alloy_primitives::keccak256(data);
        if header.data_hash != data_hash {
            return Err(BatchFault::DataHash {
                expected: header.data_hash,
                found: data_hash,
            });
        }
        if header.hash() != posted.batch_hash {
            return Err(BatchFault::HeaderHash {
                expected: posted.batch_hash,
                found: header.hash(),
            });
        }
        if header.previous_batch_hash != self.at.last_batch_hash {
            return Err(BatchFault::PreviousBatch {
                expected: self.at.last_batch_hash,
                found: header.previous_batch_hash,
            });
        }
        let expected = self.at.last_block.saturating_add(1);
        if header.first_block != expected || header.last_block < expected {
            return Err(BatchFault::BlockRange {
                expected,
                first: header.first_block,
                last: header.last_block,
            });
        }
        Ok(())
    }

    fn check_blocks(&self, posted: &PostedBatch, blocks: &[BatchBlock]) -> Result<(), BatchFault> {
        let header = &posted.header;
        let expected = header.last_block - header.first_block;
        let found = blocks.len() as u64;
        if expected.checked_add(1) != Some(found) {
            return Err(BatchFault::BlockCount {
                expected: expected.saturating_add(1),
                found,
            });
        }
        let mut parent = self.at.last_timestamp;
        let mut origin = match &self.at.l1_origin {
            Some(origin) => origin.number,
            None => self.info.deployment_block.saturating_sub(1),
        };
        for (block, number) in blocks.iter().zip(header.first_block..) {
            if block.timestamp < parent {
                return Err(BatchFault::Timestamp {
                    block: number,
                    parent,
                    found: block.timestamp,
                });
            }
            parent = block.timestamp;
            if let Some(found) = block.l1_origin {
                if found <= origin || found >= posted.l1_block {
                    return Err(BatchFault::Origin {
                        block: number,
                        after: origin,
                        before: posted.l1_block,
                        found,
                    });
                }
                origin = found;
            }
        }
        Ok(())
    }

    async fn read_origins(&self, blocks: &[BatchBlock]) -> Result<Vec<L1Origin>, L1Error> {
        let numbers: Vec<u64> = blocks.iter().filter_map(|block| block.l1_origin).collect();
        stream::iter(numbers)
            .map(|number| self.client.existing_block(number))
            .buffered(CONCURRENT_READS)
            .try_collect()
            .await
    }

    /// The deposits up to a batch's last origin. L1 must have that block before and after they are
    /// read, so that they are of its chain.
    async fn read_deposits(&self, last: Option<&L1Origin>) -> Result<Vec<PlacedDeposit>, L1Error> {
        let Some(last) = last else {
            return Ok(Vec::new());
        };
        let after = match &self.at.l1_origin {
            Some(origin) => origin.number,
            None => self.info.deployment_block.saturating_sub(1),
        };
        let contract = self.info.contract;
        let deposits = self.client.deposits(contract, after, last.number).await?;
        let again = self.client.existing_block(last.number).await?;
        if again.hash != last.hash {
            return Err(L1Error::answer(
                format!("eth_getBlockByNumber({})", last.number),
                format!("block {}", last.hash),
                format!("block {}: L1 reorganised meanwhile", again.hash),
            ));
        }
        Ok(deposits)
    }
}

/// Puts the deposits in front of the blocks that move to a new origin.
fn assemble(
    first_block: u64,
    blocks: Vec<BatchBlock>,
    origins: &[L1Origin],
    deposits: &[PlacedDeposit],
) -> Vec<DerivedBlock> {
    let mut origins = origins.iter().copied();
    let mut deposits = deposits.iter().peekable();
    blocks
        .into_iter()
        .zip(first_block..)
        .map(|(block, number)| {
            let new_l1_origin = block.l1_origin.and_then(|_| origins.next());
            let mut transactions = Vec::with_capacity(block.transactions.len());
            if let Some(origin) = &new_l1_origin {
                transactions.push(attributes_deposit(origin).into());
                while let Some(placed) = deposits.next_if(|placed| placed.l1_block <= origin.number)
                {
                    transactions.push(placed.deposit.clone().into());
                }
            }
            transactions.extend(block.transactions);
            DerivedBlock {
                number,
                attributes: BlockAttributes {
                    timestamp: block.timestamp,
                    gas_limit: block.gas_limit,
                    beneficiary: block.beneficiary,
                    new_l1_origin,
                },
                transactions,
            }
        })
        .collect()
}
