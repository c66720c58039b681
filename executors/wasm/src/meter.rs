//! What things cost. Stylus' published prices in ink where it has one, Ethereum's in gas where the
//! EVM has the same operation.

use alloy_primitives::U256;
use wasmtime::{OperatorCost, VariableOperatorCost};

/// Ink that one gas buys: Stylus' default ink price.
pub const INK_PER_GAS: u64 = 10_000;

/// wasmtime's fuel that one gas buys. Its operator costs are single bytes, which is why a fuel is
/// 100 ink and not one.
pub const FUEL_PER_GAS: u64 = 100;

/// Ink in one unit of fuel.
pub(crate) const INK_PER_FUEL: u64 = INK_PER_GAS / FUEL_PER_GAS;

/// Gas per byte of a module, at its creation, for validation and compilation.
pub const COMPILE_GAS_PER_BYTE: u64 = 50;

/// Gas of entering a program.
pub const CALL_BASE_GAS: u64 = 2_000;

/// Bytes of stored code that one further gas loads when a program is entered.
const CODE_BYTES_PER_GAS: u64 = 32;

/// Ink of any host call.
pub(crate) const HOST_CALL_INK: u64 = 8_400;
/// Ink of each fixed-size value that a host call passes through memory.
pub(crate) const POINTER_INK: u64 = 5_040;
/// Ink of a host call that leaves the machine.
pub(crate) const API_INK: u64 = 59_673;
/// The same, where Stylus charges it in gas.
pub(crate) const API_GAS: u64 = API_INK / INK_PER_GAS;

/// Gas of an account that the transaction has not touched (EIP-2929).
pub(crate) const COLD_ACCOUNT_GAS: u64 = 2_600;
/// Gas of a slot that the transaction has not touched (EIP-2929).
pub(crate) const COLD_SLOT_GAS: u64 = 2_100;
/// Gas that must be left for a storage write (EIP-2200).
pub(crate) const STORE_SENTRY_GAS: u64 = 2_300;
/// Gas that must be left beyond the access itself for an access to the storage cache (Stylus).
pub(crate) const CACHE_SENTRY_GAS: u64 = 10;
/// Gas per log and per topic.
const LOG_TOPIC_GAS: u64 = 375;
/// Gas per byte of log data.
const LOG_DATA_GAS: u64 = 8;
/// Gas of a transient slot, read or written (EIP-1153).
pub(crate) const TRANSIENT_GAS: u64 = 100;
/// Gas of another contract's code, on top of the access to its account.
pub(crate) const FOREIGN_CODE_GAS: u64 = 700;
/// Gas per word of the EVM's memory (yellow paper, G_memory and its quadratic part).
const MEMORY_WORD_GAS: u64 = 3;
const MEMORY_SQUARE_QUOTIENT: u64 = 512;

/// Ink of a division of 256-bit numbers.
pub(crate) const DIVISION_INK: u64 = 20_000;
/// Ink of an addition of 256-bit numbers modulo a third.
pub(crate) const ADD_MOD_INK: u64 = 21_000;
/// Ink of a multiplication of 256-bit numbers modulo a third.
pub(crate) const MUL_MOD_INK: u64 = 24_100;

/// Gas to enter a program with stored code of this length, in bytes.
pub(crate) fn call_gas(code_length: usize) -> u64 {
    CALL_BASE_GAS + (code_length as u64).div_ceil(CODE_BYTES_PER_GAS)
}

/// Gas to validate and compile a module of this length, in bytes.
pub(crate) fn compile_gas(module_length: usize) -> u64 {
    COMPILE_GAS_PER_BYTE * module_length as u64
}

/// Least gas of a call that gives this much back: what the EVM's memory for it would cost.
pub(crate) fn output_gas(length: usize) -> u64 {
    let words = (length as u64).div_ceil(32);
    MEMORY_WORD_GAS * words + words * words / MEMORY_SQUARE_QUOTIENT
}

/// Ink to copy `bytes` bytes into the program's memory.
pub(crate) fn write_ink(bytes: u32) -> u64 {
    5_040 + 30 * u64::from(bytes.saturating_sub(32))
}

