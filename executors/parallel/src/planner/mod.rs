mod groups;

use std::{collections::HashMap, hash::BuildHasherDefault, mem, ops::Range, time::Duration};

use weft_primitives::RecoveredTransaction;

use groups::Groups;

use crate::{
    forecast::Forecast,
    hash::AsItIs,
    lanes::{Deal, LaneOutcome},
};

/// Decides before transactions run which of them are executed side by side. It goes by what they
/// are expected to look at and change, and it changes how long a block takes and never what comes
/// out.
#[derive(Debug)]
pub(crate) struct Planner {
    threads: usize,
    /// Number of transactions.
    transactions: usize,
    /// Expected times, in nanoseconds.
    costs: Vec<u32>,
    /// Places of all transactions, one after another: those that some transaction is expected to
    /// change.
    places: Vec<u32>,
    /// Where the places of each transaction end.
    ends: Vec<u32>,
    place_count: usize,
    /// Transactions that are executed at their turn, by index, in order.
    alone: Vec<u32>,
    /// Whether all transactions look like plain transfers, whose places are known for certain.
    only_transfers: bool,
    /// Whether something is known of all transactions.
    all_known: bool,
    /// Expected time from which on transactions are worth more than one thread, in nanoseconds.
    parallel_from: u64,
    /// First transaction that has no segment yet.
    next: usize,
    /// Cost from there to the end.
    cost_left: u64,
    cost_of_block: u64,
    /// Whether expected times are not known to be near the real ones.
    doubtful: bool,
    /// Expected time of the transactions that are executed to find that out.
    trial: u64,
    /// Cost of the next transactions to execute in order, after lanes that have met too often.
    pause: u64,
    last_pause: u64,
}

/// Transactions that are executed together.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) range: Range<usize>,
    /// Which are side by side; `None` for one after another.
    pub(crate) deal: Option<Deal>,
}

/// Part of executions ahead of their turn, in percent, from which on they are not worth it.
const TOO_MANY_STALE_PERCENT: usize = 30;

/// The first trial is one part of a block in this many, and at most so many transactions. A block that
/// only seems to be long is done before another thread is awake.
const FIRST_TRIAL: usize = 32;
const LONGEST_FIRST_TRIAL: usize = 16;

/// Other trials are one part of a block in this many.
const NEXT_TRIAL: usize = 8;

/// Expected times are not believed when real ones are one part of them in this many.
const TOO_SHORT: u128 = 4;

/// Transactions that are executed at their turn are among lanes if they are at most one in this many.
const FEW_ALONE: usize = 8;

/// Most transactions to settle one by one because there are such.
const MOST_WALKED: usize = 4096;

/// Lanes for each thread where there are few transactions.
const LANES_PER_THREAD: usize = 4;

/// Transactions for each thread from which on there is one lane for each.
const MANY_IN_A_LANE: usize = 2048;

/// The first pause is one part of a block in this many.
const FIRST_PAUSE: u64 = 16;

/// How many times longer the next pause is.
const PAUSE_GROWTH: u64 = 4;

impl Planner {
    /// A planner that puts all of the block into one segment, in order.
    pub(crate) const fn in_order(transactions: &[RecoveredTransaction]) -> Self {
        Self {
            threads: 1,
            transactions: transactions.len(),
            costs: Vec::new(),
            places: Vec::new(),
            ends: Vec::new(),
            place_count: 0,
            alone: Vec::new(),
            only_transfers: false,
            all_known: false,
            parallel_from: u64::MAX,
            next: 0,
            cost_left: 0,
            cost_of_block: 0,
            doubtful: false,
            trial: 0,
            pause: 0,
            last_pause: 0,
        }
    }

