use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
};

use alloy_primitives::map::DefaultHashBuilder;

use crate::{
    plan::Plan,
    sync::{Condvar, Mutex},
};

/// Transactions that may be claimed before the first of them is settled.
pub(crate) const MAX_WINDOW: usize = 1024;

/// Hands out the transactions of a block to threads, in order but for those that wait for the thread
/// of an earlier one.
#[derive(Debug)]
pub(crate) struct Schedule<'a> {
    plan: &'a Plan,
    batch_cost: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// First transaction that nobody has claimed.
    next: usize,
    /// Number of settled transactions.
    settled: usize,
    /// Transactions that may be claimed before the first of them is settled.
    window: usize,
    /// Transactions before this one are only executed at their turn.
    serial_until: usize,
    /// Transactions that were claimed for a thread because it has their lane.
    queues: Vec<VecDeque<usize>>,
    /// The last transaction of each lane and its thread.
    lanes: HashMap<u64, (usize, usize), DefaultHashBuilder>,
    waiting: usize,
    stopped: bool,
}

impl<'a> Schedule<'a> {
    pub(crate) fn new(plan: &'a Plan, threads: usize) -> Self {
        Self {
            plan,
            batch_cost: plan.batch_cost(threads),
            state: Mutex::new(State {
                next: 0,
                settled: 0,
                window: threads.saturating_mul(128).min(MAX_WINDOW),
                serial_until: 0,
                queues: vec![VecDeque::new(); threads],
                lanes: HashMap::default(),
                waiting: 0,
                stopped: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Waits for transactions that `worker` can execute ahead of their turn and puts their indexes
    /// into `batch`, which is empty. `false` when there will be no more.
    pub(crate) fn claim(&self, worker: usize, batch: &mut Vec<usize>) -> bool {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return false;
            }
            let others_got_some = state.fill(self.plan, self.batch_cost, worker, batch);
            if others_got_some && state.waiting > 0 {
                self.changed.notify_all();
            }
            if !batch.is_empty() {
                return true;
            }
            if state.next >= self.plan.len() {
                return false;
            }
            state.waiting = state.waiting.saturating_add(1);
            self.changed.wait(&mut state);
            state.waiting = state.waiting.saturating_sub(1);
        }
    }

    /// Tells that this many transactions are settled.
    pub(crate) fn settled(&self, settled: usize) {
        let mut state = self.state.lock();
        state.settled = settled;
        // Not at once when a place is free: who is woken should find work for a while.
        let in_flight = state.next.saturating_sub(settled);
        if state.waiting > 0 && in_flight <= state.window / 2 {
            self.changed.notify_all();
        }
    }

    /// Has transactions from the first unclaimed one on executed at their turn only.
    pub(crate) fn go_serial(&self, transactions: usize) {
        let mut state = self.state.lock();
        state.serial_until = state.next.saturating_add(transactions).min(self.plan.len());
    }

    /// Claims the transactions from `index` on that are to be executed at their turn, which is now.
    pub(crate) fn claim_serial(&self, index: usize) -> Option<Range<usize>> {
        let mut state = self.state.lock();
        if state.next != index || state.serial_until <= index {
            return None;
        }
        state.next = state.serial_until;
        Some(index..state.serial_until)
    }

    /// Ends the block early.
    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
    }
}

impl State {
    /// Claims transactions for `worker`, and whatever lies between them and belongs to the lanes of
    /// others for those. Whether others got some.
    fn fill(
        &mut self,
        plan: &Plan,
        batch_cost: usize,
        worker: usize,
        batch: &mut Vec<usize>,
    ) -> bool {
        let mut cost = 0usize;
        let mut others_got_some = false;
        if let Some(queue) = self.queues.get_mut(worker) {
            while cost < batch_cost
                && let Some(index) = queue.pop_front()
            {
                batch.push(index);
                cost = cost.saturating_add(plan.cost(index));
            }
        }
        let end = self.settled.saturating_add(self.window).min(plan.len());
        while cost < batch_cost && self.next < end && self.next >= self.serial_until {
            let index = self.next;
            self.next = index.saturating_add(1);
            let keys = plan.lanes(index);
            let owner = keys
                .iter()
                .filter_map(|key| self.lanes.get(key))
                .filter(|(_, last)| *last >= self.settled)
                .max_by_key(|(_, last)| *last)
                .map_or(worker, |(owner, _)| *owner);
            for key in keys {
                self.lanes.insert(*key, (owner, index));
            }
            if owner == worker {
                batch.push(index);
                cost = cost.saturating_add(plan.cost(index));
            } else if let Some(queue) = self.queues.get_mut(owner) {
                queue.push_back(index);
                others_got_some = true;
            }
        }
        others_got_some
    }
}
