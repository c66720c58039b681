//! Hash chains computed inside the contract, without help of the host; `Hashing.sol` is its twin.

extern crate alloc;

use alloc::vec::Vec;

use alloy_primitives::{B256, U256};
use blake2::Blake2s256;
use sha2::{Digest, Sha256};
use stylus_sdk::prelude::*;

sol_storage! {
    #[entrypoint]
    pub struct Hashing {}
}

#[public]
impl Hashing {
    #[selector(name = "sha256Chain")]
    pub fn sha256_chain(seed: B256, rounds: U256) -> B256 {
        chain::<Sha256>(seed, rounds)
    }

    #[selector(name = "blake2sChain")]
    pub fn blake2s_chain(seed: B256, rounds: U256) -> B256 {
        chain::<Blake2s256>(seed, rounds)
    }
}

/// More rounds than fit 64 bits run out of gas before the difference shows.
fn chain<D: Digest>(seed: B256, rounds: U256) -> B256 {
    let mut value = seed;
    for _ in 0..rounds.saturating_to::<u64>() {
        let digest = D::digest(value);
        value.copy_from_slice(&digest);
    }
    value
}
