use alloy_consensus::{Transaction as _, Typed2718 as _};
use alloy_primitives::U256;
use std::mem;
use weft_executor_core::{BlockEnv, InvalidTransaction};
use weft_primitives::{Receipt, RecoveredTransaction};

use super::log::LaneResult;
use crate::{fees::Earned, lanes::record::Included};

/// What the transactions that count have done, but for the state.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) receipts: Vec<Receipt>,
    pub(super) gas_used: u64,
    pub(super) dropped: Vec<(usize, InvalidTransaction)>,
    pub(super) included: Vec<Included>,
    pub(super) earned: Earned,
    /// Executions ahead of their turn.
    pub(super) speculated: usize,
    /// Those that did not hold, by their indexes in the block.
    pub(super) stale: Vec<usize>,
}

/// A deposit that is invalid at its turn.
#[derive(Debug)]
pub(super) struct InvalidDeposit {
    pub(super) index: usize,
    pub(super) reason: InvalidTransaction,
}

impl Outcome {
    pub(super) fn with_capacity(transactions: usize) -> Self {
        Self {
            receipts: Vec::with_capacity(transactions),
            included: Vec::with_capacity(transactions),
            ..Self::default()
        }
    }

    /// Why the transaction does not fit into what is left of the block's gas, if it does not.
    pub(super) fn no_room(
        &self,
        block: &BlockEnv,
        transaction: &RecoveredTransaction,
    ) -> Option<InvalidTransaction> {
        let left = block.gas_limit.saturating_sub(self.gas_used);
        let wanted = transaction.gas_limit();
        (wanted > left).then_some(InvalidTransaction::BlockGasLimit { wanted, left })
    }

    /// Takes in what the block's next transaction did, which is the one at `place`. Whether it is in
    /// the block.
    pub(super) fn add(
        &mut self,
        index: usize,
        transaction: &RecoveredTransaction,
        result: &mut LaneResult,
        place: Included,
    ) -> Result<bool, InvalidDeposit> {
        let (gas_used, success, logs, credit, sender_nonce) = match result {
            LaneResult::Transfer(transfer) => (
                transfer.gas_used,
                true,
                Vec::new(),
                Some(U256::from(transfer.beneficiary_credit)),
                None,
            ),
            LaneResult::Execution(execution) => (
                execution.gas_used,
                execution.success,
                mem::take(&mut execution.logs),
                execution.beneficiary_credit,
                Some(execution.sender_nonce),
            ),
            LaneResult::Invalid(reason) => {
                self.leave_out(index, transaction, (**reason).clone())?;
                return Ok(false);
            }
        };
        if let Some(wei) = credit {
            self.earned.add(wei);
        }
        self.gas_used = self.gas_used.saturating_add(gas_used);
        self.receipts.push(Receipt {
            tx_type: transaction.ty(),
            success,
            cumulative_gas_used: self.gas_used,
            logs,
            deposit_nonce: sender_nonce.filter(|_| transaction.is_deposit()),
        });
        self.included.push(place);
        Ok(true)
    }

    pub(super) fn leave_out(
        &mut self,
        index: usize,
        transaction: &RecoveredTransaction,
        reason: InvalidTransaction,
    ) -> Result<(), InvalidDeposit> {
        if transaction.is_deposit() {
            return Err(InvalidDeposit { index, reason });
        }
        self.dropped.push((index, reason));
        Ok(())
    }
}
