//! The instrumented module does what the original does, and its bound comes before the native one.

use arbitrary::Unstructured;
use proptest::prelude::*;
use rand::{RngCore, SeedableRng, rngs::StdRng};
use wasm_smith::{Config, Module as RandomModule};
use wasmparser::{Validator, WasmFeatures};
use wasmtime::{Engine, Instance, Linker, Module, Store, Trap, Val, ValType};

use super::*;
use crate::compiler::{Compiler, StackExhausted, link_stack_bound};

/// What a random module may import.
const HOST: &str = r#"(module
    (import "vm_hooks" "nothing" (func))
    (import "vm_hooks" "add" (func (param i32 i32) (result i32)))
    (import "vm_hooks" "mix" (func (param i64 f32 f64) (result i64))))"#;

fn linker(engine: &Engine) -> Linker<()> {
    let mut linker = Linker::new(engine);
    link_stack_bound(&mut linker).unwrap();
    let hooks = "vm_hooks";
    linker.func_wrap(hooks, "nothing", || ()).unwrap();
    linker
        .func_wrap(hooks, "add", |a: i32, b: i32| a.wrapping_add(b))
        .unwrap();
    linker
        .func_wrap(hooks, "mix", |a: i64, b: f32, c: f64| {
            a ^ i64::from(b.to_bits()) ^ c.to_bits().cast_signed()
        })
        .unwrap();
    linker
}

fn random_module(seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    let config = Config {
        available_imports: Some(wat::parse_str(HOST).unwrap()),
        export_everything: true,
        allow_start_export: false,
        canonicalize_nans: true,
        bulk_memory_enabled: false,
        reference_types_enabled: false,
        simd_enabled: false,
        relaxed_simd_enabled: false,
        tail_call_enabled: false,
        exceptions_enabled: false,
        gc_enabled: false,
        threads_enabled: false,
        memory64_enabled: false,
        wide_arithmetic_enabled: false,
        custom_page_sizes_enabled: false,
        multi_value_enabled: true,
        max_imports: 3,
        max_memories: 1,
        max_tables: 1,
        max_memory32_bytes: 8 << 16,
        max_table_elements: 64,
        min_funcs: 2,
        max_funcs: 12,
        ..Config::default()
    };
    RandomModule::new(config, &mut Unstructured::new(&bytes))
        .unwrap()
        .to_bytes()
}

/// A running module.
struct Machine {
    store: Store<()>,
    instance: Instance,
}

impl Machine {
    fn new(engine: &Engine, module: &[u8], fuel: u64) -> Result<Self, String> {
        let module = Module::new(engine, module).map_err(|error| format!("{error:?}"))?;
        let mut store = Store::new(engine, ());
        store.set_fuel(fuel).unwrap();
        let instance = linker(engine)
            .instantiate(&mut store, &module)
            .map_err(|error| ending(&error))?;
        Ok(Self { store, instance })
    }

    fn call(
        &mut self,
        name: &str,
        arguments: &[Val],
        results: usize,
        fuel: u64,
    ) -> Result<Vec<String>, String> {
        self.store.set_fuel(fuel).unwrap();
        let mut values = vec![Val::I32(0); results];
        self.instance
            .get_func(&mut self.store, name)
            .unwrap()
            .call(&mut self.store, arguments, &mut values)
            .map_err(|error| ending(&error))?;
        Ok(values.iter().map(|value| format!("{value:?}")).collect())
    }

    /// Everything that can be seen from outside.
    fn state(&mut self) -> Vec<String> {
        let exports: Vec<_> = self
            .instance
            .exports(&mut self.store)
            .map(|export| (export.name().to_owned(), export.into_extern()))
            .collect();
        let mut state = Vec::new();
        for (name, export) in exports {
            let seen = if let Some(global) = export.clone().into_global() {
                format!("{:?}", global.get(&mut self.store))
            } else if let Some(memory) = export.into_memory() {
                alloy_primitives::keccak256(memory.data(&self.store)).to_string()
            } else {
                String::new()
            };
            state.push(format!("{name}: {seen}"));
        }
        state
    }
}

const EXHAUSTED: &str = "stack exhausted";

fn ending(error: &wasmtime::Error) -> String {
    if error.is::<StackExhausted>() {
        return EXHAUSTED.to_owned();
    }
    match error.downcast_ref::<Trap>() {
        Some(trap) => format!("{trap:?}"),
        None => format!("{error:?}"),
    }
}

