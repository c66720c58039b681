use std::time::Duration;

/// Steps in which a doubling is divided: durations are known to less than 1 %.
const STEPS: usize = 128;
/// log2 of `STEPS`.
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Doublings above `STEPS` microseconds: up to hours.
const DOUBLINGS: usize = 32;

/// How long things took, in bounded memory whatever their number.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; STEPS * DOUBLINGS],
            total: 0,
            max: Duration::ZERO,
        }
    }
}

/// Below `2 * STEPS` microseconds each has its own place; above, the highest bits count.
fn place(micros: u64) -> usize {
    let doublings = (u64::BITS - micros.leading_zeros()).saturating_sub(STEP_BITS + 1);
    doublings as usize * STEPS + (micros >> doublings) as usize
}

/// The largest duration of a place, in microseconds.
fn upper(place: usize) -> u64 {
    let doublings = (place / STEPS).saturating_sub(1);
    let mantissa = (place - doublings * STEPS) as u64;
    ((mantissa + 1) << doublings) - 1
}

impl Histogram {
    pub(super) fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let last = self.counts.len().saturating_sub(1);
        if let Some(count) = self.counts.get_mut(place(micros).min(last)) {
            *count += 1;
        }
        self.total += 1;
        self.max = self.max.max(duration);
    }

    /// The duration that a share of all, from 0 to 1, does not exceed, in milliseconds; 0 when
    /// there is none.
    pub(super) fn quantile_ms(&self, share: f64) -> f64 {
        let rank = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut below = 0;
        for (place, count) in self.counts.iter().enumerate() {
            below += count;
            if below >= rank {
                let max = self.max_ms();
                return (upper(place) as f64 / 1000.0).min(max);
            }
        }
        0.0
    }

    pub(super) fn max_ms(&self) -> f64 {
        self.max.as_secs_f64() * 1000.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn places_follow_each_other() {
        let mut next = 0;
        for place_number in 0..STEPS * 20 {
            if place_number == 0 {
                assert_eq!(place(0), 0);
            }
            assert_eq!(place(next), place_number, "{next}");
            assert_eq!(place(upper(place_number)), place_number);
            next = upper(place_number) + 1;
        }
    }

    #[test]
    fn empty() {
        assert_eq!(Histogram::default().quantile_ms(0.5), 0.0);
    }

    proptest! {
        #[test]
        fn quantiles_are_those_of_the_sorted_list(micros in proptest::collection::vec(0..10_000_000_u64, 1..300), share in 0.0..=1.0_f64) {
            let mut histogram = Histogram::default();
            for micros in &micros {
                histogram.record(Duration::from_micros(*micros));
            }
            let mut micros: Vec<u64> = micros;
            micros.sort_unstable();
            let rank = ((micros.len() as f64 * share).ceil() as usize).max(1);
            let exact = micros[rank - 1] as f64 / 1000.0;
            let found = histogram.quantile_ms(share);
            prop_assert!(found >= exact - 1e-6 && found <= exact * 1.01 + 0.001, "{found} {exact}");
        }
    }
}
