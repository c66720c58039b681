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

    /// Takes an answer in. A sender whose transaction was refused sends it again at its next turn.
    pub(super) fn answered(
        &self,
        order: &Order,
        answer: Result<(), &ErrorObject<'_>>,
    ) -> Result<(), IngestError> {
        let mut state = self.state.borrow_mut();
        let sender = order.number % self.senders.max(1);
        state.unanswered -= 1;
        state.idle.push_back(sender);
        match answer {
            Ok(()) => {
                state.counts.accepted += 1;
                if let Some(taken) = state.taken.get_mut(sender) {
                    *taken += 1;
                }
            }
            Err(error) => {
                state.outstanding.remove(&order.ready.hash());
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
