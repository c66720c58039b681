//! Random blocks of EVM contracts and Tally contracts that call, create and revert each other: the
//! engine gives what its oracle gives, in every bit, on every number of threads (invariant I1).
//!
//! ```text
//! WEFT_TEST_BLOCKS=10000 cargo test --release -p weft-executor-tally --test blocks -- --nocapture
//! ```
//!
//! Block `i` of a run has the seed `WEFT_TEST_SEED + i`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;
#[path = "../../evm/tests/common/code.rs"]
mod programs;

use std::{env, time::Duration};

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use common::{Code, chain, layer, plain::PlainBlock};
use programs::Scene;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use weft_executor_core::{BlockEnv, MemoryState};
use weft_executor_evm::EvmLayer;
use weft_executor_parallel::{
    BlockExecution, Engine, PREDICTOR_CAPACITY, Predictor, execute_sequential,
};
use weft_executor_tally::MARK;
use weft_primitives::{Fork, RecoveredTransaction, Transaction, TxDeposit};

const NUMBER: u64 = 1_000;
const CONTRACTS: usize = 8;
const USERS: usize = 8;

fn contract(index: usize) -> Address {
    Address::from_word(keccak256(format!("contract {index}")))
}

fn user(index: usize) -> Address {
    Address::from_word(keccak256(format!("user {index}")))
}

/// A Tally contract of some statements.
fn tally(scene: &Scene, statements: usize, rng: &mut StdRng) -> Code {
    let count = rng.random_range(1..=statements);
    let mut code = (0..count).fold(Code::new(), |code, _| statement(code, scene, rng));
    if rng.random_ratio(1, 3) {
        code = value(code, scene, rng);
        code = code.op(*[common::RETURN, common::REVERT].choose(rng).unwrap());
    }
    code
}

/// Puts a word on the stack that often depends on state or calldata.
fn value(code: Code, scene: &Scene, rng: &mut StdRng) -> Code {
    let slot = rng.random_range(0..programs::SLOTS);
    match rng.random_range(0..11) {
        0..3 => code.push(slot).op(common::LOAD),
        3 => code.push(0).op(common::DATA),
        4 => address(code, scene, rng).op(common::BALANCE),
        5 => code.op(common::OUTPUT),
        6 => {
            let ops = [
                common::CALLER,
                common::VALUE,
                common::ITSELF,
                common::GAS,
                common::REENTRANT,
            ];
            code.op(*ops.choose(rng).unwrap())
        }
        7 => {
            let code = code.push(slot).op(common::LOAD);
            value(code, scene, rng).op(common::ADD)
        }
        _ => code.push(rng.random_range(0u64..3)),
    }
}

fn address(code: Code, scene: &Scene, rng: &mut StdRng) -> Code {
    if rng.random_ratio(1, 4) {
        return code.push(0).op(common::DATA);
    }
    code.push(*scene.places.choose(rng).unwrap())
}

fn statement(code: Code, scene: &Scene, rng: &mut StdRng) -> Code {
    let slot = rng.random_range(0..programs::SLOTS);
    let offset = *[0u64, 0, 32].choose(rng).unwrap();
    let wei = *[0u64, 0, 1, 20].choose(rng).unwrap();
    match rng.random_range(0..12) {
        0..4 => value(code, scene, rng).push(slot).op(common::STORE),
        4 => value(value(code, scene, rng), scene, rng).op(common::LOG),
        5..8 => {
            let code = code.push(offset).push(wei);
            address(code, scene, rng).op(common::CALL)
        }
        8 => {
            let code = address(code.push(offset), scene, rng);
            code.op(*[common::DELEGATE, common::STATIC].choose(rng).unwrap())
        }
        9 => code.push(0).push(wei).op(common::CREATE),
        10 => {
            let code = code.push(0).push(wei);
            code.push(rng.random_range(0u64..2)).op(common::CREATE2)
        }
        _ => {
            // Ends the frame, or not, as the word says.
            let code = value(code.push(1), scene, rng).op(common::SKIP);
            code.op(*[common::REVERT, common::ADD, common::RETURN]
                .choose(rng)
                .unwrap())
        }
    }
}

struct Scenario {
    env: BlockEnv,
    state: MemoryState,
    transactions: Vec<RecoveredTransaction>,
    plain: PlainBlock,
}

