//! A chain in memory that gives frames to the machine, and programs to put on it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "each test binary uses a part of this"
)]

mod host;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Barrier},
};

use alloy_primitives::{Address, B256, Bytes, Log, U256, address, keccak256};
use weft_executor_core::{BlockEnv, Frame, FrameEnd, HaltReason, Machine};
use weft_executor_wasm::{WasmMachine, stored_code};
use weft_primitives::Fork;

use host::FrameHost;

pub(crate) const ALICE: Address = address!("0xa11ce00000000000000000000000000000000001");
pub(crate) const BOB: Address = address!("0xb0b0000000000000000000000000000000000002");
pub(crate) const PROGRAM: Address = address!("0xc0de000000000000000000000000000000000003");
pub(crate) const BENEFICIARY: Address = address!("0xfee0000000000000000000000000000000000004");
/// A contract of another kind, which answers as [`Chain::answers`] says.
pub(crate) const OTHER: Address = address!("0x07e1000000000000000000000000000000000005");
pub(crate) const ETHER: u128 = 1_000_000_000_000_000_000;
/// Gas of a frame unless a test says otherwise.
pub(crate) const GAS: u64 = 5_000_000;

/// An account.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Account {
    pub(crate) nonce: u64,
    pub(crate) balance: U256,
    pub(crate) code: Bytes,
    pub(crate) storage: BTreeMap<U256, U256>,
    pub(crate) transient: BTreeMap<U256, U256>,
}

/// What a reverted frame takes back.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct State {
    pub(crate) accounts: BTreeMap<Address, Account>,
    pub(crate) logs: Vec<Log>,
    warm_accounts: BTreeSet<Address>,
    warm_slots: BTreeSet<(Address, U256)>,
}

/// How a contract that is no program answers.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) success: bool,
    pub(crate) output: Bytes,
    pub(crate) gas: u64,
}

pub(crate) struct Chain {
    pub(crate) machine: Arc<WasmMachine>,
    pub(crate) block: BlockEnv,
    pub(crate) state: State,
    pub(crate) answers: BTreeMap<Address, Answer>,
    /// Frames of contracts that are no programs, in order.
    pub(crate) calls: Vec<Frame>,
    /// Where contracts that are no programs wait for each other.
    pub(crate) barrier: Option<Arc<Barrier>>,
    /// Whether the disk is gone.
    pub(crate) unreadable: bool,
    shared: [u64; 2],
    /// The accounts before the transaction.
    before: BTreeMap<Address, Account>,
    /// Contracts in whose place the frames on the stack run.
    stack: Vec<Address>,
    deepest: usize,
}

/// What a frame did.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ran {
    pub(crate) end: FrameEnd,
    pub(crate) gas_used: u64,
    pub(crate) logs: Vec<Log>,
    /// Pages open at the end, and the most that ever were.
    pub(crate) pages: [u64; 2],
    /// Most frames at once.
    pub(crate) deepest: usize,
}

impl Chain {
    pub(crate) fn new() -> Self {
        Self::with_machine(Arc::new(WasmMachine::new().unwrap()))
    }

    pub(crate) fn with_machine(machine: Arc<WasmMachine>) -> Self {
        let mut state = State::default();
        for account in [ALICE, BOB] {
            state.accounts.entry(account).or_default().balance = U256::from(1_000 * ETHER);
        }
        Self {
            machine,
            block: BlockEnv {
                fork: Fork::LATEST,
                chain_id: 31_338,
                number: 7,
                timestamp: 1_700_000_000,
                beneficiary: BENEFICIARY,
                gas_limit: 60_000_000,
                base_fee: 10,
                difficulty: U256::ZERO,
                prev_randao: B256::repeat_byte(9),
                excess_blob_gas: 0,
            },
            state,
            answers: BTreeMap::new(),
            calls: Vec::new(),
            barrier: None,
            unreadable: false,
            shared: [0, 0],
            before: BTreeMap::new(),
            stack: Vec::new(),
            deepest: 0,
        }
    }

    /// A chain with this program at [`PROGRAM`].
    pub(crate) fn with_program(wat: &str) -> Self {
        let mut chain = Self::new();
        chain.put(PROGRAM, wat);
        chain
    }

    pub(crate) fn put(&mut self, at: Address, wat: &str) {
        self.put_code(at, stored_code(&wat::parse_str(wat).unwrap()));
    }

