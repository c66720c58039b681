//! Who is to send what and when, what is on its way, and what has arrived.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use alloy_primitives::{B256, map::B256HashMap};
use tokio::sync::Notify;

use super::{
    IngestError,
    histogram::Histogram,
    rpc::{ErrorObject, SeenBlock},
    supply::{Ready, Supply},
};

/// Refusals without any transaction taken, after which there is no point in going on.
const HOPELESS: u64 = 200;

/// When the next transaction may be sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rhythm {
    /// While fewer than so many are sent and in no block.
    Window(usize),
    /// So many a second, whatever the node does; until all are taken, or time is over.
    Rate {
        per_second: f64,
        stop_after: Option<Duration>,
    },
}

/// What had happened at some time after the start.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Moment {
    pub(super) seconds: f64,
    pub(super) requests: u64,
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) included: u64,
}

/// A transaction to be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    /// Its number in the supply; the id of its request.
    pub(super) number: usize,
    pub(super) ready: Ready,
}

/// What was counted.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    /// Requests made.
    pub(super) requests: u64,
    /// Requests answered with the transaction's hash.
    pub(super) accepted: u64,
    /// Requests answered with an error, by code and message.
    pub(super) refusals: BTreeMap<String, u64>,
    pub(super) refused: u64,
    /// Transactions seen in blocks.
    pub(super) included: u64,
    /// Transactions in blocks that were not sent, or were there before.
    pub(super) foreign: u64,
    pub(super) blocks: u64,
    pub(super) gas: u64,
    /// Most transactions that were sent and in no block.
    pub(super) most_outstanding: usize,
    pub(super) first_sent: Option<Instant>,
    pub(super) last_included: Option<Instant>,
    /// When sending was ended although there was more.
    pub(super) stopped: Option<Instant>,
}

#[derive(Debug)]
struct State {
    /// Senders without a request on its way, in turn.
    idle: VecDeque<usize>,
    /// Senders whose last request was refused, until it is time to try again.
    resting: Vec<usize>,
    /// Transactions of each sender that the node took.
    taken: Vec<u64>,
    /// Sent and in no block, by when they were to be sent.
    outstanding: B256HashMap<Instant>,
    unanswered: usize,
    /// Requests that may have been made by now.
    released: u64,
    stopped: bool,
    counts: Counts,
    latency: Histogram,
}

/// One run.
#[derive(Debug)]
pub(super) struct Load {
    supply: Supply,
    senders: usize,
    rhythm: Rhythm,
    start: Instant,
    state: RefCell<State>,
    /// Woken when there may be something to send.
    changed: Notify,
    /// Woken when sending is ended.
    stopping: Notify,
}

impl Load {
    pub(super) fn new(supply: Supply, senders: usize, rhythm: Rhythm) -> Self {
        Self {
            supply,
            senders,
            rhythm,
            start: Instant::now(),
            state: RefCell::new(State {
                idle: (0..senders).collect(),
                resting: Vec::new(),
                taken: vec![0; senders],
                outstanding: B256HashMap::default(),
                unanswered: 0,
                released: 0,
                stopped: false,
                counts: Counts::default(),
                latency: Histogram::default(),
            }),
            changed: Notify::new(),
            stopping: Notify::new(),
        }
    }

    /// When the request with this number is due.
    fn due(&self, request: u64) -> Instant {
        match self.rhythm {
            Rhythm::Window(_) => Instant::now(),
            Rhythm::Rate { per_second, .. } => {
                self.start + Duration::from_secs_f64(request as f64 / per_second)
            }
        }
    }

