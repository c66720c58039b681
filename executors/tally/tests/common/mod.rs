//! What the tests have in common: contracts of both kinds that do the same, and a chain for them.
#![allow(dead_code, reason = "each test program uses a part")]

#[path = "../../../evm/tests/common/chain.rs"]
pub(crate) mod chain;
pub(crate) mod evm;
#[path = "../../../evm/tests/common/plain.rs"]
pub(crate) mod plain;

use std::sync::Arc;

use alloy_primitives::{Address, Bytes, TxKind, U256};
use weft_executor_core::{
    Call, CallOutcome, ExecutionLayer, HaltReason, MemoryState, Outcome, StateView,
};
use weft_executor_evm::EvmLayer;
use weft_executor_tally::{MAGIC, MARK, Tally};
use weft_primitives::Fork;

pub(crate) const SENDER: Address = Address::repeat_byte(0x11);
pub(crate) const A: Address = Address::repeat_byte(0xa1);
pub(crate) const B: Address = Address::repeat_byte(0xb2);
pub(crate) const C: Address = Address::repeat_byte(0xc3);

pub(crate) const DATA: u8 = 0x02;
pub(crate) const LOAD: u8 = 0x03;
pub(crate) const STORE: u8 = 0x04;
pub(crate) const ADD: u8 = 0x05;
pub(crate) const LOG: u8 = 0x06;
pub(crate) const CALL: u8 = 0x07;
pub(crate) const DELEGATE: u8 = 0x08;
pub(crate) const STATIC: u8 = 0x09;
pub(crate) const OUTPUT: u8 = 0x0a;
pub(crate) const CREATE: u8 = 0x0b;
pub(crate) const CREATE2: u8 = 0x0c;
pub(crate) const BALANCE: u8 = 0x0d;
pub(crate) const CALLER: u8 = 0x0e;
pub(crate) const VALUE: u8 = 0x0f;
pub(crate) const ITSELF: u8 = 0x10;
pub(crate) const GAS: u8 = 0x11;
pub(crate) const REENTRANT: u8 = 0x12;
pub(crate) const SKIP: u8 = 0x13;
pub(crate) const RETURN: u8 = 0x14;
pub(crate) const REVERT: u8 = 0x15;

/// Gas of each instruction of a Tally contract, whatever it does.
pub(crate) const STEP: u64 = 3;

/// A Tally contract in the making.
#[derive(Debug, Clone, Default)]
pub(crate) struct Code(Vec<u8>);

impl Code {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn push(mut self, word: impl Into<Word>) -> Self {
        self.0.push(0x01);
        self.0.extend(word.into().0.to_be_bytes::<32>());
        self
    }

    /// This, and then the other.
    pub(crate) fn then(mut self, other: &Self) -> Self {
        self.0.extend_from_slice(&other.0);
        self
    }

    pub(crate) fn op(mut self, op: u8) -> Self {
        self.0.push(op);
        self
    }

    pub(crate) fn store(self, slot: u64, value: u64) -> Self {
        self.push(value).push(slot).op(STORE)
    }

    /// Calls with the calldata from `offset` on.
    pub(crate) fn call(self, to: Address, value: u64, offset: u64) -> Self {
        self.push(offset).push(value).push(to).op(CALL)
    }

    /// Calls without value.
    pub(crate) fn call_as(self, op: u8, to: Address) -> Self {
        self.push(0).push(to).op(op)
    }

    pub(crate) fn returns(self, op: u8) -> Self {
        self.op(op).op(RETURN)
    }

    /// The contract's code.
    pub(crate) fn code(&self) -> Vec<u8> {
        [&MARK, &self.0[..]].concat()
    }

    /// Init data that is the contract.
    pub(crate) fn init(&self) -> Vec<u8> {
        [&MAGIC, &self.0[..]].concat()
    }
}

/// Anything that fits on the stack.
pub(crate) struct Word(U256);

impl From<u64> for Word {
    fn from(number: u64) -> Self {
        Self(U256::from(number))
    }
}

impl From<Address> for Word {
    fn from(address: Address) -> Self {
        Self(address.into_word().into())
    }
}

impl From<U256> for Word {
    fn from(word: U256) -> Self {
        Self(word)
    }
}

pub(crate) fn layer() -> EvmLayer {
    EvmLayer::new().with_machine(Arc::new(Tally))
}

/// A state with these contracts and a rich sender.
pub(crate) fn world(contracts: &[(Address, &[u8])]) -> MemoryState {
    let mut state = chain::state(&[(SENDER, 0, u128::MAX, &[])]);
    for (address, code) in contracts {
        put(&mut state, *address, 0, code, &[]);
    }
    state
}

pub(crate) fn put(
    state: &mut MemoryState,
    address: Address,
    balance: u64,
    code: &[u8],
    slots: &[(u64, u64)],
) {
    let slots = slots
        .iter()
        .map(|(slot, value)| (U256::from(*slot), U256::from(*value)));
    let code = Bytes::copy_from_slice(code);
    state.insert(address, 1, U256::from(balance), code, slots);
}

pub(crate) fn message(to: TxKind, input: &[u8]) -> Call {
    Call {
        from: SENDER,
        to,
        gas_limit: 1_000_000,
        input: Bytes::copy_from_slice(input),
        ..Call::default()
    }
}

/// Sends a message on the latest fork.
pub(crate) fn send(layer: &EvmLayer, state: &MemoryState, message: &Call) -> CallOutcome {
    send_at(Fork::LATEST, layer, state, message)
}

pub(crate) fn send_at(
    fork: Fork,
    layer: &EvmLayer,
    state: &MemoryState,
    message: &Call,
) -> CallOutcome {
    let outcome = layer.call(&chain::block(fork), message, &mut state.clone());
    outcome.unwrap()
}

/// Calls contract `A`.
pub(crate) fn call_a(state: &MemoryState, input: &[u8]) -> CallOutcome {
    send(&layer(), state, &message(TxKind::Call(A), input))
}

/// What a message returned, as a word.
pub(crate) fn returned(outcome: &CallOutcome) -> U256 {
    match &outcome.execution.outcome {
        Outcome::Success { output, .. } => U256::from_be_slice(output),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn address_returned(outcome: &CallOutcome) -> Address {
    Address::from_word(returned(outcome).into())
}

pub(crate) fn halted(outcome: &CallOutcome) -> HaltReason {
    match &outcome.execution.outcome {
        Outcome::Halt { reason } => reason.clone(),
        other => panic!("{other:?}"),
    }
}

/// The state after a message.
pub(crate) fn after(state: &MemoryState, outcome: &CallOutcome) -> MemoryState {
    let mut after = state.clone();
    plain::apply(&mut after, &outcome.execution.changes);
    after
}

pub(crate) fn slot(state: &MemoryState, address: Address, slot: u64) -> U256 {
    state.clone().storage(address, U256::from(slot)).unwrap()
}

pub(crate) fn balance(state: &MemoryState, address: Address) -> U256 {
    let account = state.accounts.get(&address);
    account.map_or(U256::ZERO, |account| account.balance)
}

pub(crate) fn nonce(state: &MemoryState, address: Address) -> u64 {
    state.accounts.get(&address).map_or(0, |found| found.nonce)
}

pub(crate) fn code_at(state: &MemoryState, address: Address) -> Option<Vec<u8>> {
    let account = state.accounts.get(&address)?;
    Some(state.code.get(&account.code_hash)?.to_vec())
}

pub(crate) fn word(value: impl Into<Word>) -> [u8; 32] {
    value.into().0.to_be_bytes()
}
