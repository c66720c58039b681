//! The instrumented module does what the original does, and its bound comes before the native one.

use arbitrary::Unstructured;
use proptest::prelude::*;
use rand::{RngCore, SeedableRng, rngs::StdRng};
use wasm_smith::{Config, Module as RandomModule};
use wasmparser::{Validator, WasmFeatures};
use wasmtime::{Engine, Instance, Linker, Module, Store, Trap, Val, ValType};

use super::*;
use crate::{
    compiled::engine,
    stack::{StackExhausted, link_stack_bound},
};

mod adversaries;
mod frames;

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
            if name.starts_with(MUTABLE_GLOBAL) {
                continue;
            }
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
        let engine = engine();
        compare(&engine, &random_module(seed), seed);
    }
}

#[test]
fn random_modules_are_worth_comparing() {
    let engine = engine();
    let same: u32 = (0..32)
        .map(|seed| compare(&engine, &random_module(seed), seed))
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
    let engine = &engine();
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

#[test]
fn every_mutable_global_is_exported_once() {
    let module = wat::parse_str(
        r#"(module
            (global (mut i32) (i32.const 1))
            (global $fixed i32 (i32.const 2))
            (global (mut f64) (f64.const 3))
            (memory (export "memory") 1)
            (export "weft.global.0" (global $fixed))
            (export "weft.global.2" (memory 0))
            (func (export "go")))"#,
    );
    let instrumented = instrument(&module.unwrap()).unwrap();
    let module = Module::new(&engine(), instrumented).unwrap();
    let exports: Vec<_> = module
        .exports()
        .filter(|export| export.name().starts_with(MUTABLE_GLOBAL))
        .map(|export| {
            (
                export.name().to_owned(),
                export.ty().global().unwrap().content().clone(),
            )
        })
        .collect();
    let expected = [
        ("0", ValType::I32),
        ("2", ValType::F64),
        ("3", ValType::I32),
    ];
    assert_eq!(exports.len(), expected.len());
    for ((name, content), (number, ty)) in exports.iter().zip(&expected) {
        assert_eq!(name, &format!("{MUTABLE_GLOBAL}{number}"));
        assert!(ValType::eq(content, ty));
    }
}
