//! A chain of one block on a state in memory, and programs to put on it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "each test binary uses a part of this"
)]

use alloy_consensus::{SignableTransaction, TxEip1559, transaction::Recovered};
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256, address};
use weft_executor_core::{
    BlockEnv, Call, CallOutcome, ExecuteError, Execution, ExecutionLayer, MemoryState, Outcome,
    Overlay, credited,
};
use weft_executor_evm::EvmLayer;
use weft_executor_wasm::{WasmLayer, stored_code};
use weft_primitives::{Fork, RecoveredTransaction, Transaction};

pub(crate) const ALICE: Address = address!("0xa11ce00000000000000000000000000000000001");
pub(crate) const BOB: Address = address!("0xb0b0000000000000000000000000000000000002");
pub(crate) const PROGRAM: Address = address!("0xc0de000000000000000000000000000000000003");
pub(crate) const BENEFICIARY: Address = address!("0xfee0000000000000000000000000000000000004");
pub(crate) const ETHER: u128 = 1_000_000_000_000_000_000;
/// What one transaction may have (EIP-7825).
pub(crate) const GAS_CAP: u64 = 1 << 24;

pub(crate) struct Chain {
    pub(crate) layer: WasmLayer<EvmLayer>,
    pub(crate) state: MemoryState,
    pub(crate) block: BlockEnv,
}

pub(crate) fn block() -> BlockEnv {
    BlockEnv {
        fork: Fork::LATEST,
        chain_id: 31_338,
        number: 7,
        timestamp: 1_700_000_000,
        beneficiary: BENEFICIARY,
        gas_limit: 60_000_000,
        base_fee: 10,
        difficulty: U256::ZERO,
        prev_randao: alloy_primitives::B256::repeat_byte(9),
        excess_blob_gas: 0,
    }
}

impl Chain {
    pub(crate) fn new() -> Self {
        let mut state = MemoryState::default();
        for account in [ALICE, BOB] {
            state.insert(account, 0, U256::from(1_000 * ETHER), Bytes::new(), []);
        }
        Self {
            layer: WasmLayer::new(EvmLayer::new()).unwrap(),
            state,
            block: block(),
        }
    }

    /// A chain with this program at [`PROGRAM`].
    pub(crate) fn with_program(wat: &str) -> Self {
        let mut chain = Self::new();
        chain.put(&wat::parse_str(wat).unwrap());
        chain
    }

    /// Puts a module at [`PROGRAM`] as it is.
    pub(crate) fn put(&mut self, module: &[u8]) {
        self.put_code(stored_code(module));
    }

    pub(crate) fn put_code(&mut self, code: Bytes) {
        self.state.insert(PROGRAM, 1, U256::ZERO, code, []);
    }

    pub(crate) fn transaction(
        &self,
        from: Address,
        to: TxKind,
        input: Bytes,
        value: U256,
        gas_limit: u64,
    ) -> RecoveredTransaction {
        let transaction = TxEip1559 {
            chain_id: self.block.chain_id,
            nonce: self.state.accounts.get(&from).map_or(0, |a| a.nonce),
            gas_limit,
            max_fee_per_gas: 20,
            max_priority_fee_per_gas: 3,
            to,
            value,
            access_list: Default::default(),
            input,
        };
        let signed = transaction.into_signed(Signature::test_signature());
        Recovered::new_unchecked(Transaction::Eip1559(signed), from)
    }

    /// Executes on top of the state without changing it.
    pub(crate) fn try_execute(&self, transaction: &RecoveredTransaction) -> Execution {
        let mut overlay = Overlay::new(self.state.clone());
        match self.layer.execute(&self.block, transaction, &mut overlay) {
            Ok(execution) => execution,
            Err(ExecuteError::Invalid(reason)) => panic!("{reason}"),
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn apply(&mut self, execution: &Execution) {
        let mut overlay = Overlay::new(self.state.clone());
        overlay.apply(&execution.changes).unwrap();
        if let Some(wei) = execution.beneficiary_credit {
            let beneficiary = self.block.beneficiary;
            let place = overlay.locate(beneficiary).unwrap();
            let after = credited(overlay.account_at(place), wei, self.block.fork);
            overlay.set_account_at(place, after);
        }
        let changes = overlay.into_changes();
        self.state.apply(&changes);
    }

    pub(crate) fn execute(&mut self, transaction: &RecoveredTransaction) -> Execution {
        let execution = self.try_execute(transaction);
        self.apply(&execution);
        execution
    }

    pub(crate) fn deploy(&mut self, wat: &str) -> (Execution, Option<Address>) {
        self.deploy_bytes(wat::parse_str(wat).unwrap().into())
    }

    pub(crate) fn deploy_bytes(&mut self, module: Bytes) -> (Execution, Option<Address>) {
        let transaction = self.transaction(ALICE, TxKind::Create, module, U256::ZERO, GAS_CAP);
        let execution = self.execute(&transaction);
        let created = match execution.outcome {
            Outcome::Success { created, .. } => created,
            _ => None,
        };
        (execution, created)
    }

    /// Sends input to a program.
    pub(crate) fn send(
        &mut self,
        from: Address,
        to: Address,
        input: impl Into<Bytes>,
    ) -> Execution {
        let transaction = self.transaction(from, to.into(), input.into(), U256::ZERO, 5_000_000);
        self.execute(&transaction)
    }

    pub(crate) fn call(&self, call: &Call) -> CallOutcome {
        let mut overlay = Overlay::new(self.state.clone());
        self.layer.call(&self.block, call, &mut overlay).unwrap()
    }

    pub(crate) fn balance(&self, address: Address) -> U256 {
        self.state
            .accounts
            .get(&address)
            .map_or(U256::ZERO, |account| account.balance)
    }

    pub(crate) fn storage(&self, address: Address, slot: U256) -> U256 {
        self.state
            .storage
            .get(&address)
            .and_then(|slots| slots.get(&slot))
            .copied()
            .unwrap_or_default()
    }
}

/// What a successful execution returned.
pub(crate) fn output(execution: &Execution) -> &[u8] {
    match &execution.outcome {
        Outcome::Success { output, .. } => output,
        other => panic!("not a success: {other:?}"),
    }
}

/// Why an execution was stopped.
pub(crate) fn halt(execution: &Execution) -> String {
    match &execution.outcome {
        Outcome::Halt { reason } => reason.to_string(),
        other => panic!("not a halt: {other:?}"),
    }
}

/// A module whose entry point has this body, with all functions of the host imported under their
/// own names.
pub(crate) fn program(body: &str) -> String {
    format!(
        r#"(module
            (import "vm_hooks" "read_args" (func $read_args (param i32)))
            (import "vm_hooks" "write_result" (func $write_result (param i32 i32)))
            (import "vm_hooks" "storage_load_bytes32" (func $storage_load (param i32 i32)))
            (import "vm_hooks" "storage_cache_bytes32" (func $storage_cache (param i32 i32)))
            (import "vm_hooks" "storage_flush_cache" (func $storage_flush (param i32)))
            (import "vm_hooks" "msg_reentrant" (func $msg_reentrant (result i32)))
            (import "vm_hooks" "msg_sender" (func $msg_sender (param i32)))
            (import "vm_hooks" "msg_value" (func $msg_value (param i32)))
            (import "vm_hooks" "contract_address" (func $contract_address (param i32)))
            (import "vm_hooks" "account_balance" (func $account_balance (param i32 i32)))
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
            (import "vm_hooks" "return_data_size" (func $return_data_size (result i32)))
            (import "vm_hooks" "read_return_data"
                (func $read_return_data (param i32 i32 i32) (result i32)))
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
