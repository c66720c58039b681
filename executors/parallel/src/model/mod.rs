//! Model checks of everything that threads share: `Turn` under all schedules that differ (loom), and
//! whole blocks under many random ones (shuttle), held against the oracle.
//!
//! loom also lets each relaxed read see any value that the memory model allows; shuttle does not.

pub(crate) mod sync;
mod turn;

#[path = "../../tests/common/toy.rs"]
mod toy;

use std::{convert::Infallible, fmt, sync::Arc};

use alloy_eip7928::BlockAccessList;
use alloy_primitives::{Address, B256, Bytes, U256};
use rand::{Rng, SeedableRng, rngs::StdRng};
use toy::{SHARED, Step, env, plain, state, transaction};
use weft_executor_core::{Account, BlockEnv, MemoryState, StateView};
use weft_primitives::RecoveredTransaction;

use crate::{
    BlockExecution, EngineError, ExecutionStats,
    block::BlockRun,
    crew::Crew,
    execute_sequential,
    lanes::{Deal, LaneMemory, LaneOutcome, LaneRun},
    listed::Listed,
    plan::Plan,
    space::Space,
};

/// A state in memory of which one slot cannot be read.
#[derive(Debug, Clone, Copy)]
struct View<'a> {
    state: &'a MemoryState,
    unreadable: Option<U256>,
}

#[derive(Debug, PartialEq, Eq)]
struct Unreadable;

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unreadable")
    }
}

impl std::error::Error for Unreadable {}

fn read<T>(value: Result<T, Infallible>) -> Result<T, Unreadable> {
    let Ok(value) = value;
    Ok(value)
}

