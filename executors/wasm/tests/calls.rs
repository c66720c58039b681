//! Programs that call: each other, other contracts, and themselves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::sync::{Arc, Barrier};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use common::*;
use weft_executor_core::{FrameEnd, HaltReason};
use weft_executor_wasm::{WasmMachine, stored_code};

/// Memory: 0 the input, of which the first 20 bytes are the other contract; 256 value; 320 the
/// length that came back; 512 what came back, after the status and both lengths.
fn forwards(call: &str) -> String {
    entrypoint(&format!(
        "(call $read_args (i32.const 0))
         (i32.store8 (i32.const 512) {call})
         (i32.store (i32.const 513) (i32.load (i32.const 320)))
         (i32.store (i32.const 517) (call $return_data_size))
         (call $write_result (i32.const 512) (i32.add (i32.const 9)
            (call $read_return_data (i32.const 521) (i32.const 0) (i32.const 1000))))
         (i32.const 0)"
    ))
}

const CALL: &str = "(call $call (i32.const 0) (i32.const 20)
    (i32.sub (local.get $len) (i32.const 20)) (i32.const 256) (i64.const 1000000) (i32.const 320))";
const DELEGATE_CALL: &str = "(call $delegate_call (i32.const 0) (i32.const 20)
    (i32.sub (local.get $len) (i32.const 20)) (i64.const -1) (i32.const 320))";
const STATIC_CALL: &str = "(call $static_call (i32.const 0) (i32.const 20)
    (i32.sub (local.get $len) (i32.const 20)) (i64.const -1) (i32.const 320))";

fn input(to: Address, rest: &[u8]) -> Bytes {
    [to.as_slice(), rest].concat().into()
}

/// Status, and what came back.
fn came_back(ran: &Ran) -> (u8, &[u8]) {
    let output = output(ran);
    let (head, data) = output.split_at(9);
    let length = u32::try_from(data.len()).unwrap().to_le_bytes();
    assert_eq!((&head[1..5], &head[5..9]), (&length[..], &length[..]));
    (head[0], data)
}

fn answer(chain: &mut Chain, success: bool, output: &'static [u8], gas: u64) {
    let output = Bytes::from_static(output);
    let answer = Answer {
        success,
        output,
        gas,
    };
    chain.answers.insert(OTHER, answer);
}

#[test]
fn a_call_hands_over_input_and_gas_and_gives_back_what_came() {
    let mut chain = Chain::with_program(&forwards(CALL));
    answer(&mut chain, true, b"fine", 777);
    let first = chain.send(ALICE, PROGRAM, input(OTHER, b"hello"));
    assert_eq!(came_back(&first), (0, &b"fine"[..]));
    let call = &chain.calls[0];
    assert_eq!((call.contract, call.caller), (OTHER, PROGRAM));
    assert_eq!((&call.input[..], call.gas), (&b"hello"[..], 1_000_000));
    assert!(!call.is_static && !call.is_delegated && call.value.is_zero());

    answer(&mut chain, true, b"fine", 1_777);
    let second = chain.send(ALICE, PROGRAM, input(OTHER, b"hello"));
    assert_eq!(second.gas_used, first.gas_used + 1_000);

    answer(&mut chain, false, b"no", 0);
    let ran = chain.send(ALICE, PROGRAM, input(OTHER, b"hello"));
    assert_eq!(came_back(&ran), (2, &b"no"[..]));
}

#[test]
fn delegated_and_static_calls_are_what_they_are() {
    let mut chain = Chain::with_program(&forwards(DELEGATE_CALL));
    chain.put(BOB, &counter());
    let mut frame = chain.frame(ALICE, PROGRAM, input(BOB, b""));
    frame.value = U256::from(3);
    let ran = chain.run(&frame);
    assert_eq!(came_back(&ran).0, 0);
    assert_eq!(chain.storage(PROGRAM, U256::ZERO), U256::from(1));
    assert_eq!(chain.storage(BOB, U256::ZERO), U256::ZERO);

    chain.put(PROGRAM, &forwards(STATIC_CALL));
    let ran = chain.send(ALICE, PROGRAM, input(BOB, b""));
    assert_eq!(came_back(&ran), (2, &b""[..]), "the counter cannot write");
    assert!(ran.gas_used < 10_000, "and keeps its gas: {ran:?}");

    chain.put(
        BOB,
        &entrypoint(
            "(call $msg_sender (i32.const 0)) (call $msg_value (i32.const 20))
             (call $contract_address (i32.const 52))
             (call $write_result (i32.const 0) (i32.const 72)) (i32.const 0)",
        ),
    );
    let ran = chain.send(ALICE, PROGRAM, input(BOB, b""));
    let expected = [PROGRAM.as_slice(), &[0; 32], BOB.as_slice()].concat();
    assert_eq!(came_back(&ran), (0, &expected[..]));
    chain.put(PROGRAM, &forwards(DELEGATE_CALL));
    let mut frame = chain.frame(ALICE, PROGRAM, input(BOB, b""));
    frame.value = U256::from(3);
    let ran = chain.run(&frame);
    let value = B256::from(U256::from(3));
    let expected = [ALICE.as_slice(), value.as_slice(), PROGRAM.as_slice()].concat();
    assert_eq!(came_back(&ran), (0, &expected[..]));
}

