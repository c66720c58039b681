//! Amounts that people write: a few digits, then zeros.

use super::{
    coder::Coder,
    model::{Contexts, Model, context},
};

/// Most zeros that are counted: one symbol of five bits.
const MOST_ZEROS: u32 = 31;

/// Digits and zeros of a number.
pub(super) fn split(number: u128) -> (u128, u32) {
    let mut mantissa = number;
    let mut zeros = 0;
    if number == 0 {
        return (0, 0);
    }
    // Most numbers are below 2^64, where division is fast.
    while zeros < MOST_ZEROS && mantissa > u128::from(u64::MAX) && mantissa.is_multiple_of(10) {
        mantissa /= 10;
        zeros += 1;
    }
    if let Ok(mut small) = u64::try_from(mantissa) {
        while zeros < MOST_ZEROS && small.is_multiple_of(10) {
            small /= 10;
            zeros += 1;
        }
        mantissa = u128::from(small);
    }
    (mantissa, zeros)
}

/// Codes a number as how many zeros it ends with (symbols of `kind`) and the digits before them
/// (symbols of the kind after it). `None` when what is decoded is above 128 bits.
pub(super) fn code<C: Coder, const N: usize>(
    model: &mut Model,
    coder: &mut C,
    kind: u32,
    contexts: &Contexts<N>,
    modelled: u32,
    given: u128,
) -> Option<u128> {
    let (mantissa, zeros) = split(given);
    let zeros = model.symbol(coder, kind, contexts, 5, zeros);
    let contexts = contexts.map(|known| context(kind, known, zeros));
    let mantissa = model.number(coder, kind + 1, &contexts, modelled, mantissa);
    mantissa.checked_mul(10u128.pow(zeros))
}
