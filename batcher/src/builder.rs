use std::time::Duration;

use alloy_consensus::Transaction as _;

use crate::{BatchBlock, BatchEncodeError, MAX_INPUT_BYTES, encode_batch};

/// When a batch closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchPolicy {
    /// A batch closes when its first block is this old, by the block's own timestamp.
    pub max_age: Duration,
    /// Most blocks in a batch; at least 1.
    pub max_blocks: usize,
    /// Size that an encoded batch should keep below, in bytes as posted. A single block that is
    /// larger still gets a batch of its own.
    pub max_bytes: usize,
    /// Effort with which a batch is encoded while the chain is not behind, from 1 (fast) to 19
    /// (small).
    pub compression_level: i32,
    /// Blocks waiting for L1 from which on batches are encoded as fast as possible.
    pub fast_backlog: u64,
}

impl Default for BatchPolicy {
    fn default() -> Self {
        Self {
            max_age: Duration::from_secs(12),
            max_blocks: 4096,
            max_bytes: 120_000,
            compression_level: 9,
            fast_backlog: 4096,
        }
    }
}

impl BatchPolicy {
    /// Effort for a batch behind which `backlog_blocks` blocks wait: the whole effort up to a quarter
    /// of [`Self::fast_backlog`], then less and less.
    pub fn level(&self, backlog_blocks: u64) -> i32 {
        let patient = self.fast_backlog / 4;
        let most = self.compression_level.clamp(FASTEST, MOST_EFFORT);
        if backlog_blocks >= self.fast_backlog {
            return FASTEST;
        }
        // Not 0: the backlog is below `fast_backlog`.
        let span = self.fast_backlog - patient;
        let late = backlog_blocks.saturating_sub(patient);
        let range = u64::from(most.abs_diff(FASTEST));
        let less = u128::from(range) * u128::from(late) / u128::from(span);
        most - i32::try_from(less).unwrap_or(0)
    }
}

/// The least effort. Sizes are measured with it: its result is seldom smaller than that of the level
/// which is posted.
const FASTEST: i32 = 1;

/// The most effort.
const MOST_EFFORT: i32 = 19;

/// What became of a block that was offered to a [`BatchBuilder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// The block is in, and more may follow.
    Taken,
    /// The block is in, and the batch is full.
    TakenLast,
    /// The block is not in: it starts the next batch.
    Refused,
}

/// A batch that is ready to be posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedBatch {
    /// Number of the first block.
    pub first_block: u64,
    /// Number of the last block.
    pub last_block: u64,
    /// The encoded batch.
    pub data: Vec<u8>,
}

/// Collects consecutive blocks and decides when a batch of them closes. It keeps no clock: the time
/// is an argument.
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    policy: BatchPolicy,
    first_block: u64,
    blocks: Vec<BatchBlock>,
    sizes: Sizes,
    full: bool,
}

/// How large the batch is, about. Every block is encoded once when the raw sizes no longer tell, and
/// all together only when the batch has grown by half since the last time: the work stays in
/// proportion to the blocks.
#[derive(Debug, Clone, Copy, Default)]
struct Sizes {
    /// Raw size of all blocks, in bytes.
    raw: usize,
    /// Raw size when all were last encoded together.
    raw_together: usize,
    /// Blocks that were encoded.
    measured_blocks: usize,
    /// Encoded size of these, in bytes.
    measured: usize,
    /// Raw size of the others.
    raw_since: usize,
}

impl Sizes {
    /// An upper bound, save for a few bytes.
    const fn bound(&self) -> usize {
        self.measured.saturating_add(self.raw_since)
    }

    fn measure(&mut self, blocks: &[BatchBlock]) -> Result<(), BatchEncodeError> {
        let grown = self.raw_together.saturating_add(self.raw_together / 2);
        if self.raw >= grown {
            self.measured = encode_batch(blocks, FASTEST)?.len();
            self.raw_together = self.raw;
        } else if let Some(new @ [_, ..]) = blocks.get(self.measured_blocks..) {
            self.measured = self
                .measured
                .saturating_add(encode_batch(new, FASTEST)?.len());
        }
        self.measured_blocks = blocks.len();
        self.raw_since = 0;
        Ok(())
    }
}

