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
    batch_cost: usize,
}

/// Gas that stands for one unit of cost.
const GAS_PER_COST: u64 = 21_000;

/// Cost of the transactions that a thread claims at once.
const BATCH_COST: usize = 32;

impl Plan {
    pub(crate) fn new(transactions: &[RecoveredTransaction]) -> Self {
        let hasher = DefaultHashBuilder::default();
        let mut plan = Self {
            costs: Vec::with_capacity(transactions.len()),
            lanes: Vec::with_capacity(transactions.len()),
            ends: Vec::with_capacity(transactions.len()),
            batch_cost: BATCH_COST,
        };
        for transaction in transactions {
            let cost = transaction.gas_limit() / GAS_PER_COST;
            plan.costs.push(u16::try_from(cost).unwrap_or(u16::MAX));
            // Plain transfers are settled at their turn and need no lane.
            if !transaction.input().is_empty() {
                plan.lanes.push(hasher.hash_one(transaction.signer()));
            }
            plan.ends
                .push(u32::try_from(plan.lanes.len()).unwrap_or(u32::MAX));
        }
        plan
    }

    pub(crate) fn len(&self) -> usize {
        self.costs.len()
    }

    pub(crate) fn cost(&self, index: usize) -> usize {
        self.costs.get(index).map_or(1, |cost| usize::from(*cost))
    }

    pub(crate) const fn batch_cost(&self) -> usize {
        self.batch_cost
    }

    pub(crate) fn lanes(&self, index: usize) -> &[u64] {
        let end_of = |index: usize| self.ends.get(index).map_or(0, |end| *end as usize);
        let start = index.checked_sub(1).map_or(0, end_of);
        self.lanes.get(start..end_of(index)).unwrap_or_default()
    }
}
