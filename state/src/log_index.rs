//! Which blocks hold logs of an address or with a topic.
//!
//! A block's entries are part of its batch, so that the index covers the chain exactly, whenever the
//! process ends: no block has to be searched otherwise, and nothing is built later.

use alloy_primitives::{Address, B256};
use fjall::{OwnedWriteBatch, Snapshot};
use weft_primitives::Receipt;
use xxhash_rust::xxh3::xxh3_64;

use crate::{StateError, Store, encoding, tables::Tables};

/// Most blocks that one answer of [`Store::blocks_with_logs`] covers.
const WINDOW: u64 = 1 << 16;

/// Entries of one set of values that are read before another set is tried.
const FIRST_ENTRIES: usize = 1 << 8;

/// Entries of one set of values after which it is not worth to read more: the blocks are looked at
/// instead.
const MOST_ENTRIES: usize = 1 << 18;

/// Single look-ups that cost less than reading entries in order.
const FEW_LOOK_UPS: usize = 1 << 10;

/// What an entry of the index is about. Two that share a hash make a block be looked at for nothing.
#[derive(Debug, Clone, Copy)]
enum Indexed<'a> {
    /// A topic at a position from 0 to 3.
    Topic(u8, &'a B256),
    /// The address that a log is of.
    Address(&'a Address),
    /// Any log.
    Any,
}

impl Indexed<'_> {
    fn hash(self) -> u64 {
        let (kind, value) = match self {
            Self::Topic(position, topic) => (position, topic.as_slice()),
            Self::Address(address) => (4, address.as_slice()),
            Self::Any => (5, [].as_slice()),
        };
        let mut bytes = [0; 33];
        for (byte, from) in bytes.iter_mut().zip([kind].iter().chain(value)) {
            *byte = *from;
        }
        xxh3_64(&bytes)
    }
}

/// What logs are searched for: as in `eth_getLogs`, one of some addresses, and at each position one
/// of some topics.
#[derive(Debug, Clone)]
pub struct LogQuery {
    /// A block with a match has one of each set.
    sets: Vec<Vec<u64>>,
}

impl LogQuery {
    /// Logs of one of these addresses that have one of these topics at each position. No addresses,
    /// and no topics at a position, stand for any.
    pub fn new<'a, T: IntoIterator<Item = &'a B256>>(
        addresses: impl IntoIterator<Item = &'a Address>,
        topics: impl IntoIterator<Item = T>,
    ) -> Self {
        let addresses = addresses
            .into_iter()
            .map(|address| Indexed::Address(address).hash())
            .collect();
        let mut sets: Vec<Vec<u64>> = vec![addresses];
        for (position, topics) in (0..).zip(topics) {
            let topics = topics
                .into_iter()
                .map(|topic| Indexed::Topic(position, topic).hash());
            sets.push(topics.collect());
        }
        sets.retain(|set| !set.is_empty());
        if sets.is_empty() {
            sets.push(vec![Indexed::Any.hash()]);
        }
        // Small sets are cheap to read.
        sets.sort_by_key(Vec::len);
        Self { sets }
    }
}

/// Adds a block to the index.
pub(crate) fn stage_logs(
    tables: &Tables,
    batch: &mut OwnedWriteBatch,
    number: u64,
    receipts: &[Receipt],
) {
    for hash in hashes(receipts) {
        let key = encoding::log_index_key(hash, number);
        tables.log_index.put(batch, key, []);
    }
}

/// Takes a block out of the index.
pub(crate) fn stage_logs_removal(
    tables: &Tables,
    batch: &mut OwnedWriteBatch,
    number: u64,
    receipts: &[Receipt],
) {
    for hash in hashes(receipts) {
        let key = encoding::log_index_key(hash, number);
        tables.log_index.delete(batch, key);
    }
}