impl BatchBuilder {
    /// A batch that starts at block `first_block`.
    pub const fn new(policy: BatchPolicy, first_block: u64) -> Self {
        Self {
            policy,
            first_block,
            blocks: Vec::new(),
            sizes: Sizes {
                raw: 0,
                raw_together: 0,
                measured_blocks: 0,
                measured: 0,
                raw_since: 0,
            },
            full: false,
        }
    }

    /// Number of the block that has to be offered next.
    pub const fn next_block(&self) -> u64 {
        self.first_block.saturating_add(self.blocks.len() as u64)
    }

    /// Whether no block is in yet.
    pub const fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Whether no more blocks fit.
    pub const fn is_full(&self) -> bool {
        self.full
    }

    /// Size that the encoded batch does not exceed, in bytes: an estimate that is coarse while the
    /// batch is small.
    pub const fn bytes_at_most(&self) -> usize {
        self.sizes.bound()
    }

    /// Offers block [`Self::next_block`].
    ///
    /// # Errors
    /// When the block cannot be encoded.
    pub fn offer(&mut self, block: BatchBlock) -> Result<Offer, BatchEncodeError> {
        if self.full {
            return Ok(Offer::Refused);
        }
        let raw = raw_size(&block);
        // What unfolds to more than a decoder takes cannot be posted, however small it is.
        let unfolded = self.sizes.raw.saturating_add(raw);
        if unfolded > MAX_INPUT_BYTES && !self.blocks.is_empty() {
            self.full = true;
            return Ok(Offer::Refused);
        }
        self.blocks.push(block);
        let before = self.sizes;
        self.sizes.raw = unfolded;
        self.sizes.raw_since = self.sizes.raw_since.saturating_add(raw);
        // Nearly full is full: measuring again for each of the last few blocks is not worth it.
        let nearly = self.policy.max_bytes / 10 * 9;
        if self.sizes.bound() > nearly {
            self.sizes.measure(&self.blocks)?;
            self.full = self.sizes.bound() > nearly;
        }
        self.full |= self.blocks.len() >= self.policy.max_blocks;
        if self.sizes.bound() > self.policy.max_bytes && self.blocks.len() > 1 {
            self.blocks.pop();
            self.sizes = before;
            return Ok(Offer::Refused);
        }
        Ok(if self.full {
            Offer::TakenLast
        } else {
            Offer::Taken
        })
    }

    /// How long until the batch closes by age, at `now` (time since the Unix epoch); zero when it is
    /// due, `None` while it is empty.
    pub fn due_in(&self, now: Duration) -> Option<Duration> {
        let first = self.blocks.first()?;
        let due = Duration::from_secs(first.timestamp).saturating_add(self.policy.max_age);
        Some(due.saturating_sub(now))
    }

    /// Encodes the batch, with less effort the more blocks wait behind it. When its blocks together turn out larger than the policy's size, those at
    /// the end are left for the next batch.
    ///
    /// # Errors
    /// When the batch is empty or its blocks cannot be encoded.
    pub fn close(mut self, backlog_blocks: u64) -> Result<ClosedBatch, BatchEncodeError> {
        let level = self.policy.level(backlog_blocks);
        loop {
            let data = encode_batch(&self.blocks, level)?;
            let count = self.blocks.len();
            if data.len() > self.policy.max_bytes && count > 1 {
                self.blocks
                    .truncate(count.saturating_sub(count.div_ceil(8)));
                continue;
            }
            return Ok(ClosedBatch {
                first_block: self.first_block,
                last_block: self.next_block().saturating_sub(1),
                data,
            });
        }
    }
}

/// About what a block takes in a batch before compression and in memory after it, in bytes, rounded
/// up.
fn raw_size(block: &BatchBlock) -> usize {
    const BLOCK: usize = 64;
    const TRANSACTION: usize = 160;
    let transactions = block.transactions.iter().map(|transaction| {
        let list = transaction.access_list().map_or(0, |list| {
            list.iter()
                .map(|item| 48 + 32 * item.storage_keys.len())
                .sum()
        });
        let authorizations = transaction.authorization_list().map_or(0, <[_]>::len) * 200;
        TRANSACTION + transaction.input().len() + list + authorizations
    });
    BLOCK + transactions.sum::<usize>()
}

#[cfg(test)]
mod tests;