    /// A planner for at most this many threads. `parallel_from` is the expected time from which
    /// on transactions are worth more than one, in nanoseconds.
    pub(crate) fn new(
        transactions: &[RecoveredTransaction],
        forecasts: Vec<Forecast>,
        threads: usize,
        parallel_from: u64,
    ) -> Self {
        let count = transactions.len();
        let mut planner = Self {
            threads,
            costs: Vec::with_capacity(count),
            ends: Vec::with_capacity(count),
            only_transfers: forecasts.iter().all(|forecast| forecast.only_transfers),
            parallel_from,
            ..Self::in_order(transactions)
        };
        for forecast in &forecasts {
            planner.alone.extend_from_slice(&forecast.alone);
        }
        let mentions = forecasts.iter().map(|forecast| forecast.places.len()).sum();
        planner.places.reserve(mentions);
        // Names are hashes already.
        let mut known: HashMap<u64, u32, BuildHasherDefault<AsItIs>> =
            HashMap::with_capacity_and_hasher(mentions, BuildHasherDefault::default());
        let mut written: Vec<bool> = Vec::with_capacity(mentions);
        for forecast in &forecasts {
            let offset = planner.places.len();
            for access in &forecast.places {
                let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
                let place = *known.entry(access.place).or_insert(next);
                match written.get_mut(place as usize) {
                    Some(written) => *written |= access.write,
                    None => written.push(access.write),
                }
                planner.places.push(place);
            }
            planner.costs.extend_from_slice(&forecast.costs);
            let ends = forecast.ends.iter();
            planner.ends.extend(ends.map(|end| {
                u32::try_from(offset.saturating_add(*end as usize)).unwrap_or(u32::MAX)
            }));
        }
        planner.place_count = known.len();
        planner.keep_written(&written);
        planner.cost_left = planner.costs.iter().map(|cost| u64::from(*cost)).sum();
        planner.cost_of_block = planner.cost_left;
        let worth = planner.cost_left / (parallel_from / 2).max(1);
        planner.threads = usize::try_from(worth)
            .unwrap_or(threads)
            .clamp(2.min(threads), threads);
        planner.doubtful = !planner.only_transfers && parallel_from > 0;
        planner
    }

    /// Says whether something is known of all transactions: then lanes look less often whether they
    /// meet.
    pub(crate) const fn with_all_known(mut self, all_known: bool) -> Self {
        self.all_known = all_known;
        self
    }

    /// Expected times of the transactions, in nanoseconds.
    pub(crate) fn expected(&self) -> &[u32] {
        &self.costs
    }

    /// Leaves out places that nobody changes: transactions do not meet there.
    fn keep_written(&mut self, written: &[bool]) {
        let mut kept = 0usize;
        let mut start = 0usize;
        for end in &mut self.ends {
            for index in start..*end as usize {
                let Some(place) = self.places.get(index).copied() else {
                    break;
                };
                if written.get(place as usize).copied().unwrap_or(true) {
                    if let Some(entry) = self.places.get_mut(kept) {
                        *entry = place;
                    }
                    kept = kept.saturating_add(1);
                }
            }
            start = *end as usize;
            *end = u32::try_from(kept).unwrap_or(u32::MAX);
        }
        self.places.truncate(kept);
    }

    /// Whether more than one thread would pay for itself.
    const fn wants_threads(&self) -> bool {
        self.threads > 1 && self.cost_left >= self.parallel_from
    }

    /// Into how many lanes to deal this many transactions. More than threads, as expected times are
    /// often wrong: a thread that is done with a lane takes another one. Fewer where there are so
    /// many transactions that the errors even out.
    const fn lanes(&self, transactions: usize) -> usize {
        if self.only_transfers || transactions / self.threads > MANY_IN_A_LANE {
            self.threads
        } else {
            self.threads.saturating_mul(LANES_PER_THREAD)
        }
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
        let end = self.transactions;
        if start >= end {
            return None;
        }
        if self.pause > 0 {
            let end = self.reach(self.pause);
            self.pause = 0;
            return Some(self.take(start..end, None));
        }
        if !self.wants_threads() {
            return Some(self.take(start..end, None));
        }
        if self.doubtful {
            let first = start == 0;
            let count = end / if first { FIRST_TRIAL } else { NEXT_TRIAL };
            let count = count.clamp(1, if first { LONGEST_FIRST_TRIAL } else { end });
            let trial = self.take(start..start.saturating_add(count).min(end), None);
            self.trial = self.cost_of(trial.range.clone());
            return Some(trial);
        }
        let end = self.end_of_lanes(start);
        if start == end {
            return Some(self.take(start..self.end_in_order(start), None));
        }
        let groups = Groups::new(self, start..end);
        let range = start..groups.end;
        let deal = groups.worth_it.then(|| groups.deal(self, range.clone()));
        Some(self.take(range, deal))
    }

