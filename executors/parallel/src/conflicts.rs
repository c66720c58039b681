use std::{cmp::Reverse, collections::HashMap};

use alloy_primitives::{Address, U256, map::DefaultHashBuilder};

use crate::replay::Effects;

/// A part of the state that transactions can meet at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// Nonce, balance and code of an account.
    Account(Address),
    /// A storage slot.
    Slot(Address, U256),
}

impl Location {
    /// The account.
    pub const fn address(&self) -> Address {
        match self {
            Self::Account(address) | Self::Slot(address, _) => *address,
        }
    }

    /// The slot, if it is one.
    pub const fn slot(&self) -> Option<U256> {
        match self {
            Self::Account(_) => None,
            Self::Slot(_, slot) => Some(*slot),
        }
    }
}

/// A transaction that looked at what an earlier one had changed. Transactions are named by their
/// index among the included ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dependency {
    /// The one that looked.
    pub transaction: usize,
    /// The last one before it that had changed the location.
    pub on: usize,
    /// Where they met.
    pub location: Location,
}

/// A location that transactions had to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// The location.
    pub location: Location,
    /// Transactions that waited for an earlier one there.
    pub transactions: usize,
    /// Gas used by these transactions, in gas.
    pub gas: u64,
}

/// Which transactions of a block had to wait for which, whoever executes it.
///
/// Who changes a location makes those wait that look at it later. Crediting an account is no look
/// at it, as long as no code runs: fees and plain transfers to one account meet only with somebody
/// who looks at the account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConflictGraph {
    /// For each look at a changed location, the last change before it, in order.
    pub dependencies: Vec<Dependency>,
    /// Included transactions.
    pub transactions: usize,
    /// Groups of transactions that share nothing with those of other groups.
    pub lanes: usize,
    /// Gas used by the block, in gas.
    pub gas_used: u64,
    /// Gas of the longest chain of transactions that wait for each other, in gas.
    pub critical_path_gas: u64,
    /// Locations where transactions waited, those with most gas first.
    pub conflicts: Vec<Conflict>,
}

impl ConflictGraph {
    /// How many times faster than one thread any number of threads can be, by gas; 1 for an empty
    /// block.
    pub fn speed_up_bound(&self) -> f64 {
        if self.critical_path_gas == 0 {
            return 1.0;
        }
        self.gas_used as f64 / self.critical_path_gas as f64
    }
}

/// Builds the graph, transaction by transaction.
#[derive(Debug, Default)]
pub(crate) struct GraphBuilder {
    graph: ConflictGraph,
    locations: HashMap<Location, Past, DefaultHashBuilder>,
    conflicts: HashMap<Location, (usize, u64), DefaultHashBuilder>,
    lanes: Lanes,
}

/// What has been done to a location.
#[derive(Debug, Default)]
struct Past {
    last_change: Option<usize>,
    /// Gas at the end of the longest chain that changed it.
    ready: u64,
    /// Changes that nobody has looked at yet.
    unseen: Vec<usize>,
}

impl GraphBuilder {
    pub(crate) fn add(&mut self, effects: &Effects<'_>) {
        let graph = &mut self.graph;
        let index = graph.transactions;
        graph.transactions = index.saturating_add(1);
        graph.gas_used = graph.gas_used.saturating_add(effects.gas_used);
        self.lanes.add();
        let accounts = effects.accounts.iter().map(|effect| {
            let changed = effect.before != effect.after;
            (Location::Account(effect.address), effect.read, changed)
        });
        let slots = effects.slots.iter().map(|effect| {
            let location = Location::Slot(effect.address, effect.slot);
            (location, true, effect.before != effect.after)
        });
        let mut start = 0;
        for (location, read, _) in accounts.clone().chain(slots.clone()) {
            if !read {
                continue;
            }
            let Some(past) = self.locations.get_mut(&location) else {
                continue;
            };
            let Some(on) = past.last_change else {
                continue;
            };
            for changer in past.unseen.drain(..) {
                self.lanes.join(changer, index);
            }
            // Whoever changed it and was seen is in the lane of whoever saw it.
            self.lanes.join(on, index);
            start = start.max(past.ready);
            graph.dependencies.push(Dependency {
                transaction: index,
                on,
                location,
            });
            let (transactions, gas) = self.conflicts.entry(location).or_default();
            *transactions = transactions.saturating_add(1);
            *gas = gas.saturating_add(effects.gas_used);
        }
        let end = start.saturating_add(effects.gas_used);
        graph.critical_path_gas = graph.critical_path_gas.max(end);
        for (location, _, _) in accounts.chain(slots).filter(|(_, _, changed)| *changed) {
            let past = self.locations.entry(location).or_default();
            past.last_change = Some(index);
            past.ready = past.ready.max(end);
            past.unseen.push(index);
        }
    }

    pub(crate) fn finish(self) -> ConflictGraph {
        let mut graph = self.graph;
        graph.lanes = self.lanes.count;
        graph.conflicts = self
            .conflicts
            .into_iter()
            .map(|(location, (transactions, gas))| Conflict {
                location,
                transactions,
                gas,
            })
            .collect();
        graph
            .conflicts
            .sort_unstable_by_key(|conflict| (Reverse(conflict.gas), conflict.location));
        graph
    }
}

/// Disjoint sets of transactions.
#[derive(Debug, Default)]
struct Lanes {
    parents: Vec<usize>,
    count: usize,
}

impl Lanes {
    fn add(&mut self) {
        self.parents.push(self.parents.len());
        self.count = self.count.saturating_add(1);
    }

    /// The first transaction of a transaction's set; the way there gets shorter with each question.
    fn first(&mut self, mut index: usize) -> usize {
        loop {
            let parent = self.parents.get(index).copied().unwrap_or(index);
            if parent == index {
                return index;
            }
            let above = self.parents.get(parent).copied().unwrap_or(parent);
            if let Some(parent) = self.parents.get_mut(index) {
                *parent = above;
            }
            index = above;
        }
    }

    fn join(&mut self, left: usize, right: usize) {
        let (left, right) = (self.first(left), self.first(right));
        if left == right {
            return;
        }
        if let Some(parent) = self.parents.get_mut(left.max(right)) {
            *parent = left.min(right);
        }
        self.count = self.count.saturating_sub(1);
    }
}
