//! A block in the plainest way: each transaction on a plain state that the one before has left. It
//! shares nothing with the engine or its oracle but the layer.
#![allow(dead_code, reason = "each test program uses a part")]

use std::collections::BTreeMap;

use alloy_consensus::{Transaction as _, Typed2718};
use alloy_primitives::keccak256;
use weft_executor_core::{
    BlockEnv, ExecuteError, ExecutionLayer, InvalidTransaction, MemoryState, TransactionChanges,
    credited,
};
use weft_executor_evm::EvmLayer;
use weft_primitives::{Receipt, RecoveredTransaction};

/// What a transaction wrote, put into a state.
pub(crate) fn apply(state: &mut MemoryState, changes: &TransactionChanges) {
    for (address, change) in &changes.accounts {
        match change.account {
            Some(account) => state.accounts.insert(*address, account),
            None => state.accounts.remove(address),
        };
        if change.storage_wiped {
            state.storage.remove(address);
        }
        for (slot, value) in &change.storage {
            let slots = state.storage.entry(*address).or_default();
            if value.is_zero() {
                slots.remove(slot);
            } else {
                slots.insert(*slot, *value);
            }
        }
        if state.storage.get(address).is_some_and(BTreeMap::is_empty) {
            state.storage.remove(address);
        }
    }
    for (hash, code) in &changes.code {
        assert_eq!(*hash, keccak256(code));
        state.code.insert(*hash, code.clone());
    }
}

/// A block so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct PlainBlock {
    pub(crate) state: MemoryState,
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) gas_used: u64,
    pub(crate) dropped: Vec<(usize, InvalidTransaction)>,
    pushed: usize,
}

impl PlainBlock {
    pub(crate) fn new(state: MemoryState) -> Self {
        Self {
            state,
            ..Self::default()
        }
    }

    /// Executes the next transaction. `false` when it cannot be in the block.
    pub(crate) fn push(
        &mut self,
        layer: &EvmLayer,
        env: &BlockEnv,
        transaction: &RecoveredTransaction,
    ) -> bool {
        let index = self.pushed;
        self.pushed += 1;
        let (wanted, left) = (transaction.gas_limit(), env.gas_limit - self.gas_used);
        if wanted > left {
            let reason = InvalidTransaction::BlockGasLimit { wanted, left };
            self.dropped.push((index, reason));
            return false;
        }
        let execution = match layer.execute(env, transaction, &mut self.state) {
            Ok(execution) => execution,
            Err(ExecuteError::Invalid(reason)) => {
                self.dropped.push((index, reason));
                return false;
            }
            Err(error) => panic!("{error}"),
        };
        let changes = &execution.changes;
        assert!(changes.accounts.is_sorted_by_key(|(address, _)| *address));
        apply(&mut self.state, changes);
        if let Some(wei) = execution.beneficiary_credit {
            let before = self.state.accounts.remove(&env.beneficiary);
            let after = credited(before, wei, env.fork);
            if after.is_none() {
                self.state.storage.remove(&env.beneficiary);
            }
            self.state
                .accounts
                .extend(after.map(|account| (env.beneficiary, account)));
        }
        self.gas_used += execution.gas_used;
        self.receipts.push(Receipt {
            tx_type: transaction.ty(),
            success: execution.outcome.is_success(),
            cumulative_gas_used: self.gas_used,
            logs: execution.logs,
            deposit_nonce: transaction.is_deposit().then_some(execution.sender_nonce),
        });
        true
    }
}
