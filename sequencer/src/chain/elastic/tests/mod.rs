mod backlog;
mod controller;
mod simulation;

use super::{
    bounds::{Bounds, Ramp},
    controller::Decision,
};

/// Bounds that everything in these tests moves within.
fn bounds() -> Bounds {
    Bounds {
        min_gas_limit: 30_000_000,
        gas_limit: 60_000_000,
        max_gas_limit: 120_000_000,
        max_transactions: 10_000,
        max_bytes: 115_000,
        min_interval: 5_000,
        max_interval: 2_000_000,
        target_block_time: 200_000,
        backlog_bytes: Some(Ramp {
            slow: 16 << 20,
            stop: 64 << 20,
        }),
        backlog_age: Some(Ramp {
            slow: 3_600,
            stop: 7_200,
        }),
        l1_base_fee: Some(Ramp {
            slow: 100,
            stop: 1_000,
        }),
    }
}

/// The decision of a chain that nothing presses.
fn assert_idle(bounds: &Bounds, decision: &Decision) {
    let expected = Decision {
        gas_limit: bounds.gas_limit,
        max_transactions: bounds.max_transactions,
        max_bytes: bounds.max_bytes,
        interval: bounds.min_interval,
        admission: Default::default(),
        pressure: 0,
    };
    assert_eq!(*decision, expected);
}
