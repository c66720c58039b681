//! The engine against its oracle: random blocks come out the same in every bit on every number of
//! threads, whatever it was told to expect (invariant I1).
//!
//! A release run over many more blocks than `./test` takes, and the blocks of one seed again:
//!
//! ```text
//! WEFT_TEST_BLOCKS=100000 cargo test --release -p weft-executor-evm --test parallel random_blocks -- --nocapture
//! WEFT_TEST_SEED=7 WEFT_TEST_BLOCKS=1 cargo test -p weft-executor-evm --test parallel random_blocks
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

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use common::blocks::{Scenario, scenario};
use rand::{Rng, SeedableRng, rngs::StdRng};
use weft_executor_core::{Account, MemoryState, StateView};
use weft_executor_evm::EvmLayer;
use weft_executor_parallel::{
    BlockExecution, Engine, ExecutionStats, PREDICTOR_CAPACITY, Predictor, execute_sequential,
};
use weft_primitives::RecoveredTransaction;

/// An engine to which no block is too small for several threads.
fn engine(threads: usize, predictor: Predictor) -> Engine {
    engine_from(threads, predictor, Duration::ZERO)
}

fn engine_from(threads: usize, predictor: Predictor, parallel_from: Duration) -> Engine {
    let engine = Engine::with_predictor(threads.try_into().unwrap(), predictor).unwrap();
    engine.with_parallel_from(parallel_from)
}

/// Engines with 1 to 8 threads, which execute many blocks and hardly remember them.
static ENGINES: LazyLock<Vec<Engine>> = LazyLock::new(|| {
    (1..=8)
        .map(|threads| engine(threads, Predictor::new(0)))
        .collect()
});

/// What the engine knows of a block's transactions before it executes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Hints {
    /// As good as nothing.
    Absent,
    /// What they did when it executed the same block before.
    Correct,
    /// What others did whose contracts had the same addresses and other code.
    OfOtherBlock,
    /// That, saved, changed at random, and restored.
    Forged,
}

/// The block that hostile hints are of.
fn teacher(layer: &EvmLayer, seed: u64) -> Scenario {
    scenario(layer, seed.wrapping_sub(1))
}

/// An engine that has executed a block.
fn pupil(layer: &EvmLayer, of: &Scenario, run: Run) -> Engine {
    let engine = engine_from(
        run.threads,
        Predictor::new(PREDICTOR_CAPACITY),
        run.parallel_from,
    );
    // What comes out is looked at where the block is the one that is tested.
    let _ = engine.execute(layer, &of.env, &of.transactions, &of.state);
    engine
}

/// What an engine has saved, with some bytes changed and the right checksum behind it. Restored, if
/// it still is of the right form, which is so for most.
fn forge(saved: &[u8], rng: &mut StdRng) -> Option<Predictor> {
    const CHECKSUM: usize = 8;
    let body = &saved[..saved.len() - CHECKSUM];
    (0..50).find_map(|_| {
        let mut body = body.to_vec();
        // Behind the version.
        for _ in 0..rng.random_range(1..8) {
            let at = rng.random_range(1..body.len());
            body[at] = match rng.random_range(0..3) {
                0 => rng.random(),
                1 => body[at].wrapping_add(1),
                _ => body[rng.random_range(1..body.len())],
            };
        }
        let checksum = keccak256(&body);
        body.extend_from_slice(&checksum[..CHECKSUM]);
        Predictor::restore(&body, PREDICTOR_CAPACITY).ok()
    })
}

/// A state whose readers now and then let other threads go first, so that more ways to interleave
/// occur than on a state in memory.
#[derive(Clone)]
struct YieldingState<'a> {
    state: &'a MemoryState,
    reads: u32,
    every: u32,
}

impl YieldingState<'_> {
    fn read(&mut self) -> &MemoryState {
        self.reads += 1;
        if self.reads.is_multiple_of(self.every) {
            thread::yield_now();
        }
        self.state
    }
}

