use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, Hasher},
    ops::Range,
};

use alloy_consensus::Transaction as _;
use alloy_primitives::map::DefaultHashBuilder;
use weft_primitives::RecoveredTransaction;

use crate::lanes::Deal;

/// Decides before transactions run which of them are executed side by side. It goes by what they
/// are expected to look at and change, and it changes how long a block takes and never what comes
/// out.
#[derive(Debug)]
pub(crate) struct Planner {
    threads: usize,
    /// Expected costs, in gas.
    costs: Vec<u32>,
    /// Places of all transactions, one after another: those that some transaction changes.
    places: Vec<u32>,
    /// Where the places of each transaction end.
    ends: Vec<u32>,
    place_count: usize,
    /// Whether all transactions look like plain transfers, whose places are known for certain.
    only_transfers: bool,
    /// First transaction that has no segment yet.
    next: usize,
    /// Cost from there to the end.
    cost_left: u64,
    /// Transactions to execute in order after lanes that have met.
    pause: usize,
    last_pause: usize,
}

/// Transactions that are executed together.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) range: Range<usize>,
    /// Which are side by side; `None` for one after another.
    pub(crate) deal: Option<Deal>,
}

/// Expected cost of a plain transfer, in gas: a tenth of a call that uses as much.
const TRANSFER_COST: u32 = 2_500;

/// Gas above which a limit says nothing about what a transaction uses.
const MAX_CREDIBLE_GAS: u64 = 150_000;

/// Expected cost from which on transactions are worth a second thread, in gas: some 200
/// microseconds.
const MIN_PARALLEL_COST: u64 = 1_500_000;

/// Transactions that are executed in order after lanes have met for the first time, and at most.
const FIRST_PAUSE: usize = 32;
const LONGEST_PAUSE: usize = 1024;

impl Planner {
    pub(crate) fn new(transactions: &[RecoveredTransaction], threads: usize) -> Self {
        let mut planner = Self {
            threads,
            costs: Vec::new(),
            places: Vec::new(),
            ends: Vec::new(),
            place_count: 0,
            only_transfers: true,
            next: 0,
            cost_left: 0,
            pause: 0,
            last_pause: FIRST_PAUSE,
        };
        planner.costs = Vec::with_capacity(transactions.len());
        for transaction in transactions {
            let cost = expected_cost(transaction);
            planner.only_transfers &= is_transfer(transaction);
            planner.costs.push(cost);
            planner.cost_left = planner.cost_left.saturating_add(u64::from(cost));
        }
        if planner.wants_threads() {
            planner.predict(transactions);
        }
        planner
    }

    /// Whether more than one thread would pay for itself.
    pub(crate) const fn wants_threads(&self) -> bool {
        self.threads > 1 && self.cost_left >= MIN_PARALLEL_COST
    }

    fn predict(&mut self, transactions: &[RecoveredTransaction]) {
        let hasher = DefaultHashBuilder::default();
        let mut known: HashMap<u64, u32, BuildHasherDefault<AsItIs>> =
            HashMap::with_capacity_and_hasher(
                transactions.len().saturating_mul(2),
                BuildHasherDefault::default(),
            );
        self.ends.reserve(transactions.len());
        for transaction in transactions {
            let mut add = |key: u64| {
                let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
                self.places.push(*known.entry(key).or_insert(next));
            };
            add(hasher.hash_one(transaction.signer()));
            if transaction.input().is_empty()
                && let Some(to) = transaction.to()
            {
                add(hasher.hash_one(to));
            }
            self.ends
                .push(u32::try_from(self.places.len()).unwrap_or(u32::MAX));
        }
        self.place_count = known.len();
    }

    fn places_of(&self, index: usize) -> &[u32] {
        let end_of = |index: usize| self.ends.get(index).map_or(0, |end| *end as usize);
        let start = index.checked_sub(1).map_or(0, end_of);
        self.places.get(start..end_of(index)).unwrap_or_default()
    }

    fn cost(&self, index: usize) -> u64 {
        self.costs.get(index).map_or(0, |cost| u64::from(*cost))
    }

    /// What to execute next; `None` at the end of the block.
    pub(crate) fn next_segment(&mut self) -> Option<Segment> {
        let start = self.next;
        let end = self.costs.len();
        if start >= end {
            return None;
        }
        if self.pause > 0 {
            let end = end.min(start.saturating_add(self.pause));
            self.pause = 0;
            return Some(self.take(start..end, None));
        }
        if !self.wants_threads() {
            return Some(self.take(start..end, None));
        }
        let groups = Groups::new(self, start);
        let range = start..groups.end;
        let deal = groups.worth_it.then(|| groups.deal(self, range.clone()));
        Some(self.take(range, deal))
    }

    fn take(&mut self, range: Range<usize>, deal: Option<Deal>) -> Segment {
        let cost: u64 = range.clone().map(|index| self.cost(index)).sum();
        self.cost_left = self.cost_left.saturating_sub(cost);
        self.next = range.end;
        Segment { range, deal }
    }

