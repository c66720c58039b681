//! What holds for the controller whatever it is told.

use proptest::prelude::*;

use super::{
    super::controller::{BlockObservation, Controller, L1Observation},
    *,
};
use crate::mempool::Pressure;

/// Decisions within which any pressure is gone once L1 has caught up.
const RELEASE: usize = 16;
/// Blocks without load within which any size is back to the configured one.
const RETURN: usize = 64;

fn any_bounds() -> impl Strategy<Value = Bounds> {
    (
        1_000_000..100_000_000_u64,
        1..=16_u64,
        1..=16_u64,
        1..20_000_u64,
        (0..1_000_000_u64, 1..1_000_000_u64),
        1_000..1_000_000_u64,
        (0..1_000_u64, 1..1_000_u64),
    )
        .prop_map(
            |(gas_limit, smaller, larger, max_transactions, (min, more), target, (slow, on))| {
                Bounds {
                    min_gas_limit: gas_limit.div_ceil(smaller),
                    gas_limit,
                    max_gas_limit: gas_limit * larger,
                    max_transactions,
                    min_interval: min,
                    max_interval: min + more,
                    target_block_time: target,
                    backlog_bytes: Some(Ramp {
                        slow,
                        stop: slow + on,
                    }),
                    backlog_age: None,
                    ..bounds()
                }
            },
        )
}

fn any_block() -> impl Strategy<Value = BlockObservation> {
    (any::<[u64; 6]>(), any::<[u8; 6]>()).prop_map(|(numbers, sizes)| {
        // Of all magnitudes.
        let mut scaled = numbers
            .iter()
            .zip(sizes)
            .map(|(number, size)| number >> (size % 64));
        let mut next = || scaled.next().unwrap();
        BlockObservation {
            gas_wanted: next(),
            gas_limit: next(),
            execute: next(),
            seal: next(),
            commit: next(),
            left: next(),
        }
    })
}

fn any_l1() -> impl Strategy<Value = L1Observation> {
    (0..2_500_u64, any::<u64>(), 0..2_000_u64).prop_map(|(backlog_bytes, age, base_fee)| {
        L1Observation {
            backlog_bytes,
            backlog_age: age % 10_000,
            base_fee,
        }
    })
}

fn any_history() -> impl Strategy<Value = Vec<(BlockObservation, L1Observation)>> {
    proptest::collection::vec((any_block(), any_l1()), 0..200)
}

fn after(bounds: Bounds, history: &[(BlockObservation, L1Observation)]) -> Controller {
    let mut controller = Controller::new(bounds);
    for (block, l1) in history {
        controller.decide(l1);
        controller.observe(block);
    }
    controller
}

/// A block of transfers that the decision cuts short: `fixed` microseconds, and `each` nanoseconds for
/// each of its transactions.
fn full_block(decision: &Decision, fixed: u64, each: u64) -> BlockObservation {
    let transactions = (decision.gas_limit / 21_000).min(decision.max_transactions);
    BlockObservation {
        gas_wanted: transactions * 21_000,
        gas_limit: decision.gas_limit,
        execute: fixed + transactions * each / 1000,
        seal: 0,
        commit: 0,
        left: 1,
    }
}