    /// Appends up to `most` transactions that may be sent now.
    pub(super) fn take(&self, most: usize, orders: &mut Vec<Order>) -> Result<(), IngestError> {
        let mut state = self.state.borrow_mut();
        while orders.len() < most && !state.stopped {
            let allowed = match self.rhythm {
                Rhythm::Window(window) => state.outstanding.len() < window,
                Rhythm::Rate { .. } => state.counts.requests < state.released,
            };
            if !allowed {
                break;
            }
            let Some(sender) = state.idle.pop_front() else {
                break;
            };
            let taken = state.taken.get(sender).copied().unwrap_or_default();
            let number = taken as usize * self.senders + sender;
            if number >= self.supply.len() {
                // The sender is done.
                continue;
            }
            let ready = self.supply.get(number)?;
            let due = self.due(state.counts.requests);
            state.outstanding.insert(ready.hash(), due);
            state.unanswered += 1;
            let outstanding = state.outstanding.len();
            let counts = &mut state.counts;
            counts.requests += 1;
            counts.most_outstanding = counts.most_outstanding.max(outstanding);
            counts.first_sent.get_or_insert_with(Instant::now);
            orders.push(Order { number, ready });
        }
        Ok(())
    }

    /// Waits until up to `most` transactions may be sent; `false` when there will be none.
    pub(super) async fn wait_take(
        &self,
        most: usize,
        orders: &mut Vec<Order>,
    ) -> Result<bool, IngestError> {
        loop {
            self.take(most, orders)?;
            if !orders.is_empty() {
                return Ok(true);
            }
            if self.all_sent() {
                self.wake();
                return Ok(false);
            }
            self.changed.notified().await;
        }
    }

    /// Has everybody who waits look again.
    pub(super) fn wake(&self) {
        self.changed.notify_waiters();
    }

    /// Waits until there may be something to send.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Whether there is nothing more to send, and every answer is in.
    pub(super) fn all_sent(&self) -> bool {
        let state = self.state.borrow();
        state.unanswered == 0
            && (state.stopped || state.counts.accepted == self.supply.len() as u64)
    }