    /// Where transactions from `start` on end that can be in lanes; `start` for none.
    fn end_of_lanes(&self, start: usize) -> usize {
        let first = self
            .alone
            .partition_point(|index| (*index as usize) < start);
        let alone = self.alone.get(first..).unwrap_or_default();
        let left = self.transactions.saturating_sub(start);
        if alone.len().saturating_mul(FEW_ALONE) <= left && left <= MOST_WALKED {
            // All between can go by what the others have left, the last need not.
            let last = alone.iter().rev().map(|index| *index as usize);
            let ends = (start..self.transactions).rev().zip(last);
            let run = ends.take_while(|(index, alone)| index == alone).count();
            return self.transactions.saturating_sub(run);
        }
        let (apart, end_of_alone) = self.next_alone(start);
        if end_of_alone > start && self.cost_of(start..apart) < self.parallel_from {
            return start;
        }
        apart
    }

    /// Whether the transaction is executed at its turn, be it among lanes.
    fn is_alone(&self, index: usize) -> bool {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        !self.alone.is_empty() && self.alone.binary_search(&index).is_ok()
    }

    /// The next transactions from `start` on that are executed at their turn. Without any, they
    /// begin at the block's end and end at `start`.
    fn next_alone(&self, start: usize) -> (usize, usize) {
        let first = self
            .alone
            .partition_point(|index| (*index as usize) < start);
        let mut next = self.alone.iter().skip(first).map(|index| *index as usize);
        let Some(begin) = next.next() else {
            return (self.transactions, start);
        };
        let mut end = begin.saturating_add(1);
        while next.next() == Some(end) {
            end = end.saturating_add(1);
        }
        (begin, end)
    }

    /// Where transactions from `start` on end that are executed in order, with the next ones that are
    /// executed at their turn: before those that are worth more than one thread. Each segment has its
    /// price, so there must not be too many.
    fn end_in_order(&self, start: usize) -> usize {
        let (_, mut end) = self.next_alone(start);
        loop {
            let (apart, end_of_alone) = self.next_alone(end);
            if end_of_alone == end || self.cost_of(end..apart) >= self.parallel_from {
                return end;
            }
            end = end_of_alone;
        }
    }

    fn cost_of(&self, range: Range<usize>) -> u64 {
        range.map(|index| self.cost(index)).sum()
    }

    /// Where the next transactions of this cost end; at the end of the block rather than just
    /// before it.
    fn reach(&self, cost: u64) -> usize {
        if self.cost_left <= cost.saturating_add(cost / 4) {
            return self.transactions;
        }
        let mut sum = 0u64;
        for index in self.next..self.transactions {
            sum = sum.saturating_add(self.cost(index));
            if sum >= cost {
                return index.saturating_add(1);
            }
        }
        self.transactions
    }

    fn take(&mut self, range: Range<usize>, deal: Option<Deal>) -> Segment {
        debug_assert!(!range.is_empty(), "no progress at {}", range.start);
        let cost = self.cost_of(range.clone());
        self.cost_left = self.cost_left.saturating_sub(cost);
        self.next = range.end;
        Segment { range, deal }
    }

    /// Takes note of how long the last segment took, which was executed in order.
    pub(crate) fn note_time(&mut self, time: Duration) {
        let expected = u128::from(mem::take(&mut self.trial));
        let time = time.as_nanos();
        // As if the others took as much less than expected.
        let left = u128::from(self.cost_left).saturating_mul(time);
        if let Some(left) = left.checked_div(expected) {
            self.doubtful = time < expected / TOO_SHORT && left < u128::from(self.parallel_from);
        }
    }

    /// Takes note of how the lanes of the last segment went.
    pub(crate) fn note(&mut self, outcome: LaneOutcome) {
        match outcome {
            LaneOutcome::Apart => self.last_pause = 0,
            LaneOutcome::Met {
                speculated,
                stale,
                end,
            } => {
                let stopped = end < self.next;
                let left = self.cost_of(end..self.next);
                self.cost_left = self.cost_left.saturating_add(left);
                self.next = end;
                let tolerable = speculated.saturating_mul(TOO_MANY_STALE_PERCENT) / 100;
                if stopped || stale > tolerable {
                    let first = self.cost_of_block / FIRST_PAUSE;
                    self.pause = self
                        .last_pause
                        .saturating_mul(PAUSE_GROWTH)
                        .max(first)
                        .max(1);
                    self.last_pause = self.pause;
                }
            }
        }
    }
}
