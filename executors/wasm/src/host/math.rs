use alloy_primitives::U256;
use wasmtime::{Linker, Result};

use super::{Guest, Instance, MODULE, call::HostCall};
use crate::meter::{ADD_MOD_INK, DIVISION_INK, HOST_CALL_INK, MUL_MOD_INK, POINTER_INK, power_ink};

/// Arithmetic of 256-bit numbers, as the EVM's. The result takes the first argument's place.
pub(super) fn link(linker: &mut Linker<Instance>) -> Result<()> {
    const TWO: u64 = HOST_CALL_INK + 3 * POINTER_INK;
    const THREE: u64 = HOST_CALL_INK + 4 * POINTER_INK;
    macro_rules! of_two {
        ($($name:literal: $ink:expr, $result:expr;)*) => {$(
            linker.func_wrap(MODULE, $name, |guest: Guest<'_>, a: u32, b: u32| -> Result<()> {
                let mut call = HostCall::begin(guest, TWO + $ink)?;
                let result = $result(call.word(a)?, call.word(b)?);
                Ok(call.write_word(a, result)?)
            })?;
        )*};
    }
    macro_rules! of_three {
        ($($name:literal: $ink:expr, $result:expr;)*) => {$(
            linker.func_wrap(
                MODULE,
                $name,
                |guest: Guest<'_>, a: u32, b: u32, modulus: u32| -> Result<()> {
                    let mut call = HostCall::begin(guest, THREE + $ink)?;
                    let result = $result(call.word(a)?, call.word(b)?, call.word(modulus)?);
                    Ok(call.write_word(a, result)?)
                },
            )?;
        )*};
    }
    of_two! {
        "math_div": DIVISION_INK, |a: U256, b| a.checked_div(b).unwrap_or_default();
        "math_mod": DIVISION_INK, |a: U256, b| a.checked_rem(b).unwrap_or_default();
    }
    of_three! {
        "math_add_mod": ADD_MOD_INK, |a: U256, b, modulus| a.add_mod(b, modulus);
        "math_mul_mod": MUL_MOD_INK, |a: U256, b, modulus| a.mul_mod(b, modulus);
    }
    linker.func_wrap(
        MODULE,
        "math_pow",
        |guest: Guest<'_>, base: u32, exponent: u32| {
            let mut call = HostCall::begin(guest, TWO)?;
            let exponent = call.word(exponent)?;
            let number = call.word(base)?;
            call.pay_ink(power_ink(exponent))?;
            Ok(call.write_word(base, number.wrapping_pow(exponent))?)
        },
    )?;
    Ok(())
}
