use std::ops::Range;

use super::Planner;
use crate::lanes::{AT_TURN, Deal};

/// Transactions that are expected to meet are in one group.
pub(super) struct Groups {
    /// Union-find over places.
    parents: Vec<u32>,
    costs: Vec<u64>,
    /// Where the segment ends.
    pub(super) end: usize,
    total: u64,
    /// Whether lanes would pay for themselves.
    pub(super) worth_it: bool,
}

impl Groups {
    /// Groups the transactions of the range, as far as no group becomes too large for its lane.
    pub(super) fn new(planner: &Planner, range: Range<usize>) -> Self {
        let (start, all) = (range.start, range.end);
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
        for index in start..all {
            if planner.is_alone(index) {
                continue;
            }
            let cost = groups.add(planner.places_of(index), planner.cost(index));
            largest = largest.max(cost);
            groups.total = groups.total.saturating_add(planner.cost(index));
            if largest.saturating_mul(threads) <= groups.total.saturating_add(groups.total / 16) {
                balanced = Some((index.saturating_add(1), groups.total));
            }
        }
        let bound = largest.max(groups.total / threads);
        match balanced {
            Some((end, total)) if end == all => {
                groups.end = end;
                groups.worth_it = total >= planner.parallel_from;
            }
            Some((end, total)) if total >= planner.parallel_from && total >= groups.total / 4 => {
                // Group again without those that come later.
                let mut parts = Self {
                    parents: (0..).take(count).collect(),
                    costs: vec![0; count],
                    end,
                    total,
                    worth_it: true,
                };
                for index in (start..end).filter(|index| !planner.is_alone(*index)) {
                    parts.add(planner.places_of(index), planner.cost(index));
                }
                return parts;
            }
            _ => {
                groups.end = all;
                groups.worth_it = groups.total >= planner.parallel_from
                    && bound.saturating_add(bound / 4) <= groups.total;
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
    pub(super) fn deal(mut self, planner: &Planner, range: Range<usize>) -> Deal {
        let lanes = planner.lanes(range.len());
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
            lanes: Vec::new(),
            transfers_apart: planner.only_transfers,
            all_known: planner.all_known,
        };
        let start = range.start;
        // The others by stretches of the block: what lies together stays with one core.
        let share = self.total / u64::try_from(lanes).unwrap_or(1);
        let mut current = 0;
        for index in range {
            if planner.is_alone(index) {
                deal.lane_of.push(AT_TURN);
                continue;
            }
            let root = planner
                .places_of(index)
                .first()
                .map(|place| self.root(*place) as usize);
            let known = root.and_then(|root| lane_of_root.get(root).copied().flatten());
            let lane = match known {
                Some(lane) => lane,
                None => {
                    let cost = match root {
                        Some(root) => self.costs.get(root).copied().unwrap_or(0),
                        None => planner.cost(index),
                    };
                    if loads
                        .get(usize::from(current))
                        .is_none_or(|load| *load >= share)
                    {
                        current = least_loaded(&loads);
                    }
                    add_load(&mut loads, current, cost);
                    if let Some(entry) = root.and_then(|root| lane_of_root.get_mut(root)) {
                        *entry = Some(current);
                    }
                    current
                }
            };
            deal.lane_of.push(lane);
        }
        deal.number_by_load(&loads, start);
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
