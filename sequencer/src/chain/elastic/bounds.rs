use std::time::Duration;

use alloy_eips::eip7825::MAX_TX_GAS_LIMIT_OSAKA;
use weft_l1_bridge::MAX_DEPOSIT_GAS;
use weft_primitives::ATTRIBUTES_GAS_LIMIT;

use super::super::ProducerConfig;

/// Gas limit that holds the deposits of a block and any transaction beside them: no block shrinks
/// below it by itself.
const HOLDS_ANYTHING: u64 = MAX_DEPOSIT_GAS + ATTRIBUTES_GAS_LIMIT + MAX_TX_GAS_LIMIT_OSAKA;

/// A stretch of a measured value over which the chain slows down: not at all up to `slow`, as far as
/// it can from `stop` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ramp {
    /// Up to this value nothing happens.
    pub slow: u64,
    /// From this value on the chain is as slow as it gets; above `slow`.
    pub stop: u64,
}

impl Ramp {
    /// How far along the stretch a value is, in thousandths, rounded down: 1000 from `stop` on.
    pub(super) fn permille(self, value: u64) -> u32 {
        if value >= self.stop {
            return 1000;
        }
        let (part, whole) = (
            u128::from(value.saturating_sub(self.slow)),
            u128::from(self.stop.saturating_sub(self.slow)),
        );
        // Below `stop` the part is smaller than the whole, which is not 0 unless both are.
        u32::try_from((part * 1000).checked_div(whole).unwrap_or(0)).unwrap_or(1000)
    }
}

/// How far the size of blocks and the time between them may move from what [`ProducerConfig`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElasticConfig {
    /// Least gas limit of a block, in gas. Admission takes in what fits into a block of this size.
    pub min_gas_limit: u64,
    /// Largest gas limit of a block, in gas.
    pub max_gas_limit: u64,
    /// Longest time between the starts of two blocks that the controller asks for.
    pub max_interval: Duration,
    /// How long executing, sealing and writing a block should take together.
    pub target_block_time: Duration,
    /// Bytes of transactions in blocks that are not safe yet.
    pub backlog_bytes: Option<Ramp>,
    /// Age of the oldest block that is not safe yet, in seconds.
    pub backlog_age: Option<Ramp>,
    /// Base fee of L1, in wei per gas. It slows the chain down and never stops it.
    pub l1_base_fee: Option<Ramp>,
}

impl ElasticConfig {
    /// What suits blocks of this gas limit: from half of it, or what any transaction fits into, to
    /// twice as much; at most two seconds between two blocks; a fifth of a second for one. L1 does
    /// not press.
    pub fn around(gas_limit: u64) -> Self {
        Self {
            min_gas_limit: (gas_limit / 2).max(HOLDS_ANYTHING).min(gas_limit),
            max_gas_limit: gas_limit.saturating_mul(2).min(1 << 62).max(gas_limit),
            max_interval: Duration::from_secs(2),
            target_block_time: Duration::from_millis(200),
            backlog_bytes: None,
            backlog_age: None,
            l1_base_fee: None,
        }
    }
}

/// What the controller keeps to. Times in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) min_gas_limit: u64,
    /// The gas limit of a chain that nothing presses.
    pub(super) gas_limit: u64,
    pub(super) max_gas_limit: u64,
    pub(super) max_transactions: u64,
    pub(super) max_bytes: u64,
    pub(super) min_interval: u64,
    pub(super) max_interval: u64,
    pub(super) target_block_time: u64,
    pub(super) backlog_bytes: Option<Ramp>,
    pub(super) backlog_age: Option<Ramp>,
    pub(super) l1_base_fee: Option<Ramp>,
}

impl Bounds {
    /// Bounds that a producer's configuration asks for. Without elasticity nothing moves.
    pub(super) fn new(config: &ProducerConfig) -> Self {
        let fixed = Self {
            min_gas_limit: config.gas_limit,
            gas_limit: config.gas_limit,
            max_gas_limit: config.gas_limit,
            max_transactions: config.max_transactions as u64,
            max_bytes: config.max_transaction_bytes as u64,
            min_interval: microseconds(config.min_interval),
            max_interval: microseconds(config.min_interval),
            target_block_time: u64::MAX,
            backlog_bytes: None,
            backlog_age: None,
            l1_base_fee: None,
        };
        let Some(elastic) = &config.elastic else {
            return fixed;
        };
        Self {
            min_gas_limit: elastic.min_gas_limit.min(config.gas_limit),
            max_gas_limit: elastic.max_gas_limit.max(config.gas_limit),
            max_interval: microseconds(elastic.max_interval).max(fixed.min_interval),
            target_block_time: microseconds(elastic.target_block_time),
            backlog_bytes: elastic.backlog_bytes,
            backlog_age: elastic.backlog_age,
            l1_base_fee: elastic.l1_base_fee,
            ..fixed
        }
    }
}

/// A duration in whole microseconds.
pub(super) fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