impl StateView for YieldingState<'_> {
    type Error = std::convert::Infallible;

    fn account(&mut self, address: Address) -> Result<Option<Account>, Self::Error> {
        self.read().account(address)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Self::Error> {
        self.read().storage(address, slot)
    }

    fn has_storage(&mut self, address: Address) -> Result<bool, Self::Error> {
        self.read().has_storage(address)
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, Self::Error> {
        self.read().code(code_hash)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Self::Error> {
        self.read().block_hash(number)
    }
}

/// What came out, or the error's words.
type Outcome = Result<BlockExecution, String>;

fn oracle(layer: &EvmLayer, scenario: &Scenario) -> Outcome {
    let Scenario {
        env,
        state,
        transactions,
        ..
    } = scenario;
    execute_sequential(layer, env, transactions, state).map_err(|error| format!("{error:?}"))
}

/// What comes out, and the hints there really were: not all can be forged.
fn parallel(layer: &EvmLayer, seed: u64, scenario: &Scenario, run: Run) -> (Outcome, Hints) {
    let Scenario {
        env,
        state,
        transactions,
        ..
    } = scenario;
    let mut hints = run.hints;
    let own = match hints {
        Hints::Absent => None,
        Hints::Correct => Some(pupil(layer, scenario, run)),
        Hints::OfOtherBlock => Some(pupil(layer, &teacher(layer, seed), run)),
        Hints::Forged => {
            let pupil = pupil(layer, &teacher(layer, seed), run);
            let forged = pupil
                .predictor()
                .and_then(|learned| forge(&learned.save(), &mut StdRng::seed_from_u64(seed)));
            if let Some(forged) = forged {
                Some(engine_from(run.threads, forged, run.parallel_from))
            } else {
                hints = Hints::OfOtherBlock;
                Some(pupil)
            }
        }
    };
    let engine = own.as_ref().unwrap_or(&ENGINES[run.threads - 1]);
    // Waits until it has learned.
    engine.predictor();
    let result = if run.every == 0 {
        engine.execute(layer, env, transactions, state)
    } else {
        let state = YieldingState {
            state,
            reads: 0,
            every: run.every,
        };
        engine.execute(layer, env, transactions, state)
    };
    (result.map_err(|error| format!("{error:?}")), hints)
}

/// What is different, in words.
fn difference(found: &Outcome, expected: &Outcome) -> Option<String> {
    let (found, expected) = match (found, expected) {
        (Ok(found), Ok(expected))
            if found == expected && found.conflicts() == expected.conflicts() =>
        {
            return None;
        }
        (Err(found), Err(expected)) if found == expected => return None,
        (Ok(found), Ok(expected)) => (found, expected),
        _ => return Some(format!("found {found:?}\nexpected {expected:?}")),
    };
    let mut text = String::new();
    let mut differ = |what: &str, found: &dyn std::fmt::Debug, expected: &dyn std::fmt::Debug| {
        writeln!(
            text,
            "{what}:\n  found    {found:?}\n  expected {expected:?}"
        )
        .unwrap();
    };
    if found.dropped != expected.dropped {
        differ("dropped", &found.dropped, &expected.dropped);
    }
    if found.gas_used != expected.gas_used {
        differ("gas", &found.gas_used, &expected.gas_used);
    }
    let receipts = found.receipts.iter().zip(&expected.receipts).enumerate();
    for (index, (found, expected)) in receipts {
        if found != expected {
            differ(&format!("receipt {index}"), found, expected);
        }
    }
    let (list, expected_list) = (found.access_list(), expected.access_list());
    for entry in &list {
        if !expected_list.contains(entry) {
            let address = entry.address;
            let other = expected_list.iter().find(|other| other.address == address);
            differ("access list", &Some(entry), &other);
        }
    }
    if list.len() != expected_list.len() {
        differ("access list's length", &list.len(), &expected_list.len());
    }
    let (conflicts, expected_conflicts) = (found.conflicts(), expected.conflicts());
    if conflicts != expected_conflicts {
        differ("conflicts", &conflicts, &expected_conflicts);
    }
    let (found, expected) = (&found.changes, &expected.changes);
    if found.code != expected.code {
        differ("code", &found.code, &expected.code);
    }
    for address in found.accounts.keys().chain(expected.accounts.keys()) {
        let (found, expected) = (found.accounts.get(address), expected.accounts.get(address));
        if found != expected {
            differ(&format!("account {address}"), &found, &expected);
        }
    }
    Some(text)
}

/// How a block is executed in the test.
#[derive(Debug, Clone, Copy)]
struct Run {
    threads: usize,
    /// Reads of a thread's view between two yields; zero for none.
    every: u32,
    hints: Hints,
    /// Of engines that are told what to expect.
    parallel_from: Duration,
}

fn mismatch(layer: &EvmLayer, seed: u64, scenario: &Scenario, run: Run) -> Option<String> {
    let expected = oracle(layer, scenario);
    difference(&parallel(layer, seed, scenario, run).0, &expected)
}

/// Leaves out transactions as long as the block still comes out different, which may depend on how
/// the threads interleave, and so is tried often.
fn shrink(
    layer: &EvmLayer,
    seed: u64,
    scenario: &Scenario,
    run: Run,
) -> (Vec<RecoveredTransaction>, String) {
    let fails = |transactions: &[RecoveredTransaction]| {
        let smaller = Scenario {
            transactions: transactions.to_vec(),
            ..scenario.clone()
        };
        (0..200).find_map(|_| mismatch(layer, seed, &smaller, run))
    };
    let mut transactions = scenario.transactions.clone();
    let mut last = String::from("(not seen again)");
    let mut length = transactions.len();
    while length > 0 {
        let mut start = 0;
        while start < transactions.len() {
            let mut without = transactions.clone();
            without.drain(start..(start + length).min(transactions.len()));
            if let Some(found) = fails(&without) {
                transactions = without;
                last = found;
            } else {
                start += length;
            }
        }
        length /= 2;
    }
    (transactions, last)
}

fn check(
    layer: &EvmLayer,
    seed: u64,
    scenario: &Scenario,
    expected: &Outcome,
    run: Run,
) -> (ExecutionStats, Hints) {
    let (found, hints) = parallel(layer, seed, scenario, run);
    let Some(first) = difference(&found, expected) else {
        let stats = found.map(|execution| execution.stats).unwrap_or_default();
        return (stats, hints);
    };
    let (transactions, last) = shrink(layer, seed, scenario, run);
    panic!(
        "seed {seed}, {run:?}: the engine and the oracle differ\n{first}\n\
         after shrinking:\n{last}\n{:#?}\n{transactions:#?}",
        scenario.env
    );
}

/// The oracle shares code with the engine, so that it is held against the plain way too.
fn check_oracle(seed: u64, scenario: &Scenario, outcome: &Outcome) {
    let (Ok(execution), Some(plain)) = (outcome, &scenario.plain) else {
        assert!(
            outcome.is_err() && scenario.plain.is_none(),
            "seed {seed}: {outcome:?}"
        );
        return;
    };
    assert_eq!(execution.dropped, plain.dropped, "seed {seed}");
    assert_eq!(execution.gas_used, plain.gas_used, "seed {seed}");
    assert_eq!(execution.receipts, plain.receipts, "seed {seed}");
    let mut after = scenario.state.clone();
    after.apply(&execution.changes);
    assert_eq!(after.accounts, plain.state.accounts, "seed {seed}");
    assert_eq!(after.storage, plain.state.storage, "seed {seed}");
    assert_eq!(after.code, plain.state.code, "seed {seed}");
}

fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={value} is no number")),
    )
}

