//! Programs that try to break out of their bounds, and bytes that are no programs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::sync::{Arc, LazyLock};

use alloy_primitives::{Bytes, U256};
use common::*;
use proptest::prelude::*;
use weft_executor_core::{FrameEnd, HaltReason, Machine};
use weft_executor_wasm::{ModuleError, PROGRAM_PREFIX, WasmMachine, stored_code, validate};

static MACHINE: LazyLock<Arc<WasmMachine>> =
    LazyLock::new(|| Arc::new(WasmMachine::new(None).unwrap()));

/// Another machine, which compiles everything for itself.
static OTHER_MACHINE: LazyLock<Arc<WasmMachine>> =
    LazyLock::new(|| Arc::new(WasmMachine::new(None).unwrap()));

fn chain_with(wat: &str) -> Chain {
    let mut chain = Chain::with_machine(Arc::clone(&MACHINE));
    chain.put(PROGRAM, wat);
    chain
}

fn run(body: &str) -> Ran {
    chain_with(&entrypoint(body)).send(ALICE, PROGRAM, Bytes::from_static(b"some input"))
}

/// Whether everything of the gas that [`Chain::send`] gives is gone.
fn took_all_gas(ran: &Ran) -> bool {
    ran.gas_used == GAS
}

/// Whether the frame gave up and kept what was left of its gas.
fn failed(ran: &Ran) -> bool {
    revert(ran).is_empty() && ran.gas_used < GAS / 2
}

#[test]
fn an_endless_loop_stops_at_its_gas() {
    for body in [
        "(loop $l (br $l)) (i32.const 0)",
        "(loop $l (call $read_args (i32.const 0)) (br $l)) (i32.const 0)",
        "(loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)) (br $l)) (i32.const 0)",
        "(loop $l
            (call $keccak (i32.const 0) (i32.const 65536) (i32.const 0)) (br $l)) (i32.const 0)",
        "(loop $l
            (call $storage_load (i32.const 0) (i32.const 0))
            (call $storage_cache (i32.const 0) (i32.const 0)) (br $l)) (i32.const 0)",
        "(loop $l (call $emit_log (i32.const 0) (i32.const 65536) (i32.const 0)) (br $l))
         (i32.const 0)",
    ] {
        let ran = run(body);
        assert_eq!(halt(&ran), "out of gas", "{body}");
        assert!(took_all_gas(&ran));
        assert!(ran.logs.is_empty());
    }
}

#[test]
fn deep_recursion_ends_at_the_stack_or_the_gas() {
    let recursion = program(
        r#"(func $deeper (param i64) (result i64)
            (i64.add (call $deeper (i64.add (local.get 0) (i64.const 1))) (local.get 0)))
           (func (export "user_entrypoint") (param i32) (result i32)
            (i32.wrap_i64 (call $deeper (i64.const 0))))"#,
    );
    let mut chain = chain_with(&recursion);
    let ran = chain.send(ALICE, PROGRAM, Bytes::new());
    assert_eq!(ran.end, FrameEnd::Halted(HaltReason::CallDepth));
    assert!(took_all_gas(&ran));
}

#[test]
fn memory_grows_to_its_bound_and_is_paid_for() {
    let grow = |pages: u32| {
        run(&format!(
            "(i32.store (i32.const 0) (memory.grow (i32.const {pages})))
             (call $write_result (i32.const 0) (i32.const 4)) (i32.const 0)"
        ))
    };
    let answer = |ran: &Ran| i32::from_le_bytes(output(ran).try_into().unwrap());
    let (none, one, two) = (grow(0), grow(1), grow(2));
    assert_eq!([&none, &one, &two].map(answer), [1; 3]);
    assert_eq!(one.gas_used, none.gas_used, "two pages are free");
    assert_eq!(two.gas_used, none.gas_used + 1_000);
    assert_eq!(two.pages, [0, 3]);
    let sixty = grow(61);
    assert_eq!(sixty.gas_used, none.gas_used + 60_000 + 4_309 - 1);
    assert_eq!(answer(&grow(128)), -1);
    assert_eq!(answer(&grow(u32::MAX)), -1);
    assert_eq!(halt(&grow(127)), "out of gas");

    // More growth than the gas can pay for, without a host call after it.
    let mut chain = chain_with(&entrypoint("(memory.grow (i32.const 100))"));
    let mut frame = chain.frame(ALICE, PROGRAM, Bytes::new());
    frame.gas = 80_000;
    assert_eq!(halt(&chain.run(&frame)), "out of gas");

    // All there is, for what it is said to cost.
    frame = chain_with(&entrypoint(
        "(memory.grow (i32.const 127)) drop (i32.const 0)",
    ))
    .frame(ALICE, PROGRAM, Bytes::new());
    frame.gas = 33_000_000;
    let ran = chain.run(&frame);
    assert!((31_999_998..32_003_000).contains(&ran.gas_used), "{ran:?}");
}

