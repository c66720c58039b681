//! Functions made to have frames larger than they look.

/// A function that calls itself for ever and counts how often.
#[derive(Default)]
struct Recursive {
    parameters: usize,
    results: usize,
    /// Locals, integers and then floats.
    locals: usize,
    floats: usize,
    /// What stands before the call, and its arguments.
    before: String,
    after: String,
}

impl Recursive {
    fn module(&self) -> Vec<u8> {
        let types = |count: usize| "i64 ".repeat(count);
        let (parameters, results) = (types(self.parameters), types(self.results));
        let float_locals = "f64 ".repeat(self.floats);
        let (locals, before, after) = (types(self.locals), &self.before, &self.after);
        let arguments = "(local.get 0)".repeat(self.parameters);
        let taken = "f64 i64 ".repeat(32);
        let (ints, floats) = ("i64 ".repeat(64), "f64 ".repeat(64));
        let (many, many_zeros) = ("i64 ".repeat(16), "(global.get $sink)".repeat(16));
        let drops = "(drop)".repeat(self.results);
        let text = format!(
            r#"(module
                (memory (export "memory") 1)
                (global $depth (export "depth") (mut i32) (i32.const 0))
                (global $sink (mut i64) (i64.const 0))
                (func $take (export "take") (param {taken}))
                (func $deeper (param {parameters}) (result {results}) (local {locals} {float_locals})
                    (global.set $depth (i32.add (global.get $depth) (i32.const 1)))
                    {before} (call $deeper) {after})
                (func (export "go") (param i64) {arguments} (call $deeper) {drops})
                (func $take_ints (export "take_ints") (param {ints}))
                (func $take_floats (export "take_floats") (param {floats}))
                (func $many (export "many") (result {many}) {many_zeros}))"#,
        );
        wat::parse_str(text).unwrap()
    }
}

fn repeat(count: usize, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect()
}

/// Puts a value where no other is put over it.
fn keep(n: usize, value: &str) -> String {
    format!("(i64.store offset={} (i32.const 0) {value})", n * 8)
}

/// Puts what the compiler does not know into 64 locals from this one on.
fn load_locals(first: usize, load: &str) -> String {
    repeat(64, |n| {
        format!(
            "(local.set {} ({load} offset={} (i32.const 0)))",
            n + first,
            n * 8
        )
    })
}

fn set_sink(value: &str) -> String {
    format!("(global.set $sink {value})")
}

/// Uses each of the first locals.
fn use_locals(count: usize) -> String {
    repeat(count, |n| {
        set_sink(&format!("(i64.xor (global.get $sink) (local.get {n}))"))
    })
}

/// One of many values that depend on the first parameter alone.
fn invariant(n: usize) -> String {
    let factor = 1_000_003 + n * 7_919;
    format!("(i64.rotl (i64.mul (local.get 0) (i64.const {factor})) (local.get 0))")
}

/// The same with locals 1 to 64, which are floats.
fn sums_of_floats(calls: usize) -> String {
    repeat(calls, |call| {
        let sums = repeat(64, |n| {
            let other = (n + call + 1) % 64 + 1;
            format!("(f64.add (local.get {}) (local.get {other}))", n + 1)
        });
        format!("{sums} (call $take_floats)")
    })
}

/// The sums of pairs of the first 64 locals, taken by calls of this function.
fn sums_of_locals(calls: usize, sum: &str, take: &str) -> String {
    repeat(calls, |call| {
        let sums = repeat(64, |n| {
            let other = (n + call + 1) % 64;
            format!("({sum} (local.get {n}) (local.get {other}))")
        });
        format!("{sums} (call {take})")
    })
}

