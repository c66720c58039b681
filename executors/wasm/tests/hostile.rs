//! Programs that try to break out of their bounds, and bytes that are no programs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use alloy_primitives::{Bytes, TxKind, U256};
use common::*;
use proptest::prelude::*;
use weft_executor_core::{Execution, Outcome};
use weft_executor_wasm::{ModuleError, PROGRAM_PREFIX, validate};

fn run(body: &str) -> Execution {
    let mut chain = Chain::with_program(&entrypoint(body));
    chain.send(ALICE, PROGRAM, Bytes::from_static(b"some input"))
}

/// Whether everything of the gas limit that [`Chain::send`] gives is gone.
fn took_all_gas(execution: &Execution) -> bool {
    execution.gas_used == 5_000_000
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
        let execution = run(body);
        assert_eq!(halt(&execution), "out of gas", "{body}");
        assert!(took_all_gas(&execution));
        assert!(execution.logs.is_empty());
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
    let mut chain = Chain::with_program(&recursion);
    let execution = chain.send(ALICE, PROGRAM, Bytes::new());
    assert_eq!(halt(&execution), "max call depth exceeded");
    assert!(took_all_gas(&execution));
}

#[test]
fn memory_grows_to_its_bound_and_is_paid_for() {
    let grow = |pages: u32| {
        run(&format!(
            "(i32.store (i32.const 0) (memory.grow (i32.const {pages})))
             (call $write_result (i32.const 0) (i32.const 4)) (i32.const 0)"
        ))
    };
    let answer = |execution: &Execution| i32::from_le_bytes(output(execution).try_into().unwrap());
    let (none, one, two, most) = (grow(0), grow(1), grow(2), grow(127));
    assert_eq!([&none, &one, &two, &most].map(answer), [1; 4]);
    assert_eq!(one.gas_used, none.gas_used, "two pages are free");
    assert_eq!(two.gas_used, none.gas_used + 1_000);
    assert_eq!(most.gas_used, none.gas_used + 126_000);
    assert_eq!(answer(&grow(128)), -1);
    assert_eq!(answer(&grow(u32::MAX)), -1);

    // More growth than the gas can pay for, without a host call after it.
    let mut chain = Chain::with_program(&entrypoint("(memory.grow (i32.const 100))"));
    let transaction = chain.transaction(ALICE, PROGRAM.into(), Bytes::new(), U256::ZERO, 80_000);
    let execution = chain.execute(&transaction);
    assert_eq!(halt(&execution), "out of gas");
}

#[test]
fn memory_that_a_program_begins_with_is_paid_for() {
    let with_pages = |pages: u32| {
        let module = counter().replace(
            r#"(memory (export "memory") 1)"#,
            &format!(r#"(memory (export "memory") {pages})"#),
        );
        Chain::with_program(&module).send(ALICE, PROGRAM, Bytes::new())
    };
    let (small, large) = (with_pages(2), with_pages(64));
    assert_eq!(large.gas_used, small.gas_used + 62_000);
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
    ];
    for call in calls {
        let execution = run(&format!("{call} (i32.const 0)"));
        let reason = "wasm: a pointer given to the host is out of bounds";
        assert_eq!(halt(&execution), reason, "{call}");
        assert!(took_all_gas(&execution));
    }
    // Lengths that cannot be are paid for before they are looked at.
    for call in [
        "(call $write_result (i32.const 0) (i32.const -1))",
        "(call $keccak (i32.const 0) (i32.const -1) (i32.const 0))",
        "(call $emit_log (i32.const 0) (i32.const -1) (i32.const 4))",
        "(call $pay_for_memory_grow (i32.const -1))",
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
        let reason = "wasm: emit_log was given bad topics";
        assert_eq!(
            halt(&run(&format!("{call} (i32.const 0)"))),
            reason,
            "{call}"
        );
    }
}