/// What the index has of a block, each once.
fn hashes(receipts: &[Receipt]) -> Vec<u64> {
    let mut hashes = Vec::new();
    for log in receipts.iter().flat_map(|receipt| &receipt.logs) {
        hashes.push(Indexed::Address(&log.address).hash());
        let topics = (0..).zip(log.topics());
        hashes.extend(topics.map(|(position, topic)| Indexed::Topic(position, topic).hash()));
    }
    if hashes.is_empty() {
        return hashes;
    }
    hashes.push(Indexed::Any.hash());
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

impl Store {
    /// The first of the blocks `first` to `last` whose logs may match: their numbers in order, and
    /// the block from which on to ask again. Every block below that one that has a match is there,
    /// and few others.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn blocks_with_logs(
        &self,
        query: &LogQuery,
        first: u64,
        last: u64,
    ) -> Result<(Vec<u64>, u64), StateError> {
        let head = self.head_state();
        let last = last
            .min(head.header.number)
            .min(first.saturating_add(WINDOW - 1));
        if first > last {
            return Ok((Vec::new(), first));
        }
        let search = Search {
            tables: &self.inner.tables,
            snapshot: &head.snapshot,
            first,
            last,
        };
        let blocks = search.blocks(&query.sets)?;
        Ok((blocks, last.saturating_add(1)))
    }
}

struct Search<'a> {
    tables: &'a Tables,
    snapshot: &'a Snapshot,
    first: u64,
    last: u64,
}

impl Search<'_> {
    /// Blocks that have one of each set, in order. The set with the fewest entries leads, which costs
    /// no more than reading a few times as many of every set: nobody knows which it is before.
    fn blocks(&self, sets: &[Vec<u64>]) -> Result<Vec<u64>, StateError> {
        let mut most = FIRST_ENTRIES;
        let (leader, mut blocks) = loop {
            let mut found: Option<(usize, Vec<u64>)> = None;
            for (index, set) in sets.iter().enumerate() {
                let blocks = self.entries(set, most)?;
                if let Some(blocks) = blocks
                    && found
                        .as_ref()
                        .is_none_or(|(_, fewest)| blocks.len() < fewest.len())
                {
                    found = Some((index, blocks));
                }
            }
            if let Some(found) = found {
                break found;
            }
            if most >= MOST_ENTRIES {
                return Ok((self.first..=self.last).collect());
            }
            most = most.saturating_mul(4);
        };
        for (index, set) in sets.iter().enumerate() {
            if index == leader || blocks.is_empty() {
                continue;
            }
            let look_ups = blocks.len().saturating_mul(set.len());
            if look_ups <= FEW_LOOK_UPS {
                let mut kept = Vec::with_capacity(blocks.len());
                for block in blocks {
                    if self.has_one(set, block)? {
                        kept.push(block);
                    }
                }
                blocks = kept;
            } else if let Some(others) = self.entries(set, look_ups.min(MOST_ENTRIES))? {
                blocks.retain(|block| others.binary_search(block).is_ok());
            }
        }
        Ok(blocks)
    }

    /// Blocks that have one of the set, in order; `None` when that takes more than `most` entries.
    fn entries(&self, set: &[u64], most: usize) -> Result<Option<Vec<u64>>, StateError> {
        let table = &self.tables.log_index;
        let mut blocks = Vec::new();
        for hash in set {
            let start = encoding::log_index_key(*hash, self.first);
            let end = encoding::log_index_key(*hash, self.last);
            for entry in table.range(self.snapshot, start.as_slice()..=end.as_slice()) {
                let (key, value) = entry?;
                let block = encoding::decode_log_index_key(&key)
                    .ok()
                    .filter(|_| value.is_empty())
                    .ok_or_else(|| {
                        table.corrupt(&key, "expected a hash and a block number, without a value")
                    })?;
                if blocks.len() >= most {
                    return Ok(None);
                }
                blocks.push(block);
            }
        }
        if set.len() > 1 {
            blocks.sort_unstable();
            blocks.dedup();
        }
        Ok(Some(blocks))
    }

    fn has_one(&self, set: &[u64], block: u64) -> Result<bool, StateError> {
        for hash in set {
            let key = encoding::log_index_key(*hash, block);
            if self.tables.log_index.get(self.snapshot, key)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
