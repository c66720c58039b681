//! Host functions that the SDK does not wrap.

use alloy_primitives::{B256, U256};

#[link(wasm_import_module = "vm_hooks")]
extern "C" {
    fn transient_load_bytes32(key: *const u8, dest: *mut u8);
    fn transient_store_bytes32(key: *const u8, value: *const u8);
    fn math_div(value: *mut u8, divisor: *const u8);
    fn math_mod(value: *mut u8, modulus: *const u8);
    fn math_pow(value: *mut u8, exponent: *const u8);
    fn math_add_mod(value: *mut u8, addend: *const u8, modulus: *const u8);
    fn math_mul_mod(value: *mut u8, multiplier: *const u8, modulus: *const u8);
}

pub fn transient_load(key: B256) -> B256 {
    let mut value = B256::ZERO;
    // SAFETY: the host reads and writes 32 bytes at each pointer, here and below.
    unsafe { transient_load_bytes32(key.as_ptr(), value.as_mut_ptr()) };
    value
}

pub fn transient_store(key: B256, value: B256) {
    unsafe { transient_store_bytes32(key.as_ptr(), value.as_ptr()) };
}

pub fn divide(value: U256, divisor: U256) -> U256 {
    on_words(value, [divisor], |value, [divisor]| unsafe {
        math_div(value, divisor)
    })
}

pub fn modulo(value: U256, modulus: U256) -> U256 {
    on_words(value, [modulus], |value, [modulus]| unsafe {
        math_mod(value, modulus)
    })
}

pub fn power(value: U256, exponent: U256) -> U256 {
    on_words(value, [exponent], |value, [exponent]| unsafe {
        math_pow(value, exponent)
    })
}

pub fn add_modulo(value: U256, addend: U256, modulus: U256) -> U256 {
    on_words(value, [addend, modulus], |value, [addend, modulus]| unsafe {
        math_add_mod(value, addend, modulus)
    })
}

pub fn multiply_modulo(value: U256, multiplier: U256, modulus: U256) -> U256 {
    on_words(
        value,
        [multiplier, modulus],
        |value, [multiplier, modulus]| unsafe { math_mul_mod(value, multiplier, modulus) },
    )
}

/// The host computes on big-endian words and writes the result over the first one.
fn on_words<const N: usize>(
    value: U256,
    operands: [U256; N],
    compute: impl FnOnce(*mut u8, [*const u8; N]),
) -> U256 {
    let mut value: [u8; 32] = value.to_be_bytes();
    let operands: [[u8; 32]; N] = operands.map(|operand| operand.to_be_bytes());
    compute(value.as_mut_ptr(), operands.each_ref().map(|word| word.as_ptr()));
    U256::from_be_bytes(value)
}