    /// Takes an answer in. A sender whose transaction was refused sends it again: at its next turn
    /// where there is a rate to be kept, else after [`Self::retry`].
    pub(super) fn answered(
        &self,
        order: &Order,
        answer: Result<(), &ErrorObject<'_>>,
    ) -> Result<(), IngestError> {
        let mut state = self.state.borrow_mut();
        let sender = order.number % self.senders.max(1);
        state.unanswered -= 1;
        match answer {
            Ok(()) => {
                state.idle.push_back(sender);
                state.counts.accepted += 1;
                if let Some(taken) = state.taken.get_mut(sender) {
                    *taken += 1;
                }
            }
            Err(error) => {
                state.outstanding.remove(&order.ready.hash());
                match self.rhythm {
                    Rhythm::Window(_) => state.resting.push(sender),
                    // The load stays what it is.
                    Rhythm::Rate { .. } => state.idle.push_back(sender),
                }
                let text = generalised(error);
                state.counts.refused += 1;
                let counts = &state.counts;
                if counts.accepted == 0 && counts.refused >= HOPELESS {
                    return Err(IngestError::Refused {
                        refused: counts.refused,
                        accepted: counts.accepted,
                        message: text,
                    });
                }
                *state.counts.refusals.entry(text).or_default() += 1;
            }
        }
        // Where there were others, nobody waits for this one.
        let only = state.idle.len() == 1;
        drop(state);
        if only {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Takes a block in that was seen now.
    pub(super) fn seen(&self, block: &SeenBlock) {
        let now = Instant::now();
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let mut included = 0;
        for hash in &block.transactions {
            match state.outstanding.remove(hash) {
                Some(due) => {
                    included += 1;
                    state.latency.record(now.saturating_duration_since(due));
                }
                None => state.counts.foreign += 1,
            }
        }
        state.counts.included += included;
        state.counts.blocks += 1;
        state.counts.gas += block.gas_used.to::<u64>();
        if included > 0 {
            state.counts.last_included = Some(now);
        }
        self.changed.notify_waiters();
    }

    /// Lets senders that were refused try again.
    pub(super) fn retry(&self) {
        let mut state = self.state.borrow_mut();
        if !state.resting.is_empty() {
            let resting = std::mem::take(&mut state.resting);
            state.idle.extend(resting);
            drop(state);
            self.wake();
        }
    }

    /// Whether every transaction that was sent is in a block.
    pub(super) fn all_included(&self) -> bool {
        self.all_sent() && self.state.borrow().outstanding.is_empty()
    }

    /// The error that says what is in no block.
    pub(super) fn missing(&self, waited: Duration) -> IngestError {
        let state = self.state.borrow();
        IngestError::Missing {
            missing: state.outstanding.len() as u64,
            accepted: state.counts.accepted,
            waited_s: waited.as_secs(),
            example: state
                .outstanding
                .keys()
                .next()
                .copied()
                .unwrap_or(B256::ZERO),
        }
    }

    /// Lets requests go as their time comes, until there is nothing more to send; to be run beside
    /// what sends.
    pub(super) async fn pace(&self) {
        let Rhythm::Rate {
            per_second,
            stop_after,
        } = self.rhythm
        else {
            return;
        };
        let mut tick = tokio::time::interval(Duration::from_millis(1));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        while !self.all_sent() {
            tick.tick().await;
            let elapsed = self.start.elapsed();
            if stop_after.is_some_and(|limit| elapsed >= limit) {
                let mut state = self.state.borrow_mut();
                state.stopped = true;
                state.counts.stopped = Some(Instant::now());
                self.stopping.notify_one();
                break;
            }
            let released = (elapsed.as_secs_f64() * per_second) as u64;
            let before = std::mem::replace(&mut self.state.borrow_mut().released, released);
            for _ in before..released {
                self.changed.notify_one();
            }
        }
        self.changed.notify_waiters();
    }

    /// Transactions taken by the node, and in blocks.
    pub(super) fn progress(&self) -> (u64, u64) {
        let state = self.state.borrow();
        (state.counts.accepted, state.counts.included)
    }

    /// Waits until sending was ended although there was more; for ever when it is not.
    pub(super) async fn stopped(&self) -> Instant {
        loop {
            if let Some(stopped) = self.state.borrow().counts.stopped {
                return stopped;
            }
            self.stopping.notified().await;
        }
    }

    /// What has happened by now.
    pub(super) fn moment(&self) -> Moment {
        let state = self.state.borrow();
        Moment {
            seconds: self.start.elapsed().as_secs_f64(),
            requests: state.counts.requests,
            accepted: state.counts.accepted,
            refused: state.counts.refused,
            included: state.counts.included,
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.state.borrow().counts.clone()
    }

    pub(super) fn latency(&self) -> Histogram {
        self.state.borrow().latency.clone()
    }

    /// Transactions of each sender that the node took.
    pub(super) fn taken(&self) -> Vec<u64> {
        self.state.borrow().taken.clone()
    }
}

/// A refusal without what differs from one transaction to the next, so that equal ones count
/// together.
fn generalised(error: &ErrorObject<'_>) -> String {
    let words = error.message.split(' ').map(|word| {
        let digits = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_number = digits.starts_with("0x") || digits.parse::<u128>().is_ok();
        if is_number { "N" } else { word }
    });
    let text: Vec<&str> = words.collect();
    format!("{} (code {})", text.join(" "), error.code)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, U64};

    use super::*;
    use crate::ingest::{TransactionKind, account::Account, supply::Plan};

    /// So many transactions of three senders.
    fn load(count: usize, rhythm: Rhythm) -> Load {
        let plan = Plan {
            kind: TransactionKind::Transfers,
            chain_id: 1,
            seed: 1,
            senders: (0..3)
                .map(|number| Account::of_seed(1, number).unwrap())
                .collect(),
            receivers: vec![Address::repeat_byte(1)],
            token: Address::ZERO,
        };
        let supply = plan.supply(count, &std::env::temp_dir()).unwrap();
        Load::new(supply, 3, rhythm)
    }

    fn take(load: &Load, most: usize) -> Vec<Order> {
        let mut orders = Vec::new();
        load.take(most, &mut orders).unwrap();
        orders
    }

    fn numbers(orders: &[Order]) -> Vec<usize> {
        orders.iter().map(|order| order.number).collect()
    }

    fn block(orders: &[Order]) -> SeenBlock {
        SeenBlock {
            transactions: orders.iter().map(|order| order.ready.hash()).collect(),
            gas_used: U64::from(21_000 * orders.len()),
        }
    }

    fn refusal(message: &str) -> ErrorObject<'_> {
        ErrorObject {
            code: -32000,
            message: message.into(),
        }
    }

    #[test]
    fn a_sender_has_one_request_on_its_way_and_the_window_bounds_all() {
        let load = load(8, Rhythm::Window(4));
        let first = take(&load, 10);
        assert_eq!(numbers(&first), [0, 1, 2]);
        assert!(take(&load, 10).is_empty(), "no sender is idle");
        for order in &first {
            load.answered(order, Ok(())).unwrap();
        }
        let second = take(&load, 10);
        assert_eq!(numbers(&second), [3], "the window is full");
        load.seen(&block(&first));
        assert_eq!(load.progress(), (3, 3));
        let third = take(&load, 10);
        assert_eq!(numbers(&third), [4, 5]);
        for order in second.iter().chain(&third) {
            load.answered(order, Ok(())).unwrap();
        }
        let last = take(&load, 10);
        assert_eq!(numbers(&last), [6]);
        assert!(!load.all_sent());
        load.seen(&block(&second));
        let end = take(&load, 10);
        assert_eq!(numbers(&end), [7]);
        for order in last.iter().chain(&end) {
            load.answered(order, Ok(())).unwrap();
        }
        assert!(load.all_sent() && !load.all_included());
        let missing = load.missing(Duration::from_secs(30)).to_string();
        assert!(
            missing.starts_with("4 of 8 transactions that the node took are in no block"),
            "{missing}"
        );
        load.seen(&block(&[third, last, end].concat()));
        assert!(load.all_included());
        assert_eq!(load.taken(), [3, 3, 2]);
        let counts = load.counts();
        assert_eq!((counts.included, counts.foreign, counts.blocks), (8, 0, 3));
        assert_eq!(counts.gas, 8 * 21_000);
    }

    #[test]
    fn what_comes_twice_or_was_not_sent_is_foreign() {
        let load = load(3, Rhythm::Window(10));
        let orders = take(&load, 1);
        load.seen(&block(&orders));
        load.seen(&block(&orders));
        assert_eq!(load.counts().included, 1);
        assert_eq!(load.counts().foreign, 1);
    }

    #[test]
    fn what_was_refused_is_sent_again_after_a_rest() {
        let load = load(3, Rhythm::Window(10));
        let first = take(&load, 10);
        load.answered(&first[0], Ok(())).unwrap();
        load.answered(&first[2], Ok(())).unwrap();
        let text = "txpool is full: address 0x12ab, limit 17";
        load.answered(&first[1], Err(&refusal(text))).unwrap();
        assert!(take(&load, 10).is_empty());
        load.retry();
        let again = take(&load, 10);
        assert_eq!(numbers(&again), [1]);
        assert_eq!(again[0].ready.hash(), first[1].ready.hash());
        load.answered(&again[0], Ok(())).unwrap();
        load.seen(&block(&first));
        assert!(load.all_included());
        let counts = load.counts();
        let refusals: Vec<(String, u64)> = counts.refusals.into_iter().collect();
        let text = "txpool is full: address N limit N (code -32000)";
        assert_eq!(refusals, [(text.to_owned(), 1)]);
        assert_eq!(
            (counts.requests, counts.accepted, counts.refused),
            (4, 3, 1)
        );
    }

    #[test]
    fn a_node_that_takes_nothing_ends_the_run() {
        let load = load(3, Rhythm::Window(10));
        for attempt in 1..=HOPELESS {
            let [order, ..] = take(&load, 1)[..] else {
                panic!("nothing to send");
            };
            let answered = load.answered(&order, Err(&refusal("no")));
            load.retry();
            assert_eq!(answered.is_err(), attempt == HOPELESS, "{answered:?}");
        }
    }

    #[tokio::test]
    async fn a_rate_lets_requests_go_by_the_clock_and_stops() {
        let rhythm = Rhythm::Rate {
            per_second: 1000.0,
            stop_after: Some(Duration::from_millis(20)),
        };
        let load = load(3000, rhythm);
        assert!(take(&load, 10).is_empty(), "nothing is due yet");
        load.pace().await;
        assert!(load.all_sent(), "the time is over");
        assert!(take(&load, 10).is_empty());
        assert!(load.counts().stopped.is_some());
    }
}