proptest! {
    /// The bounds hold, and each decision is a small step from the one before.
    #[test]
    fn decisions_keep_the_bounds_and_move_by_small_steps(
        bounds in any_bounds(),
        history in any_history(),
    ) {
        let mut controller = Controller::new(bounds);
        let mut last: Option<Decision> = None;
        for (block, l1) in &history {
            let now = controller.decide(l1);
            controller.observe(block);
            prop_assert!((bounds.min_gas_limit..=bounds.max_gas_limit).contains(&now.gas_limit));
            prop_assert!((1..=bounds.max_transactions).contains(&now.max_transactions));
            prop_assert!((bounds.min_interval..=bounds.max_interval).contains(&now.interval));
            let backlog = bounds.backlog_bytes.unwrap();
            let stopped = l1.backlog_bytes >= backlog.stop;
            prop_assert_eq!(now.max_bytes, if stopped { 0 } else { bounds.max_bytes });
            prop_assert!(!stopped || now.admission.closed_at == Some(l1.backlog_bytes));
            prop_assert!((250..=1000).contains(&now.admission.share_permille));
            prop_assert!(now.admission.fee_floor_permille <= 2000);
            prop_assert!(now.pressure <= 1000);
            if let Some(last) = last {
                prop_assert!(now.pressure.abs_diff(last.pressure) <= 63);
                // At most 8 levels by speed and 9 by pressure, of 64 on either side.
                let side = (bounds.gas_limit - bounds.min_gas_limit)
                    .max(bounds.max_gas_limit - bounds.gas_limit);
                let step = now.gas_limit.abs_diff(last.gas_limit);
                prop_assert!(step <= side * 17 / 64 + 1, "{} of {}", step, side);
                let step = now.interval.abs_diff(last.interval);
                let all = bounds.max_interval - bounds.min_interval;
                prop_assert!(step <= all * 63 / 1000 + 1, "{} of {}", step, all);
            }
            last = Some(now);
        }
    }

    #[test]
    fn the_same_observations_give_the_same_decisions(
        bounds in any_bounds(),
        history in any_history(),
        then in any_l1(),
    ) {
        let (mut one, mut other) = (after(bounds, &history), after(bounds, &history));
        prop_assert_eq!(&one, &other);
        prop_assert_eq!(one.decide(&then), other.decide(&then));
    }

    /// More backlog never makes a chain faster, at any time of any history.
    #[test]
    fn more_backlog_slows_down_more(
        bounds in any_bounds(),
        history in any_history(),
        more in proptest::collection::vec(0..1_000_u64, 200),
    ) {
        let (mut light, mut heavy) = (Controller::new(bounds), Controller::new(bounds));
        for ((block, l1), more) in history.iter().zip(more) {
            let fast = light.decide(l1);
            let slow = heavy.decide(&L1Observation {
                backlog_bytes: l1.backlog_bytes + more,
                ..*l1
            });
            prop_assert!(slow.gas_limit <= fast.gas_limit);
            prop_assert!(slow.max_transactions <= fast.max_transactions);
            prop_assert!(slow.max_bytes <= fast.max_bytes);
            prop_assert!(slow.interval >= fast.interval);
            let (slow, fast) = (slow.admission, fast.admission);
            prop_assert!(slow.share_permille <= fast.share_permille);
            prop_assert!(slow.fee_floor_permille >= fast.fee_floor_permille);
            prop_assert!(slow.closed_at.is_some() || fast.closed_at.is_none());
            light.observe(block);
            heavy.observe(block);
        }
    }

    /// Whatever happened, once load and backlog are gone the chain is soon as it was configured.
    #[test]
    fn it_comes_back_to_rest(bounds in any_bounds(), history in any_history()) {
        let mut controller = after(bounds, &history);
        let quiet = L1Observation::default();
        let mut last = controller.decide(&quiet);
        for _ in 1..RELEASE {
            last = controller.decide(&quiet);
        }
        prop_assert_eq!(last.pressure, 0);
        prop_assert_eq!(last.admission, Pressure::default());
        prop_assert_eq!(last.interval, bounds.min_interval);
        for _ in 0..RETURN {
            controller.observe(&BlockObservation::default());
        }
        assert_idle(&bounds, &controller.decide(&quiet));
    }

    /// A constant load, more than a block holds, on a machine of constant speed: after a while the
    /// decision does not change any more, from wherever it began. A block whose size has room to
    /// move takes no longer than the target then.
    #[test]
    fn a_constant_load_ends_at_a_constant_decision(
        bounds in any_bounds(),
        history in any_history(),
        fixed in 0..1_000_u64,
        each in 1..1_000_000_u64,
        backlog in 0..900_u64,
    ) {
        let bounds = Bounds {
            max_transactions: bounds.max_transactions.max(1_000),
            min_gas_limit: bounds.min_gas_limit.max(21_000 * 100).min(bounds.gas_limit),
            ..bounds
        };
        let l1 = L1Observation { backlog_bytes: backlog, ..L1Observation::default() };
        let mut controller = after(bounds, &history);
        for _ in 0..400 {
            let decision = controller.decide(&l1);
            controller.observe(&full_block(&decision, fixed, each));
        }
        let settled = controller.decide(&l1);
        for _ in 0..200 {
            controller.observe(&full_block(&settled, fixed, each));
            prop_assert_eq!(controller.decide(&l1), settled);
        }
        let took = full_block(&settled, fixed, each).execute;
        if settled.gas_limit > bounds.min_gas_limit {
            prop_assert!(took <= bounds.target_block_time, "{} for a block", took);
        }
    }
}

