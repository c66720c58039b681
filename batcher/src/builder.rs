use std::time::Duration;

use alloy_consensus::Transaction as _;

use crate::{BatchBlock, BatchEncodeError, encode_batch};

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
    /// zstd level of what is posted, from 1 to 19.
    pub compression_level: i32,
}

impl Default for BatchPolicy {
    fn default() -> Self {
        Self {
            max_age: Duration::from_secs(12),
            max_blocks: 4096,
            max_bytes: 120_000,
            compression_level: 9,
        }
    }
}

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
    /// Encoded size at the last measurement plus the raw size of what came since: an upper bound,
    /// save for a few bytes of framing.
    bound: usize,
    full: bool,
}

/// Level at which sizes are measured: the fastest, whose result is seldom smaller than that of the
/// level which is posted.
const MEASURE_LEVEL: i32 = 1;

impl BatchBuilder {
    /// A batch that starts at block `first_block`.
    pub const fn new(policy: BatchPolicy, first_block: u64) -> Self {
        Self {
            policy,
            first_block,
            blocks: Vec::new(),
            bound: 0,
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
        self.bound
    }

    /// Offers block [`Self::next_block`].
    ///
    /// # Errors
    /// When the block cannot be encoded.
    pub fn offer(&mut self, block: BatchBlock) -> Result<Offer, BatchEncodeError> {
        if self.full {
            return Ok(Offer::Refused);
        }
        self.bound = self.bound.saturating_add(raw_size(&block));
        self.blocks.push(block);
        // Nearly full is full: measuring again for each of the last few blocks is not worth it.
        let nearly = self.policy.max_bytes / 10 * 9;
        if self.bound > nearly {
            self.bound = encode_batch(&self.blocks, MEASURE_LEVEL)?.len();
            self.full = self.bound > nearly;
        }
        self.full |= self.blocks.len() >= self.policy.max_blocks;
        if self.bound > self.policy.max_bytes && self.blocks.len() > 1 {
            self.blocks.pop();
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

    /// Encodes the batch. When its blocks together turn out larger than the policy's size, those at
    /// the end are left for the next batch.
    ///
    /// # Errors
    /// When the batch is empty or its blocks cannot be encoded.
    pub fn close(mut self) -> Result<ClosedBatch, BatchEncodeError> {
        loop {
            let data = encode_batch(&self.blocks, self.policy.compression_level)?;
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

/// About what a block takes in a batch before compression, in bytes, rounded up.
fn raw_size(block: &BatchBlock) -> usize {
    const BLOCK: usize = 64;
    const TRANSACTION: usize = 160;
    let transactions = block.transactions.iter().map(|transaction| {
        let list = transaction.access_list().map_or(0, |list| {
            list.iter()
                .map(|item| 24 + 32 * item.storage_keys.len())
                .sum()
        });
        let authorizations = transaction.authorization_list().map_or(0, <[_]>::len) * 136;
        TRANSACTION + transaction.input().len() + list + authorizations
    });
    BLOCK + transactions.sum::<usize>()
}

#[cfg(test)]
mod tests;
