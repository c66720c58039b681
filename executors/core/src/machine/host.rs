use alloy_primitives::{Address, B256, Bytes, U256, keccak256};

use crate::BlockEnv;

/// The state could not be read; the host keeps the reason. The frame ends at once with
/// [`FrameEnd::StateUnread`](crate::FrameEnd::StateUnread).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the state could not be read")]
pub struct StateUnread;

/// Why a frame could not write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The frame is static.
    #[error("write protection")]
    Static,
    /// The gas does not cover it.
    #[error("out of gas")]
    OutOfGas,
    /// The state could not be read.
    #[error(transparent)]
    State(#[from] StateUnread),
}

/// A value, and the gas that looking at it costs (EIP-2929).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priced<T> {
    /// The value.
    pub value: T,
    /// Gas.
    pub gas: u64,
}

/// An account as other contracts see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountInfo {
    /// Balance, in wei.
    pub balance: U256,
    /// As EXTCODEHASH: zero for an account that is empty.
    pub code_hash: B256,
}

/// What a frame can ask about its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionInfo {
    /// The transaction's sender.
    pub origin: Address,
    /// What the sender pays, in wei per gas.
    pub gas_price: u128,
    /// The block's base fee as the transaction sees it, in wei per gas: zero in a message for which
    /// gas is free.
    pub base_fee: u64,
}

/// How another contract is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    /// As CALL: in the other's place, with value.
    Call,
    /// As DELEGATECALL: the other's code in the caller's place.
    Delegate,
    /// As STATICCALL: in the other's place, without writing.
    Static,
}

/// A call from a frame to another contract.
#[derive(Debug, Clone)]
pub struct CallRequest {
    /// How.
    pub kind: CallKind,
    /// The other contract.
    pub to: Address,
    /// Value, in wei; zero unless the kind is [`CallKind::Call`].
    pub value: U256,
    /// Calldata.
    pub input: Bytes,
    /// Gas that the caller wants to hand over at most; EIP-150 bounds it.
    pub gas: u64,
    /// Gas that the caller has.
    pub gas_left: u64,
}

/// What a call came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// Whether the other frame returned.
    pub success: bool,
    /// What it returned, or reverted with.
    pub output: Bytes,
    /// Gas that the call has cost, its own price included; never more than the caller had.
    pub gas: u64,
}

/// A creation from a frame.
#[derive(Debug, Clone)]
pub struct CreateRequest {
    /// Init data: EVM init code, or what a machine [assembles](crate::Machine::assemble).
    pub init: Bytes,
    /// Value, in wei.
    pub value: U256,
    /// The salt of CREATE2; `None` for CREATE.
    pub salt: Option<B256>,
    /// Gas that the caller has; EIP-150 decides how much of it the creation gets.
    pub gas_left: u64,
}

/// What a creation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// The contract; `None` when there is none.
    pub address: Option<Address>,
    /// What the init code reverted with; empty otherwise.
    pub output: Bytes,
    /// Gas that the creation has cost, its own price included; never more than the caller had.
    pub gas: u64,
}

/// What a frame of a [`Machine`](crate::Machine) reaches outside of itself.
pub trait Host {
    /// The block.
    fn block(&self) -> &BlockEnv;

    /// The transaction.
    fn transaction(&self) -> TransactionInfo;

    /// Whether the frame's contract was entered more than once by calls that have not ended. A
    /// delegated frame is part of the one above it and enters nothing.
    fn is_reentrant(&self) -> bool;

    /// Value of a slot of the frame's contract.
    ///
    /// # Errors
    /// When it cannot be read.
    fn storage(&mut self, slot: U256) -> Result<Priced<U256>, StateUnread>;

    /// Writes a slot of the frame's contract; returns the gas that this costs, and keeps the refund
    /// (EIP-2200, EIP-2929, EIP-3529).
    ///
    /// # Errors
    /// When the frame is static, `gas_left` does not cover the write, or the slot cannot be read.
    fn set_storage(&mut self, slot: U256, value: U256, gas_left: u64) -> Result<u64, WriteError>;

    /// Value of a transient slot of the frame's contract (EIP-1153).
    fn transient_storage(&mut self, slot: U256) -> U256;

    /// Writes a transient slot of the frame's contract.
    ///
    /// # Errors
    /// When the frame is static.
    fn set_transient_storage(&mut self, slot: U256, value: U256) -> Result<(), WriteError>;

    /// Another account.
    ///
    /// # Errors
    /// When it cannot be read.
    fn account(&mut self, address: Address) -> Result<Priced<AccountInfo>, StateUnread>;

    /// Code of another account.
    ///
    /// # Errors
    /// When it cannot be read.
    fn code(&mut self, address: Address) -> Result<Priced<Bytes>, StateUnread>;

    /// Hash of a block; zero when it is not one of the last 256 before this one.
    ///
    /// # Errors
    /// When it cannot be read.
    fn block_hash(&mut self, number: u64) -> Result<B256, StateUnread>;

    /// A log of the frame's contract.
    ///
    /// # Errors
    /// When the frame is static; a hook may log all the same, so ask the host and not the frame.
    fn log(&mut self, topics: Vec<B256>, data: Bytes) -> Result<(), WriteError>;

    /// Calls another contract, of any kind.
    ///
    /// # Errors
    /// When the frame is static and the call brings value, the gas does not cover the call's own
    /// price, or the state cannot be read.
    fn call(&mut self, request: CallRequest) -> Result<Called, WriteError>;

    /// Creates a contract.
    ///
    /// # Errors
    /// When the frame is static, the gas does not cover the creation's own price, or the state
    /// cannot be read.
    fn create(&mut self, request: CreateRequest) -> Result<Created, WriteError>;

    /// keccak-256 of bytes. A host may remember what is hashed often.
    fn keccak256(&mut self, bytes: &[u8]) -> B256 {
        keccak256(bytes)
    }

    /// A number that all frames of the transaction share, zero at its start and not taken back when
    /// a frame reverts: for prices that depend on what a machine has done so far. Each machine has
    /// its own numbers.
    fn shared(&mut self) -> &mut [u64; 2];
}
