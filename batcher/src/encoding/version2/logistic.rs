//! The tables behind the models' arithmetic, made when this is compiled, by integers only.

#![allow(
    clippy::indexing_slicing,
    reason = "in constants: an index beyond a table ends the build"
)]

/// Logistic function over 256ths from -2048 to 2047, in 65536ths.
pub(super) static SQUASHED: [u16; 4096] = squashed();

/// Its inverse, by 4096ths.
pub(super) static STRETCHED: [i16; 4096] = stretched();

const fn squashed() -> [u16; 4096] {
    /// e^(-1/256) in units of 2^-62.
    const STEP: u128 = 4_593_706_758_521_714_574;
    const ONE: u128 = 1 << 62;
    let mut table = [0; 4096];
    let mut exponential = ONE;
    let mut distance = 0;
    while distance <= 2048 {
        let upper = (ONE << 16) / (ONE + exponential);
        let upper = if upper > 65_520 { 65_520 } else { upper as u16 };
        if distance < 2048 {
            table[2048 + distance] = upper;
        }
        table[2048 - distance] = (65_536 - upper as u32) as u16;
        exponential = (exponential * STEP) >> 62;
        distance += 1;
    }
    table
}

const fn stretched() -> [i16; 4096] {
    let squashed = squashed();
    let mut table = [0; 4096];
    let mut at = 0;
    let mut probability = 0;
    while probability < 4096 {
        while at < 4095 && (squashed[at] as usize) < probability * 16 + 8 {
            at += 1;
        }
        table[probability] = at as i16 - 2048;
        probability += 1;
    }
    table
}

/// How far a counter moves, in 65536ths of the distance, by how often it was met.
pub(super) static RATES: [u16; 1024] = rates();

const fn rates() -> [u16; 1024] {
    let mut table = [0; 1024];
    let mut met = 0;
    while met < 1024 {
        table[met] = (65_536 * 2 / (2 * met + 3)) as u16;
        met += 1;
    }
    table
}
