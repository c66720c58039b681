//! Random moments and places that can be had again.

use rand::{Rng, SeedableRng, rngs::StdRng};

/// Names the seed of a run that is repeated.
const VARIABLE: &str = "WEFT_TEST_SEED";

/// Random numbers from the seed that `WEFT_TEST_SEED` names, or from a new one, which is printed.
///
/// # Errors
/// When the variable holds no number.
pub fn random() -> eyre::Result<StdRng> {
    let seed = match std::env::var(VARIABLE) {
        Ok(seed) => seed.parse()?,
        Err(_) => rand::rng().random(),
    };
    eprintln!("{VARIABLE}={seed}");
    Ok(StdRng::seed_from_u64(seed))
}

/// The number in an environment variable.
///
/// # Errors
/// When it is there and holds no number.
pub fn number(variable: &str, default: usize) -> eyre::Result<usize> {
    match std::env::var(variable) {
        Ok(number) => Ok(number.parse()?),
        Err(_) => Ok(default),
    }
}
