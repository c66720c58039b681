use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
};

use alloy_primitives::B256;
use parking_lot::Mutex;
use weft_executor_core::ChangeSet;
use weft_executor_parallel::{BlockAccessList, BlockAccesses, Conflict, ExecutionStats};

/// Most memory of the records that are kept, in bytes, roughly.
const MAX_BYTES: usize = 64 << 20;
/// Most records that are kept.
const MAX_RECORDS: usize = 1024;
/// Most conflicts that are told of one block.
const MAX_CONFLICTS: usize = 100;

/// How the transactions of a block got along with each other.
#[derive(Debug)]
pub struct BlockRecord {
    number: u64,
    hash: B256,
    accesses: BlockAccesses,
    changes: Arc<ChangeSet>,
    stats: Option<ExecutionStats>,
    parallelism: OnceLock<BlockParallelism>,
}

/// What a block's conflict graph comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockParallelism {
    /// Number of transactions, deposits included.
    pub transactions: usize,
    /// Gas used by the block, in gas.
    pub gas_used: u64,
    /// Groups of transactions that share nothing with those of other groups.
    pub lanes: usize,
    /// How often a transaction looked at what an earlier one had changed.
    pub dependencies: usize,
    /// Gas of the longest chain of transactions that wait for each other, in gas.
    pub critical_path_gas: u64,
    /// How many times faster than one thread any number of threads can be, by gas.
    pub speed_up_bound: f64,
    /// Where transactions waited: those places with most gas, at most 100.
    pub conflicts: Vec<Conflict>,
}

impl BlockRecord {
    /// A record of block `number`. `stats` says how this process executed it when it made or
    /// derived it.
    pub const fn new(
        number: u64,
        hash: B256,
        accesses: BlockAccesses,
        changes: Arc<ChangeSet>,
        stats: Option<ExecutionStats>,
    ) -> Self {
        Self {
            number,
            hash,
            accesses,
            changes,
            stats,
            parallelism: OnceLock::new(),
        }
    }

    /// Number of the block.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Hash of the block.
    pub const fn hash(&self) -> B256 {
        self.hash
    }

    /// How this process executed the block; `None` when it was executed only to look at it again.
    pub const fn stats(&self) -> Option<ExecutionStats> {
        self.stats
    }

    /// The block's access list (EIP-7928). CPU work.
    pub fn access_list(&self) -> BlockAccessList {
        self.accesses.access_list(&self.changes)
    }

    /// What the block's conflict graph comes to. CPU work the first time.
    pub fn parallelism(&self) -> &BlockParallelism {
        self.parallelism.get_or_init(|| {
            let graph = self.accesses.conflicts(&self.changes);
            BlockParallelism {
                transactions: graph.transactions,
                gas_used: graph.gas_used,
                lanes: graph.lanes,
                dependencies: graph.dependencies.len(),
                critical_path_gas: graph.critical_path_gas,
                speed_up_bound: graph.speed_up_bound(),
                conflicts: graph.conflicts.into_iter().take(MAX_CONFLICTS).collect(),
            }
        })
    }

    /// Memory that it takes, in bytes, roughly.
    fn size(&self) -> usize {
        /// A slot with both values, and its share of a map.
        const SLOT: usize = 160;
        /// An account before and after, and its share of a map.
        const ACCOUNT: usize = 320;
        let slots: usize = self
            .changes
            .accounts
            .values()
            .map(|account| account.storage.len())
            .sum();
        let code: usize = self.changes.code.values().map(|code| code.len()).sum();
        self.accesses
            .size()
            .saturating_add(slots.saturating_mul(SLOT))
            .saturating_add(self.changes.accounts.len().saturating_mul(ACCOUNT))
            .saturating_add(code)
            .saturating_add(MAX_CONFLICTS * size_of::<Conflict>())
    }
}

/// Records of the last blocks that this process executed, as many as fit into a bound. Clones share
/// them.
#[derive(Debug, Clone, Default)]
pub(super) struct RecentBlocks {
    ring: Arc<Mutex<Ring>>,
}

#[derive(Debug, Default)]
struct Ring {
    /// In the order of the chain, with their sizes.
    records: VecDeque<(Arc<BlockRecord>, usize)>,
    bytes: usize,
}

impl RecentBlocks {
    /// Adds the record of the next block.
    pub(super) fn push(&self, record: BlockRecord) {
        let size = record.size();
        let mut forgotten = Vec::new();
        let mut ring = self.ring.lock();
        ring.records.push_back((Arc::new(record), size));
        ring.bytes = ring.bytes.saturating_add(size);
        while ring.bytes > MAX_BYTES || ring.records.len() > MAX_RECORDS {
            let Some((oldest, size)) = ring.records.pop_front() else {
                break;
            };
            ring.bytes = ring.bytes.saturating_sub(size);
            forgotten.push(oldest);
        }
        // Records are freed without the lock.
        drop(ring);
    }

    /// Forgets the records of blocks that the chain has no longer.
    pub(super) fn forget_above(&self, number: u64) {
        let mut ring = self.ring.lock();
        while let Some((_, size)) = ring
            .records
            .pop_back_if(|(record, _)| record.number > number)
        {
            ring.bytes = ring.bytes.saturating_sub(size);
        }
    }

    /// The record of a block, if it is kept.
    pub(super) fn get(&self, number: u64) -> Option<Arc<BlockRecord>> {
        let ring = self.ring.lock();
        let index = ring
            .records
            .binary_search_by_key(&number, |(record, _)| record.number)
            .ok()?;
        ring.records.get(index).map(|(record, _)| record.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u64, code_bytes: usize) -> BlockRecord {
        let code = vec![0; code_bytes].into();
        let changes = ChangeSet {
            code: [(B256::ZERO, code)].into(),
            ..ChangeSet::default()
        };
        BlockRecord::new(
            number,
            B256::ZERO,
            BlockAccesses::default(),
            Arc::new(changes),
            None,
        )
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let recent = RecentBlocks::default();
        for number in 1..=MAX_RECORDS as u64 + 5 {
            recent.push(record(number, 0));
        }
        assert!(recent.get(5).is_none());
        assert_eq!(recent.get(6).map(|record| record.number()), Some(6));
        assert!(recent.get(MAX_RECORDS as u64 + 5).is_some());
        assert!(recent.get(MAX_RECORDS as u64 + 6).is_none());
    }

    #[test]
    fn what_was_taken_back_is_forgotten() {
        let recent = RecentBlocks::default();
        for number in 1..=9 {
            recent.push(record(number, 100));
        }
        recent.forget_above(4);
        assert_eq!(recent.get(4).map(|record| record.number()), Some(4));
        assert!(recent.get(5).is_none() && recent.get(9).is_none());
        recent.push(record(5, 0));
        assert_eq!(recent.get(5).map(|record| record.number()), Some(5));
        let size = |number| recent.get(number).map_or(0, |record| record.size());
        let expected: usize = (1..=5).map(size).sum();
        assert_eq!(recent.ring.lock().bytes, expected);
    }

    #[test]
    fn the_oldest_go_when_they_are_too_large() {
        let recent = RecentBlocks::default();
        for number in 1..=4 {
            recent.push(record(number, MAX_BYTES / 3));
        }
        assert!(recent.get(2).is_none());
        assert!(recent.get(3).is_some() && recent.get(4).is_some());
        recent.push(record(5, MAX_BYTES + 1));
        assert!(recent.get(4).is_none() && recent.get(5).is_none());
        assert_eq!(recent.ring.lock().bytes, 0);
    }
}
