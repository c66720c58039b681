//! Transfers of one ERC-20 token.

use alloy_primitives::{Address, U256};
use rand::{Rng, rngs::StdRng};
use weft_executor_core::MemoryState;
use weft_primitives::RecoveredTransaction;

use crate::{
    BenchError, Scenario,
    accounts::{addresses, fund, random_pair},
    contracts::{Deployer, Token, call},
    scenario::execute_setup,
};

const BALANCE: U256 = U256::from_limbs([1_000_000_000, 0, 0, 0]);

fn transfer(from: Address, nonce: u64, token: Address, to: Address) -> RecoveredTransaction {
    let value = U256::ONE;
    call(
        from,
        nonce,
        token,
        100_000,
        &Token::transferCall { to, value },
    )
}

/// A state with a token of which each holder has enough, and the token's address.
fn with_token(
    random: &mut StdRng,
    holders: &[Address],
) -> Result<(MemoryState, Address), BenchError> {
    let owner = Address::from(random.random::<[u8; 20]>());
    let mut base = MemoryState::default();
    fund(&mut base, &[owner]);
    fund(&mut base, holders);
    let mut deployer = Deployer::new(owner);
    let token = deployer.token();
    deployer.mint(token, holders, BALANCE);
    execute_setup(&mut base, &deployer.into_transactions())?;
    Ok((base, token))
}

/// Each transaction between two holders of its own.
pub(crate) fn independent(random: &mut StdRng, count: usize) -> Result<Scenario, BenchError> {
    let holders = addresses(random, 2 * count);
    let (base, token) = with_token(random, &holders)?;
    let (senders, receivers) = holders.split_at(count);
    let transactions = senders
        .iter()
        .zip(receivers)
        .map(|(from, to)| transfer(*from, 0, token, *to))
        .collect();
    Ok(Scenario::new(base, transactions))
}

/// Each transaction between two random ones of `population` holders.
pub(crate) fn among(
    random: &mut StdRng,
    count: usize,
    population: usize,
) -> Result<Scenario, BenchError> {
    let holders = addresses(random, population);
    let (base, token) = with_token(random, &holders)?;
    let mut holders: Vec<(Address, u64)> = holders.into_iter().map(|holder| (holder, 0)).collect();
    let transactions = (0..count)
        .filter_map(|_| {
            let (from, to) = random_pair(random, population);
            let (to, _) = *holders.get(to)?;
            let (from, next_nonce) = holders.get_mut(from)?;
            let nonce = *next_nonce;
            *next_nonce += 1;
            Some(transfer(*from, nonce, token, to))
        })
        .collect();
    Ok(Scenario::new(base, transactions))
}

/// Senders of their own, and one receiver for all.
pub(crate) fn to_one(random: &mut StdRng, count: usize) -> Result<Scenario, BenchError> {
    let mut holders = addresses(random, count);
    let receiver = Address::from(random.random::<[u8; 20]>());
    holders.push(receiver);
    let (base, token) = with_token(random, &holders)?;
    holders.pop();
    let transactions = holders
        .into_iter()
        .map(|from| transfer(from, 0, token, receiver))
        .collect();
    Ok(Scenario::new(base, transactions))
}