#[test]
fn a_program_that_gives_up_pays_for_what_it_grew() {
    let used = |pages: u32| {
        let ran = run(&format!(
            "(drop (memory.grow (i32.const {pages}))) unreachable"
        ));
        assert!(failed(&ran));
        ran.gas_used
    };
    assert_eq!(used(31), used(0) + 30_000 + 75 - 1);
    let ran = run("(drop (memory.grow (i32.const 120))) unreachable");
    assert_eq!(halt(&ran), "out of gas");
}

#[test]
fn memory_that_a_program_begins_with_is_paid_for() {
    let with_pages = |pages: u32| {
        let module = counter().replace(
            r#"(memory (export "memory") 1)"#,
            &format!(r#"(memory (export "memory") {pages})"#),
        );
        chain_with(&module).send(ALICE, PROGRAM, Bytes::new())
    };
    let (small, large) = (with_pages(2), with_pages(64));
    assert_eq!(large.gas_used, small.gas_used + 62_000 + 5_645 - 1);
    assert_eq!(large.pages, [0, 64]);
}

#[test]
fn pointers_out_of_bounds_stop_the_program() {
    let calls = [
        "(call $read_args (i32.const 65530))",
        "(call $read_args (i32.const -1))",
        "(call $write_result (i32.const 65536) (i32.const 1))",
        "(call $write_result (i32.const -1) (i32.const 2))",
        "(call $storage_load (i32.const 65505) (i32.const 0))",
        "(call $storage_load (i32.const 0) (i32.const 65505))",
        "(call $storage_cache (i32.const 0) (i32.const -32))",
        "(call $msg_sender (i32.const 65517))",
        "(call $msg_value (i32.const 2147483647))",
        "(call $account_balance (i32.const 65520) (i32.const 0))",
        "(call $account_balance (i32.const 0) (i32.const 65520))",
        "(call $keccak (i32.const 1) (i32.const 65536) (i32.const 0))",
        "(call $keccak (i32.const 0) (i32.const 1) (i32.const 65505))",
        "(call $emit_log (i32.const 65505) (i32.const 32) (i32.const 1))",
        "(call $transient_load (i32.const 0) (i32.const 65505))",
        "(call $transient_store (i32.const 65505) (i32.const 0))",
        "(call $account_codehash (i32.const 0) (i32.const 65505))",
        "(drop (call $account_code (i32.const 65520) (i32.const 0) (i32.const 1) (i32.const 0)))",
        "(drop (call $account_code (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1)))",
        "(drop (call $account_code_size (i32.const -20)))",
        "(call $math_div (i32.const 65505) (i32.const 0))",
        "(call $math_mod (i32.const 0) (i32.const 65505))",
        "(call $math_pow (i32.const 0) (i32.const 65505))",
        "(call $math_add_mod (i32.const 0) (i32.const 0) (i32.const 65505))",
        "(call $math_mul_mod (i32.const 0) (i32.const 65505) (i32.const 0))",
        "(drop (call $call (i32.const 65520) (i32.const 0) (i32.const 0) (i32.const 0)
            (i64.const 0) (i32.const 0)))",
        "(drop (call $call (i32.const 0) (i32.const 65535) (i32.const 2) (i32.const 0)
            (i64.const 0) (i32.const 0)))",
        "(drop (call $static_call (i32.const 0) (i32.const 0) (i32.const 0)
            (i64.const 0) (i32.const 65533)))",
        "(drop (call $delegate_call (i32.const 0) (i32.const 65536) (i32.const 1)
            (i64.const 0) (i32.const 0)))",
        "(call $create1 (i32.const 1) (i32.const 65536) (i32.const 0) (i32.const 0) (i32.const 0))",
        "(call $create2 (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 65530) (i32.const 0)
            (i32.const 0))",
    ];
    for call in calls {
        let ran = run(&format!("{call} (i32.const 0)"));
        assert!(failed(&ran), "{call}: {ran:?}");
    }
    // Lengths that cannot be are paid for before they are looked at.
    for call in [
        "(call $write_result (i32.const 0) (i32.const -1))",
        "(call $keccak (i32.const 0) (i32.const -1) (i32.const 0))",
        "(call $emit_log (i32.const 0) (i32.const -1) (i32.const 4))",
        "(call $pay_for_memory_grow (i32.const -1))",
        "(drop (call $call (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 0)
            (i64.const 0) (i32.const 0)))",
        "(call $create1 (i32.const 0) (i32.const -1) (i32.const 0) (i32.const 0) (i32.const 0))",
    ] {
        assert_eq!(
            halt(&run(&format!("{call} (i32.const 0)"))),
            "out of gas",
            "{call}"
        );
    }
    for call in [
        "(call $emit_log (i32.const 0) (i32.const 31) (i32.const 1))",
        "(call $emit_log (i32.const 0) (i32.const 640) (i32.const 5))",
        "(call $emit_log (i32.const 0) (i32.const 640) (i32.const -1))",
    ] {
        assert!(failed(&run(&format!("{call} (i32.const 0)"))), "{call}");
    }
}

