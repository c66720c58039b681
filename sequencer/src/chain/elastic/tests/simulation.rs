//! The controller in a loop with a machine, a mempool and an L1 that are as simple as can be, in
//! simulated time.

use super::{
    super::controller::{BlockObservation, Controller, Decision, L1Observation},
    *,
};

const SECOND: u64 = 1_000_000;
/// A transfer.
const GAS: u64 = 21_000;
const BYTES: u64 = 110;
/// Microseconds to seal and to write a block.
const SEAL: u64 = 2_000;
const COMMIT: u64 = 1_000;
/// Nanoseconds to execute a transfer, and how many the mempool holds.
const EXECUTE: u64 = 45_000;
const POOL: u64 = 100_000;
/// How often L1 takes a batch.
const L1_PERIOD: u64 = 2 * SECOND;

/// Everything but the controller. Times in microseconds.
struct World {
    controller: Controller,
    decision: Decision,
    now: u64,
    waiting: u64,
    /// Unposted bytes.
    backlog: u64,
    l1_next: u64,
    refused: u64,
    included: u64,
    most_backlog: u64,
}

impl World {
    fn new(bounds: Bounds) -> Self {
        let mut controller = Controller::new(bounds);
        let decision = controller.decide(&L1Observation::default());
        Self {
            controller,
            decision,
            now: 0,
            waiting: 0,
            backlog: 0,
            l1_next: L1_PERIOD,
            refused: 0,
            included: 0,
            most_backlog: 0,
        }
    }

    /// Goes on until `end`, with so many transactions coming and so many bytes going to L1 in a
    /// second.
    fn run(&mut self, end: u64, coming: u64, to_l1: u64) {
        while self.now < end {
            self.decision = self.controller.decide(&L1Observation {
                backlog_bytes: self.backlog,
                ..L1Observation::default()
            });
            let decision = self.decision;
            let transactions = self
                .waiting
                .min(decision.max_transactions)
                .min(decision.gas_limit / GAS)
                .min(decision.max_bytes / BYTES);
            let execute = transactions * EXECUTE / 1000;
            let mut elapsed = execute.max(decision.interval);
            if transactions > 0 {
                self.waiting -= transactions;
                self.included += transactions;
                self.backlog += transactions * BYTES;
                self.most_backlog = self.most_backlog.max(self.backlog);
                self.controller.observe(&BlockObservation {
                    gas_wanted: transactions * GAS,
                    gas_limit: decision.gas_limit,
                    execute,
                    seal: SEAL,
                    commit: COMMIT,
                    left: self.waiting,
                });
            } else {
                // The controller decides four times a second even when no block is made.
                elapsed = elapsed.min(SECOND / 4);
            }
            let arrived = coming * elapsed / SECOND;
            let places = if decision.admission.closed_at.is_some() {
                0
            } else {
                let most = POOL * u64::from(decision.admission.share_permille) / 1000;
                most.saturating_sub(self.waiting)
            };
            self.waiting += arrived.min(places);
            self.refused += arrived.saturating_sub(places);
            self.now += elapsed;
            while self.l1_next <= self.now {
                self.l1_next += L1_PERIOD;
                self.backlog = self.backlog.saturating_sub(to_l1 * L1_PERIOD / SECOND);
            }
        }
    }

    fn rate(&mut self, until: u64, coming: u64, to_l1: u64) -> u64 {
        let (from, before) = (self.now, self.included);
        self.run(until, coming, to_l1);
        (self.included - before) * SECOND / (self.now - from)
    }
}

/// What the machine can do.
const MOST: u64 = SECOND * 1000 / EXECUTE;

#[test]
fn ten_minutes_without_l1_at_three_times_the_load() {
    let bounds = bounds();
    let stop = bounds.backlog_bytes.unwrap().stop;
    let mut world = World::new(bounds);
    let fast_l1 = 4 << 20;
    let load = 3 * MOST;

    let before = world.rate(60 * SECOND, load, fast_l1);
    assert!(before > MOST * 95 / 100, "{before} of {MOST}");
    assert_eq!(world.decision.pressure, 0);

    // L1 is away.
    let refused = world.refused;
    world.run(660 * SECOND, load, 0);
    assert!(world.most_backlog >= stop);
    assert!(world.most_backlog < stop + bounds.max_bytes);
    assert!(world.decision.admission.closed_at.is_some());
    assert_eq!(world.decision.max_bytes, 0);
    assert!(world.refused - refused > 500 * load);
    assert!(world.waiting <= POOL);

    // L1 is back and has caught up with the backlog: so has the chain.
    let caught_up = 660 * SECOND + (stop / fast_l1) * SECOND + 5 * SECOND;
    world.run(caught_up, load, fast_l1);
    let after = world.rate(caught_up + 60 * SECOND, load, fast_l1);
    assert_eq!(world.decision.pressure, 0);
    assert_eq!(world.decision.admission, Default::default());
    assert!(after >= before * 99 / 100, "{after} after, {before} before");
}

#[test]
fn a_slow_l1_sets_the_pace() {
    let bounds = bounds();
    let ramp = bounds.backlog_bytes.unwrap();
    let mut world = World::new(bounds);
    let slow_l1 = 500_000;
    world.run(1_000 * SECOND, 3 * MOST, slow_l1);
    let rate = world.rate(2_000 * SECOND, 3 * MOST, slow_l1);
    let pace = slow_l1 / BYTES;
    assert!(rate.abs_diff(pace) < pace / 50, "{rate}, L1 takes {pace}");
    assert!(world.most_backlog < ramp.stop, "it never had to stop");
    // It has settled: the rest is the batches' own rhythm.
    let mut pressures = Vec::new();
    for step in 1..=100 {
        world.run((2_000 + step) * SECOND, 3 * MOST, slow_l1);
        pressures.push(world.decision.pressure);
    }
    let (least, most) = (pressures.iter().min(), pressures.iter().max());
    let swing = most.unwrap() - least.unwrap();
    assert!(swing <= 40, "between {least:?} and {most:?}");

    world.run(2_200 * SECOND, 0, slow_l1);
    assert_idle(&bounds, &world.decision);
}

#[test]
fn a_light_load_never_waits() {
    let bounds = bounds();
    let mut world = World::new(bounds);
    let mut longest = 0;
    for second in 1..=600 {
        world.run(second * SECOND, MOST / 2, 4 << 20);
        longest = longest.max(world.waiting * SECOND / (MOST / 2));
    }
    assert_eq!(world.refused, 0);
    assert!(longest < SECOND / 20, "{longest} us of transactions waited");
    assert_idle(&bounds, &world.decision);
}