#[test]
fn writes_in_a_static_frame_fail_and_keep_the_gas() {
    for write in [
        "(call $storage_cache (i32.const 0) (i32.const 0)) (call $storage_flush (i32.const 0))",
        "(call $transient_store (i32.const 0) (i32.const 0))",
        "(call $emit_log (i32.const 0) (i32.const 0) (i32.const 0))",
        "(call $create1 (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))",
        "(call $create2 (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0))",
    ] {
        let mut chain = Chain::with_program(&entrypoint(&format!("{write} (i32.const 0)")));
        let mut frame = chain.frame(ALICE, PROGRAM, Bytes::new());
        output(&chain.run(&frame));
        frame.is_static = true;
        let ran = chain.run(&frame);
        assert!(revert(&ran).is_empty(), "{write}");
        assert!(ran.gas_used < 10_000, "{write}: {ran:?}");
    }
}

#[test]
fn value_moves_and_cannot_leave_a_static_frame() {
    let with_value = CALL.replace("(i32.const 256)", "(i32.const 21)");
    let mut chain = Chain::with_program(&forwards(&with_value));
    chain.state.accounts.entry(PROGRAM).or_default().balance = U256::from(100);
    let seven = U256::from(7).to_be_bytes::<32>();
    let mut frame = chain.frame(ALICE, PROGRAM, input(OTHER, &[&[1], &seven[..]].concat()));
    let ran = chain.run(&frame);
    assert_eq!(came_back(&ran).0, 0);
    assert_eq!(chain.account(OTHER).balance, U256::from(7));
    assert_eq!(chain.calls[0].gas, 1_002_300, "with the stipend");

    frame.is_static = true;
    let ran = chain.run(&frame);
    assert_eq!(came_back(&ran), (2, &b""[..]), "a failure to live with");
    let more = U256::from(94).to_be_bytes::<32>();
    let ran = chain.send(ALICE, PROGRAM, input(OTHER, &[&[1], &more[..]].concat()));
    assert_eq!(came_back(&ran).0, 2);
    assert_eq!(chain.account(OTHER).balance, U256::from(7));
}

#[test]
fn parts_of_return_data_are_read_and_paid_for() {
    let read = |offset: u32, size: u32| {
        let mut chain = Chain::with_program(&entrypoint(&format!(
            "(call $read_args (i32.const 0))
             (drop (call $static_call (i32.const 0) (i32.const 0) (i32.const 0)
                (i64.const -1) (i32.const 100)))
             (call $write_result (i32.const 200)
                (call $read_return_data (i32.const 200) (i32.const {offset}) (i32.const {size})))
             (i32.const 0)"
        )));
        answer(&mut chain, true, b"0123456789", 0);
        let ran = chain.send(ALICE, PROGRAM, input(OTHER, b""));
        Bytes::copy_from_slice(output(&ran))
    };
    assert_eq!(read(0, 10), b"0123456789"[..]);
    assert_eq!(read(3, 4), b"3456"[..]);
    assert_eq!(read(8, u32::MAX), b"89"[..]);
    assert_eq!(read(10, 1), b""[..]);
    assert_eq!(read(u32::MAX, u32::MAX), b""[..]);
}

