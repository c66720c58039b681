//! Plain value transfers: almost nothing but the engine's own cost.

use alloy_primitives::{Address, Bytes, TxKind, U256};
use rand::rngs::StdRng;
use weft_executor_core::MemoryState;
use weft_primitives::RecoveredTransaction;

use crate::{
    Scenario,
    accounts::{addresses, fund, random_pair},
    scenario::transaction,
};

fn transfer(from: Address, nonce: u64, to: Address) -> RecoveredTransaction {
    transaction(
        from,
        nonce,
        TxKind::Call(to),
        U256::ONE,
        21_000,
        Bytes::new(),
    )
}

/// Each transaction between two accounts of its own.
pub(crate) fn independent(random: &mut StdRng, count: usize) -> Scenario {
    let senders = addresses(random, count);
    let receivers = addresses(random, count);
    let mut base = MemoryState::default();
    fund(&mut base, &senders);
    fund(&mut base, &receivers);
    let transactions = senders
        .into_iter()
        .zip(receivers)
        .map(|(from, to)| transfer(from, 0, to))
        .collect();
    Scenario::new(base, transactions)
}

/// Each transaction between two random ones of `population` accounts.
pub(crate) fn among(random: &mut StdRng, count: usize, population: usize) -> Scenario {
    let mut accounts: Vec<(Address, u64)> = addresses(random, population)
        .into_iter()
        .map(|account| (account, 0))
        .collect();
    let mut base = MemoryState::default();
    for (account, _) in &accounts {
        fund(&mut base, &[*account]);
    }
    let transactions = (0..count)
        .filter_map(|_| {
            let (from, to) = random_pair(random, population);
            let (to, _) = *accounts.get(to)?;
            let (from, next_nonce) = accounts.get_mut(from)?;
            let nonce = *next_nonce;
            *next_nonce += 1;
            Some(transfer(*from, nonce, to))
        })
        .collect();
    Scenario::new(base, transactions)
}

/// Senders of their own, and one receiver for all.
pub(crate) fn to_one(random: &mut StdRng, count: usize) -> Scenario {
    let senders = addresses(random, count);
    let receiver = Address::from(rand::Rng::random::<[u8; 20]>(random));
    let mut base = MemoryState::default();
    fund(&mut base, &senders);
    fund(&mut base, &[receiver]);
    let transactions = senders
        .into_iter()
        .map(|from| transfer(from, 0, receiver))
        .collect();
    Scenario::new(base, transactions)
}

/// One sender, and receivers of their own.
pub(crate) fn from_one(random: &mut StdRng, count: usize) -> Scenario {
    let sender = Address::from(rand::Rng::random::<[u8; 20]>(random));
    let receivers = addresses(random, count);
    let mut base = MemoryState::default();
    fund(&mut base, &[sender]);
    fund(&mut base, &receivers);
    let transactions = (0..)
        .zip(receivers)
        .map(|(nonce, to)| transfer(sender, nonce, to))
        .collect();
    Scenario::new(base, transactions)
}
