use std::collections::VecDeque;

use weft_primitives::{SealedBlock, Transaction};
use weft_state::{StateError, Store};

/// Blocks that are safe and remembered all the same, because a reorganisation of L1 may make them
/// unsafe again.
const MOST_SAFE: usize = 4096;

/// What L1 has not taken in yet, block by block.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// The last blocks, oldest first, numbers without a gap.
    blocks: VecDeque<BlockSize>,
    /// Bytes of all blocks that were ever counted.
    total: u64,
}

#[derive(Debug, Clone, Copy)]
struct BlockSize {
    number: u64,
    /// Seconds since the Unix epoch.
    timestamp: u64,
    /// Bytes of all blocks before this one that were ever counted.
    before: u64,
}

/// How much is not safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Unsafe {
    /// Blocks.
    pub(super) blocks: u64,
    /// Bytes of their transactions, deposits left out: what batches carry, before compression.
    pub(super) bytes: u64,
    /// Timestamp of the oldest one, in seconds since the Unix epoch.
    pub(super) since: Option<u64>,
}

impl Backlog {
    /// Reads the blocks behind `safe` from a store. Of more than `most` bytes the oldest are left
    /// out: so many press as much as all.
    pub(super) fn read(store: &Store, safe: u64, most: u64) -> Result<Self, StateError> {
        let mut newest_first = Vec::new();
        let mut bytes = 0_u64;
        let mut number = store.head()?.number;
        while number > safe && bytes < most {
            let Some(block) = store.block(number)? else {
                break;
            };
            let size = batch_bytes(&block);
            bytes = bytes.saturating_add(size);
            newest_first.push((number, block.header.timestamp, size));
            number -= 1;
        }
        let mut backlog = Self::default();
        for (number, timestamp, size) in newest_first.into_iter().rev() {
            backlog.push(number, timestamp, size);
        }
        Ok(backlog)
    }

    /// Counts the block after the last one.
    pub(super) fn push(&mut self, number: u64, timestamp: u64, bytes: u64) {
        self.blocks.push_back(BlockSize {
            number,
            timestamp,
            before: self.total,
        });
        self.total = self.total.saturating_add(bytes);
    }

    /// What is not safe when `safe` is the last safe block.
    pub(super) fn behind(&mut self, safe: u64) -> Unsafe {
        while self.blocks.len() > MOST_SAFE
            && self
                .blocks
                .get(MOST_SAFE)
                .is_some_and(|block| block.number <= safe)
        {
            self.blocks.pop_front();
        }
        let first = self.blocks.partition_point(|block| block.number <= safe);
        match self.blocks.get(first) {
            Some(oldest) => Unsafe {
                blocks: (self.blocks.len() - first) as u64,
                bytes: self.total - oldest.before,
                since: Some(oldest.timestamp),
            },
            None => Unsafe::default(),
        }
    }

    /// Blocks that are remembered, safe or not.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.blocks.len()
    }
}

/// Bytes of a block's transactions, deposits left out.
pub(super) fn batch_bytes(block: &SealedBlock) -> u64 {
    use alloy_eips::eip2718::Encodable2718;
    block
        .transactions
        .iter()
        .filter(|transaction| !transaction.is_deposit())
        .map(|transaction: &Transaction| transaction.encode_2718_len() as u64)
        .sum()
}