#[test]
fn every_trap_is_a_halt_in_words() {
    for (body, reason) in [
        ("unreachable", "wasm: unreachable instruction executed"),
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
    let execution = Chain::with_program(&indirect).send(ALICE, PROGRAM, Bytes::new());
    assert_eq!(halt(&execution), "wasm: bad indirect call");
    let data = program(
        r#"(data (i32.const 65535) "too long")
           (func (export "user_entrypoint") (param i32) (result i32) (i32.const 0))"#,
    );
    let execution = Chain::with_program(&data).send(ALICE, PROGRAM, Bytes::new());
    assert_eq!(halt(&execution), "wasm: memory access out of bounds");
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
        let execution = run(&format!(
            "(f64.store (i32.const 0) {nan})
             (call $write_result (i32.const 0) (i32.const 8)) (i32.const 0)"
        ));
        Bytes::copy_from_slice(output(&execution))
    })
    .collect();
    for result in results {
        assert_eq!(result[..], 0x7ff8_0000_0000_0000_u64.to_le_bytes());
    }
}

/// The reason why a creation of this module is refused.
fn refusal(wat: &str) -> String {
    let (execution, _) = Chain::new().deploy(wat);
    assert_eq!(execution.gas_used, GAS_CAP);
    halt(&execution)
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
            with(
                r#"(import "vm_hooks" "call_contract"
                    (func (param i32 i32 i32 i32 i64 i32) (result i32)))"#,
            ),
            "vm_hooks.call_contract is not available on this chain yet",
        ),
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
fn a_creation_that_cannot_pay_for_its_code_is_not_stored() {
    let mut chain = Chain::new();
    let module: Bytes = wat::parse_str(counter()).unwrap().into();
    let value = U256::from(7);
    let transaction = chain.transaction(ALICE, TxKind::Create, module, value, 100_000);
    let execution = chain.execute(&transaction);
    assert_eq!(halt(&execution), "out of gas");
    assert!(!chain.state.accounts.contains_key(&ALICE.create(0)));
    assert_eq!(chain.state.accounts[&ALICE].nonce, 1);
    assert!(execution.changes.code.is_empty());
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
        let mut chain = Chain::new();
        chain.put_code([&PROGRAM_PREFIX[..], rest].concat().into());
        let execution = chain.send(ALICE, PROGRAM, Bytes::new());
        assert!(halt(&execution).starts_with("wasm: "));
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
        ("pay_for_memory_grow", 1, false),
        ("read_return_data", 3, true),
        ("evm_gas_left", 0, true),
        ("block_number", 0, true),
    ]);
    (functions, prop::collection::vec(number, 3)).prop_map(|((name, count, result), numbers)| {
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

    /// Two compilers, two runs: the same execution, within the gas limit.
    #[test]
    fn any_host_calls_end_the_same_way_twice(calls in prop::collection::vec(host_call(), 1..12)) {
        let module = entrypoint(&format!("{} (i32.const 0)", calls.concat()));
        let transaction = |chain: &Chain| {
            chain.transaction(ALICE, PROGRAM.into(), vec![5; 100].into(), U256::from(9), 3_000_000)
        };
        let run = || {
            let chain = Chain::with_program(&module);
            let execution = chain.try_execute(&transaction(&chain));
            assert_eq!(execution, chain.try_execute(&transaction(&chain)), "once compiled");
            execution
        };
        let first = run();
        prop_assert_eq!(&first, &run());
        prop_assert!(first.gas_used <= 3_000_000);
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
        let mut chain = Chain::new();
        let (execution, created) = chain.deploy_bytes(module.clone().into());
        prop_assert!(execution.gas_used <= GAS_CAP);
        if module.starts_with(b"\0asm") {
            prop_assert_eq!(execution.outcome.is_success(), validate(&module).is_ok());
        }
        if let (Some(program), Outcome::Success { .. }) = (created, &execution.outcome) {
            let execution = chain.send(BOB, program, vec![1, 2, 3]);
            prop_assert!(execution.gas_used <= 5_000_000);
        }
    }
}
