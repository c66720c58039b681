use alloy_primitives::{Address, U256};

use crate::Account;

/// A transaction that moves value between two accounts and runs no code: what is left to look at is
/// the state of the two.
///
/// Sender and receiver are two accounts. Either may be the block's beneficiary, whose fees so far
/// must then have been paid, and whose fee of this transaction is paid after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// Sender.
    pub sender: Address,
    /// Receiver.
    pub receiver: Address,
    /// Nonce that the sender must have.
    pub nonce: u64,
    /// Value, in wei.
    pub value: U256,
    /// What the sender must be able to pay for gas, in wei.
    pub highest_fee: u128,
    /// What the sender pays for gas, in wei. Not above `highest_fee`.
    pub fee: u128,
    /// Gas used, in gas.
    pub gas_used: u64,
    /// What the block's beneficiary earns, in wei.
    pub beneficiary_credit: u128,
}

impl Transfer {
    /// Sender and receiver afterwards. `None` when the transaction is invalid here or is no plain
    /// transfer after all, and has to be executed by its layer to know.
    ///
    /// A receiver that stays empty does not come into being (EIP-161); before that rule a transfer
    /// of nothing is no plain one.
    pub fn apply(
        &self,
        sender: Option<Account>,
        receiver: Option<Account>,
    ) -> Option<(Account, Option<Account>)> {
        let sender = sender?;
        let nonce = sender.nonce.checked_add(1)?;
        if sender.has_code()
            || sender.nonce != self.nonce
            || nonce == u64::MAX
            || sender.balance < self.value.checked_add(U256::from(self.highest_fee))?
        {
            return None;
        }
        let receiver = match receiver {
            None if self.value.is_zero() => None,
            // Touching an empty account deletes it, storage and all.
            Some(receiver) if receiver.is_empty() => return None,
            other => {
                let receiver = other.unwrap_or_default();
                if receiver.has_code() {
                    return None;
                }
                Some(Account {
                    balance: receiver.balance.checked_add(self.value)?,
                    ..receiver
                })
            }
        };
        let sender = Account {
            nonce,
            balance: sender.balance - self.value - U256::from(self.fee),
            ..sender
        };
        Some((sender, receiver))
    }
}
