//! Heavy swaps: each transaction trades there and back several times on a pair of two tokens.

use alloy_primitives::{Address, U256};
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};
use weft_executor_core::MemoryState;
use weft_primitives::RecoveredTransaction;

use crate::{
    BenchError, Scenario,
    accounts::{addresses, fund},
    contracts::{Deployer, Pair, Router, Token, call},
    scenario::execute_setup,
};

const LIQUIDITY: U256 = U256::from_limbs([1_000_000_000_000_000_000, 0, 0, 0]);
const TRADER_BALANCE: U256 = U256::from_limbs([1_000_000_000, 0, 0, 0]);
const AMOUNT: U256 = U256::from_limbs([1_000_000, 0, 0, 0]);
const ROUNDS: U256 = U256::from_limbs([5, 0, 0, 0]);
const GAS_LIMIT: u64 = 1_000_000;

/// A pair with its tokens, and those who trade on it.
struct Market {
    pair: Address,
    tokens: [Address; 2],
    traders: Vec<Address>,
}

/// How the trades are spread over pairs.
#[derive(Clone, Copy)]
pub(crate) enum Pairs {
    /// A pair and a trader for each transaction.
    OneEach,
    /// So many pairs, a random one for each transaction; a trader for each transaction.
    Shared(usize),
}

/// A block of `count` trades.
pub(crate) fn trades(
    random: &mut StdRng,
    count: usize,
    pairs: Pairs,
) -> Result<Scenario, BenchError> {
    let owner = Address::from(random.random::<[u8; 20]>());
    let traders = addresses(random, count);
    let mut base = MemoryState::default();
    fund(&mut base, &[owner]);
    fund(&mut base, &traders);

    let mut deployer = Deployer::new(owner);
    let router = deployer.router();
    let pair_count = match pairs {
        Pairs::OneEach => count,
        Pairs::Shared(pairs) => pairs,
    };
    let mut markets: Vec<Market> = (0..pair_count)
        .map(|_| {
            let tokens = [deployer.token(), deployer.token()];
            Market {
                pair: deployer.pair(tokens[0], tokens[1]),
                tokens,
                traders: Vec::new(),
            }
        })
        .collect();
    let positions: Vec<usize> = (0..pair_count).collect();
    let mut transactions = Vec::with_capacity(count);
    for (index, trader) in traders.iter().enumerate() {
        let position = match pairs {
            Pairs::OneEach => index,
            Pairs::Shared(_) => positions.choose(random).copied().unwrap_or_default(),
        };
        if let Some(market) = markets.get_mut(position) {
            market.traders.push(*trader);
            transactions.push(trade(*trader, router, market.pair));
        }
    }
    for market in &markets {
        for token in market.tokens {
            deployer.mint(token, &[market.pair], LIQUIDITY);
            deployer.mint(token, &market.traders, TRADER_BALANCE);
        }
        deployer.call(market.pair, &Pair::syncCall {});
    }
    let mut setup = deployer.into_transactions();
    setup.extend(markets.iter().flat_map(|market| approvals(router, market)));
    execute_setup(&mut base, &setup)?;
    Ok(Scenario::new(base, transactions))
}

/// Each trader lets the router take both tokens, by two transactions.
fn approvals(router: Address, market: &Market) -> impl Iterator<Item = RecoveredTransaction> {
    market.traders.iter().flat_map(move |trader| {
        (0..).zip(market.tokens).map(move |(nonce, token)| {
            let approval = Token::approveCall {
                spender: router,
                value: U256::MAX,
            };
            call(*trader, nonce, token, 100_000, &approval)
        })
    })
}

fn trade(trader: Address, router: Address, pair: Address) -> RecoveredTransaction {
    let trade = Router::tradeCall {
        pair,
        amount: AMOUNT,
        rounds: ROUNDS,
        // A swap gives all but the fee and what the amount moves the price.
        least: AMOUNT * ROUNDS * U256::from(2) * U256::from(99) / U256::from(100),
        deadline: U256::MAX,
    };
    // The approvals took the nonces before.
    call(trader, 2, router, GAS_LIMIT, &trade)
}
