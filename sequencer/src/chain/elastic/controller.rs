//! Decides how large the next block may be and how soon it may come. A pure function of what it was
//! told so far: no clock, no chance, whole numbers only.
//!
//! Two things move it, each by bounded steps:
//!
//! * **Speed.** [`LEVELS`] levels of size lie between the configured gas limit (level 0) and the
//!   smallest, as many up to the largest. Blocks that take longer than their target lower the level;
//!   blocks that leave transactions waiting although they take less than three quarters of it raise
//!   it; without load it goes back to 0. A level changes the size by less than a quarter, the band
//!   between three quarters of the target and the target is a third wide: a step up never jumps over
//!   it, so a constant load ends at a constant size.
//! * **L1.** The worst of the configured ramps is the pressure, in thousandths. It takes the size
//!   down to the smallest, the interval up to the longest, and shuts the mempool in proportion. At
//!   the end of a backlog's ramp no transaction goes into a block and none is taken in.

use super::bounds::{Bounds, Ramp};
use crate::mempool::Pressure;

/// Steps of size on either side of the configured one.
const LEVELS: i64 = 64;
/// Blocks in a row that take too long before the size goes down: one may have met a slow disk.
const PATIENCE_DOWN: u32 = 2;
/// Blocks in a row with time to spare before the size goes up.
const PATIENCE_UP: u32 = 4;
/// Largest step down, in levels.
const MOST_DOWN: u64 = 8;
/// A slow block's most transactions, as a part of the configured.
const LEAST_TRANSACTIONS_PART: u64 = 16;
/// Largest change of the pressure in one decision, in thousandths.
const PRESSURE_STEP: u32 = 63;
/// Pressure that a dear L1 alone can make: the chain goes on.
const MOST_PRICE_PRESSURE: u32 = 900;
/// A mempool that was shut opens when the pressure of the backlog is at or below this.
const REOPEN: u32 = 900;
/// Share of the mempool that the greatest pressure leaves, in thousandths.
const LEAST_SHARE: u32 = 250;
/// Fee floor at the greatest pressure, in thousandths of the base fee.
const MOST_FEE_FLOOR: u32 = 2000;

/// A block that was made. Times in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct BlockObservation {
    /// Gas limits of its transactions, deposits included, together.
    pub(super) gas_wanted: u64,
    /// Gas limit that was decided for it.
    pub(super) gas_limit: u64,
    /// Time to execute it.
    pub(super) execute: u64,
    /// Time to seal the last block that was sealed.
    pub(super) seal: u64,
    /// Time to write the last block that was written.
    pub(super) commit: u64,
    /// Executable transactions that it left behind.
    pub(super) left: u64,
}

/// How L1 stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct L1Observation {
    /// Bytes of transactions in blocks that are not safe.
    pub(super) backlog_bytes: u64,
    /// Age of the oldest block that is not safe, in seconds.
    pub(super) backlog_age: u64,
    /// Its base fee, in wei per gas; 0 when it is not known.
    pub(super) base_fee: u64,
}

/// What the next block may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decision {
    /// Its gas limit.
    pub(super) gas_limit: u64,
    /// Most transactions.
    pub(super) max_transactions: u64,
    /// Most bytes of transactions; 0 while the chain waits for L1.
    pub(super) max_bytes: u64,
    /// Least time since the start of the one before, in microseconds.
    pub(super) interval: u64,
    /// What admission must keep to.
    pub(super) admission: Pressure,
    /// How much L1 presses, in thousandths.
    pub(super) pressure: u32,
}

/// The controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Controller {
    bounds: Bounds,
    /// Size by speed alone, from -[`LEVELS`] to [`LEVELS`].
    level: i64,
    too_long: u32,
    to_spare: u32,
    pressure: u32,
    closed: bool,
}