/// What the blocks of a run had in them.
#[derive(Debug, Default)]
struct Tally {
    included: usize,
    without_success: usize,
    dropped: usize,
    impossible_blocks: usize,
    deployed: usize,
    delegated: usize,
    deleted: usize,
    storage_wiped: usize,
    runs: usize,
    /// Of the runs, those on several threads, by hints.
    parallel: BTreeMap<Hints, usize>,
    reexecutions: usize,
}

impl Tally {
    fn count(&mut self, outcome: &Outcome) {
        let Ok(execution) = outcome else {
            self.impossible_blocks += 1;
            return;
        };
        self.included += execution.receipts.len();
        let receipts = execution.receipts.iter();
        self.without_success += receipts.filter(|receipt| !receipt.success).count();
        self.dropped += execution.dropped.len();
        for code in execution.changes.code.values() {
            if code.starts_with(&[0xef, 0x01, 0x00]) {
                self.delegated += 1;
            } else {
                self.deployed += 1;
            }
        }
        for change in execution.changes.accounts.values() {
            self.deleted += usize::from(change.after.is_none());
            self.storage_wiped += usize::from(change.storage_wiped);
        }
    }

    /// Blocks in which nothing happens would always be equal.
    fn assert_all_kinds(&self) {
        let kinds = [
            self.included,
            self.without_success,
            self.dropped,
            self.impossible_blocks,
            self.deployed,
            self.delegated,
            self.deleted,
            self.storage_wiped,
            self.reexecutions,
        ];
        assert!(!kinds.contains(&0), "{self:?}");
        let kinds = [
            Hints::Absent,
            Hints::Correct,
            Hints::OfOtherBlock,
            Hints::Forged,
        ];
        for hints in kinds {
            let parallel = self.parallel.get(&hints).copied().unwrap_or(0);
            assert!(parallel * 32 > self.runs, "{hints:?}: {self:?}");
        }
    }
}

