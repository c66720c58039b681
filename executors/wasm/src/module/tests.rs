//! Bounds and prices of what makes a module slow to compile.

use super::*;

/// Functions that take the compiler long, and the least gas that they must cost: about 40 million
/// for a second of a release build.
fn slow_modules() -> Vec<(&'static str, String, u64)> {
    let repeat = |count: usize, part: &str| part.repeat(count);
    let nested =
        |count: usize, open: &str, close: &str| repeat(count, open) + &repeat(count, close);
    let function = |locals: usize, body: &str| {
        let locals = repeat(locals, "i64 ");
        format!("(func (param i64) (local {locals}) {body})")
    };
    let condition = "(i32.wrap_i64 (local.get 0))";
    let set_all = |locals: usize| {
        (0..locals)
            .map(|n| {
                format!(
                    "(local.set {} (i64.add (local.get {n}) (local.get {})))",
                    (n + 7) % locals,
                    (n + 3) % locals
                )
            })
            .collect::<String>()
    };
    vec![
        (
            "nested conditions",
            function(0, &nested(1_400, &format!("(if {condition} (then "), "))")),
            2_400_000,
        ),
        (
            "branches out of one block",
            function(
                0,
                &format!(
                    "(block {})",
                    repeat(1_400, &format!("(br_if 0 {condition})"))
                ),
            ),
            1_900_000,
        ),
        (
            "nested loops with locals",
            repeat(
                2,
                &function(100, &nested(990, "(loop (local.set 7 (local.get 3))", ")")),
            ),
            1_800_000,
        ),
        (
            "nested loops in which all locals change",
            repeat(
                4,
                &function(
                    180,
                    &format!(
                        "{} {} {}",
                        repeat(350, "(loop"),
                        set_all(180),
                        repeat(350, &format!("(br_if 0 {condition}))"))
                    ),
                ),
            ),
            28_000_000,
        ),
        (
            "values ahead of a loop",
            function(
                0,
                &format!(
                    "(loop {} (br_if 0 {condition}))",
                    (0..2_200)
                        .map(|n| {
                            format!(
                                "(i64.store offset={} (i32.const 0)
                                    (i64.rotl (local.get 0) (i64.const {n})))",
                                n * 8
                            )
                        })
                        .collect::<String>()
                ),
            ),
            2_100_000,
        ),
        (
            "many small functions",
            repeat(
                4_000,
                &function(0, "(drop (i64.mul (local.get 0) (local.get 0)))"),
            ),
            4_600_000,
        ),
        (
            "many calls",
            repeat(2, &function(0, &repeat(16_000, "(call 0 (local.get 0))"))),
            5_600_000,
        ),
        (
            "memory.grow",
            repeat(
                2,
                &function(0, &repeat(13_000, "(drop (memory.grow (i32.const 0)))")),
            ),
            3_500_000,
        ),
    ]
}

/// A module with these functions before its entry point.
fn module(functions: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(module (memory (export "memory") 1) {functions}
            (func (export "user_entrypoint") (param i32) (result i32) (i32.const 0)))"#
    ))
    .unwrap()
}

#[test]
fn what_takes_long_to_compile_costs_much() {
    for (name, functions, least) in slow_modules() {
        let module = module(&functions);
        let shape = validate(&module).unwrap();
        let price = crate::compile_gas(module.len(), &shape.work);
        println!("{name}: {} bytes, {price} gas", module.len());
        assert!(price >= least, "{name}: {price} gas");
    }
}

#[test]
fn what_takes_too_long_to_compile_is_refused() {
    let branches = |count: usize| "(br_if 0 (i32.const 0))".repeat(count);
    let locals = |count: usize| "i64 ".repeat(count);
    let drops = |count: usize| "(drop (i32.const 0))".repeat(count);
    let within = [
        format!("(func {})", branches(1_400)),
        format!("(func (local {}) {})", locals(1_300), branches(100)),
        format!("(func (loop {}))", drops(5_700)),
        format!("(func (local {}))", locals(2_048)),
    ];
    let beyond = [
        format!("(func {})", branches(1_420)),
        format!("(func (local {}) {})", locals(1_320), branches(100)),
        format!("(func (loop {}))", drops(5_800)),
        format!("(func (local {}))", locals(2_049)),
        format!("(func {})", branches(1_001)).repeat(2),
        format!("(func (local {}))", locals(2_000)).repeat(66),
    ];
    for functions in within {
        assert!(validate(&module(&functions)).is_ok());
    }
    for functions in beyond {
        assert_eq!(validate(&module(&functions)), Err(ModuleError::TooMuch));
    }
}