#[test]
fn blocks_that_take_too_long_become_smaller_until_they_do_not() {
    let bounds = bounds();
    let mut controller = Controller::new(bounds);
    let quiet = L1Observation::default();
    // 60 million gas take 300 ms, half as much again as they should.
    let gas_in_a_microsecond = 200;
    let mut times = Vec::new();
    for _ in 0..40 {
        let decision = controller.decide(&quiet);
        let took = decision.gas_limit / gas_in_a_microsecond;
        times.push(took);
        controller.observe(&BlockObservation {
            gas_wanted: decision.gas_limit,
            gas_limit: decision.gas_limit,
            execute: took,
            left: 1,
            ..BlockObservation::default()
        });
    }
    // One slow block is forgiven; each further one is smaller than the one before.
    assert_eq!(times[..2], [300_000, 300_000]);
    let settled = times.iter().position(|took| *took <= 200_000).unwrap();
    assert!(times[1..=settled].is_sorted_by(|one, next| one > next));
    assert!(settled <= 30, "{settled}");
    assert!(times[settled..].iter().all(|took| *took == times[settled]));
    assert!(times[settled] > 150_000);
}

#[test]
fn fast_blocks_under_load_grow_only_when_gas_cuts_them_short() {
    let bounds = bounds();
    let quiet = L1Observation::default();
    let grown = |gas_wanted: u64| {
        let mut controller = Controller::new(bounds);
        for _ in 0..100 {
            let decision = controller.decide(&quiet);
            controller.observe(&BlockObservation {
                gas_wanted: gas_wanted.min(decision.gas_limit),
                gas_limit: decision.gas_limit,
                execute: 10_000,
                left: 1,
                ..BlockObservation::default()
            });
        }
        controller.decide(&quiet).gas_limit
    };
    assert_eq!(grown(u64::MAX), bounds.max_gas_limit);
    assert_eq!(grown(22_000_000), bounds.gas_limit);
}

#[test]
fn the_mempool_opens_again_below_the_point_where_it_was_shut() {
    let bounds = bounds();
    let ramp = bounds.backlog_bytes.unwrap();
    let mut controller = Controller::new(bounds);
    let mut closed = |permille: u64| {
        let backlog_bytes = ramp.slow + (ramp.stop - ramp.slow) * permille / 1000;
        let decision = controller.decide(&L1Observation {
            backlog_bytes,
            ..L1Observation::default()
        });
        decision.admission.closed_at.is_some()
    };
    assert!(!closed(990));
    assert!(closed(1000));
    assert!(closed(990));
    assert!(closed(910));
    assert!(!closed(900));
    assert!(!closed(990));
}

#[test]
fn a_dear_l1_slows_the_chain_down_and_never_stops_it() {
    let bounds = bounds();
    let mut controller = Controller::new(bounds);
    let dear = L1Observation {
        base_fee: u64::MAX,
        ..L1Observation::default()
    };
    let mut decision = controller.decide(&dear);
    for _ in 0..RELEASE {
        decision = controller.decide(&dear);
    }
    assert_eq!(decision.pressure, 900);
    assert_eq!(decision.max_bytes, bounds.max_bytes);
    assert_eq!(decision.admission.closed_at, None);
    assert!(decision.interval > bounds.max_interval / 2);
    assert!(decision.gas_limit < bounds.gas_limit);
}

#[test]
fn without_elasticity_nothing_moves() {
    let bounds = Bounds {
        min_gas_limit: 60_000_000,
        max_gas_limit: 60_000_000,
        max_interval: 5_000,
        target_block_time: u64::MAX,
        backlog_bytes: None,
        backlog_age: None,
        l1_base_fee: None,
        ..bounds()
    };
    let mut controller = Controller::new(bounds);
    for _ in 0..50 {
        let decision = controller.decide(&L1Observation {
            backlog_bytes: u64::MAX,
            backlog_age: u64::MAX,
            base_fee: u64::MAX,
        });
        assert_idle(&bounds, &decision);
        controller.observe(&BlockObservation {
            gas_wanted: u64::MAX,
            gas_limit: 60_000_000,
            execute: u64::MAX - 1,
            left: 1,
            ..BlockObservation::default()
        });
    }
}
