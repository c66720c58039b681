//! What a warm call of a program costs: `cargo bench -p weft-executor-wasm`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a measurement may stop")]

use std::{hint::black_box, time::Instant};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use weft_executor_core::{
    AccountInfo, BlockEnv, CallRequest, Called, CreateRequest, Created, Frame, FrameEnd, Host,
    Machine, Priced, StateUnread, TransactionInfo, WriteError,
};
use weft_executor_wasm::{WasmMachine, stored_code};
use weft_primitives::Fork;

const CALLS: u32 = 200_000;

const MINIMAL: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "user_entrypoint") (param i32) (result i32) (i32.const 0)))"#;

/// Takes a slot's name as its input and adds one to the slot.
const ONE_SLOT: &str = r#"(module
    (import "vm_hooks" "read_args" (func $read_args (param i32)))
    (import "vm_hooks" "storage_load_bytes32" (func $load (param i32 i32)))
    (import "vm_hooks" "storage_cache_bytes32" (func $store (param i32 i32)))
    (import "vm_hooks" "storage_flush_cache" (func $flush (param i32)))
    (memory (export "memory") 1)
    (func (export "user_entrypoint") (param i32) (result i32)
        (call $read_args (i32.const 0))
        (call $load (i32.const 0) (i32.const 32))
        (i64.store (i32.const 56) (i64.add (i64.load (i32.const 56)) (i64.const 1)))
        (call $store (i32.const 0) (i32.const 32))
        (call $flush (i32.const 0))
        (i32.const 0)))"#;

/// The same with the memory and data that a compiler for Rust makes: 17 pages, of which it touches
/// some on its stack.
const LIKE_RUST: &str = r#"(module
    (import "vm_hooks" "read_args" (func $read_args (param i32)))
    (import "vm_hooks" "storage_load_bytes32" (func $load (param i32 i32)))
    (import "vm_hooks" "storage_cache_bytes32" (func $store (param i32 i32)))
    (import "vm_hooks" "storage_flush_cache" (func $flush (param i32)))
    (memory (export "memory") 17)
    (data (i32.const 1048576) "some constants")
    (func (export "user_entrypoint") (param i32) (result i32)
        (call $read_args (i32.const 1048000))
        (call $load (i32.const 1048000) (i32.const 1040032))
        (i64.store (i32.const 1040056) (i64.add (i64.load (i32.const 1040056)) (i64.const 1)))
        (call $store (i32.const 1048000) (i32.const 1040032))
        (call $flush (i32.const 0))
        (i32.const 0)))"#;

/// A host of one slot.
struct OneSlot {
    block: BlockEnv,
    slot: U256,
    shared: [u64; 2],
}

impl Host for OneSlot {
    fn block(&self) -> &BlockEnv {
        &self.block
    }

    fn transaction(&self) -> TransactionInfo {
        TransactionInfo {
            origin: Address::ZERO,
            gas_price: 0,
            base_fee: 0,
        }
    }

    fn is_reentrant(&self) -> bool {
        false
    }

    fn storage(&mut self, _slot: U256) -> Result<Priced<U256>, StateUnread> {
        Ok(Priced {
            value: self.slot,
            gas: 100,
        })
    }

    fn set_storage(&mut self, _slot: U256, value: U256, _gas: u64) -> Result<u64, WriteError> {
        self.slot = value;
        Ok(100)
    }

    fn transient_storage(&mut self, _slot: U256) -> U256 {
        U256::ZERO
    }

    fn set_transient_storage(&mut self, _slot: U256, _value: U256) -> Result<(), WriteError> {
        Err(WriteError::Static)
    }

    fn account(&mut self, _address: Address) -> Result<Priced<AccountInfo>, StateUnread> {
        Err(StateUnread)
    }

    fn code(&mut self, _address: Address) -> Result<Priced<Bytes>, StateUnread> {
        Err(StateUnread)
    }

    fn block_hash(&mut self, _number: u64) -> Result<B256, StateUnread> {
        Err(StateUnread)
    }

    fn log(&mut self, _topics: Vec<B256>, _data: Bytes) -> Result<(), WriteError> {
        Err(WriteError::Static)
    }

    fn call(&mut self, _request: CallRequest) -> Result<Called, WriteError> {
        Err(WriteError::Static)
    }

    fn create(&mut self, _request: CreateRequest) -> Result<Created, WriteError> {
        Err(WriteError::Static)
    }

    fn shared(&mut self) -> &mut [u64; 2] {
        &mut self.shared
    }
}

fn host() -> OneSlot {
    OneSlot {
        block: BlockEnv {
            fork: Fork::LATEST,
            chain_id: 1,
            number: 1,
            timestamp: 1,
            beneficiary: Address::ZERO,
            gas_limit: 30_000_000,
            base_fee: 0,
            difficulty: U256::ZERO,
            prev_randao: B256::ZERO,
            excess_blob_gas: 0,
        },
        slot: U256::ZERO,
        shared: [0, 0],
    }
}

/// Nanoseconds of a call of this program, once it is compiled.
fn measure(machine: &WasmMachine, wat: &str) -> f64 {
    let code = stored_code(&wat::parse_str(wat).unwrap());
    machine.admit(&code, u64::MAX).unwrap();
    let frame = Frame {
        code_hash: keccak256(&code),
        code,
        contract: Address::repeat_byte(1),
        caller: Address::repeat_byte(2),
        value: U256::ZERO,
        input: Bytes::from(vec![3; 32]),
        gas: 1_000_000,
        is_static: false,
        is_delegated: false,
    };
    let mut host = host();
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let begin = Instant::now();
        for _ in 0..CALLS / 5 {
            host.shared = [0, 0];
            let end = black_box(machine.run(black_box(&frame), &mut host));
            assert!(matches!(end, FrameEnd::Returned { .. }), "{end:?}");
        }
        best = best.min(begin.elapsed().as_nanos() as f64 / f64::from(CALLS / 5));
    }
    best
}

fn main() {
    // `cargo test --all-targets` runs this too, to see that it is not broken.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let machine = WasmMachine::new().unwrap();
    for (name, wat) in [
        ("minimal", MINIMAL),
        ("reads its input, loads and stores a slot", ONE_SLOT),
        ("the same with memory as Rust has it", LIKE_RUST),
    ] {
        println!("{:6.0} ns  {name}", measure(&machine, wat));
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| measure(&machine, ONE_SLOT)))
            .collect();
        for thread in threads {
            println!(
                "{:6.0} ns  one slot, on two threads",
                thread.join().unwrap()
            );
        }
    });
}
