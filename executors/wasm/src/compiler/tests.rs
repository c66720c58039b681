use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use super::*;
use crate::stored_code;

/// A program that returns this number; `functions` more of them make it slow to compile.
pub(crate) fn program(number: u32, functions: u32) -> Vec<u8> {
    let more: String = (0..functions)
        .map(|n| format!("(func (param i64) (result i64) (i64.mul (local.get 0) (i64.const {n})))"))
        .collect();
    wat::parse_str(format!(
        r#"(module (memory (export "memory") 1)
            (func (export "user_entrypoint") (param i32) (result i32) (i32.const {number})) {more})"#
    ))
    .unwrap()
}

/// What the entry point of a compiled module returns.
pub(crate) fn result(compiler: &Compiler, compiled: &Compiled) -> u32 {
    let mut linker = Linker::new(compiler.engine());
    link_stack_bound(&mut linker).unwrap();
    let mut store = wasmtime::Store::new(compiler.engine(), ());
    store.set_fuel(1_000).unwrap();
    linker
        .instantiate(&mut store, &compiled.module)
        .unwrap()
        .get_typed_func::<u32, u32>(&mut store, "user_entrypoint")
        .unwrap()
        .call(&mut store, 0)
        .unwrap()
}

#[test]
fn threads_that_want_one_program_get_one_compilation() {
    const THREADS: usize = 8;
    let compiler = Compiler::new(None).unwrap();
    let (module, hash) = (program(3, 300), B256::repeat_byte(3));
    let together = Barrier::new(THREADS);
    let found: Vec<Arc<Compiled>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    together.wait();
                    compiler.module(hash, &module).unwrap()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    for other in &found {
        assert!(Arc::ptr_eq(other, &found[0]));
    }
    assert_eq!(result(&compiler, &found[0]), 3);
    assert!(compiler.shared.in_progress.lock().is_empty());
}

#[test]
fn a_prepared_program_is_there_when_it_is_called() {
    let compiler = Compiler::new(None).unwrap();
    let refused = B256::repeat_byte(1);
    assert!(compiler.prepare(refused, Bytes::from_static(b"no program")));
    let hash = B256::repeat_byte(2);
    assert!(compiler.prepare(hash, stored_code(&program(7, 0))));
    let deadline = Instant::now() + Duration::from_secs(60);
    let prepared = loop {
        match compiler.shared.ready.get(hash) {
            Some(compiled) => break compiled,
            None => assert!(Instant::now() < deadline, "nothing was prepared"),
        }
        thread::sleep(Duration::from_millis(5));
    };
    // The bytes are not looked at again.
    let called = compiler.module(hash, b"").unwrap();
    assert!(Arc::ptr_eq(&prepared, &called));
    assert!(compiler.module(refused, b"").is_err());
}

#[test]
fn too_many_programs_are_not_queued() {
    let compiler = Compiler::new(None).unwrap();
    let slow = stored_code(&program(1, 500));
    let refused = (0..10 * QUEUE_LENGTH as u64)
        .filter(|n| !compiler.prepare(B256::left_padding_from(&n.to_be_bytes()), slow.clone()))
        .count();
    assert!(refused > 0);
}

#[test]
fn a_refused_module_is_refused_again() {
    let compiler = Compiler::new(None).unwrap();
    for _ in 0..2 {
        let refused = compiler.module(B256::ZERO, b"\0asm").map(|_| ());
        assert_eq!(refused, Err(ModuleError::Invalid));
    }
    assert!(compiler.shared.in_progress.lock().is_empty());
}

/// Modules of few bytes that take the compiler long.
fn slow_modules() -> Vec<(&'static str, String)> {
    let repeat = |count: usize, part: &str| part.repeat(count);
    let nested =
        |count: usize, open: &str, close: &str| repeat(count, open) + &repeat(count, close);
    let function = |locals: usize, body: &str| {
        let locals = repeat(locals, "i64 ");
        format!("(func (param i64) (local {locals}) {body})")
    };
    let condition = "(i32.wrap_i64 (local.get 0))";
    vec![
        (
            "nested conditions",
            function(0, &nested(1_400, &format!("(if {condition} (then "), "))")),
        ),
        (
            "branches out of one block",
            function(
                0,
                &format!("(block {})", format!("(br_if 0 {condition})").repeat(1_400)),
            ),
        ),
        (
            "nested loops with locals",
            repeat(
                2,
                &function(100, &nested(990, "(loop (local.set 7 (local.get 3))", ")")),
            ),
        ),
        (
            "memory.grow",
            repeat(
                2,
                &function(0, &repeat(13_000, "(drop (memory.grow (i32.const 0)))")),
            ),
        ),
        (
            "a chain of calculations",
            repeat(
                2,
                &function(
                    0,
                    &format!(
                        "(local.get 0) {} (drop)",
                        repeat(10_000, "(i64.mul (local.get 0)) (i64.rotl (local.get 0))")
                    ),
                ),
            ),
        ),
    ]
}

#[test]
#[ignore = "prints how long modules at the limits take: run it with --release and --nocapture"]
fn modules_at_the_limits_compile_in_bounded_time() {
    let compiler = Compiler::new(None).unwrap();
    for (name, functions) in slow_modules() {
        let module = wat::parse_str(format!(
            r#"(module (memory (export "memory") 1) {functions}
                (func (export "user_entrypoint") (param i32) (result i32) (i32.const 0)))"#
        ))
        .unwrap();
        let start = Instant::now();
        let compiled = compiler.module(keccak256(&module), &module);
        println!(
            "{name}: {} bytes, {:?}, {:?}",
            module.len(),
            start.elapsed(),
            compiled.map(|compiled| compiled.size())
        );
    }
}