#[test]
fn programs_create_programs() {
    let module = wat::parse_str(counter()).unwrap();
    let length = module.len();
    let create = |call: &str, init: &[u8]| {
        program(&format!(
            r#"(data (i32.const 1024) "{}")
            (func (export "user_entrypoint") (param i32) (result i32)
                (i32.store8 (i32.const 95) (i32.const 5))
                (i32.store8 (i32.const 127) (i32.const 9))
                {call}
                (call $write_result (i32.const 0) (i32.add (i32.const 24)
                    (call $read_return_data (i32.const 24) (i32.const 0) (i32.const 8))))
                (i32.const 0))"#,
            data(init)
        ))
    };
    let create1 = format!(
        "(call $create1 (i32.const 1024) (i32.const {length}) (i32.const 64) (i32.const 0)
            (i32.const 20))"
    );
    let create2 = format!(
        "(call $create2 (i32.const 1024) (i32.const {length}) (i32.const 64) (i32.const 96)
            (i32.const 0) (i32.const 20))"
    );
    let salt = B256::from(U256::from(9));
    for (call, address) in [
        (&create1, PROGRAM.create(0)),
        (&create2, PROGRAM.create2(salt, keccak256(&module))),
    ] {
        let mut chain = Chain::with_program(&create(call, &module));
        chain.state.accounts.entry(PROGRAM).or_default().balance = U256::from(100);
        let ran = chain.send(ALICE, PROGRAM, Bytes::new());
        assert_eq!(output(&ran), [address.as_slice(), &[0; 4]].concat());
        assert_eq!(chain.account(address).code, stored_code(&module));
        assert_eq!(chain.account(address).balance, U256::from(5));
        let ran = chain.send(ALICE, address, Bytes::new());
        assert_eq!(output(&ran)[31], 1);
    }

    let reverting = vec![0x60; length];
    let mut chain = Chain::with_program(&create(&create1, &reverting));
    let ran = chain.send(ALICE, PROGRAM, Bytes::new());
    let revert_length = u32::try_from(length).unwrap().to_le_bytes();
    let expected = [&[0; 20][..], &revert_length, &[0x60; 8]].concat();
    assert_eq!(output(&ran), expected);
}

#[test]
fn code_of_others_is_read_and_paid_for_once() {
    let code = Bytes::from(vec![0xfe; 50]);
    let with = |body: &str| {
        let mut chain = Chain::with_program(&entrypoint(&format!(
            "(call $read_args (i32.const 0)) {body} (i32.const 0)"
        )));
        chain.put_code(OTHER, code.clone());
        chain.send(ALICE, PROGRAM, input(OTHER, b""))
    };
    let ran = with(
        "(i32.store (i32.const 64) (call $account_code_size (i32.const 0)))
         (i32.store (i32.const 68)
            (call $account_code (i32.const 0) (i32.const 45) (i32.const 10) (i32.const 104)))
         (call $account_codehash (i32.const 0) (i32.const 72))
         (call $write_result (i32.const 64) (i32.const 45))",
    );
    let code_hash = keccak256(&code);
    let expected = [
        &50_u32.to_le_bytes()[..],
        &5_u32.to_le_bytes(),
        code_hash.as_slice(),
        &[0xfe; 5],
    ];
    assert_eq!(output(&ran), expected.concat());

    let size = "(drop (call $account_code_size (i32.const 0)))";
    let (none, one, two) = (with(""), with(size), with(&size.repeat(2)));
    let (first, second) = (one.gas_used - none.gas_used, two.gas_used - one.gas_used);
    assert!((3_300..3_320).contains(&first), "{first}");
    assert!(second < 20, "{second}");
}

#[test]
fn transient_storage_lasts_for_the_transaction() {
    let mut chain = Chain::with_program(&entrypoint(
        "(call $transient_load (i32.const 0) (i32.const 32))
         (call $write_result (i32.const 32) (i32.const 32))
         (if (call $msg_reentrant) (then (return (i32.const 0))))
         (i32.store8 (i32.const 63) (i32.const 8))
         (call $transient_store (i32.const 0) (i32.const 32))
         (call $contract_address (i32.const 64))
         (if (call $call (i32.const 64) (i32.const 0) (i32.const 0) (i32.const 128)
            (i64.const -1) (i32.const 96)) (then unreachable))
         (call $write_result (i32.const 200)
            (call $read_return_data (i32.const 200) (i32.const 0) (i32.const 32)))
         (i32.const 0)",
    ));
    for _ in 0..2 {
        let ran = chain.send(ALICE, PROGRAM, Bytes::new());
        assert_eq!(output(&ran), U256::from(8).to_be_bytes::<32>());
    }
}

