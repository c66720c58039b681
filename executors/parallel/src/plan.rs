use std::hash::BuildHasher;

use alloy_consensus::Transaction as _;
use alloy_primitives::map::DefaultHashBuilder;
use weft_primitives::RecoveredTransaction;

/// What is expected of a block's transactions before they run. It decides who executes what and
/// when, and never what comes out.
#[derive(Debug)]
pub(crate) struct Plan {
    costs: Vec<u16>,
    /// Keys of all transactions' lanes, one after another.
    lanes: Vec<u64>,
    /// Where the keys of each transaction end.
    ends: Vec<u32>,
    /// Transactions that are no plain transfers.
    calls: usize,
    total_cost: usize,
}

/// Gas limit of a call that stands for one unit of cost; a plain transfer costs one unit too.
const GAS_PER_COST: u64 = 5_000;

/// Gas above which a limit says nothing about what a transaction uses.
const MAX_CREDIBLE_GAS: u64 = 150_000;

/// Cost of the transactions that a thread claims at once.
const BATCH_COST: usize = 64;

/// Cost of a block from which on it is worth a second thread: some 200 microseconds.
const MIN_PARALLEL_COST: usize = 400;

impl Plan {
    pub(crate) fn new(transactions: &[RecoveredTransaction]) -> Self {
        let hasher = DefaultHashBuilder::default();
        let mut plan = Self {
            costs: Vec::with_capacity(transactions.len()),
            lanes: Vec::with_capacity(transactions.len()),
            ends: Vec::with_capacity(transactions.len()),
            calls: 0,
            total_cost: 0,
        };
        for transaction in transactions {
            // Plain transfers are settled at their turn and need no lane.
            let transfer = transaction.input().is_empty() && transaction.kind().is_call();
            let cost = if transfer {
                1
            } else {
                plan.calls = plan.calls.saturating_add(1);
                plan.lanes.push(hasher.hash_one(transaction.signer()));
                transaction.gas_limit().min(MAX_CREDIBLE_GAS) / GAS_PER_COST
            };
            let cost = u16::try_from(cost).unwrap_or(u16::MAX);
            plan.costs.push(cost);
            plan.total_cost = plan.total_cost.saturating_add(usize::from(cost));
            plan.ends
                .push(u32::try_from(plan.lanes.len()).unwrap_or(u32::MAX));
        }
        plan
    }

    /// Whether a second thread would pay for itself.
    pub(crate) const fn is_worth_threads(&self) -> bool {
        self.total_cost >= MIN_PARALLEL_COST && self.calls > 1
    }

    pub(crate) fn len(&self) -> usize {
        self.costs.len()
    }

    pub(crate) fn cost(&self, index: usize) -> usize {
        self.costs.get(index).map_or(1, |cost| usize::from(*cost))
    }

    /// Cost of the transactions that a thread claims at once: large enough to be worth the claim,
    /// and small enough that all threads end together.
    pub(crate) fn batch_cost(&self, threads: usize) -> usize {
        (self.total_cost / threads.saturating_mul(8).max(1)).clamp(1, BATCH_COST)
    }

    pub(crate) fn lanes(&self, index: usize) -> &[u64] {
        let end_of = |index: usize| self.ends.get(index).map_or(0, |end| *end as usize);
        let start = index.checked_sub(1).map_or(0, end_of);
        self.lanes.get(start..end_of(index)).unwrap_or_default()
    }
}