fn value(ty: &ValType, bits: u64) -> Val {
    match ty {
        ValType::I32 => Val::I32(bits as i32),
        ValType::I64 => Val::I64(bits.cast_signed()),
        ValType::F32 => Val::F32(bits as u32),
        ValType::F64 => Val::F64(bits),
        other => panic!("a module of WebAssembly 1.0 has no {other}"),
    }
}

/// How many calls of this module ended the same way in both forms.
fn compare(engine: &Engine, original: &[u8], seed: u64) -> u32 {
    const FUEL: u64 = 20_000;
    // The added instructions cost less than this many times the instruction that calls.
    const INSTRUMENTED_FUEL: u64 = FUEL * 64;

    Validator::new_with_features(WasmFeatures::LIME1)
        .validate_all(original)
        .unwrap();
    let instrumented = instrument(original).unwrap();
    Validator::new_with_features(WasmFeatures::LIME1)
        .validate_all(&instrumented)
        .unwrap();
    assert_eq!(instrument(original).unwrap(), instrumented);

    let (mut plain, mut bounded) = match (
        Machine::new(engine, original, FUEL),
        Machine::new(engine, &instrumented, INSTRUMENTED_FUEL),
    ) {
        (Ok(plain), Ok(bounded)) => (plain, bounded),
        (plain, bounded) => {
            assert_eq!(plain.err(), bounded.err(), "instantiation");
            return 0;
        }
    };
    let functions: Vec<_> = Module::new(engine, original)
        .unwrap()
        .exports()
        .filter_map(|export| Some((export.name().to_owned(), export.ty().func()?.clone())))
        .collect();
    let mut random = StdRng::seed_from_u64(seed);
    let mut same = 0;
    for (name, ty) in functions.iter().cycle().take(functions.len() * 3) {
        let arguments: Vec<Val> = ty
            .params()
            .map(|ty| value(&ty, random.next_u64() >> (random.next_u64() % 64)))
            .collect();
        let results = ty.results().len();
        let expected = plain.call(name, &arguments, results, FUEL);
        let found = bounded.call(name, &arguments, results, INSTRUMENTED_FUEL);
        assert_ne!(found, Err(format!("{:?}", Trap::StackOverflow)));
        let ended = |result: &Result<Vec<String>, String>, how: &str| {
            result.as_ref().err().is_some_and(|found| found == how)
        };
        if ended(&expected, "OutOfFuel") || ended(&found, EXHAUSTED) {
            break;
        }
        assert_eq!(found, expected, "{name}{arguments:?}");
        assert_eq!(bounded.state(), plain.state(), "{name}{arguments:?}");
        same += 1;
        // The host never calls a module again that has trapped.
        if expected.is_err() {
            break;
        }
    }
    same
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn random_modules_do_the_same(seed in any::<u64>()) {
        let compiler = Compiler::new(None).unwrap();
        compare(compiler.engine(), &random_module(seed), seed);
    }
}

#[test]
fn random_modules_are_worth_comparing() {
    let compiler = Compiler::new(None).unwrap();
    let same: u32 = (0..32)
        .map(|seed| compare(compiler.engine(), &random_module(seed), seed))
        .sum();
    println!("{same} calls ended the same way");
    assert!(same > 64);
}

#[test]
fn every_way_out_gives_back_what_was_taken() {
    let module = wat::parse_str(
        r#"(module
            (memory (export "memory") 1)
            (table 2 funcref)
            (elem (i32.const 0) $leaf $ways)
            (func $leaf (param i32) (result i32 i64) (local.get 0) (i64.const 5))
            (func $ways (export "ways") (param i32) (result i32 i64)
                (local $sum i32)
                (block $b (result i32 i64)
                    (block $c
                        (loop $l
                            (if (i32.eqz (local.get 0)) (then
                                (return (call $leaf (local.get $sum)))))
                            (if (i32.eq (local.get 0) (i32.const 1)) (then
                                (br 4 (call_indirect (param i32) (result i32 i64)
                                    (local.get $sum) (i32.const 0)))))
                            (local.set $sum (i32.add (local.get $sum) (local.get 0)))
                            (if (i32.eq (local.get 0) (i32.const 2)) (then
                                (br_table 3 4 3 (i32.const 8) (i64.const 9) (local.get $sum))))
                            (local.set 0 (i32.sub (local.get 0) (i32.const 3)))
                            (br_if $l (i32.lt_u (local.get $sum) (i32.const 60)))))
                    (i32.const 3) (i64.const 4)))
            (func (export "many") (param i32) (result i32) (local i32)
                (loop $l
                    (call $ways (local.get 1)) (drop) (drop)
                    (br_if $l (i32.lt_u
                        (local.tee 1 (i32.add (local.get 1) (i32.const 1)))
                        (local.get 0))))
                (local.get 1)))"#,
    )
    .unwrap();
    let compiler = Compiler::new(None).unwrap();
    let engine = compiler.engine();
    let mut plain = Machine::new(engine, &module, u64::MAX).unwrap();
    let mut bounded = Machine::new(engine, &instrument(&module).unwrap(), u64::MAX).unwrap();
    for argument in 0..30 {
        let arguments = [Val::I32(argument)];
        assert_eq!(
            bounded.call("ways", &arguments, 2, u64::MAX),
            plain.call("ways", &arguments, 2, u64::MAX),
        );
    }
    // Far more calls than the stack has room for at one time.
    let arguments = [Val::I32(100_000)];
    let expected = Ok(vec!["I32(100000)".to_owned()]);
    assert_eq!(bounded.call("many", &arguments, 1, u64::MAX), expected);
}