#[test]
fn an_early_exit_ends_the_program_with_its_status() {
    let exit = |status: u32| {
        let mut chain = Chain::with_program(&program(&format!(
            r#"(func $inner (call $exit_early (i32.const {status})))
            (func (export "user_entrypoint") (param i32) (result i32)
                (call $write_result (i32.const 0) (i32.const 3))
                (call $inner)
                unreachable)"#
        )));
        chain.send(ALICE, PROGRAM, Bytes::new())
    };
    assert_eq!(output(&exit(0)), [0; 3]);
    let ran = exit(5);
    assert_eq!(revert(&ran), [0; 3]);
    assert!(ran.gas_used < 3_000);
}

#[test]
fn arithmetic_is_that_of_the_evm() {
    let word = |number: U256| number.to_be_bytes::<32>();
    let run = |call: &str, numbers: &[U256]| {
        let mut chain = Chain::with_program(&entrypoint(&format!(
            "(call $read_args (i32.const 0)) {call}
             (call $write_result (i32.const 0) (i32.const 32)) (i32.const 0)"
        )));
        let input: Vec<u8> = numbers.iter().flat_map(|number| word(*number)).collect();
        let ran = chain.send(ALICE, PROGRAM, input);
        (U256::from_be_slice(output(&ran)), ran.gas_used)
    };
    let of = |number: u64| U256::from(number);
    let (zero, max) = (U256::ZERO, U256::MAX);
    let div = "(call $math_div (i32.const 0) (i32.const 32))";
    assert_eq!(run(div, &[of(17), of(5)]).0, of(3));
    assert_eq!(run(div, &[of(17), zero]).0, zero);
    let rem = "(call $math_mod (i32.const 0) (i32.const 32))";
    assert_eq!(run(rem, &[of(17), of(5)]).0, of(2));
    assert_eq!(run(rem, &[of(17), zero]).0, zero);
    let pow = "(call $math_pow (i32.const 0) (i32.const 32))";
    let (result, small) = run(pow, &[of(3), of(5)]);
    assert_eq!(result, of(243));
    let (result, large) = run(pow, &[of(3), max]);
    assert_eq!(result, of(3).wrapping_pow(max));
    // 31 bytes more, of 17,500 ink each.
    assert!((53..=55).contains(&(large - small)), "{}", large - small);
    let add = "(call $math_add_mod (i32.const 0) (i32.const 32) (i32.const 64))";
    assert_eq!(run(add, &[max, max, of(10)]).0, zero);
    assert_eq!(run(add, &[max, max, zero]).0, zero);
    let mul = "(call $math_mul_mod (i32.const 0) (i32.const 32) (i32.const 64))";
    assert_eq!(run(mul, &[max, max, of(9)]).0, max.mul_mod(max, of(9)));
    assert_eq!(run(mul, &[max, max, zero]).0, zero);
}

/// Calls itself with all its gas until that fails, and returns how often it did not.
fn recursion(pages: u32) -> String {
    entrypoint(
        "(call $contract_address (i32.const 0))
         (if (i32.eqz (call $call (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 32)
            (i64.const -1) (i32.const 64)))
            (then (drop (call $read_return_data (i32.const 68) (i32.const 0) (i32.const 4)))))
         (i32.store (i32.const 68) (i32.add (i32.load (i32.const 68)) (i32.const 1)))
         (call $write_result (i32.const 68) (i32.const 4))
         (i32.const 0)",
    )
    .replace(
        r#"(memory (export "memory") 1)"#,
        &format!(r#"(memory (export "memory") {pages})"#),
    )
}

fn on_a_small_stack<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    let builder = std::thread::Builder::new().stack_size(512 * 1024);
    builder.spawn(test).unwrap().join().unwrap()
}

#[test]
fn a_program_calls_itself_until_the_memory_is_used_up_on_any_stack() {
    let deep = || {
        let mut chain = Chain::with_program(&recursion(1));
        let mut frame = chain.frame(ALICE, PROGRAM, Bytes::new());
        frame.gas = 1 << 40;
        chain.run(&frame)
    };
    let ran = on_a_small_stack(deep);
    // The frame that would open the 129th page has no pages, and all the gas that it was given is
    // gone.
    assert_eq!(output(&ran), 128_u32.to_le_bytes());
    assert_eq!(ran.pages, [0, 128]);
    assert_eq!(ran, deep());
}

