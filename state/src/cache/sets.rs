use std::hash::BuildHasher;

use alloy_primitives::{Address, U256, map::DefaultHashBuilder};
use parking_lot::Mutex;
use weft_executor_core::Account;

use super::CacheCounters;

/// A cached account or slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    Account {
        address: Address,
        account: Account,
    },
    /// An account that does not exist.
    Absent {
        address: Address,
    },
    Slot {
        address: Address,
        slot: U256,
        value: U256,
    },
}

impl Held {
    pub(crate) fn account(address: Address, account: Option<Account>) -> Self {
        match account {
            Some(account) => Self::Account { address, account },
            None => Self::Absent { address },
        }
    }

    const fn key(&self) -> (&Address, Option<&U256>) {
        match self {
            Self::Account { address, .. } | Self::Absent { address } => (address, None),
            Self::Slot { address, slot, .. } => (address, Some(slot)),
        }
    }
}

/// A cache of sets: an entry's hash says which set it belongs to, and the set has room for a few.
/// Memory is bounded by the number of sets, and a set takes none before it is used.
pub(super) struct Sets {
    /// Random, so that nobody can aim at one set.
    hasher: DefaultHashBuilder,
    /// Sets that share a lock.
    shards: Box<[Mutex<Shard>]>,
    sets_per_shard: u64,
}

#[derive(Default)]
struct Shard {
    sets: Vec<Option<Box<Set>>>,
    in_use: u64,
    hits: u64,
    misses: u64,
}

const SHARDS: u64 = 128;

/// Entries of a set.
const WAYS: usize = 8;

#[derive(Default)]
struct Set {
    ways: [Option<Way>; WAYS],
    /// Where the search for room goes on.
    hand: u8,
}

struct Way {
    held: Held,
    /// Block from whose state on it holds.
    since: u64,
    /// Whether it was looked for since the hand came by.
    used: bool,
}

impl Set {
    fn find(&mut self, address: &Address, slot: Option<&U256>) -> Option<&mut Way> {
        let mut ways = self.ways.iter_mut().flatten();
        ways.find(|way| way.held.key() == (address, slot))
    }

    fn put(&mut self, held: Held, since: u64) {
        let (address, slot) = held.key();
        if let Some(way) = self.find(address, slot) {
            way.held = held;
            way.since = since;
            return;
        }
        let way = Way {
            held,
            since,
            used: false,
        };
        if let Some(free) = self.ways.iter_mut().find(|way| way.is_none()) {
            *free = Some(way);
            return;
        }
        // After one round no way is marked as used any more.
        for _ in 0..=WAYS {
            let at = usize::from(self.hand) % WAYS;
            self.hand = self.hand.wrapping_add(1);
            match self.ways.get_mut(at) {
                Some(Some(old)) if old.used => old.used = false,
                Some(place) => {
                    *place = Some(way);
                    return;
                }
                None => {}
            }
        }
    }
}

impl Sets {
    pub(super) fn new(bytes: u64) -> Self {
        let sets_per_shard = bytes / (size_of::<Set>() as u64) / SHARDS;
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self {
            hasher: DefaultHashBuilder::default(),
            shards,
            sets_per_shard,
        }
    }

    /// Shard, and set in the shard.
    fn place(&self, address: &Address, slot: Option<&U256>) -> Option<(&Mutex<Shard>, usize)> {
        let hash = self.hasher.hash_one((address, slot));
        let shard = self.shards.get((hash % SHARDS) as usize)?;
        let set = (hash / SHARDS).checked_rem(self.sets_per_shard)?;
        Some((shard, set as usize))
    }

    pub(super) fn get(&self, address: Address, slot: Option<U256>, at: u64) -> Option<Held> {
        let (shard, set) = self.place(&address, slot.as_ref())?;
        let mut shard = shard.lock();
        let found = shard
            .existing(set)
            .and_then(|set| set.find(&address, slot.as_ref()))
            .filter(|way| way.since <= at)
            .map(|way| {
                way.used = true;
                way.held
            });
        match found {
            Some(_) => shard.hits = shard.hits.wrapping_add(1),
            None => shard.misses = shard.misses.wrapping_add(1),
        }
        found
    }

    pub(super) fn contains(&self, address: Address, slot: Option<U256>) -> bool {
        self.place(&address, slot.as_ref())
            .is_some_and(|(shard, set)| {
                shard
                    .lock()
                    .existing(set)
                    .is_some_and(|set| set.find(&address, slot.as_ref()).is_some())
            })
    }

    /// Puts in what holds since block `since`, when `is_latest` says under the lock that no later
    /// block has been taken over.
    pub(super) fn fill(&self, held: Held, since: u64, is_latest: impl FnOnce() -> bool) {
        let (address, slot) = held.key();
        if let Some((shard, set)) = self.place(address, slot) {
            let mut shard = shard.lock();
            if is_latest() {
                shard.set(set, self.sets_per_shard).put(held, since);
            }
        }
    }

    pub(super) fn set(&self, held: Held, since: u64) {
        self.fill(held, since, || true);
    }

    pub(super) fn counters(&self) -> CacheCounters {
        let mut sum = CacheCounters::default();
        for shard in &self.shards {
            let shard = shard.lock();
            sum.hits = sum.hits.wrapping_add(shard.hits);
            sum.misses = sum.misses.wrapping_add(shard.misses);
            sum.bytes = sum
                .bytes
                .saturating_add(shard.in_use.saturating_mul(size_of::<Set>() as u64));
        }
        sum
    }
}

impl Shard {
    fn existing(&mut self, set: usize) -> Option<&mut Set> {
        self.sets.get_mut(set)?.as_deref_mut()
    }

    /// The set at this index, which is below `sets`.
    #[expect(
        clippy::indexing_slicing,
        reason = "the index is below the length, which is `sets`"
    )]
    fn set(&mut self, set: usize, sets: u64) -> &mut Set {
        if self.sets.is_empty() {
            self.sets.resize_with(sets as usize, || None);
        }
        let place = &mut self.sets[set];
        if place.is_none() {
            self.in_use = self.in_use.saturating_add(1);
        }
        place.get_or_insert_default()
    }
}