#[test]
fn every_trap_but_unreachable_is_a_halt_in_words() {
    let ran = run("unreachable");
    assert!(failed(&ran));
    assert!(ran.gas_used < 4_000, "{ran:?}");
    for (body, reason) in [
        (
            "(i32.load (i32.const 65536))",
            "wasm: memory access out of bounds",
        ),
        (
            "(i32.div_u (i32.const 1) (i32.const 0))",
            "wasm: division by zero or integer overflow",
        ),
        (
            "(i32.trunc_f32_s (f32.const nan))",
            "wasm: division by zero or integer overflow",
        ),
    ] {
        assert_eq!(halt(&run(body)), reason);
    }
    let indirect = program(
        r#"(type $t (func (result i32)))
           (table 2 funcref)
           (func (export "user_entrypoint") (param i32) (result i32)
            (call_indirect (type $t) (i32.const 1)))"#,
    );
    let ran = chain_with(&indirect).send(ALICE, PROGRAM, Bytes::new());
    assert_eq!(halt(&ran), "wasm: bad indirect call");
    let data = program(
        r#"(data (i32.const 65535) "too long")
           (func (export "user_entrypoint") (param i32) (result i32) (i32.const 0))"#,
    );
    let ran = chain_with(&data).send(ALICE, PROGRAM, Bytes::new());
    assert_eq!(halt(&ran), "wasm: memory access out of bounds");
}

/// A NaN has many bit patterns, and processors differ in which they make. A program sees one.
#[test]
fn nans_are_canonical() {
    let results: Vec<Bytes> = [
        "(f64.div (f64.const 0) (f64.const 0))",
        "(f64.sqrt (f64.const -1))",
        "(f64.add (f64.const nan:0x4000000000001) (f64.const 1))",
        "(f64.sub (f64.const inf) (f64.const inf))",
        "(f64.promote_f32 (f32.const nan:0x200001))",
    ]
    .into_iter()
    .map(|nan| {
        let ran = run(&format!(
            "(f64.store (i32.const 0) {nan})
             (call $write_result (i32.const 0) (i32.const 8)) (i32.const 0)"
        ));
        Bytes::copy_from_slice(output(&ran))
    })
    .collect();
    for result in results {
        assert_eq!(result[..], 0x7ff8_0000_0000_0000_u64.to_le_bytes());
    }
}