/// Ink to copy `bytes` bytes out of the program's memory.
pub(crate) fn read_ink(bytes: u32) -> u64 {
    16_381 + 55 * u64::from(bytes.saturating_sub(32))
}

/// Ink to hash `bytes` bytes.
pub(crate) fn keccak_ink(bytes: u32) -> u64 {
    let words = u64::from(bytes).div_ceil(32);
    121_800 + 21_000 * words.saturating_sub(2)
}

/// Gas of a log with this many topics and bytes of data.
pub(crate) fn log_gas(topics: u32, data_length: u32) -> u64 {
    LOG_TOPIC_GAS * (1 + u64::from(topics)) + LOG_DATA_GAS * u64::from(data_length)
}

/// Ink to raise a number to this power, beyond the host call's own.
pub(crate) fn power_ink(exponent: U256) -> u64 {
    3_000 + 17_500 * (1 + exponent.byte_len() as u64)
}

/// Gas of the `n`th read (from 1) of a program's storage cache.
pub(crate) const fn cache_read_gas(n: u64) -> u64 {
    match n {
        0..=32 => 0,
        33..=128 => 2,
        _ => 10,
    }
}

/// Gas of the `n`th write (from 1) to a program's storage cache.
pub(crate) const fn cache_write_gas(n: u64) -> u64 {
    match n {
        0..=8 => 0,
        9..=64 => 7,
        _ => 10,
    }
}

/// Fuel for this much ink, rounded up.
pub(crate) const fn fuel_for_ink(ink: u64) -> u64 {
    ink.div_ceil(INK_PER_FUEL)
}

/// Fuel of each operator: Stylus' ink per operator, rounded up to whole fuel, except that its
/// prices for population counts (of machines without such an instruction) are lower here.
pub(crate) fn operator_costs() -> OperatorCost {
    OperatorCost {
        Br: 8,
        BrIf: 8,
        If: 8,
        BrTable: 30,
        Select: 13,
        Call: 38,
        CallIndirect: 150,
        LocalSet: 3,
        GlobalGet: 3,
        GlobalSet: 6,
        I32Load: 7,
        I32Load8S: 7,
        I32Load8U: 7,
        I32Load16S: 7,
        I32Load16U: 7,
        I64Load: 7,
        I64Load8S: 7,
        I64Load8U: 7,
        I64Load16S: 7,
        I64Load16U: 7,
        I64Load32S: 7,
        I64Load32U: 7,
        F32Load: 7,
        F64Load: 7,
        I32Store: 9,
        I32Store8: 9,
        I32Store16: 9,
        I64Store: 10,
        I64Store8: 10,
        I64Store16: 10,
        I64Store32: 10,
        F32Store: 9,
        F64Store: 10,
        MemorySize: 30,
        MemoryGrow: 100,
        MemoryCopy: 10,
        MemoryFill: 10,
        I32Mul: 2,
        I64Mul: 2,
        I32DivS: 12,
        I32DivU: 12,
        I32RemS: 12,
        I32RemU: 12,
        I64DivS: 13,
        I64DivU: 13,
        I64RemS: 13,
        I64RemU: 13,
        I32Clz: 3,
        I32Ctz: 3,
        I64Clz: 3,
        I64Ctz: 3,
        I32Popcnt: 10,
        I64Popcnt: 10,
        // Floats are not part of Stylus. Each result is made canonical when it is a NaN.
        F32Add: 6,
        F32Sub: 6,
        F32Mul: 6,
        F32Min: 10,
        F32Max: 10,
        F64Add: 6,
        F64Sub: 6,
        F64Mul: 6,
        F64Min: 10,
        F64Max: 10,
        F32Div: 16,
        F64Div: 16,
        F32Sqrt: 20,
        F64Sqrt: 20,
        F32Ceil: 20,
        F32Floor: 20,
        F32Trunc: 20,
        F32Nearest: 20,
        F64Ceil: 20,
        F64Floor: 20,
        F64Trunc: 20,
        F64Nearest: 20,
        variable: VariableOperatorCost {
            memory_copy_per_byte: 1,
            memory_fill_per_byte: 1,
            ..VariableOperatorCost::new()
        },
        ..OperatorCost::new()
    }
}
