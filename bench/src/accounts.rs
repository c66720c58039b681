use alloy_primitives::{Address, Bytes, U256};
use rand::{Rng, rngs::StdRng};
use weft_executor_core::MemoryState;

/// 1,000 ether: nobody runs dry.
const FUNDS: U256 = U256::from_limbs([0x35c9_adc5_dea0_0000, 0x36, 0, 0]);

/// Addresses out of the seed. 160 random bits do not repeat.
pub(crate) fn addresses(random: &mut StdRng, count: usize) -> Vec<Address> {
    (0..count)
        .map(|_| Address::from(random.random::<[u8; 20]>()))
        .collect()
}

/// Gives every account what it needs for values and fees.
pub(crate) fn fund(state: &mut MemoryState, accounts: &[Address]) {
    for account in accounts {
        state.insert(*account, 0, FUNDS, Bytes::new(), []);
    }
}

/// Sender and receiver of a transfer, by their positions among the accounts, and never the same.
pub(crate) fn random_pair(random: &mut StdRng, accounts: usize) -> (usize, usize) {
    let from = random.random_range(0..accounts);
    let distance = random.random_range(1..accounts);
    (from, (from + distance) % accounts)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn funds_are_a_thousand_ether() {
        assert_eq!(FUNDS, U256::from(1000) * U256::from(10).pow(U256::from(18)));
    }

    #[test]
    fn a_random_pair_is_of_two() {
        let mut random = StdRng::seed_from_u64(1);
        let mut seen = [false; 3];
        for _ in 0..100 {
            let (from, to) = random_pair(&mut random, 3);
            assert_ne!(from, to);
            seen[from] = true;
        }
        assert_eq!(seen, [true; 3]);
    }
}
