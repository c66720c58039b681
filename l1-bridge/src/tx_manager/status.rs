use std::time::Duration;

use super::{CapReached, SentTransaction};

/// What a transaction manager is doing, for status calls and metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaneStatus {
    /// The last attempt to bring the transaction at hand into L1.
    pub pending: Option<SentTransaction>,
    /// Attempts for this transaction so far.
    pub attempts: u32,
    /// What an operator should look at.
    pub alarm: Option<Alarm>,
}

/// Why a transaction waits although everything was done that may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Alarm {
    /// L1 asks for more than may be paid. It goes on when L1 asks for less.
    #[error("nonce {nonce}: {reached}")]
    FeeCap {
        /// The nonce.
        nonce: u64,
        /// Which cap, and what would be needed.
        reached: CapReached,
    },
    /// It waits for longer than the deadline.
    #[error("nonce {nonce} has not been included in L1 for {waited:?} and {attempts} attempts")]
    Stuck {
        /// The nonce.
        nonce: u64,
        /// Attempts for this nonce.
        attempts: u32,
        /// The deadline that has passed.
        waited: Duration,
    },
}

impl Alarm {
    /// All that [`Self::kind`] says.
    pub const KINDS: [&'static str; 2] = ["fee_cap", "stuck"];

    /// A short name, as for a metric's label.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::FeeCap { .. } => "fee_cap",
            Self::Stuck { .. } => "stuck",
        }
    }
}