    pub(crate) fn put_code(&mut self, at: Address, code: Bytes) {
        self.state.accounts.entry(at).or_default().code = code;
    }

    /// A frame as a transaction to this contract begins with.
    pub(crate) fn frame(&self, from: Address, to: Address, input: impl Into<Bytes>) -> Frame {
        let code = self.account(to).code;
        Frame {
            code_hash: keccak256(&code),
            code,
            contract: to,
            caller: from,
            value: U256::ZERO,
            input: input.into(),
            gas: GAS,
            is_static: false,
            is_delegated: false,
        }
    }

    pub(crate) fn send(&mut self, from: Address, to: Address, input: impl Into<Bytes>) -> Ran {
        self.run(&self.frame(from, to, input))
    }

    /// Runs a frame as the first of a transaction.
    pub(crate) fn run(&mut self, frame: &Frame) -> Ran {
        self.shared = [0, 0];
        self.deepest = 0;
        self.state.logs.clear();
        self.state.warm_slots.clear();
        self.state.warm_accounts = [frame.caller, frame.contract, BENEFICIARY].into();
        for account in self.state.accounts.values_mut() {
            account.transient.clear();
        }
        self.before = self.state.accounts.clone();
        let end = self.enter(frame);
        let gas_left = match &end {
            FrameEnd::Returned { gas_left, .. } | FrameEnd::Reverted { gas_left, .. } => *gas_left,
            FrameEnd::Halted(_) | FrameEnd::StateUnread => 0,
        };
        Ran {
            end,
            gas_used: frame.gas.checked_sub(gas_left).expect("no gas is made"),
            logs: self.state.logs.clone(),
            pages: self.shared,
            deepest: self.deepest,
        }
    }

    /// Runs a frame of a program; takes back what it did unless it returned.
    fn enter(&mut self, frame: &Frame) -> FrameEnd {
        let before = self.state.clone();
        let is_reentrant = self.stack.contains(&frame.contract);
        self.stack.push(frame.contract);
        self.deepest = self.deepest.max(self.stack.len());
        let machine = Arc::clone(&self.machine);
        let end = machine.run(
            frame,
            &mut FrameHost {
                chain: self,
                frame: frame.clone(),
                is_reentrant,
            },
        );
        self.stack.pop();
        if !matches!(end, FrameEnd::Returned { .. }) {
            self.state = before;
        }
        end
    }

    /// Puts a module on the chain as a creation does.
    pub(crate) fn deploy(&mut self, module: &Bytes, gas: u64) -> Result<u64, HaltReason> {
        let code = self.machine.assemble(module).expect("a module");
        let price = self.machine.admit(&code, gas)?;
        self.put_code(PROGRAM, code);
        Ok(price)
    }

    pub(crate) fn account(&self, address: Address) -> Account {
        self.state
            .accounts
            .get(&address)
            .cloned()
            .unwrap_or_default()
    }

    pub(crate) fn storage(&self, address: Address, slot: U256) -> U256 {
        self.account(address)
            .storage
            .get(&slot)
            .copied()
            .unwrap_or_default()
    }
}

/// What a frame that returned has returned.
pub(crate) fn output(ran: &Ran) -> &[u8] {
    match &ran.end {
        FrameEnd::Returned { output, .. } => output,
        other => panic!("did not return: {other:?}"),
    }
}

/// What a frame that reverted has reverted with.
pub(crate) fn revert(ran: &Ran) -> &[u8] {
    match &ran.end {
        FrameEnd::Reverted { output, .. } => output,
        other => panic!("did not revert: {other:?}"),
    }
}

/// Why a frame was stopped.
pub(crate) fn halt(ran: &Ran) -> String {
    match &ran.end {
        FrameEnd::Halted(reason) => reason.to_string(),
        other => panic!("was not stopped: {other:?}"),
    }
}

