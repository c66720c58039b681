//! What the rest of the node asks of admission while the chain must slow down.

use alloy_consensus::Transaction as _;
use weft_primitives::RecoveredTransaction;

use super::{MempoolError, MempoolLimits};

/// Thousandths that make the whole of a bound.
const WHOLE: u64 = 1000;

/// How much the mempool may take in, below its own bounds. The default asks for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pressure {
    /// Share of the pool's bounds up to which it may grow, in thousandths. A pool that holds more
    /// keeps it, and takes a transaction in only for one that pays less.
    pub share_permille: u32,
    /// Least fee cap, in thousandths of the next block's base fee; 0 asks for none.
    pub fee_floor_permille: u32,
    /// Nothing is taken in: so many bytes of blocks wait for L1.
    pub closed_at: Option<u64>,
}

impl Default for Pressure {
    fn default() -> Self {
        Self {
            share_permille: 1000,
            fee_floor_permille: 0,
            closed_at: None,
        }
    }
}

impl Pressure {
    /// Whether transactions are taken in at all.
    pub(super) const fn check_open(&self) -> Result<(), MempoolError> {
        match self.closed_at {
            Some(backlog) => Err(MempoolError::WaitsForL1 { backlog }),
            None => Ok(()),
        }
    }

    /// Whether the fee cap is worth a place while the chain is slow.
    pub(super) fn check_fee(
        &self,
        base_fee: u64,
        transaction: &RecoveredTransaction,
    ) -> Result<(), MempoolError> {
        let minimum =
            u128::from(base_fee) * u128::from(self.fee_floor_permille) / u128::from(WHOLE);
        let fee_cap = transaction.inner().max_fee_per_gas();
        if fee_cap < minimum {
            return Err(MempoolError::FeeFloor { fee_cap, minimum });
        }
        Ok(())
    }

    /// Most transactions and bytes of a pool that has so many now: never fewer than it has, so that
    /// none is thrown out for the pressure alone.
    pub(super) fn bounds(
        &self,
        limits: &MempoolLimits,
        count: usize,
        bytes: usize,
    ) -> (usize, usize) {
        let share = |most: usize| {
            let part = most as u128 * u128::from(self.share_permille) / u128::from(WHOLE);
            usize::try_from(part).map_or(most, |part| part.min(most))
        };
        (
            share(limits.max_transactions).max(count.min(limits.max_transactions)),
            share(limits.max_bytes).max(bytes.min(limits.max_bytes)),
        )
    }
}