fn runtime(scene: &Scene, statements: usize, rng: &mut StdRng) -> Vec<u8> {
    if rng.random_ratio(1, 2) {
        tally(scene, statements, rng).code()
    } else {
        programs::program(scene, statements, rng)
    }
}

fn scenario(layer: &EvmLayer, seed: u64) -> Scenario {
    let rng = &mut StdRng::seed_from_u64(seed);
    let fork = *[Fork::Prague, Fork::Osaka].choose(rng).unwrap();
    let mut env = chain::block(fork);
    env.number = NUMBER;
    if rng.random_ratio(1, 6) {
        env.beneficiary = contract(rng.random_range(0..CONTRACTS));
    }
    let mut scene = Scene {
        fork,
        number: NUMBER,
        places: (0..CONTRACTS).map(contract).collect(),
        init_codes: Vec::new(),
    };
    scene.places.extend((0..4).map(user));
    scene.places.extend([1, 2, 4].map(Address::with_last_byte));
    scene.places.push(env.beneficiary);
    scene
        .places
        .extend((0..4).map(|index| contract(index).create(1)));
    for _ in 0..4 {
        let init = match rng.random_range(0..3) {
            0 => tally(&scene, 4, rng).init(),
            1 => Code::new().op(rng.random_range(0x10..0x20)).init(),
            _ => {
                let runtime = runtime(&scene, 4, rng);
                programs::init_code(&scene, &runtime, rng)
            }
        };
        for creator in 0..3 {
            let salt = B256::with_last_byte(rng.random_range(0..2));
            let address = contract(creator).create2(salt, keccak256(&init));
            scene.places.push(address);
        }
        scene.init_codes.push(init);
    }
    let state = state(&scene, rng);
    let mut plain = PlainBlock::new(state.clone());
    let count = rng.random_range(20..80);
    let mut transactions = Vec::new();
    while transactions.len() < count {
        let transaction = transaction(&scene, &plain.state, rng);
        let included = plain.push(layer, &env, &transaction);
        assert!(included || !transaction.is_deposit(), "seed {seed}");
        transactions.push(transaction);
    }
    Scenario {
        env,
        state,
        transactions,
        plain,
    }
}

fn state(scene: &Scene, rng: &mut StdRng) -> MemoryState {
    let mut state = MemoryState::default();
    for index in 0..CONTRACTS {
        let code = runtime(scene, 8, rng);
        let slots = programs::slots(scene, rng);
        let balance = *[0, 10, 1_000].choose(rng).unwrap();
        state.insert(contract(index), 1, U256::from(balance), code.into(), slots);
    }
    for index in 0..USERS {
        let code = if rng.random_ratio(1, 4) {
            let target = scene.places.choose(rng).unwrap();
            [&[0xef, 0x01, 0x00], target.as_slice()].concat()
        } else {
            Vec::new()
        };
        state.insert(user(index), 0, U256::from(1u64 << 60), code.into(), []);
    }
    state.block_hashes = (NUMBER - 256..NUMBER)
        .map(|number| (number, keccak256(number.to_be_bytes())))
        .collect();
    state
}

fn transaction(scene: &Scene, state: &MemoryState, rng: &mut StdRng) -> RecoveredTransaction {
    let sender = user(rng.random_range(0..USERS));
    let init: Bytes = scene.init_codes.choose(rng).unwrap().clone().into();
    let place = *scene.places.choose(rng).unwrap();
    let (to, input) = match rng.random_range(0..12) {
        0 => (TxKind::Create, init),
        1..5 => (TxKind::Call(contract(rng.random_range(0..CONTRACTS))), init),
        5 => (TxKind::Call(place), Bytes::new()),
        _ => {
            let words = [place.into_word().0, *keccak256(place)].concat();
            (
                TxKind::Call(contract(rng.random_range(0..CONTRACTS))),
                words.into(),
            )
        }
    };
    let gas_limit = match rng.random_range(0..6) {
        0 => rng.random_range(60_000..150_000),
        1 => 2_000_000,
        _ => 500_000,
    };
    let value = U256::from(rng.random_range(0..4));
    if rng.random_ratio(1, 12) {
        return chain::deposit(TxDeposit {
            from: sender,
            to,
            mint: 5,
            value,
            gas_limit: 300_000,
            input,
            ..TxDeposit::default()
        });
    }
    let wrong = u64::from(rng.random_ratio(1, 40));
    let mut transaction = chain::dynamic_fee(common::nonce(state, sender) + wrong, to, 0);
    transaction.value = value;
    transaction.gas_limit = gas_limit;
    transaction.input = input;
    chain::recovered(sender, Transaction::Eip1559, transaction)
}

fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    let number = value.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable}={value} is no number")))
}

/// What the blocks of a run had in them: without it, they would always be equal.
#[derive(Debug, Default)]
struct Seen {
    included: usize,
    failed: usize,
    dropped: usize,
    tally_created: usize,
    evm_created: usize,
    tally_logs: usize,
    on_threads: usize,
    reexecutions: usize,
}

impl Seen {
    fn count(&mut self, block: &BlockExecution, plain: &PlainBlock) {
        self.included += block.receipts.len();
        self.failed += block.receipts.iter().filter(|found| !found.success).count();
        self.dropped += block.dropped.len();
        for code in block.changes.code.values() {
            let created = if code.starts_with(&MARK) {
                &mut self.tally_created
            } else {
                &mut self.evm_created
            };
            *created += 1;
        }
        let logs = block.receipts.iter().flat_map(|receipt| &receipt.logs);
        let of_tally = logs.filter(|log| {
            common::code_at(&plain.state, log.address).is_some_and(|code| code.starts_with(&MARK))
        });
        self.tally_logs += of_tally.count();
    }
}

#[test]
fn random_blocks_are_what_the_oracle_says() {
    let seed = number("WEFT_TEST_SEED").unwrap_or_else(|| rand::rng().random_range(0..1 << 40));
    let blocks = number("WEFT_TEST_BLOCKS").unwrap_or(60);
    eprintln!("WEFT_TEST_SEED={seed} WEFT_TEST_BLOCKS={blocks}");
    // They remember earlier blocks, whose contracts had the same addresses and other code.
    let engines: Vec<_> = (1..=4usize)
        .map(|threads| {
            let predictor = Predictor::new(PREDICTOR_CAPACITY);
            let engine = Engine::with_predictor(threads.try_into().unwrap(), predictor).unwrap();
            engine.with_parallel_from(Duration::ZERO)
        })
        .collect();
    let mut seen = Seen::default();
    for seed in seed..seed + blocks {
        let layer = if seed.is_multiple_of(8) {
            layer().without_evm_contracts()
        } else {
            layer()
        };
        let Scenario {
            env,
            state,
            transactions,
            plain,
        } = scenario(&layer, seed);
        let expected = execute_sequential(&layer, &env, &transactions, &state).unwrap();
        // The oracle shares code with the engine, and so is held against the plain way.
        assert_eq!(expected.receipts, plain.receipts, "seed {seed}");
        assert_eq!(expected.dropped, plain.dropped, "seed {seed}");
        let mut after = state.clone();
        after.apply(&expected.changes);
        assert_eq!(after.accounts, plain.state.accounts, "seed {seed}");
        assert_eq!(after.storage, plain.state.storage, "seed {seed}");
        assert_eq!(after.code, plain.state.code, "seed {seed}");
        seen.count(&expected, &plain);
        for (index, engine) in engines.iter().enumerate() {
            let found = engine.execute(&layer, &env, &transactions, &state).unwrap();
            assert_eq!(
                found.receipts, expected.receipts,
                "seed {seed}, engine {index}"
            );
            assert!(
                found == expected && found.conflicts() == expected.conflicts(),
                "seed {seed}, engine {index}:\nfound {found:?}\nexpected {expected:?}"
            );
            let list = expected.access_list();
            let (listed, verdict) = engine
                .execute_with_access_list(&layer, &env, &transactions, &list, &state)
                .unwrap();
            assert!(listed == expected, "seed {seed}, engine {index}, listed");
            assert!(verdict.is_ok(), "seed {seed}, engine {index}: {verdict:?}");
            seen.on_threads += usize::from(found.stats.threads > 1);
            seen.reexecutions += found.stats.reexecutions;
        }
    }
    eprintln!("{seen:?}");
    if blocks >= 50 {
        let Seen {
            included,
            failed,
            dropped,
            tally_created,
            evm_created,
            tally_logs,
            on_threads,
            reexecutions,
        } = seen;
        let kinds = [
            included,
            failed,
            dropped,
            tally_created,
            evm_created,
            tally_logs,
            on_threads,
            reexecutions,
        ];
        assert!(!kinds.contains(&0), "{seen:?}");
    }
}
