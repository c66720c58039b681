//! Contracts, hooks and what binds them, for tests.
#![allow(dead_code, reason = "each test program uses a part")]
#![allow(missing_docs, reason = "the documentation is docs/hooks.md")]

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_sol_types::{SolCall, SolError};
use weft_executor_core::{BlockEnv, Execution, ExecutionLayer, MemoryState, Outcome};
use weft_executor_evm::{EvmLayer, HOOKS};
use weft_primitives::{Fork, RecoveredTransaction, Transaction};

use super::{
    chain::{block, legacy, recovered, state},
    machine::{self, Do, program},
    plain::apply,
};

alloy_sol_types::sol! {
    #[derive(Debug, PartialEq)]
    struct Bound {
        address hook;
        uint8 phases;
        uint64 gasLimit;
    }

    event HookBound(address indexed target, address indexed hook, uint8 phases, uint64 gasLimit);
    event HookUnbound(address indexed target, address indexed hook);

    error AlreadyBound(address target, address hook);
    error BadPhases(uint8 phases);
    error GasLimitTooHigh(uint64 gasLimit, uint64 most);
    error HookFailed(address hook);
    error NotAContract(address target);
    error NotAProgram(address hook);
    error NotBound(address target, address hook);
    error NotOwner(address caller, address target);
    error TooManyHooks(address target, uint256 most);
    error ValueNotAccepted();

    function bind(address target, address hook, uint8 phases, uint64 gasLimit)
        returns (uint256 position);
    function unbind(address target, address hook) returns (uint256 remaining);
    function hooksOf(address target) returns (Bound[] memory hooks);

    function beforeCall(address target, address caller, uint256 value, bytes data);
    function afterCall(address target, address caller, uint256 value, bytes data, bytes result);

    function owner() returns (address);
    function count() returns (uint256);
}

pub(crate) const BEFORE: u8 = 1;
pub(crate) const AFTER: u8 = 2;
pub(crate) const BOTH: u8 = 3;
pub(crate) const HOOK_GAS: u64 = 100_000;

/// First bytes of the code of a contract that has hooks.
pub(crate) const MARKER: [u8; 3] = [0xef, 0xf0, 0x0f];

pub(crate) fn bind_call(target: Address, hook: Address, phases: u8) -> Vec<u8> {
    bindCall {
        target,
        hook,
        phases,
        gasLimit: HOOK_GAS,
    }
    .abi_encode()
}

pub(crate) fn unbind_call(target: Address, hook: Address) -> Vec<u8> {
    unbindCall { target, hook }.abi_encode()
}

/// Code that does `body` for calldata that begins with the selector, and goes on otherwise.
fn on_selector(selector: [u8; 4], body: &[u8], offset: usize) -> Vec<u8> {
    // PUSH0 CALLDATALOAD PUSH1 224 SHR PUSH4 selector EQ ISZERO PUSH1 end JUMPI
    let mut code = vec![0x5f, 0x35, 0x60, 0xe0, 0x1c, 0x63];
    code.extend(selector);
    let end = offset + code.len() + 5 + body.len();
    code.extend([0x14, 0x15, 0x60, u8::try_from(end).unwrap(), 0x57]);
    code.extend(body);
    code.push(0x5b);
    code
}

fn return_slot(slot: u8) -> [u8; 9] {
    [0x60, slot, 0x54, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3]
}

/// A contract whose owner is in slot 0, and which otherwise does this. No jumps in it.
pub(crate) fn owned(body: &[u8]) -> Bytes {
    let mut code = on_selector(ownerCall::SELECTOR, &return_slot(0), 0);
    code.extend(body);
    code.into()
}

/// A contract whose owner is in slot 0. It counts its calls in slot 1 and returns the number;
/// `owner()` and `count()` only read.
pub(crate) fn counter() -> Bytes {
    let mut code = owned(&[]).to_vec();
    let offset = code.len();
    code.extend(on_selector(countCall::SELECTOR, &return_slot(1), offset));
    code.extend([0x60, 1, 0x54, 0x60, 1, 0x01, 0x60, 1, 0x55]);
    code.extend(return_slot(1));
    code.into()
}

