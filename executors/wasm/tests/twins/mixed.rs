//! Blocks that mix EVM contracts and programs, which call each other, on the parallel engine.

use alloy_primitives::{Address, Bytes, TxKind, U256};
use alloy_sol_types::SolCall;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use weft_primitives::RecoveredTransaction;

use crate::chain::{Chain, Contract, FORMS, abi, user};

const USERS: u8 = 12;
const BLOCKS: usize = 4;
const TRANSACTIONS: usize = 40;

struct World {
    relays: Vec<Address>,
    tokens: Vec<Address>,
    hashing: Vec<Address>,
}

impl World {
    fn new(chain: &mut Chain) -> Self {
        let owner = user(0);
        let mut deploy = |contract: Contract| -> Vec<Address> {
            FORMS
                .into_iter()
                .flat_map(|form| [form; 2])
                .map(|form| chain.deploy(owner, contract.init_code(form)))
                .collect()
        };
        let world = Self {
            relays: deploy(Contract::Relay),
            tokens: deploy(Contract::Erc20),
            hashing: deploy(Contract::Hashing),
        };
        for token in &world.tokens {
            for to in (0..USERS).map(user).chain(world.relays.iter().copied()) {
                let value = U256::from(100);
                chain.send(owner, *token, 0, &abi::Erc20::mintCall { to, value });
            }
        }
        world
    }

    fn contract(&self, random: &mut StdRng) -> Address {
        let all = [&self.relays, &self.tokens, &self.hashing];
        *all.choose(random).unwrap().choose(random).unwrap()
    }

    /// A call of some contract, which may be one that calls others.
    fn call(&self, random: &mut StdRng, depth: usize) -> (Address, Bytes) {
        let token = *self.tokens.choose(random).unwrap();
        let relay = *self.relays.choose(random).unwrap();
        let to = user(random.random_range(0..USERS + 2));
        let value = U256::from(random.random_range(0..120_u64));
        let encoded = |contract, input: Vec<u8>| (contract, Bytes::from(input));
        match random.random_range(0..if depth < 4 { 14 } else { 7 }) {
            0 | 1 => encoded(token, abi::Erc20::transferCall { to, value }.abi_encode()),
            2 => encoded(
                token,
                abi::Erc20::transferFromCall {
                    from: user(random.random_range(0..USERS)),
                    to,
                    value,
                }
                .abi_encode(),
            ),
            3 => encoded(
                token,
                abi::Erc20::approveCall {
                    spender: relay,
                    value,
                }
                .abi_encode(),
            ),
            4 => encoded(relay, abi::Relay::incrementCall {}.abi_encode()),
            5 => encoded(
                *self.hashing.choose(random).unwrap(),
                abi::Hashing::sha256ChainCall {
                    seed: value.into(),
                    rounds: U256::from(random.random_range(0..3_u8)),
                }
                .abi_encode(),
            ),
            6 => encoded(
                relay,
                abi::Relay::failCall {
                    reason: "as asked".into(),
                }
                .abi_encode(),
            ),
            kind => {
                let (to, data) = self.call(random, depth + 1);
                encoded(relay, Self::relayed(random, kind, to, data))
            }
        }
    }

    fn relayed(random: &mut StdRng, kind: u32, to: Address, data: Bytes) -> Vec<u8> {
        match kind {
            7 | 8 => abi::Relay::callCall {
                to,
                value: U256::ZERO,
                data,
            }
            .abi_encode(),
            9 => {
                let value = U256::from(random.random_range(0..3_u8));
                abi::Relay::callCall { to, value, data }.abi_encode()
            }
            10 => abi::Relay::delegateCall { to, data }.abi_encode(),
            11 => abi::Relay::staticCallCall { to, data }.abi_encode(),
            12 => abi::Relay::tryCallCall { to, data }.abi_encode(),
            _ => abi::Relay::reenterCall { via: to, data }.abi_encode(),
        }
    }

    fn transaction(&self, random: &mut StdRng, nonces: &mut [u64]) -> RecoveredTransaction {
        let sender = random.random_range(0..nonces.len());
        let from = user(u8::try_from(sender).unwrap());
        let nonce = nonces[sender];
        nonces[sender] += 1;
        let (to, input) = match random.random_range(0..20) {
            0 => (
                TxKind::Create,
                [Contract::Hashing, Contract::Erc20]
                    .choose(random)
                    .unwrap()
                    .init_code(*FORMS.choose(random).unwrap()),
            ),
            1 => (
                TxKind::Call(user(random.random_range(0..USERS))),
                Bytes::new(),
            ),
            2 => (
                TxKind::Call(self.contract(random)),
                Bytes::from(vec![1, 2, 3]),
            ),
            _ => {
                let (to, input) = self.call(random, 0);
                (TxKind::Call(to), input)
            }
        };
        let gas = match random.random_range(0..6) {
            0 => random.random_range(60_000..400_000),
            _ => 12_000_000,
        };
        let value = if random.random_ratio(1, 5) { 3 } else { 0 };
        Chain::transaction(from, nonce, to, value, gas, input)
    }
}

/// Invariant I1. `WEFT_TEST_MIXED` is how many chains, `WEFT_TEST_SEED` where their seeds begin.
#[test]
fn blocks_of_both_layers_are_the_same_on_every_number_of_threads() {
    let number = |name: &str, default| {
        std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
    };
    let chains: u64 = number("WEFT_TEST_MIXED", 3);
    let first: u64 = number("WEFT_TEST_SEED", rand::random::<u32>().into());
    let (mut succeeded, mut failed) = (0, 0);
    for seed in first..first + chains {
        println!("WEFT_TEST_SEED={seed}");
        let random = &mut StdRng::seed_from_u64(seed);
        let mut chain = Chain::new(USERS);
        let world = World::new(&mut chain);
        for _ in 0..BLOCKS {
            let mut nonces: Vec<u64> = (0..USERS).map(|number| chain.nonce(user(number))).collect();
            let transactions: Vec<_> = (0..TRANSACTIONS)
                .map(|_| world.transaction(random, &mut nonces))
                .collect();
            let executed = chain.execute_block(&transactions);
            let good = executed
                .receipts
                .iter()
                .filter(|receipt| receipt.success)
                .count();
            succeeded += good;
            failed += executed.receipts.len() - good;
            chain.block.number += 1;
        }
    }
    println!("{succeeded} transactions succeeded, {failed} failed");
    assert!(3 * succeeded > failed, "the blocks are to do something");
}