    /// Takes note of whether the lanes of the last segment have kept apart.
    pub(crate) fn note(&mut self, apart: bool) {
        if apart {
            self.last_pause = FIRST_PAUSE;
        } else {
            self.pause = self.last_pause;
            self.last_pause = self.last_pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }
}

fn is_transfer(transaction: &RecoveredTransaction) -> bool {
    transaction.input().is_empty() && transaction.kind().is_call()
}

fn expected_cost(transaction: &RecoveredTransaction) -> u32 {
    if is_transfer(transaction) {
        return TRANSFER_COST;
    }
    let gas = transaction.gas_limit().min(MAX_CREDIBLE_GAS);
    u32::try_from(gas).unwrap_or(u32::MAX)
}

/// Transactions that are expected to meet are in one group.
struct Groups {
    /// Union-find over places.
    parents: Vec<u32>,
    costs: Vec<u64>,
    /// Where the segment ends.
    end: usize,
    total: u64,
    worth_it: bool,
}

impl Groups {
    /// Groups the transactions from `start` on, as far as no group becomes too large for its lane.
    fn new(planner: &Planner, start: usize) -> Self {
        let count = planner.place_count;
        let mut groups = Self {
            parents: (0..).take(count).collect(),
            costs: vec![0; count],
            end: start,
            total: 0,
            worth_it: false,
        };
        let threads = u64::try_from(planner.threads).unwrap_or(1);
        let mut largest = 0;
        let mut balanced = None;
        let all = planner.costs.len();
        for index in start..all {
            let cost = groups.add(planner.places_of(index), planner.cost(index));
            largest = largest.max(cost);
            groups.total = groups.total.saturating_add(planner.cost(index));
            if largest.saturating_mul(threads) <= groups.total.saturating_add(groups.total / 16) {
                balanced = Some((index.saturating_add(1), groups.total));
            }
        }
        let bound = largest.max(groups.total / threads);
        match balanced {
            Some((end, _)) if end == all => {
                groups.end = end;
                groups.worth_it = true;
            }
            Some((end, total)) if total >= MIN_PARALLEL_COST && total >= groups.total / 4 => {
                // Group again without those that come later.
                let mut parts = Self {
                    parents: (0..).take(count).collect(),
                    costs: vec![0; count],
                    end,
                    total,
                    worth_it: true,
                };
                for index in start..end {
                    parts.add(planner.places_of(index), planner.cost(index));
                }
                return parts;
            }
            _ => {
                groups.end = all;
                groups.worth_it = bound.saturating_add(bound / 4) <= groups.total;
            }
        }
        groups
    }

    fn root(&mut self, mut place: u32) -> u32 {
        while let Some(parent) = self.parents.get(place as usize).copied()
            && parent != place
        {
            let above = self.parents.get(parent as usize).copied().unwrap_or(parent);
            if let Some(entry) = self.parents.get_mut(place as usize) {
                *entry = above;
            }
            place = above;
        }
        place
    }

    /// Puts a transaction into the group of its places, which become one. What the group costs then.
    fn add(&mut self, places: &[u32], cost: u64) -> u64 {
        let Some((first, others)) = places.split_first() else {
            return cost;
        };
        let mut root = self.root(*first);
        for place in others {
            let other = self.root(*place);
            if other != root {
                let moved = self.costs.get(other as usize).copied().unwrap_or(0);
                if let Some(parent) = self.parents.get_mut(other as usize) {
                    *parent = root;
                }
                if let Some(sum) = self.costs.get_mut(root as usize) {
                    *sum = sum.saturating_add(moved);
                }
            }
            root = self.root(root);
        }
        match self.costs.get_mut(root as usize) {
            Some(sum) => {
                *sum = sum.saturating_add(cost);
                *sum
            }
            None => cost,
        }
    }

    /// Deals the groups to lanes: the large ones first, each to the lane with the least to do.
    fn deal(mut self, planner: &Planner, range: Range<usize>) -> Deal {
        let lanes = planner.threads;
        let mut loads = vec![0u64; lanes];
        let mut lane_of_root: Vec<Option<u16>> = vec![None; self.parents.len()];
        let large = self.total / u64::try_from(lanes.saturating_mul(8)).unwrap_or(1);
        let mut roots: Vec<(u64, u32)> = (0..)
            .zip(&self.parents)
            .zip(&self.costs)
            .filter(|((place, parent), cost)| *place == **parent && **cost > large)
            .map(|((place, _), cost)| (*cost, place))
            .collect();
        roots.sort_unstable_by(|left, right| right.cmp(left));
        for (cost, root) in roots {
            let lane = least_loaded(&loads);
            add_load(&mut loads, lane, cost);
            if let Some(entry) = lane_of_root.get_mut(root as usize) {
                *entry = Some(lane);
            }
        }
        let mut deal = Deal {
            lane_of: Vec::with_capacity(range.len()),
            lanes: (0..lanes)
                .map(|_| Vec::with_capacity(range.len() / lanes))
                .collect(),
            transfers_apart: planner.only_transfers,
        };
        for index in range {
            let lane = match planner.places_of(index).first() {
                None => {
                    let lane = least_loaded(&loads);
                    add_load(&mut loads, lane, planner.cost(index));
                    lane
                }
                Some(place) => {
                    let root = self.root(*place) as usize;
                    match lane_of_root.get(root).copied().flatten() {
                        Some(lane) => lane,
                        None => {
                            let lane = least_loaded(&loads);
                            let cost = self.costs.get(root).copied().unwrap_or(0);
                            add_load(&mut loads, lane, cost);
                            if let Some(entry) = lane_of_root.get_mut(root) {
                                *entry = Some(lane);
                            }
                            lane
                        }
                    }
                }
            };
            deal.lane_of.push(lane);
            if let Some(indexes) = deal.lanes.get_mut(usize::from(lane)) {
                indexes.push(u32::try_from(index).unwrap_or(u32::MAX));
            }
        }
        deal
    }
}

fn least_loaded(loads: &[u64]) -> u16 {
    let least = loads.iter().zip(0..).min();
    least.map_or(0, |(_, lane)| lane)
}

fn add_load(loads: &mut [u64], lane: u16, cost: u64) {
    if let Some(load) = loads.get_mut(usize::from(lane)) {
        *load = load.saturating_add(cost);
    }
}

/// Of numbers that are hashes already.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}
