use alloy_primitives::{Address, Bytes, Log, U256};

use crate::TransactionChanges;

/// What one transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// How it ended.
    pub outcome: Outcome,
    /// Gas that the transaction is charged, after refunds, in gas.
    pub gas_used: u64,
    /// Gas refunded, in gas; already taken off `gas_used`.
    pub gas_refunded: u64,
    /// Logs in order; empty unless the outcome is a success.
    pub logs: Vec<Log>,
    /// Nonce of the sender before the transaction.
    pub sender_nonce: u64,
    /// State that the transaction wrote. What the sender pays is in it.
    pub changes: TransactionChanges,
    /// What the block's beneficiary earns, in wei, where `changes` does not have it yet: to be
    /// credited after `changes`, even if it is zero (see [`credited`](crate::credited)). Apart, so
    /// that transactions that share nothing but their fees do not read each other's.
    pub beneficiary_credit: Option<U256>,
}

/// How an execution ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It returned.
    Success {
        /// Return data; the deployed code for a creation.
        output: Bytes,
        /// Address of the contract, for a creation.
        created: Option<Address>,
    },
    /// It reverted; state is as before, save nonce and fees.
    Revert {
        /// Revert data.
        output: Bytes,
    },
    /// It was stopped and all its gas is gone; state is as before, save nonce and fees.
    Halt {
        /// Why.
        reason: HaltReason,
    },
}

impl Outcome {
    /// Whether it ended without revert or halt.
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Success { .. })
    }
}

/// Why an execution was stopped, in words that any layer can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HaltReason {
    /// The gas limit was reached.
    #[error("out of gas")]
    OutOfGas,
    /// An instruction that the layer does not have.
    #[error("invalid opcode")]
    InvalidInstruction,
    /// More nested calls than the layer allows.
    #[error("max call depth exceeded")]
    CallDepth,
    /// A deposit that could not start; what it minted stays minted.
    #[error("failed deposit: {0}")]
    FailedDeposit(Box<InvalidTransaction>),
    /// A layer's own reason.
    #[error("{0}")]
    Other(&'static str),
}

/// Why a transaction cannot be in the block at this point. It changes nothing (geth's "consensus
/// errors"; the texts are geth's, because clients match on them).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are named in the messages")]
pub enum InvalidTransaction {
    /// The nonce was used before.
    #[error("nonce too low: address {sender}, tx: {found} state: {expected}")]
    NonceTooLow {
        sender: Address,
        found: u64,
        expected: u64,
    },
    /// Nonces in between are missing.
    #[error("nonce too high: address {sender}, tx: {found} state: {expected}")]
    NonceTooHigh {
        sender: Address,
        found: u64,
        expected: u64,
    },
    /// The sender's nonce is 2^64 - 1 (EIP-2681).
    #[error("nonce has max value: address {sender}")]
    NonceMax { sender: Address },
    /// The sender cannot pay value and the highest possible fee.
    #[error("insufficient funds for gas * price + value: address {sender} have {have} want {want}")]
    InsufficientFunds {
        sender: Address,
        have: U256,
        want: U256,
    },
    /// The fee cap is below the base fee.
    #[error(
        "max fee per gas less than block base fee: maxFeePerGas: {max_fee}, baseFee: {base_fee}"
    )]
    FeeCapTooLow { max_fee: u128, base_fee: u64 },
    /// The tip is above the fee cap.
    #[error(
        "max priority fee per gas higher than max fee per gas: maxPriorityFeePerGas: {tip}, maxFeePerGas: {max_fee}"
    )]
    TipAboveFeeCap { tip: u128, max_fee: u128 },
    /// The gas limit does not cover what every such transaction costs.
    #[error("intrinsic gas too low: have {have}, want {want}")]
    IntrinsicGas { have: u64, want: u64 },
    /// The gas limit does not cover the calldata floor (EIP-7623).
    #[error("insufficient gas for floor data gas cost: have {have}, want {want}")]
    FloorGas { have: u64, want: u64 },
    /// What is left of the block's gas does not cover the gas limit.
    #[error("gas limit reached: transaction needs {wanted}, block has {left} left")]
    BlockGasLimit { wanted: u64, left: u64 },
    /// The gas limit is above what one transaction may have (EIP-7825).
    #[error("transaction gas limit too high (cap: {cap}, tx: {found})")]
    TransactionGasCap { cap: u64, found: u64 },
    /// Init code is too long (EIP-3860).
    #[error("max initcode size exceeded: code size {found} limit {limit}")]
    InitCodeSize { found: usize, limit: usize },
    /// The sender has code that is no delegation (EIP-3607).
    #[error("sender not an eoa: address {sender}")]
    SenderHasCode { sender: Address },
    /// Signed for another chain.
    #[error(
        "invalid chain id for signer: have {} want {expected}",
        found.map_or_else(|| "none".to_owned(), |id| id.to_string())
    )]
    ChainId { found: Option<u64>, expected: u64 },
    /// The fork does not have this transaction type.
    #[error("transaction type not supported")]
    UnsupportedType,
    /// Anything else that a fork's rules forbid.
    #[error("{0}")]
    Other(String),
}