impl Controller {
    pub(super) const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            level: 0,
            too_long: 0,
            to_spare: 0,
            pressure: 0,
            closed: false,
        }
    }

    /// Takes in how a block went.
    pub(super) fn observe(&mut self, block: &BlockObservation) {
        let target = self.bounds.target_block_time;
        let took = block
            .execute
            .saturating_add(block.seal)
            .saturating_add(block.commit);
        if took > target {
            self.to_spare = 0;
            self.too_long = self.too_long.saturating_add(1);
            if self.too_long >= PATIENCE_DOWN {
                // One level for each eighth of the target above it.
                let over = u128::from(took - target) * 8 / u128::from(target.max(1));
                let down = u64::try_from(over).unwrap_or(MOST_DOWN).clamp(1, MOST_DOWN);
                self.level = self.level.saturating_sub_unsigned(down).max(-LEVELS);
            }
            return;
        }
        self.too_long = 0;
        if block.left == 0 {
            self.to_spare = 0;
            self.level -= self.level.signum();
            return;
        }
        // More gas than configured helps only a block that the gas limit has cut short.
        let gas_bound =
            u128::from(block.gas_wanted) * 8 >= u128::from(block.gas_limit) * 7 || self.level < 0;
        if gas_bound && u128::from(took) * 4 < u128::from(target) * 3 {
            self.to_spare = self.to_spare.saturating_add(1);
            if self.to_spare >= PATIENCE_UP {
                self.level = self.level.saturating_add(1).min(LEVELS);
            }
        } else {
            self.to_spare = 0;
        }
    }

    /// Says what the next block may be, a step after the last decision.
    pub(super) fn decide(&mut self, l1: &L1Observation) -> Decision {
        let along = |ramp: Option<Ramp>, value| ramp.map_or(0, |ramp| ramp.permille(value));
        let backlog = along(self.bounds.backlog_bytes, l1.backlog_bytes)
            .max(along(self.bounds.backlog_age, l1.backlog_age));
        let price = along(self.bounds.l1_base_fee, l1.base_fee).min(MOST_PRICE_PRESSURE);
        let wanted = backlog.max(price);
        self.pressure = wanted.clamp(
            self.pressure.saturating_sub(PRESSURE_STEP),
            self.pressure.saturating_add(PRESSURE_STEP),
        );
        let stopped = backlog >= 1000;
        self.closed = stopped || (self.closed && backlog > REOPEN);
        let size = self.level - (self.level + LEVELS) * i64::from(self.pressure) / 1000;
        Decision {
            gas_limit: self.gas_limit(size),
            max_transactions: self.max_transactions(size),
            max_bytes: if stopped { 0 } else { self.bounds.max_bytes },
            interval: between(
                self.bounds.min_interval,
                self.bounds.max_interval,
                u64::from(self.pressure),
                1000,
            ),
            admission: Pressure {
                share_permille: 1000 - (1000 - LEAST_SHARE) * self.pressure / 1000,
                fee_floor_permille: MOST_FEE_FLOOR * self.pressure / 1000,
                closed_at: self.closed.then_some(l1.backlog_bytes),
            },
            pressure: self.pressure,
        }
    }

    fn gas_limit(&self, size: i64) -> u64 {
        let Bounds {
            min_gas_limit,
            gas_limit,
            max_gas_limit,
            ..
        } = self.bounds;
        let other = if size < 0 {
            min_gas_limit
        } else {
            max_gas_limit
        };
        between(gas_limit, other, size.unsigned_abs(), LEVELS.unsigned_abs())
    }

    fn max_transactions(&self, size: i64) -> u64 {
        let most = self.bounds.max_transactions;
        let least = (most / LEAST_TRANSACTIONS_PART).max(1).min(most);
        between(
            most,
            least,
            size.min(0).unsigned_abs(),
            LEVELS.unsigned_abs(),
        )
    }
}

/// The number `part` of `whole` of the way from `from` to `to`, rounded towards `from`.
fn between(from: u64, to: u64, part: u64, whole: u64) -> u64 {
    let way =
        u128::from(from.abs_diff(to)) * u128::from(part.min(whole)) / u128::from(whole.max(1));
    let way = u64::try_from(way).unwrap_or(u64::MAX);
    if to < from {
        from.saturating_sub(way)
    } else {
        from.saturating_add(way)
    }
}
