//! Random blocks that bind, unbind and call: the engine on several threads, the oracle, and the
//! plainest way come to the same, block after block.
//!
//! ```text
//! WEFT_TEST_CHAINS=10000 cargo test --release -p weft-executor-evm --test hooks_parallel
//! WEFT_TEST_SEED=7 WEFT_TEST_CHAINS=1 cargo test -p weft-executor-evm --test hooks_parallel
//! ```
//!
//! Chain `i` of a run has the seed `WEFT_TEST_SEED + i`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use std::{collections::BTreeMap, env, time::Duration};

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_sol_types::{SolCall, SolEvent};
use common::{
    chain::{block, legacy, recovered},
    hooks::*,
    machine::{Do, INIT_PREFIX, PREFIX, layer, program},
    plain::PlainBlock,
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use weft_executor_core::{CallKind, MemoryState};
use weft_executor_evm::HOOKS;
use weft_executor_parallel::{Engine, execute_sequential};
use weft_primitives::{Fork, RecoveredTransaction, Transaction};

const USERS: usize = 6;
const TARGETS: usize = 4;
const PROGRAMS: usize = 4;
const BLOCKS: u64 = 3;

fn named(kind: &str, index: usize) -> Address {
    Address::from_word(keccak256(format!("{kind} {index}")))
}

fn user(index: usize) -> Address {
    named("user", index)
}

fn target(index: usize) -> Address {
    named("target", index)
}

fn hook(index: usize) -> Address {
    named("hook", index)
}

fn forwarder_of(opcode: u8) -> Address {
    named("forwarder", opcode.into())
}

const OPCODES: [u8; 4] = [CALL, CALLCODE, DELEGATECALL, STATICCALL];

fn steps(rng: &mut StdRng) -> Vec<Do> {
    let count = rng.random_range(0..4);
    (0..count)
        .flat_map(|_| match rng.random_range(0..30) {
            0 => vec![Do::Put(U256::from(7)), Do::Revert],
            1 => vec![Do::Spend(rng.random_range(0..120_000))],
            2 => vec![Do::Store(1)],
            3 => vec![Do::Trap],
            13..18 => vec![Do::Load(rng.random_range(0..3)), Do::Log],
            18..21 => vec![Do::Data(36), Do::Log],
            21..24 => vec![Do::Caller, Do::Log],
            8..13 => {
                let to = target(rng.random_range(0..TARGETS));
                let kind = *[CallKind::Call, CallKind::Static, CallKind::Delegate]
                    .choose(rng)
                    .unwrap();
                let selector = *[countCall::SELECTOR, [0; 4]].choose(rng).unwrap();
                vec![Do::Call(kind, to, 0, selector), Do::Log]
            }
            _ => vec![Do::Gas],
        })
        .collect()
}

fn state(rng: &mut StdRng) -> MemoryState {
    let mut state = MemoryState::default();
    for index in 0..USERS {
        state.insert(user(index), 0, U256::from(1u64 << 60), Bytes::new(), []);
    }
    for opcode in OPCODES {
        let code = owned(&forwarder(opcode));
        owned_by(&mut state, forwarder_of(opcode), code, forwarder_of(CALL));
    }
    for index in 0..TARGETS {
        // Some share their code.
        let code = match rng.random_range(0..4) {
            0 => program(&[Do::Load(0)]),
            1 => owned(&[0x60, rng.random(), 0x5f, 0x55]),
            _ => counter(),
        };
        let owner = match rng.random_range(0..3) {
            0 => forwarder_of(CALL),
            _ => user(rng.random_range(0..2)),
        };
        owned_by(&mut state, target(index), code, owner);
    }
    for index in 0..PROGRAMS {
        let slots = [(U256::from(2), U256::from(index))];
        // A hook that is a target, too, belongs to a user.
        let code = if rng.random_ratio(1, 5) {
            program(&[Do::Load(0)])
        } else {
            program(&steps(rng))
        };
        let owner = U256::from_be_bytes(user(0).into_word().0);
        let slots = slots.into_iter().chain([(U256::ZERO, owner)]);
        state.insert(hook(index), 1, U256::ZERO, code, slots);
    }
    state
}

struct Generator {
    rng: StdRng,
    /// The state before the first block, which knows the owners.
    start: MemoryState,
    nonces: BTreeMap<Address, u64>,
}

impl Generator {
    fn target(&mut self) -> Address {
        match self.rng.random_range(0..10) {
            0 => hook(self.rng.random_range(0..PROGRAMS)),
            1 => forwarder_of(*OPCODES.choose(&mut self.rng).unwrap()),
            _ => target(self.rng.random_range(0..TARGETS)),
        }
    }

    /// A binding or its end, most often as the owner: sender, receiver and calldata.
    fn binding(&mut self) -> (Address, Address, Vec<u8>) {
        let target = self.target();
        let hook = hook(self.rng.random_range(0..PROGRAMS));
        let data = if self.rng.random_ratio(1, 2) {
            bind_call(target, hook, self.rng.random_range(1..4))
        } else {
            unbind_call(target, hook)
        };
        let owner = self.start.storage[&target][&U256::ZERO];
        let owner = Address::from_word(owner.into());
        let somebody = user(self.rng.random_range(0..USERS));
        if owner == forwarder_of(CALL) {
            return (somebody, owner, forwarded(HOOKS, &data));
        }
        let sender = if self.rng.random_ratio(1, 15) {
            somebody
        } else {
            owner
        };
        (sender, HOOKS, data)
    }

    /// A receiver and calldata.
    fn message(&mut self) -> (Address, Vec<u8>) {
        let target = self.target();
        let hook = hook(self.rng.random_range(0..PROGRAMS));
        match self.rng.random_range(0..20) {
            0 => (HOOKS, bind_call(target, hook, BOTH)),
            1 => (HOOKS, hooksOfCall { target }.abi_encode()),
            2 => (HOOKS, vec![self.rng.random(); 5]),
            3..8 => {
                let through = forwarder_of(*OPCODES.choose(&mut self.rng).unwrap());
                let (to, data) = self.message();
                (through, forwarded(to, &data))
            }
            _ => (
                target,
                vec![self.rng.random(); self.rng.random_range(0..80)],
            ),
        }
    }

    fn transaction(&mut self) -> RecoveredTransaction {
        let mut sender = user(self.rng.random_range(0..USERS));
        let mut value = *[0, 0, 0, 3].choose(&mut self.rng).unwrap();
        let (to, input) = if self.rng.random_ratio(1, 4) {
            let (owner, to, input) = self.binding();
            (sender, value) = (owner, 0);
            (TxKind::Call(to), input)
        } else if self.rng.random_ratio(1, 20) {
            let code = program(&steps(&mut self.rng));
            let init = [&INIT_PREFIX[..], &code[PREFIX.len()..]].concat();
            (TxKind::Create, init)
        } else {
            let (to, input) = self.message();
            (TxKind::Call(to), input)
        };
        let nonce = self.nonces.entry(sender).or_default();
        let mut transaction = legacy(*nonce, to, value);
        *nonce += 1;
        transaction.input = input.into();
        transaction.gas_limit = match self.rng.random_range(0..6) {
            0 => self.rng.random_range(70_000..140_000),
            1 => 2_000_000,
            _ => 400_000,
        };
        recovered(sender, Transaction::Legacy, transaction)
    }
}

fn variable(name: &str) -> Option<u64> {
    env::var(name).ok().map(|value| value.parse().unwrap())
}

#[test]
fn random_blocks_come_to_the_same_on_all_ways() {
    let first = variable("WEFT_TEST_SEED").unwrap_or_else(|| rand::rng().random());
    let chains = variable("WEFT_TEST_CHAINS").unwrap_or(25);
    let layer = layer();
    let engines: Vec<_> = [1usize, 2, 3, 8]
        .into_iter()
        .map(|threads| {
            let engine = Engine::new(threads.try_into().unwrap()).unwrap();
            engine.with_parallel_from(Duration::ZERO)
        })
        .collect();
    // Events of the registry, hooks' logs, other things that failed.
    let mut seen = BTreeMap::<&str, usize>::new();
    for seed in (0..chains).map(|index| first.wrapping_add(index)) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut state = state(&mut rng);
        let mut generator = Generator {
            rng,
            start: state.clone(),
            nonces: BTreeMap::new(),
        };
        for number in 0..BLOCKS {
            let mut env = block(Fork::LATEST);
            env.number += number;
            let count = generator.rng.random_range(20..70);
            let transactions: Vec<_> = (0..count).map(|_| generator.transaction()).collect();
            let expected = execute_sequential(&layer, &env, &transactions, &state).unwrap();
            assert_eq!(expected.dropped, [], "seed {seed}, block {number}");
            for engine in &engines {
                for _ in 0..2 {
                    let found = engine.execute(&layer, &env, &transactions, &state).unwrap();
                    assert!(found == expected, "seed {seed}, block {number}, {engine:?}");
                    engine.predictor();
                }
            }
            let mut plain = PlainBlock::new(state.clone());
            for transaction in &transactions {
                assert!(plain.push(&layer, &env, transaction));
            }
            state.apply(&expected.changes);
            assert_eq!(plain.state.accounts, state.accounts, "seed {seed}");
            assert_eq!(plain.state.storage, state.storage, "seed {seed}");
            assert_eq!(plain.receipts, expected.receipts, "seed {seed}");
            check_codes(&state);
            for receipt in &expected.receipts {
                if !receipt.success {
                    *seen.entry("failed").or_default() += 1;
                }
                for log in &receipt.logs {
                    let topic = log.topics().first().copied().unwrap_or(B256::ZERO);
                    let kind = match (log.address, topic) {
                        (HOOKS, HookBound::SIGNATURE_HASH) => "bound",
                        (HOOKS, HookUnbound::SIGNATURE_HASH) => "unbound",
                        _ => "hook",
                    };
                    *seen.entry(kind).or_default() += 1;
                }
            }
        }
    }
    println!("{chains} chains from seed {first}: {seen:?}");
    if chains >= 20 {
        for kind in ["bound", "unbound", "hook", "failed"] {
            assert!(seen.get(kind).is_some_and(|count| *count > 20), "{seen:?}");
        }
    }
}