/// A function that calls itself for ever and counts how often.
#[derive(Default)]
struct Recursive {
    parameters: usize,
    results: usize,
    locals: usize,
    /// What stands before the call, and its arguments.
    before: String,
    after: String,
}

impl Recursive {
    fn module(&self) -> Vec<u8> {
        let types = |count: usize| "i64 ".repeat(count);
        let (parameters, results) = (types(self.parameters), types(self.results));
        let (locals, before, after) = (types(self.locals), &self.before, &self.after);
        let arguments = "(local.get 0)".repeat(self.parameters);
        let taken = "f64 i64 ".repeat(32);
        let drops = "(drop)".repeat(self.results);
        let text = format!(
            r#"(module
                (memory (export "memory") 1)
                (global $depth (export "depth") (mut i32) (i32.const 0))
                (global $sink (mut i64) (i64.const 0))
                (func $take (export "take") (param {taken}))
                (func $deeper (param {parameters}) (result {results}) (local {locals})
                    (global.set $depth (i32.add (global.get $depth) (i32.const 1)))
                    {before} (call $deeper) {after})
                (func (export "go") (param i64) {arguments} (call $deeper) {drops}))"#,
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

/// Functions made to have frames larger than they look.
fn adversaries() -> Vec<(&'static str, Vec<u8>)> {
    const REPEAT: &str = "(br_if $l (i32.wrap_i64 (global.get $sink))))";
    let one = |before: String, after: String| Recursive {
        parameters: 1,
        before,
        after,
        ..Recursive::default()
    };
    let in_a_loop = |values: String| one("(loop $l (local.get 0)".to_owned(), values + REPEAT);
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

/// How deep a module calls itself, and how that ended.
fn depth(engine: &Engine, module: &[u8]) -> (u32, String) {
    let mut machine = Machine::new(engine, module, u64::MAX).unwrap();
    let ended = machine.call("go", &[Val::I64(1)], 0, u64::MAX).unwrap_err();
    let depth = machine
        .instance
        .get_global(&mut machine.store, "depth")
        .unwrap();
    (
        depth.get(&mut machine.store).i32().unwrap().cast_unsigned(),
        ended,
    )
}

/// Prints what frames really have, beside what is counted for them.
#[test]
fn the_bound_comes_before_the_native_one() {
    let compiler = Compiler::new(None).unwrap();
    for (name, module) in adversaries() {
        let [counted, entry] = [1, 2].map(|n| frame::measure(&module).unwrap().0[n].bytes());
        assert!(
            crate::validate(&module) != Err(ModuleError::TooMuch),
            "{name}"
        );
        let (native_depth, native_end) = depth(compiler.engine(), &module);
        assert_eq!(native_end, "StackOverflow", "{name}");
        // Rounded down, so by less than a frame in all.
        let native = crate::compiler::MAX_STACK_BYTES as u32 / native_depth;
        let (bounded_depth, end) = depth(compiler.engine(), &instrument(&module).unwrap());
        println!(
            "{name}: {native} bytes, counted {counted}; depth {bounded_depth} of {native_depth}"
        );
        assert_eq!(end, EXHAUSTED, "{name}");
        assert_eq!(bounded_depth, (frame::BUDGET - entry) / counted, "{name}");
        assert!(native <= counted, "{name}");
    }
}
