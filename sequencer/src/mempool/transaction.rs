use std::time::Instant;

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256, U256};
use weft_primitives::RecoveredTransaction;

/// One waiting transaction.
#[derive(Debug)]
pub struct PooledTransaction {
    /// The transaction with its sender.
    pub transaction: RecoveredTransaction,
    /// Its hash.
    pub hash: B256,
    /// Bytes of its EIP-2718 encoding.
    pub size: usize,
    /// Order of arrival in this pool: among equal tips the lower one goes first.
    pub sequence: u64,
    /// When it was received.
    pub received: Instant,
    cost: U256,
    fee_cap: u128,
    tip_cap: u128,
}

impl PooledTransaction {
    /// `size` is that of the EIP-2718 encoding, in bytes.
    pub(super) fn new(
        transaction: RecoveredTransaction,
        size: usize,
        sequence: u64,
        received: Instant,
    ) -> Self {
        let inner = transaction.inner();
        let fee_cap = inner.max_fee_per_gas();
        Self {
            hash: inner.hash(),
            size,
            sequence,
            received,
            cost: U256::from(fee_cap)
                .saturating_mul(U256::from(inner.gas_limit()))
                .saturating_add(inner.value()),
            fee_cap,
            tip_cap: inner.max_priority_fee_per_gas().unwrap_or(fee_cap),
            transaction,
        }
    }

    /// The sender.
    pub const fn sender(&self) -> Address {
        self.transaction.signer()
    }

    /// The nonce.
    pub fn nonce(&self) -> u64 {
        self.transaction.inner().nonce()
    }

    /// The gas limit, in gas.
    pub fn gas_limit(&self) -> u64 {
        self.transaction.inner().gas_limit()
    }

    /// Most that the transaction can take from its sender: gas limit at the fee cap, plus the
    /// value, in wei.
    pub const fn cost(&self) -> U256 {
        self.cost
    }

    /// `maxFeePerGas` (or the gas price), in wei per gas.
    pub const fn fee_cap(&self) -> u128 {
        self.fee_cap
    }

    /// `maxPriorityFeePerGas` (or the gas price), in wei per gas.
    pub const fn tip_cap(&self) -> u128 {
        self.tip_cap
    }

    /// What the block's beneficiary earns per gas, min(tip cap, fee cap - base fee), in wei;
    /// `None` when the fee cap is below the base fee.
    pub fn effective_tip(&self, base_fee: u64) -> Option<u128> {
        let above = self.fee_cap.checked_sub(u128::from(base_fee))?;
        Some(above.min(self.tip_cap))
    }

    /// What the transaction would pay per gas, min(fee cap, base fee + tip cap), in wei. Orders as
    /// the effective tip does, and goes on below the base fee.
    pub(super) fn effective_price(&self, base_fee: u64) -> u128 {
        u128::from(base_fee)
            .saturating_add(self.tip_cap)
            .min(self.fee_cap)
    }

    /// Whether this one may take the place of `other` at the same nonce: both its fee cap and its
    /// tip cap are higher, and by at least 10 % (rounded down to whole wei, as geth does).
    pub(super) fn replaces(&self, other: &Self) -> bool {
        let raised = |new: u128, old: u128| {
            let least = U256::from(old) * U256::from(110) / U256::from(100);
            new > old && U256::from(new) >= least
        };
        raised(self.fee_cap, other.fee_cap) && raised(self.tip_cap, other.tip_cap)
    }
}