/// A module with all functions of the host imported under short names, and one page of memory.
pub(crate) fn program(body: &str) -> String {
    format!(
        r#"(module
            (import "vm_hooks" "read_args" (func $read_args (param i32)))
            (import "vm_hooks" "write_result" (func $write_result (param i32 i32)))
            (import "vm_hooks" "exit_early" (func $exit_early (param i32)))
            (import "vm_hooks" "storage_load_bytes32" (func $storage_load (param i32 i32)))
            (import "vm_hooks" "storage_cache_bytes32" (func $storage_cache (param i32 i32)))
            (import "vm_hooks" "storage_flush_cache" (func $storage_flush (param i32)))
            (import "vm_hooks" "transient_load_bytes32" (func $transient_load (param i32 i32)))
            (import "vm_hooks" "transient_store_bytes32" (func $transient_store (param i32 i32)))
            (import "vm_hooks" "call_contract"
                (func $call (param i32 i32 i32 i32 i64 i32) (result i32)))
            (import "vm_hooks" "delegate_call_contract"
                (func $delegate_call (param i32 i32 i32 i64 i32) (result i32)))
            (import "vm_hooks" "static_call_contract"
                (func $static_call (param i32 i32 i32 i64 i32) (result i32)))
            (import "vm_hooks" "create1" (func $create1 (param i32 i32 i32 i32 i32)))
            (import "vm_hooks" "create2" (func $create2 (param i32 i32 i32 i32 i32 i32)))
            (import "vm_hooks" "return_data_size" (func $return_data_size (result i32)))
            (import "vm_hooks" "read_return_data"
                (func $read_return_data (param i32 i32 i32) (result i32)))
            (import "vm_hooks" "account_balance" (func $account_balance (param i32 i32)))
            (import "vm_hooks" "account_code"
                (func $account_code (param i32 i32 i32 i32) (result i32)))
            (import "vm_hooks" "account_code_size"
                (func $account_code_size (param i32) (result i32)))
            (import "vm_hooks" "account_codehash" (func $account_codehash (param i32 i32)))
            (import "vm_hooks" "msg_reentrant" (func $msg_reentrant (result i32)))
            (import "vm_hooks" "msg_sender" (func $msg_sender (param i32)))
            (import "vm_hooks" "msg_value" (func $msg_value (param i32)))
            (import "vm_hooks" "contract_address" (func $contract_address (param i32)))
            (import "vm_hooks" "block_basefee" (func $block_basefee (param i32)))
            (import "vm_hooks" "block_coinbase" (func $block_coinbase (param i32)))
            (import "vm_hooks" "block_gas_limit" (func $block_gas_limit (result i64)))
            (import "vm_hooks" "block_number" (func $block_number (result i64)))
            (import "vm_hooks" "block_timestamp" (func $block_timestamp (result i64)))
            (import "vm_hooks" "chainid" (func $chainid (result i64)))
            (import "vm_hooks" "tx_gas_price" (func $tx_gas_price (param i32)))
            (import "vm_hooks" "tx_ink_price" (func $tx_ink_price (result i32)))
            (import "vm_hooks" "tx_origin" (func $tx_origin (param i32)))
            (import "vm_hooks" "evm_gas_left" (func $evm_gas_left (result i64)))
            (import "vm_hooks" "evm_ink_left" (func $evm_ink_left (result i64)))
            (import "vm_hooks" "native_keccak256" (func $keccak (param i32 i32 i32)))
            (import "vm_hooks" "emit_log" (func $emit_log (param i32 i32 i32)))
            (import "vm_hooks" "pay_for_memory_grow" (func $pay_for_memory_grow (param i32)))
            (import "vm_hooks" "math_div" (func $math_div (param i32 i32)))
            (import "vm_hooks" "math_mod" (func $math_mod (param i32 i32)))
            (import "vm_hooks" "math_pow" (func $math_pow (param i32 i32)))
            (import "vm_hooks" "math_add_mod" (func $math_add_mod (param i32 i32 i32)))
            (import "vm_hooks" "math_mul_mod" (func $math_mul_mod (param i32 i32 i32)))
            (memory (export "memory") 1)
            {body})"#
    )
}

/// A program with this entry point; `$len` is the input's length.
pub(crate) fn entrypoint(body: &str) -> String {
    program(&format!(
        r#"(func (export "user_entrypoint") (param $len i32) (result i32) {body})"#
    ))
}

/// Adds one to the last byte of slot 0 and returns the slot.
pub(crate) fn counter() -> String {
    entrypoint(
        "(call $storage_load (i32.const 0) (i32.const 32))
         (i32.store8 (i32.const 63) (i32.add (i32.load8_u (i32.const 63)) (i32.const 1)))
         (call $storage_cache (i32.const 0) (i32.const 32))
         (call $storage_flush (i32.const 0))
         (call $write_result (i32.const 32) (i32.const 32))
         (i32.const 0)",
    )
}

/// Bytes as a data string of the text format.
pub(crate) fn data(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:02x}")).collect()
}
