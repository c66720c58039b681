use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use super::{PooledTransaction, pool::Pool, sender::SenderQueue};

/// Gas below which no transaction fits: the base cost of any.
const LEAST_TRANSACTION_GAS: u64 = 21_000;

/// One sender during selection: ordered by its next transaction alone.
struct Candidate<'a> {
    rank: (u128, Reverse<u64>),
    transaction: &'a Arc<PooledTransaction>,
    queue: &'a SenderQueue,
}

impl<'a> Candidate<'a> {
    fn new(
        transaction: &'a Arc<PooledTransaction>,
        queue: &'a SenderQueue,
        base_fee: u64,
    ) -> Option<Self> {
        Some(Self {
            rank: (
                transaction.effective_tip(base_fee)?,
                Reverse(transaction.sequence),
            ),
            transaction,
            queue,
        })
    }

    /// The sender's next transaction, when it can pay the base fee.
    fn next(&self, base_fee: u64) -> Option<Self> {
        let next = self.queue.executable_at(self.transaction.nonce() + 1)?;
        Self::new(next, self.queue, base_fee)
    }
}

impl Ord for Candidate<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}

impl PartialOrd for Candidate<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Candidate<'_> {}

/// See [`super::Mempool::best`]. A sender whose next transaction does not fit into the gas that is
/// left is passed over.
pub(super) fn best(
    pool: &Pool,
    gas_limit: u64,
    max_transactions: usize,
) -> Vec<Arc<PooledTransaction>> {
    let base_fee = pool.rules().base_fee;
    // Those that follow a chosen one of their sender; all others wait in the pool's own order.
    let mut followers = BinaryHeap::new();
    let mut heads = pool
        .ready_senders()
        .filter_map(|queue| Candidate::new(queue.head()?, queue, base_fee))
        .peekable();
    let mut gas_left = gas_limit;
    let mut chosen = Vec::new();
    while chosen.len() < max_transactions && gas_left >= LEAST_TRANSACTION_GAS {
        let best_follower = followers.peek();
        let next = match heads.peek() {
            Some(head) if best_follower.is_none_or(|follower| head > follower) => heads.next(),
            _ => followers.pop(),
        };
        let Some(candidate) = next else { break };
        let Some(left) = gas_left.checked_sub(candidate.transaction.gas_limit()) else {
            continue;
        };
        gas_left = left;
        chosen.push(Arc::clone(candidate.transaction));
        followers.extend(candidate.next(base_fee));
    }
    chosen
}
