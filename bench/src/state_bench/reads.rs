use std::time::Instant;

use rand::{Rng, SeedableRng, rngs::StdRng};
use weft_executor_core::StateView;
use weft_state::Store;

use super::{ReadReport, StateBenchConfig, StateBenchError, accounts::Accounts, report::median};

/// Accounts that are read.
const READS: usize = 5_000;

/// Reads random accounts one after another, on one thread, and then the same ones again.
pub(super) fn measure(
    store: &Store,
    accounts: &Accounts,
    config: &StateBenchConfig,
) -> Result<ReadReport, StateBenchError> {
    let mut random = StdRng::seed_from_u64(config.seed ^ 0x5eed);
    let addresses: Vec<_> = (0..READS)
        .map(|_| Accounts::address(random.random_range(0..accounts.0)))
        .collect();
    let mut state = store.latest_state()?;
    let mut round = || -> Result<f64, StateBenchError> {
        let mut times = Vec::with_capacity(READS);
        for address in &addresses {
            let started = Instant::now();
            let account = state.account(*address)?;
            times.push(started.elapsed().as_secs_f64() * 1e6);
            debug_assert!(account.is_some());
        }
        Ok(median(times))
    };
    Ok(ReadReport {
        cold_us: round()?,
        warm_us: round()?,
    })
}