/// More instances at once than the pool has room for end as one alone does.
#[test]
fn a_full_pool_changes_nothing() {
    const THREADS: usize = 6;
    let wat = format!(
        r#"(data (i32.const 200) "{}") {}"#,
        data(OTHER.as_slice()),
        r#"(func (export "user_entrypoint") (param i32) (result i32)
            (call $contract_address (i32.const 0))
            (if (call $call (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 32)
                (i64.const -1) (i32.const 64))
                (then (drop (call $call (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 32)
                    (i64.const -1) (i32.const 64)))))
            (i32.const 0))"#
    );
    let wat = program(&wat);
    let deep = |machine: &Arc<WasmMachine>, barrier: Option<Arc<Barrier>>| {
        let mut chain = Chain::with_machine(Arc::clone(machine));
        chain.put(PROGRAM, &wat);
        chain.barrier = barrier;
        let mut frame = chain.frame(ALICE, PROGRAM, Bytes::new());
        frame.gas = 1 << 40;
        chain.run(&frame)
    };
    let machine = Arc::new(WasmMachine::new(None).unwrap());
    let alone = deep(&machine, None);
    output(&alone);
    assert_eq!(alone.pages, [0, 128]);
    let barrier = Arc::new(Barrier::new(THREADS));
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..THREADS)
            .map(|_| scope.spawn(|| deep(&machine, Some(Arc::clone(&barrier)))))
            .collect();
        for run in runs {
            assert_eq!(run.join().unwrap(), alone);
        }
    });
}

#[test]
fn memory_of_frames_that_are_open_adds_up() {
    let mut chain = Chain::with_program(&forwards(STATIC_CALL));
    let pages = |pages: u32| {
        entrypoint("(i32.const 0)").replace(
            r#"(memory (export "memory") 1)"#,
            &format!(r#"(memory (export "memory") {pages})"#),
        )
    };
    let mut gas_with = |count: u32| {
        chain.put(BOB, &pages(count));
        let ran = chain.send(ALICE, PROGRAM, input(BOB, b""));
        assert_eq!(came_back(&ran).0, 0);
        assert_eq!(ran.pages, [0, 1 + u64::from(count)]);
        ran.gas_used
    };
    assert_eq!(gas_with(2), gas_with(1) + 1_000);
    chain.put(BOB, &pages(128));
    let ran = chain.send(ALICE, PROGRAM, input(BOB, b""));
    assert_eq!(came_back(&ran).0, 2);
    assert_eq!(ran.pages, [0, 1]);
}

#[test]
fn output_costs_at_least_what_the_evm_takes_for_it() {
    let mut chain = Chain::with_program(&entrypoint(
        "(drop (memory.grow (i32.const 15)))
         (call $write_result (i32.const 0) (i32.const 0x100000)) (i32.const 0)",
    ));
    let mut frame = chain.frame(ALICE, PROGRAM, Bytes::new());
    let words = 0x10_0000_u64 / 32;
    assert_eq!(chain.run(&frame).gas_used, 3 * words + words * words / 512);
    frame.gas = 1_000_000;
    let ran = chain.run(&frame);
    assert_eq!(ran.end, FrameEnd::Halted(HaltReason::OutOfGas));
}

/// What a program that was stopped has left in its instance is not there for the next frame.
#[test]
fn a_frame_begins_anew_after_one_that_nested_too_deep() {
    let module = program(
        r#"(global $runs (mut i32) (i32.const 0))
           (func $deeper (param i32) (result i32)
            (if (result i32) (local.get 0)
                (then (i32.add (call $deeper (i32.sub (local.get 0) (i32.const 1))) (i32.const 1)))
                (else (i32.const 0))))
           (func (export "user_entrypoint") (param i32) (result i32)
            (global.set $runs (i32.add (global.get $runs) (i32.const 1)))
            (call $read_args (i32.const 0))
            (i32.store (i32.const 0) (call $deeper (i32.load (i32.const 0))))
            (i32.store (i32.const 4) (global.get $runs))
            (call $write_result (i32.const 0) (i32.const 8))
            (i32.const 0))"#,
    );
    let mut chain = Chain::with_program(&module);
    let run = |chain: &mut Chain, depth: u32| {
        chain.send(ALICE, PROGRAM, Bytes::copy_from_slice(&depth.to_le_bytes()))
    };
    for _ in 0..3 {
        let deep = run(&mut chain, 3_000);
        let expected = [3_000_u32.to_le_bytes(), 1_u32.to_le_bytes()].concat();
        assert_eq!(output(&deep), expected);
        let too_deep = run(&mut chain, 10_000);
        assert_eq!(halt(&too_deep), "max call depth exceeded");
    }
}