pub(crate) const CALL: u8 = 0xf1;
pub(crate) const CALLCODE: u8 = 0xf2;
pub(crate) const DELEGATECALL: u8 = 0xf4;
pub(crate) const STATICCALL: u8 = 0xfa;

/// A contract that calls the address in its first word of calldata with what follows it, and returns
/// whether that succeeded and what came back.
pub(crate) fn forwarder(opcode: u8) -> Bytes {
    let size = [0x60, 0x20, 0x36, 0x03];
    let mut code = size.to_vec();
    code.extend([0x60, 0x20, 0x5f, 0x37, 0x5f, 0x5f]);
    code.extend(size);
    code.push(0x5f);
    if matches!(opcode, CALL | CALLCODE) {
        code.push(0x34);
    }
    code.extend([0x5f, 0x35, 0x5a, opcode, 0x5f, 0x52]);
    code.extend([
        0x3d, 0x5f, 0x60, 0x20, 0x3e, 0x3d, 0x60, 0x20, 0x01, 0x5f, 0xf3,
    ]);
    code.into()
}

/// Init code that deploys `runtime`.
pub(crate) fn deploying(runtime: &[u8]) -> Vec<u8> {
    let length = u8::try_from(runtime.len()).unwrap();
    // PUSH1 length DUP1 PUSH1 10 PUSH0 CODECOPY PUSH0 RETURN
    let mut code = vec![0x60, length, 0x80, 0x60, 0x0a, 0x5f, 0x39, 0x5f, 0xf3, 0x00];
    code.extend(runtime);
    code
}

pub(crate) fn forwarded(to: Address, data: &[u8]) -> Vec<u8> {
    [to.into_word().as_slice(), data].concat()
}

pub(crate) fn owned_by(state: &mut MemoryState, address: Address, code: Bytes, owner: Address) {
    let owner = U256::from_be_bytes(owner.into_word().0);
    state.insert(address, 1, U256::ZERO, code, [(U256::ZERO, owner)]);
}

/// A chain that transactions are sent to one by one.
pub(crate) struct Chain {
    pub(crate) layer: EvmLayer,
    pub(crate) env: BlockEnv,
    pub(crate) state: MemoryState,
    pub(crate) gas_limit: u64,
}

impl Chain {
    pub(crate) fn new(state: MemoryState) -> Self {
        Self {
            layer: machine::layer(),
            env: block(Fork::LATEST),
            state,
            gas_limit: 2_000_000,
        }
    }

    pub(crate) fn transaction(
        &self,
        from: Address,
        to: TxKind,
        value: u128,
        data: &[u8],
    ) -> RecoveredTransaction {
        let nonce = self.state.accounts.get(&from).map_or(0, |from| from.nonce);
        let mut transaction = legacy(nonce, to, value);
        transaction.gas_limit = self.gas_limit;
        transaction.input = Bytes::copy_from_slice(data);
        recovered(from, Transaction::Legacy, transaction)
    }

    /// Sends a transaction; what it did is in the state after it.
    pub(crate) fn send_to(
        &mut self,
        from: Address,
        to: TxKind,
        value: u128,
        data: &[u8],
    ) -> Execution {
        let transaction = self.transaction(from, to, value, data);
        let execution = self
            .layer
            .execute(&self.env, &transaction, &mut self.state)
            .unwrap();
        apply(&mut self.state, &execution.changes);
        check_codes(&self.state);
        execution
    }

    pub(crate) fn send(
        &mut self,
        from: Address,
        to: Address,
        value: u128,
        data: &[u8],
    ) -> Execution {
        self.send_to(from, TxKind::Call(to), value, data)
    }

    pub(crate) fn bind(&mut self, from: Address, target: Address, hook: Address, phases: u8) {
        let execution = self.send(from, HOOKS, 0, &bind_call(target, hook, phases));
        assert!(execution.outcome.is_success(), "{execution:?}");
    }

    pub(crate) fn unbind(&mut self, from: Address, target: Address, hook: Address) {
        let execution = self.send(from, HOOKS, 0, &unbind_call(target, hook));
        assert!(execution.outcome.is_success(), "{execution:?}");
    }