/// The reason why this module is refused.
fn refusal(wat: &str) -> String {
    let code = stored_code(&wat::parse_str(wat).unwrap());
    MACHINE.admit(&code, u64::MAX).unwrap_err().to_string()
}

#[test]
fn refusals_are_in_words() {
    let with = |part: &str| {
        format!(
            r#"(module {part} (memory (export "memory") 1)
            (func (export "user_entrypoint") (param i32) (result i32) (i32.const 0)))"#
        )
    };
    for (wat, words) in [
        (
            with(r#"(import "vm_hooks" "read_args" (func (param i64)))"#),
            "vm_hooks.read_args is imported with a wrong type",
        ),
        (
            with(r#"(import "vm_hooks" "destroy" (func))"#),
            "a function that vm_hooks does not have",
        ),
        (
            with(r#"(import "env" "abort" (func))"#),
            "modules other than vm_hooks",
        ),
        (
            with(r#"(import "vm_hooks" "g" (global i32))"#),
            "only functions may be imported",
        ),
        (with("(func $s) (start $s)"), "start functions"),
        (with("(table 5000 funcref)"), "is allowed"),
        (with("(memory 1)"), "not a valid module"),
        (
            with("(func (result v128) (v128.const i64x2 0 0))"),
            "not a valid module",
        ),
        (with("(func (param externref))"), "not a valid module"),
        (with("(func $f (return_call $f))"), "not a valid module"),
        (
            with("(func (local i32 i64)) (func (result i32) (i64.const 0))"),
            "not a valid module",
        ),
        (
            r#"(module (memory (export "memory") 1)
                (func (export "user_entrypoint") (result i32) (i32.const 0)))"#
                .to_owned(),
            "a function from i32 to i32",
        ),
        (
            r#"(module (memory (export "memory") 1)
                (func (export "main") (param i32) (result i32) (i32.const 0)))"#
                .to_owned(),
            "must export user_entrypoint",
        ),
        (
            r#"(module (memory 1)
                (func (export "user_entrypoint") (param i32) (result i32) (i32.const 0)))"#
                .to_owned(),
            "export it as memory",
        ),
        (
            r#"(module (memory (export "memory") 129)
                (func (export "user_entrypoint") (param i32) (result i32) (i32.const 0)))"#
                .to_owned(),
            "128 pages",
        ),
    ] {
        let reason = refusal(&wat);
        assert!(reason.contains(words), "{reason} for {wat}");
    }
}

#[test]
fn a_module_that_declares_too_much_is_refused() {
    let many_locals = format!("(func (local {}))", "i64 ".repeat(3_000));
    let many_functions = "(func)".repeat(5_000);
    let long_body = format!(
        "(func {})",
        "(drop (i64.const 1234567890123))".repeat(9_000)
    );
    // Every local has another value on each way into each block.
    let many_joins = format!(
        "(func (param i32) (local {}) {} (br_table {} (local.get 0)) {})",
        "i64 ".repeat(400),
        "(block ".repeat(400),
        (0..400)
            .map(|block| format!("{block} "))
            .collect::<String>(),
        (1..=400)
            .map(|local| format!(") (local.set {local} (i64.load (i32.const 0)))"))
            .collect::<String>(),
    );
    for part in [many_locals, many_functions, long_body, many_joins] {
        let wat = format!(
            r#"(module {part} (memory (export "memory") 1)
            (func (export "user_entrypoint") (param i32) (result i32) (i32.const 0)))"#
        );
        assert_eq!(
            validate(&wat::parse_str(wat).unwrap()),
            Err(ModuleError::TooMuch)
        );
    }
    assert_eq!(
        validate(&vec![0; 128 * 1024 + 1]),
        Err(ModuleError::TooLong)
    );
}

#[test]
fn stored_code_that_is_no_module_is_a_halt() {
    for rest in [
        &[][..],
        &[0xff],
        &[0x00, 1, 2, 3],
        &[0x07],
        b"\xff\0asm\x01\0\0\0",
    ] {
        let mut chain = Chain::with_machine(Arc::clone(&MACHINE));
        chain.put_code(PROGRAM, [&PROGRAM_PREFIX[..], rest].concat().into());
        let ran = chain.send(ALICE, PROGRAM, Bytes::new());
        assert!(halt(&ran).starts_with("wasm: "));
    }
}