impl StateView for View<'_> {
    type Error = Unreadable;

    fn account(&mut self, address: Address) -> Result<Option<Account>, Unreadable> {
        read(self.state.account(address))
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Unreadable> {
        if address == SHARED && self.unreadable == Some(slot) {
            return Err(Unreadable);
        }
        read(self.state.storage(address, slot))
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, Unreadable> {
        read(self.state.code(code_hash))
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Unreadable> {
        read(self.state.block_hash(number))
    }
}

fn crew(threads: usize) -> Crew {
    Crew::new(threads.try_into().unwrap()).unwrap()
}

/// What [`Engine`](crate::Engine) does with a block whose transactions nothing is known of: they are
/// dealt in turn, and when the lanes have stopped some are executed in order before others are
/// dealt again.
fn execute_in_lanes(
    block: &BlockEnv,
    transactions: &[RecoveredTransaction],
    view: View<'_>,
    threads: usize,
) -> Result<BlockExecution, EngineError<Unreadable>> {
    let layer = plain();
    let crew = crew(threads);
    let mut memory = LaneMemory::new(threads);
    let mut run = LaneRun::new(&layer, block, transactions, view, &mut memory);
    let mut start = 0;
    while start < transactions.len() {
        // Two segments at least.
        let end = transactions.len().min(start + transactions.len() / 2 + 1);
        let mut deal = Deal::default();
        deal.lanes.resize(threads, Vec::new());
        for index in start..end {
            deal.lane_of.push((index % threads).try_into().unwrap());
            deal.lanes[index % threads].push(index.try_into().unwrap());
        }
        start = match run.side_by_side(&crew, start..end, &deal)? {
            LaneOutcome::Apart => end,
            LaneOutcome::Met { end, .. } => {
                let after = transactions.len().min(end + 2);
                run.in_order(end..after)?;
                after
            }
        };
    }
    Ok(run.finish(Some(&crew))?.0)
}

/// What [`Engine`](crate::Engine) does with a block that has an access list, on the model checker's
/// threads.
fn execute_with_list(
    block: &BlockEnv,
    transactions: &[RecoveredTransaction],
    list: &BlockAccessList,
    view: View<'_>,
    threads: usize,
) -> Result<BlockExecution, EngineError<Unreadable>> {
    let layer = plain();
    let mut space = Space::new(threads);
    let plan = Plan::new(transactions);
    let list = Listed::new(list);
    let run = BlockRun::new(
        &layer,
        block,
        transactions,
        &plan,
        &list,
        &view,
        &space,
        threads,
    );
    shuttle::thread::scope(|scope| {
        for worker in 1..threads {
            let run = &run;
            scope.spawn(move || run.work(worker, view));
        }
        run.work(0, view);
    });
    let settlement = run.finish()?;
    Ok(settlement.into_execution(
        space.take_changes(&crew(threads)),
        ExecutionStats::default(),
    ))
}

struct Case {
    env: BlockEnv,
    state: MemoryState,
    transactions: Vec<RecoveredTransaction>,
    unreadable: Option<U256>,
    threads: usize,
}

impl Case {
    fn new(senders: u16, threads: usize, transactions: Vec<RecoveredTransaction>) -> Self {
        Self {
            env: env(),
            state: state(senders),
            transactions,
            unreadable: None,
            threads,
        }
    }

    /// Compares with the oracle under this many random schedules of each of two kinds.
    fn check(self, schedules: usize) {
        let case = Arc::new(self);
        let run = {
            let case = Arc::clone(&case);
            move || case.run()
        };
        shuttle::check_random(run.clone(), schedules);
        shuttle::check_pct(run, schedules, 3);
    }

    fn run(&self) {
        let view = View {
            state: &self.state,
            unreadable: self.unreadable,
        };
        let expected = execute_sequential(&plain(), &self.env, &self.transactions, view);
        let agree = |found| self.agree(found, &expected);
        agree(execute_in_lanes(
            &self.env,
            &self.transactions,
            view,
            self.threads,
        ));
        // A list without entries says that nobody changes anything.
        let list = expected.as_ref().map(BlockExecution::access_list);
        for list in [list.unwrap_or_default(), BlockAccessList::default()] {
            agree(execute_with_list(
                &self.env,
                &self.transactions,
                &list,
                view,
                self.threads,
            ));
        }
    }

    fn agree(
        &self,
        found: Result<BlockExecution, EngineError<Unreadable>>,
        expected: &Result<BlockExecution, EngineError<Unreadable>>,
    ) {
        match (found, expected) {
            (Ok(found), Ok(expected)) => {
                assert_eq!(found.receipts, expected.receipts);
                assert_eq!(found.dropped, expected.dropped);
                assert_eq!(found.changes, expected.changes);
                let (list, expected_list) = (found.access_list(), expected.access_list());
                for (entry, expected) in list.iter().zip(&expected_list) {
                    assert_eq!(entry, expected);
                }
                assert!(found == *expected);
            }
            (Err(EngineError::State(found)), Err(EngineError::State(expected))) => {
                assert_eq!(found, *expected);
            }
            (found, expected) => panic!("found {found:?}, expected {expected:?}, {:?}", self.env),
        }
    }
}

const COUNT: &[Step] = &[Step::Read(0), Step::Write(0)];

#[test]
fn transactions_that_all_conflict() {
    let transactions = (0..6).map(|number| transaction(number, 0, COUNT)).collect();
    Case::new(6, 3, transactions).check(400);
}

#[test]
fn transactions_that_conflict_here_and_there() {
    let steps: [&[Step]; 5] = [
        &[Step::Read(0), Step::Write(1)],
        &[Step::Write(0)],
        &[Step::Read(1), Step::Beneficiary, Step::Write(2)],
        &[Step::Read(2), Step::RevertIfEven, Step::Write(0)],
        &[Step::Read(3)],
    ];
    let transactions = (0..10)
        .map(|number| transaction(number, 0, steps[usize::from(number) % steps.len()]))
        .collect();
    Case::new(10, 2, transactions).check(400);
}

/// Slots that are read while all of them are removed, and written again.
#[test]
fn storage_that_is_wiped() {
    let steps: [&[Step]; 4] = [
        &[Step::Read(0), Step::Read(1), Step::Write(4)],
        &[Step::Wipe, Step::Write(0)],
        &[Step::Read(2), Step::Read(3), Step::Read(0)],
        &[Step::Read(1), Step::RevertIfEven, Step::Write(3)],
    ];
    let transactions = (0..10)
        .map(|number| transaction(number, 0, steps[usize::from(number) % steps.len()]))
        .collect();
    let mut case = Case::new(10, 3, transactions);
    let slots = (0..4u8).map(|slot| (U256::from(slot), U256::from(slot + 5)));
    case.state.storage.insert(SHARED, slots.collect());
    case.check(500);
}

/// The storage goes in one segment; in the next, one lane writes a slot as it was before, and the other
/// had found it empty.
#[test]
fn a_slot_that_is_written_as_it_was_before_a_wipe() {
    let steps = |number: u16| -> &[Step] {
        match number {
            0 => &[Step::Wipe],
            8 => &[Step::Write(0)],
            9 => &[Step::Read(0), Step::Write(1)],
            _ => &[],
        }
    };
    let transactions = (0..10).map(|number| transaction(number, 0, steps(number)));
    let mut case = Case::new(10, 2, transactions.collect());
    let slot = (U256::ZERO, U256::ONE);
    case.state
        .insert(SHARED, 1, U256::ZERO, Bytes::new(), [slot]);
    case.check(100);
}

#[test]
fn one_senders_chain_beside_others_with_nonces_that_do_not_fit() {
    let chain = (0..5).map(|nonce| transaction(0, nonce, COUNT));
    let others = (1..4).map(|number| transaction(number, number.into(), COUNT));
    let mut transactions: Vec<_> = chain.chain(others).collect();
    transactions.swap(1, 6);
    transactions.swap(3, 5);
    Case::new(4, 3, transactions).check(400);
}

/// Small blocks of all kinds, each under a few schedules.
#[test]
fn random_blocks() {
    for seed in 0..60 {
        let mut rng = StdRng::seed_from_u64(seed);
        let senders = rng.random_range(1..6);
        let mut nonces = vec![0; usize::from(senders)];
        let transactions = (0..rng.random_range(2..16))
            .map(|_| {
                let sender = rng.random_range(0..senders);
                let next = &mut nonces[usize::from(sender)];
                let wrong = u64::from(rng.random_ratio(1, 10));
                let nonce = *next + wrong;
                *next += 1 - wrong;
                let steps: Vec<_> = (0..rng.random_range(1..5))
                    .map(|_| match rng.random_range(0..12) {
                        0..5 => Step::Read(rng.random_range(0..4)),
                        5..9 => Step::Write(rng.random_range(0..4)),
                        9 => Step::Beneficiary,
                        10 => Step::RevertIfEven,
                        _ => Step::Wipe,
                    })
                    .collect();
                transaction(sender, nonce, &steps)
            })
            .collect();
        let mut case = Case::new(senders, rng.random_range(2..5), transactions);
        let slots = (0..3u8).map(|slot| (U256::from(slot), U256::from(slot + 5)));
        case.state.storage.insert(SHARED, slots.collect());
        if rng.random_ratio(1, 5) {
            case.env.gas_limit = rng.random_range(1_000_000..1_300_000);
        }
        case.check(15);
    }
}

/// Enough transactions that do not hold for working ahead to be given up.
#[test]
fn a_block_that_turns_serial_and_back() {
    let transactions = (0..80u16)
        .map(|number| {
            let slot = if number < 60 {
                0
            } else {
                number.to_le_bytes()[0]
            };
            transaction(number, 0, &[Step::Read(slot), Step::Write(slot)])
        })
        .collect();
    Case::new(80, 2, transactions).check(60);
}

/// More transactions than may be claimed ahead.
#[test]
fn a_block_longer_than_its_window() {
    let transactions = (0..300u16)
        .map(|number| transaction(number, 0, &[Step::Read(number.to_le_bytes()[0] % 32)]))
        .collect();
    Case::new(300, 2, transactions).check(20);
}

#[test]
fn a_block_that_ends_with_a_failed_read() {
    let steps = [COUNT, &[Step::Read(7)]];
    let transactions = (0..6)
        .map(|number| transaction(number, 0, steps[usize::from(number == 4)]))
        .collect();
    let case = Case {
        unreadable: Some(U256::from(7)),
        ..Case::new(6, 3, transactions)
    };
    case.check(400);
}

/// Others wait for room when it fails, and must hear of the end.
#[test]
fn a_block_that_fails_at_once_and_is_longer_than_its_window() {
    let mut transactions = vec![transaction(0, 0, &[Step::Read(7)])];
    transactions.extend((1..200).map(|number| transaction(number, 0, &[Step::Read(0)])));
    let case = Case {
        unreadable: Some(U256::from(7)),
        ..Case::new(200, 2, transactions)
    };
    case.check(40);
}