/// Functions of the same name, each in a module that runs it until the stack is used up.
pub(super) fn adversaries() -> Vec<(&'static str, Vec<u8>)> {
    const REPEAT: &str = "(br_if $l (i32.wrap_i64 (global.get $sink))))";
    let one = |before: String, after: String| Recursive {
        parameters: 1,
        before,
        after,
        ..Recursive::default()
    };
    let in_a_loop = |values: String| one("(loop $l (local.get 0)".to_owned(), values + REPEAT);
    let after = |first: String, function: Recursive| Recursive {
        before: first + &function.before,
        ..function
    };
    let adversaries = [
        (
            "a small function",
            one("(local.get 0)".to_owned(), String::new()),
        ),
        (
            "locals that all live across the call",
            Recursive {
                locals: 1_500,
                ..one(
                    repeat(1_500, |n| {
                        let load = format!("(i64.load offset={} (i32.const 0))", n * 8);
                        format!("(local.set {} {load})", n + 1)
                    }) + "(local.get 0)",
                    use_locals(1_501),
                )
            },
        ),
        (
            "a deep operand stack",
            one(
                repeat(1_500, |n| {
                    format!("(i64.load offset={} (i32.const 0))", n * 8)
                }) + "(local.get 0)",
                "(i64.xor)".repeat(1_499) + "(global.set $sink)",
            ),
        ),
        (
            "many parameters",
            Recursive {
                parameters: 64,
                before: repeat(64, |n| format!("(i64.add (local.get {n}) (i64.const {n}))")),
                after: use_locals(64),
                ..Recursive::default()
            },
        ),
        (
            "many parameters and results",
            Recursive {
                parameters: 64,
                results: 16,
                before: repeat(64, |n| format!("(local.get {})", 63 - n)),
                ..Recursive::default()
            },
        ),
        (
            "values that are computed again later",
            one(
                repeat(1_000, |n| keep(n, &invariant(n))) + "(local.get 0)",
                repeat(1_000, |n| keep(n, &invariant(n))),
            ),
        ),
        (
            "values computed ahead of a loop",
            in_a_loop(repeat(1_500, |n| keep(n, &invariant(n)))),
        ),
        (
            "values computed ahead of a loop and taken by calls",
            in_a_loop(repeat(60, |call| {
                let pairs = repeat(32, |n| {
                    let n = call * 32 + n;
                    format!(
                        "(f64.const {n}.5) (i64.mul (local.get 0) (i64.const {}))",
                        n * 2 + 3
                    )
                });
                format!("{pairs} (call $take)")
            })),
        ),
        (
            "floats computed ahead of a loop and taken by calls",
            in_a_loop(repeat(40, |call| {
                let pairs = repeat(32, |n| {
                    let n = call * 32 + n;
                    format!(
                        "(f64.add (f64.reinterpret_i64 (local.get 0)) (f64.const {n}.5))
                         (local.get 0)"
                    )
                });
                format!("{pairs} (call $take)")
            })),
        ),
        (
            "conditions ahead of a loop",
            in_a_loop(repeat(1_200, |n| {
                format!(
                    "(if (i64.lt_s (local.get 0) (i64.const {n})) (then {}))",
                    set_sink("(i64.const 1)")
                )
            })),
        ),
        (
            "checked addresses ahead of a loop",
            in_a_loop(repeat(1_000, |n| {
                let offset = 4_000_000_000 - n;
                let address = format!("(i32.wrap_i64 {})", invariant(n));
                format!("(i64.store offset={offset} {address} (i64.const 1))")
            })),
        ),
        (
            "addresses of one value with many offsets, and loads",
            in_a_loop(repeat(1_500, |n| {
                let offset = 4_000_000_000 - n;
                let address = "(i32.wrap_i64 (local.get 0))";
                keep(n, &format!("(i64.load offset={offset} {address})"))
            })),
        ),
        (
            "floats ahead of a loop",
            in_a_loop(repeat(1_200, |n| {
                let float =
                    format!("(f64.min (f64.convert_i64_s (local.get 0)) (f64.const {n}.5))");
                keep(n, &format!("(i64.trunc_sat_f64_s {float})"))
            })),
        ),
        (
            "floats that are stored",
            in_a_loop(repeat(1_800, |n| {
                let float =
                    format!("(f64.mul (f64.convert_i64_s (local.get 0)) (f64.const {n}.5))");
                format!("(f64.store (i32.const {}) {float})", n * 8)
            })),
        ),
        (
            "selections ahead of a loop",
            in_a_loop(repeat(1_200, |n| {
                keep(
                    n,
                    &format!(
                        "(select (local.get 0) (i64.const {n}) (i64.eq (local.get 0) (i64.const {n})))"
                    ),
                )
            })),
        ),
        (
            "divisions ahead of a loop",
            in_a_loop(repeat(1_200, |n| {
                keep(
                    n,
                    &format!("(i64.div_u (local.get 0) (i64.const {}))", n * 6 + 7),
                )
            })),
        ),
        (
            "locals that meet at many branches",
            Recursive {
                locals: 200,
                ..one(
                    repeat(300, |n| {
                        let (a, b) = (n % 200 + 1, (n * 7 + 3) % 200 + 1);
                        format!(
                            "(if (i64.eq (local.get {a}) (i64.const {n})) (then
                                (local.set {a} (i64.add (local.get {b}) (local.get 0)))
                                (local.set {b} (i64.load (i32.const {})))))",
                            n * 8
                        )
                    }) + "(local.get 0)",
                    use_locals(201),
                )
            },
        ),
        (
            "sums ahead of a loop and taken by calls",
            Recursive {
                locals: 64,
                ..after(
                    load_locals(1, "i64.load"),
                    in_a_loop(sums_of_locals(24, "i64.add", "$take_ints")),
                )
            },
        ),
        (
            "sums that are computed again and taken by calls",
            Recursive {
                locals: 64,
                ..one(
                    load_locals(1, "i64.load")
                        + &sums_of_locals(24, "i64.add", "$take_ints")
                        + "(local.get 0)",
                    sums_of_locals(24, "i64.add", "$take_ints"),
                )
            },
        ),
        (
            "sums of floats ahead of a loop and taken by calls",
            Recursive {
                floats: 64,
                ..after(load_locals(1, "f64.load"), in_a_loop(sums_of_floats(24)))
            },
        ),
        (
            "sums of floats that are computed again and taken by calls",
            Recursive {
                floats: 64,
                ..one(
                    load_locals(1, "f64.load") + &sums_of_floats(24) + "(local.get 0)",
                    sums_of_floats(24),
                )
            },
        ),
        (
            "results of calls that are combined later",
            one(
                repeat(200, |_| "(call $many)".to_owned() + &"(i64.xor)".repeat(15))
                    + "(local.get 0)",
                "(i64.xor)".repeat(199) + "(global.set $sink)",
            ),
        ),
        (
            "loads that are combined later",
            one(
                repeat(100, |n| {
                    repeat(16, |m| {
                        format!("(i64.load offset={} (i32.const 0))", (n * 16 + m) * 8)
                    }) + &"(i64.xor)".repeat(15)
                }) + "(local.get 0)",
                "(i64.xor)".repeat(99) + "(global.set $sink)",
            ),
        ),
        (
            "floats in locals that all live across the call",
            Recursive {
                floats: 1_000,
                ..one(
                    repeat(1_000, |n| {
                        let load = format!("(f64.load offset={} (i32.const 0))", n * 8);
                        format!("(local.set {} {load})", n + 1)
                    }) + "(local.get 0)",
                    repeat(1_000, |n| {
                        let local = format!("(local.get {})", n + 1);
                        format!("(f64.store offset={} (i32.const 0) {local})", n * 8)
                    }),
                )
            },
        ),
        (
            "locals that change places in a loop",
            Recursive {
                locals: 200,
                ..one(
                    "(loop $l".to_owned()
                        + &repeat(200, |n| format!("(local.get {n})"))
                        + &repeat(200, |n| format!("(local.set {})", (n * 7 + 3) % 200))
                        + "(local.get 0)",
                    use_locals(201) + REPEAT,
                )
            },
        ),
    ];
    adversaries
        .into_iter()
        .map(|(name, function)| (name, function.module()))
        .collect()
}