/// A host call with any arguments, as text.
fn host_call() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        Just(0_i32),
        Just(-1),
        0..70_000_i32,
        65_400..65_600_i32,
        any::<i32>()
    ];
    let functions = prop::sample::select(vec![
        ("read_args", 1, false),
        ("write_result", 2, false),
        ("storage_load", 2, false),
        ("storage_cache", 2, false),
        ("storage_flush", 1, false),
        ("msg_sender", 1, false),
        ("account_balance", 2, false),
        ("tx_gas_price", 1, false),
        ("keccak", 3, false),
        ("emit_log", 3, false),
        ("transient_load", 2, false),
        ("transient_store", 2, false),
        ("account_codehash", 2, false),
        ("account_code", 4, true),
        ("account_code_size", 1, true),
        ("math_div", 2, false),
        ("math_mod", 2, false),
        ("math_pow", 2, false),
        ("math_add_mod", 3, false),
        ("math_mul_mod", 3, false),
        ("create1", 5, false),
        ("create2", 6, false),
        ("return_data_size", 0, true),
        ("exit_early", 1, false),
        ("pay_for_memory_grow", 1, false),
        ("read_return_data", 3, true),
        ("evm_gas_left", 0, true),
        ("block_number", 0, true),
    ]);
    (functions, prop::collection::vec(number, 6)).prop_map(|((name, count, result), numbers)| {
        let arguments: String = numbers
            .iter()
            .take(count)
            .map(|number| format!("(i32.const {number})"))
            .collect();
        let call = format!("(call ${name} {arguments})");
        if result {
            format!("(drop {call})")
        } else {
            call
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Two compilers, two runs: the same ran, within the gas limit.
    #[test]
    fn any_host_calls_end_the_same_way_twice(calls in prop::collection::vec(host_call(), 1..12)) {
        let module = entrypoint(&format!("{} (i32.const 0)", calls.concat()));
        let run = |machine: &Arc<WasmMachine>| {
            let mut chain = Chain::with_machine(Arc::clone(machine));
            chain.put(PROGRAM, &module);
            let mut frame = chain.frame(ALICE, PROGRAM, vec![5; 100]);
            frame.value = U256::from(9);
            let before = chain.state.accounts.clone();
            let ran = chain.run(&frame);
            if !matches!(ran.end, FrameEnd::Returned { .. }) {
                assert_eq!(chain.state.accounts, before);
            }
            (ran, chain.state)
        };
        let first = run(&MACHINE);
        prop_assert_eq!(&first, &run(&MACHINE), "once compiled");
        prop_assert_eq!(&first, &run(&OTHER_MACHINE));
        prop_assert_eq!(first.0.pages[0], 0);
    }

    /// Random bytes after the magic, and valid modules with random bytes in them.
    #[test]
    fn any_bytes_are_a_program_or_are_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        valid in any::<bool>(),
    ) {
        let mut module = if valid {
            wat::parse_str(counter()).unwrap()
        } else {
            [&b"\0asm\x01\0\0\0"[..], &bytes].concat()
        };
        for (index, byte) in changes {
            let at = index.index(module.len());
            module[at] = byte;
        }
        if let Some(cut) = cut {
            module.truncate(cut.index(module.len()));
        }
        let mut chain = Chain::with_machine(Arc::clone(&MACHINE));
        let module = Bytes::from(module);
        if module.starts_with(b"\0asm") {
            let deployed = chain.deploy(&module, u64::MAX);
            prop_assert_eq!(deployed.is_ok(), validate(&module).is_ok());
            if deployed.is_ok() {
                let ran = chain.send(BOB, PROGRAM, vec![1, 2, 3]);
                prop_assert!(ran.gas_used <= GAS);
            }
        } else {
            prop_assert_eq!(chain.machine.assemble(&module), None);
        }
    }
}
