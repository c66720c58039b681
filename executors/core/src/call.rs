use alloy_eips::{eip2930::AccessList, eip7702::SignedAuthorization};
use alloy_primitives::{Address, Bytes, TxKind, U256};

use crate::Execution;

/// A message to execute without a signature.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Call {
    /// Sender.
    pub from: Address,
    /// Receiver, or a creation.
    pub to: TxKind,
    /// Gas limit, in gas.
    pub gas_limit: u64,
    /// Price that the sender pays, in wei per gas; zero means that gas is free and the base fee is
    /// taken as zero.
    pub gas_price: u128,
    /// Value, in wei. The sender must have it.
    pub value: U256,
    /// Calldata or init code.
    pub input: Bytes,
    /// Nonce; `None` takes the sender's current one.
    pub nonce: Option<u64>,
    /// EIP-2930 access list.
    pub access_list: AccessList,
    /// EIP-7702 authorizations; not empty makes this a type 4 message.
    pub authorization_list: Vec<SignedAuthorization>,
}

/// What a message did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallOutcome {
    /// The execution, with the changes that it would have made.
    pub execution: Execution,
    /// Accounts and slots that were looked at, also by parts that reverted. Sorted.
    pub accessed: Vec<AccessedAccount>,
}

/// One account that a message looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessedAccount {
    /// The account.
    pub address: Address,
    /// Its slots, sorted.
    pub slots: Vec<U256>,
}