    pub(crate) fn hooks_of(&self, target: Address) -> Vec<Bound> {
        let call = weft_executor_core::Call {
            to: TxKind::Call(HOOKS),
            gas_limit: 1_000_000,
            input: hooksOfCall { target }.abi_encode().into(),
            ..Default::default()
        };
        let outcome = self
            .layer
            .call(&self.env, &call, &mut self.state.clone())
            .unwrap();
        hooksOfCall::abi_decode_returns_validate(&output(&outcome.execution)).unwrap()
    }

    pub(crate) fn code(&self, address: Address) -> Bytes {
        let account = self.state.accounts.get(&address).copied();
        let hash = account.unwrap_or_default().code_hash;
        self.state.code.get(&hash).cloned().unwrap_or_default()
    }

    pub(crate) fn slot(&self, address: Address, slot: u8) -> U256 {
        let slots = self.state.storage.get(&address);
        let value = slots.and_then(|slots| slots.get(&U256::from(slot)));
        value.copied().unwrap_or_default()
    }
}

/// All code that accounts and markers name is there.
pub(crate) fn check_codes(state: &MemoryState) {
    for (address, account) in &state.accounts {
        if !account.has_code() {
            continue;
        }
        let code = &state.code[&account.code_hash];
        assert_eq!(keccak256(code), account.code_hash, "{address}");
        if let Some(original) = code.strip_prefix(&MARKER) {
            let original = B256::from_slice(original);
            assert_eq!(keccak256(&state.code[&original]), original, "{address}");
        }
    }
}

/// Return data, or revert data.
#[track_caller]
pub(crate) fn output(execution: &Execution) -> Bytes {
    match &execution.outcome {
        Outcome::Success { output, .. } => output.clone(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub(crate) fn reverted(execution: &Execution) -> Bytes {
    match &execution.outcome {
        Outcome::Revert { output } => output.clone(),
        other => panic!("{other:?}"),
    }
}

pub(crate) const OWNER: Address = Address::repeat_byte(0x11);
pub(crate) const USER: Address = Address::repeat_byte(0x22);
pub(crate) const TARGET: Address = Address::repeat_byte(0x33);
pub(crate) const HOOK: Address = Address::repeat_byte(0x44);
pub(crate) const OTHER_HOOK: Address = Address::repeat_byte(0x45);
pub(crate) const FORWARDER: Address = Address::repeat_byte(0x55);

/// Two users, and a contract that counts and belongs to [`OWNER`].
pub(crate) fn chain() -> Chain {
    let mut state = state(&[(OWNER, 0, 1 << 60, &[]), (USER, 0, 1 << 60, &[])]);
    owned_by(&mut state, TARGET, counter(), OWNER);
    Chain::new(state)
}

pub(crate) fn with_hook(steps: &[Do], phases: u8) -> Chain {
    let mut chain = chain();
    chain.put(HOOK, program(steps));
    chain.bind(OWNER, TARGET, HOOK, phases);
    chain
}

impl Chain {
    pub(crate) fn put(&mut self, address: Address, code: Bytes) {
        self.state.insert(address, 1, U256::ZERO, code, []);
    }
}

pub(crate) fn word(number: u64) -> U256 {
    U256::from(number)
}

pub(crate) fn log_of(number: u64) -> Vec<Do> {
    vec![Do::Put(word(number)), Do::Log]
}

pub(crate) fn topics(execution: &Execution) -> Vec<U256> {
    let logs = execution.logs.iter();
    logs.map(|log| log.topics()[0].into()).collect()
}

pub(crate) fn number(execution: &Execution) -> U256 {
    U256::from_be_slice(&output(execution))
}

#[track_caller]
pub(crate) fn refused(chain: &mut Chain, from: Address, data: &[u8], error: impl SolError) {
    let before = chain.state.storage.get(&HOOKS).cloned();
    let execution = chain.send(from, HOOKS, 0, data);
    assert_eq!(reverted(&execution), Bytes::from(error.abi_encode()));
    assert_eq!(chain.state.storage.get(&HOOKS).cloned(), before);
}