#[test]
fn random_blocks_are_what_the_oracle_says() {
    let seed = number("WEFT_TEST_SEED").unwrap_or_else(|| rand::rng().random_range(0..1 << 40));
    let blocks = number("WEFT_TEST_BLOCKS").unwrap_or(600);
    eprintln!("WEFT_TEST_SEED={seed} WEFT_TEST_BLOCKS={blocks}");
    let start = Instant::now();
    let mut layer = EvmLayer::new();
    let mut tally = Tally::default();
    for seed in seed..seed + blocks {
        let scenario = scenario(&layer, seed);
        let mut rng = StdRng::seed_from_u64(!seed);
        if rng.random_ratio(1, 50) {
            // Code is loaded anew.
            layer = EvmLayer::new();
        }
        let expected = oracle(&layer, &scenario);
        tally.count(&expected);
        check_oracle(seed, &scenario, &expected);
        // Two of the eight for each block, so that a run has many blocks and all numbers.
        for _ in 0..2 {
            let run = Run {
                threads: rng.random_range(1..=8),
                every: if rng.random_ratio(1, 2) {
                    rng.random_range(1..20)
                } else {
                    0
                },
                hints: match rng.random_range(0..6) {
                    0..2 => Hints::Absent,
                    2..4 => Hints::Correct,
                    4 => Hints::OfOtherBlock,
                    _ => Hints::Forged,
                },
                // From some on, a block is tried before it is dealt.
                parallel_from: Duration::from_micros(if rng.random_ratio(1, 16) { 20 } else { 0 }),
            };
            let (stats, hints) = check(&layer, seed, &scenario, &expected, run);
            tally.runs += 1;
            if stats.threads > 1 {
                *tally.parallel.entry(hints).or_default() += 1;
            }
            tally.reexecutions += stats.reexecutions;
        }
    }
    eprintln!("{blocks} blocks in {:?}: {tally:?}", start.elapsed());
    if blocks >= 200 {
        tally.assert_all_kinds();
    }
}
