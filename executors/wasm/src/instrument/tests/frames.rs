//! What frames count for, beside what they really have.

use std::{env, fs};

use wasmtime::{Engine, Module, Val};

use super::{EXHAUSTED, Machine, adversaries::adversaries, random_module};
use crate::{
    compiled::engine,
    frame,
    instrument::instrument,
    stack::{BUDGET_BYTES, MAX_FRAME_BYTES, MAX_STACK_BYTES},
};

/// Every how many of the adversaries is looked at, unless [`ALL`] is set: unoptimized, the compiler
/// takes a second for each.
const STEP: usize = 4;

/// Environment variable with which all are looked at.
const ALL: &str = "WEFT_TEST_FRAMES";

fn chosen() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let step = if env::var_os(ALL).is_some() { 1 } else { STEP };
    adversaries().into_iter().step_by(step)
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

/// Prints what the frames of a module really have, and checks that they count for half as much
/// again.
#[cfg(target_arch = "x86_64")]
fn check_frames(engine: &Engine, name: &str, module: &[u8]) {
    let counted = frame::measure(module).unwrap().0;
    let native = Module::new(engine, instrument(module).unwrap()).unwrap();
    assert_eq!(native.functions().len(), counted.len());
    for (n, (function, frame)) in native.functions().zip(&counted).enumerate() {
        let code = &native.text()[function.offset..function.offset + function.len];
        let native = native_frame(code);
        let counted = frame.bytes();
        if native > 256 {
            println!("{name}, function {n}: {native} bytes, counted {counted}");
        }
        assert!(
            2 * counted >= 3 * native,
            "{name}, {n}: {native}, {counted}"
        );
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn check_frames(_: &Engine, _: &str, _: &[u8]) {}

/// Size of a function's frame, from the beginning of its code: it adds the size to the limit of the
/// stack (`add r10, size`) to compare the stack's pointer with the sum. Where it does not, the
/// frame is empty.
#[cfg(target_arch = "x86_64")]
fn native_frame(code: &[u8]) -> u32 {
    const RETURN_AND_FRAME_POINTER: u32 = 16;
    let head = &code[..code.len().min(64)];
    let size = head.windows(7).find_map(|bytes| match *bytes {
        [0x49, 0x83, 0xc2, size, ..] => Some(u32::from(size)),
        [0x49, 0x81, 0xc2, a, b, c, d] => Some(u32::from_le_bytes([a, b, c, d])),
        _ => None,
    });
    RETURN_AND_FRAME_POINTER + size.unwrap_or(0)
}

#[test]
fn frames_of_adversaries_count_for_more_than_they_have() {
    let engine = engine();
    for (name, module) in chosen() {
        check_frames(&engine, name, &module);
    }
}

#[test]
fn frames_of_the_stylus_sdk_count_for_more_than_they_have() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/stylus/modules");
    let engine = engine();
    let mut modules = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "wasm")
        {
            let module = fs::read(&path).unwrap();
            check_frames(&engine, &path.display().to_string(), &module);
            let frames = frame::measure(&module).unwrap().0;
            let largest = frames.iter().map(frame::Frame::bytes).max().unwrap();
            assert!(8 * largest <= BUDGET_BYTES, "{}", path.display());
            modules += 1;
        }
    }
    assert!(modules >= 3);
}

#[test]
fn frames_of_random_modules_count_for_more_than_they_have() {
    let engine = engine();
    for seed in 0..16 {
        check_frames(&engine, &format!("seed {seed}"), &random_module(seed));
    }
}

#[test]
fn the_bound_comes_before_the_native_one() {
    let engine = engine();
    for (name, module) in chosen() {
        let [counted, entry] = [1, 2].map(|n| frame::measure(&module).unwrap().0[n].bytes());
        let (bounded_depth, end) = depth(&engine, &instrument(&module).unwrap());
        assert_eq!(end, EXHAUSTED, "{name}");
        assert_eq!(bounded_depth, (BUDGET_BYTES - entry) / counted, "{name}");
    }
}

/// What is counted for a small function is what the documentation says it is.
#[test]
fn a_small_function_nests_thousands_of_times() {
    let engine = engine();
    let (name, module) = adversaries().swap_remove(0);
    assert_eq!(name, "a small function");
    let (native_depth, end) = depth(&engine, &module);
    assert_eq!(end, "StackOverflow");
    let (bounded_depth, end) = depth(&engine, &instrument(&module).unwrap());
    assert_eq!(end, EXHAUSTED);
    println!("{bounded_depth} of {native_depth}");
    assert!(bounded_depth > 4_000 && bounded_depth < native_depth);
}

#[test]
fn a_function_with_too_large_a_frame_is_refused() {
    // Each product stands outside of loops and counts for 6 bytes.
    let products = |count: usize| {
        let module = wat::parse_str(format!(
            "(module (func (param i64) {}))",
            "(drop (i64.mul (local.get 0) (local.get 0)))".repeat(count)
        ));
        frame::measure(&module.unwrap()).map(|frames| frames.0[0].bytes())
    };
    let base = products(0).unwrap() + 32;
    let most = (MAX_FRAME_BYTES - base) / 6;
    assert_eq!(products(most as usize), Ok(base + 6 * most));
    assert!(products(most as usize + 1).is_err());
    // One frame more, uncounted, and what wasmtime needs itself still fits.
    assert!(MAX_STACK_BYTES as u32 - BUDGET_BYTES >= 128 * 1024);
}
