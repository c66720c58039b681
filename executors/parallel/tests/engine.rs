//! The engine's promises that do not depend on a layer, and the known faults of other engines.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common {
    pub(crate) mod toy;
}

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread::{self, ThreadId},
    time::Duration,
};

use alloy_primitives::{Address, B256, Bytes, U256};
use common::toy::{At, SHARED, Step, ToyLayer, env, plain, sender, state, transaction};
use weft_executor_core::{Account, BlockEnv, ExecutionLayer, MemoryState, StateView};
use weft_executor_parallel::{BlockExecution, Engine, EngineError, execute_sequential};
use weft_primitives::RecoveredTransaction;

/// An engine to which no block is too small for several threads.
fn engine(threads: usize) -> Engine {
    let engine = Engine::new(threads.try_into().unwrap()).unwrap();
    engine.with_parallel_from(Duration::ZERO)
}

fn check(transactions: &[RecoveredTransaction], state: &MemoryState, block: &BlockEnv) {
    let expected = execute_sequential(&plain(), block, transactions, state).unwrap();
    for threads in 1..=8 {
        let engine = engine(threads);
        // Once without and once with what it has learned from this block.
        for learned in [false, true] {
            let found = engine
                .execute(&plain(), block, transactions, state)
                .unwrap();
            assert!(found == expected, "{threads} threads, learned: {learned}");
            let stats = found.stats;
            assert!(stats.threads == 1 || stats.threads == threads, "{stats:?}");
            assert!(stats.reexecutions <= stats.speculated, "{stats:?}");
            assert!(stats.speculated <= transactions.len(), "{stats:?}");
            // Waits until it has learned.
            engine.predictor();
        }
    }
}

/// Fails, and does not hang, when `work` comes to no end.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let worker = thread::spawn(move || {
        let _ = sender.send(work());
    });
    match receiver.recv_timeout(Duration::from_secs(60)) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("came to no end"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(worker.join().unwrap_err())
        }
    }
}

/// What the threads of a block have done so far, for layers in which threads wait for each other.
#[derive(Default)]
struct Seen {
    /// Threads that have started an execution, and that have ended one.
    started: HashSet<ThreadId>,
    ended: HashSet<ThreadId>,
    /// How often each transaction was started.
    tries: HashMap<u16, usize>,
    /// Executions that each thread has ended.
    executions: HashMap<ThreadId, usize>,
}

#[derive(Default)]
struct Watch {
    seen: Mutex<Seen>,
    changed: Condvar,
}

impl Watch {
    fn note(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.seen.lock().unwrap());
        self.changed.notify_all();
    }

    fn wait_until(&self, reached: impl Fn(&Seen) -> bool) {
        let (seen, _) = self
            .changed
            .wait_timeout_while(self.seen.lock().unwrap(), Duration::from_secs(30), |seen| {
                !reached(seen)
            })
            .unwrap();
        assert!(reached(&seen), "waited for what never happened");
    }
}

#[test]
fn blocks_of_no_one_two_and_many_transactions() {
    for count in [0, 1, 2, 5_000u16] {
        let transactions: Vec<_> = (0..count)
            .map(|number| {
                let slot = u8::try_from(number % 50).unwrap();
                transaction(number, 0, &[Step::Read(slot), Step::Write(slot)])
            })
            .collect();
        check(&transactions, &state(count), &env());
    }
}

#[test]
fn all_transactions_conflict() {
    let steps = [Step::Read(0), Step::Write(0), Step::RevertIfEven];
    let transactions: Vec<_> = (0..500)
        .map(|number| transaction(number, 0, &steps))
        .collect();
    check(&transactions, &state(500), &env());
    // And all from one sender.
    let transactions: Vec<_> = (0..500)
        .map(|nonce| transaction(0, nonce, &steps))
        .collect();
    check(&transactions, &state(1), &env());
}

#[test]
fn storage_is_wiped_and_written_again() {
    let transactions: Vec<_> = (0..300u16)
        .map(|number| {
            let slot = number.to_le_bytes()[0] % 16;
            let steps: &[Step] = match number % 9 {
                4 => &[Step::Wipe, Step::Write(1)],
                5 => &[Step::Read(1), Step::RevertIfEven, Step::Wipe],
                _ => &[Step::Read(slot), Step::Read(15 - slot), Step::Write(slot)],
            };
            transaction(number, 0, steps)
        })
        .collect();
    let mut state = state(300);
    let slots = (0..16u8).map(|slot| (U256::from(slot), U256::from(slot + 5)));
    state.storage.insert(SHARED, slots.collect());
    check(&transactions, &state, &env());
}

#[test]
fn beneficiary_is_read_between_its_fees() {
    let transactions: Vec<_> = (0..300)
        .map(|number| {
            let read = if number % 7 == 0 {
                Step::Beneficiary
            } else {
                Step::Read(0)
            };
            transaction(
                number,
                0,
                &[read, Step::Write(u8::try_from(number % 5).unwrap())],
            )
        })
        .collect();
    check(&transactions, &state(300), &env());
}

#[test]
fn one_invalid_transaction_is_left_out_and_the_block_stands() {
    for invalid in [0, 57, 99] {
        let transactions: Vec<_> = (0..100)
            .map(|number| {
                let nonce = if number == invalid { 9 } else { 0 };
                transaction(number, nonce, &[Step::Read(0), Step::Write(0)])
            })
            .collect();
        let state = state(100);
        check(&transactions, &state, &env());
        let result = engine(4)
            .execute(&plain(), &env(), &transactions, &state)
            .unwrap();
        assert_eq!(result.receipts.len(), 99);
        assert_eq!(result.dropped.len(), 1);
        assert_eq!(result.dropped[0].0, usize::from(invalid));
    }
}

#[test]
fn block_gas_limit_is_reached_in_the_middle() {
    let transactions: Vec<_> = (0..200)
        .map(|number| transaction(number, 0, &[Step::Read(0), Step::Write(0)]))
        .collect();
    for gas_limit in [0, 999_999, 1_000_000, 1_100_000, 3_000_000] {
        let block = BlockEnv { gas_limit, ..env() };
        check(&transactions, &state(200), &block);
    }
}

/// One engine for several callers, whose blocks have their threads in common and nothing else.
#[test]
fn several_blocks_at_the_same_time() {
    let engine = engine(3);
    let steps = [Step::Read(0), Step::Write(0), Step::RevertIfEven];
    thread::scope(|scope| {
        for caller in 0..4u64 {
            let engine = &engine;
            scope.spawn(move || {
                let transactions: Vec<_> = (0..200)
                    .map(|number| transaction(number, 0, &steps))
                    .collect();
                let mut state = state(200);
                let first = [(U256::ZERO, U256::from(caller + 1))];
                state.storage.insert(SHARED, first.into());
                let expected = execute_sequential(&plain(), &env(), &transactions, &state).unwrap();
                for _ in 0..20 {
                    let found = engine
                        .execute(&plain(), &env(), &transactions, &state)
                        .unwrap();
                    assert!(found == expected, "caller {caller}");
                }
            });
        }
    });
}

/// The nonces of one sender in the wrong order: each transaction but the last must be refused, and
/// none is tried over and over until its nonce comes.
#[test]
fn a_nonce_mismatch_waits_for_nobody_and_is_not_tried_again_and_again() {
    const COUNT: usize = 300;
    let transactions: Vec<_> = (0..COUNT as u64)
        .rev()
        .map(|nonce| transaction(0, nonce, &[Step::Write(0)]))
        .collect();
    let state = state(1);
    let expected = execute_sequential(&plain(), &env(), &transactions, &state).unwrap();
    assert_eq!(expected.dropped.len(), COUNT - 1);
    for threads in 1..=8 {
        let executions = Arc::new(AtomicUsize::new(0));
        let layer = ToyLayer {
            hook: {
                let executions = Arc::clone(&executions);
                move |_, at| {
                    if at == At::Start {
                        executions.fetch_add(1, Ordering::Relaxed);
                    }
                }
            },
        };
        let result = engine(threads)
            .execute(&layer, &env(), &transactions, &state)
            .unwrap();
        assert!(result == expected, "{threads} threads");
        // Once ahead of its turn and once at its turn, at most.
        assert!(executions.load(Ordering::Relaxed) <= 2 * COUNT);
    }
}

/// No execution goes on before two threads have started one.
#[test]
fn transactions_run_at_the_same_time() {
    let result = in_time(|| {
        let watch = Watch::default();
        let layer = ToyLayer {
            hook: move |_, at| {
                if at == At::Start {
                    watch.note(|seen| {
                        seen.started.insert(thread::current().id());
                    });
                    watch.wait_until(|seen| seen.started.len() == 2);
                }
            },
        };
        let transactions: Vec<_> = (0..200)
            .map(|number| transaction(number, 0, &[Step::Write(number.to_le_bytes()[0])]))
            .collect();
        engine(2)
            .execute(&layer, &env(), &transactions, &state(200))
            .unwrap()
    });
    assert_eq!(result.receipts.len(), 200);
}

/// The first execution of one of two threads goes on when the other thread has done nearly all of
/// its own: while it runs, nothing that the other does needs it.
#[test]
fn no_thread_waits_for_another_before_its_work_is_done() {
    const COUNT: u16 = 200;
    let result = in_time(|| {
        let watch = Watch::default();
        let waits = AtomicBool::new(true);
        let layer = ToyLayer {
            hook: move |_, at| {
                let me = thread::current().id();
                if at == At::End {
                    watch.note(|seen| *seen.executions.entry(me).or_default() += 1);
                } else if waits.swap(false, Ordering::SeqCst) {
                    watch.wait_until(|seen| {
                        let mut others = seen.executions.iter();
                        others.any(|(thread, ended)| *thread != me && *ended >= 80)
                    });
                }
            },
        };
        let transactions: Vec<_> = (0..COUNT)
            .map(|number| transaction(number, 0, &[Step::Write(number.to_le_bytes()[0])]))
            .collect();
        engine(2)
            .execute(&layer, &env(), &transactions, &state(COUNT))
            .unwrap()
    });
    assert_eq!(result.receipts.len(), usize::from(COUNT));
    assert_eq!(result.stats.threads, 2);
    assert_eq!(result.stats.reexecutions, 0);
}

/// Two threads that know nothing of each other have both read a slot that all write: of such
/// transactions some are executed again, each once and after all others.
#[test]
fn what_has_read_a_stale_value_is_executed_again_once() {
    const COUNT: u16 = 200;
    let steps = [Step::Read(0), Step::Write(0)];
    let transactions: Vec<_> = (0..COUNT)
        .map(|number| transaction(number, 0, &steps))
        .collect();
    let expected = execute_sequential(&plain(), &env(), &transactions, state(COUNT)).unwrap();
    let (result, most_tries) = in_time(move || {
        let watch = Arc::new(Watch::default());
        let layer = ToyLayer {
            hook: {
                let watch = Arc::clone(&watch);
                move |number, at| match at {
                    At::Start => watch.note(|seen| *seen.tries.entry(number).or_default() += 1),
                    At::End => {
                        watch.note(|seen| {
                            seen.ended.insert(thread::current().id());
                        });
                        watch.wait_until(|seen| seen.ended.len() == 2);
                    }
                }
            },
        };
        let result = engine(2)
            .execute(&layer, &env(), &transactions, &state(COUNT))
            .unwrap();
        let seen = watch.seen.lock().unwrap();
        (result, seen.tries.values().copied().max())
    });
    assert!(result == expected);
    assert_eq!(result.stats.threads, 2);
    assert!(result.stats.reexecutions > 0);
    assert_eq!(most_tries, Some(2));
}

#[test]
fn a_panic_of_the_layer_is_a_panic_of_the_caller_and_the_engine_goes_on() {
    const COUNT: u16 = 64;
    let steps = [Step::Read(0), Step::Write(0)];
    let transactions: Vec<_> = (0..COUNT)
        .map(|number| transaction(number, 0, &steps))
        .collect();
    let state = state(COUNT);
    let expected = execute_sequential(&plain(), &env(), &transactions, &state).unwrap();
    for threads in 1..=8 {
        for panicking in [0, 1, 20, COUNT - 1] {
            // On the first execution or, where the engine has one, on the second.
            for on_try in 1..=2 {
                let block = (transactions.clone(), state.clone());
                let (engine, panicked) = in_time(move || {
                    let (transactions, state) = block;
                    let engine = engine(threads);
                    let tries = AtomicUsize::new(0);
                    let panicked = Arc::new(AtomicBool::new(false));
                    let layer = ToyLayer {
                        hook: {
                            let panicked = Arc::clone(&panicked);
                            move |number, at| {
                                if (number, at) == (panicking, At::End)
                                    && tries.fetch_add(1, Ordering::SeqCst) + 1 == on_try
                                {
                                    panicked.store(true, Ordering::SeqCst);
                                    panic!("the layer panics as the test wants it to");
                                }
                            }
                        },
                    };
                    let result = catch_unwind(AssertUnwindSafe(|| {
                        engine.execute(&layer, &env(), &transactions, &state)
                    }));
                    let panicked = panicked.load(Ordering::SeqCst);
                    assert_eq!(result.is_err(), panicked);
                    (engine, panicked)
                });
                assert!(panicked || on_try == 2);
                let after: BlockExecution = engine
                    .execute(&plain(), &env(), &transactions, &state)
                    .unwrap();
                assert!(after == expected, "{threads} threads");
            }
        }
    }
}

/// A state that cannot read one account and one slot.
#[derive(Clone)]
struct FailingState<'a> {
    state: &'a MemoryState,
    account: Option<Address>,
    slot: Option<U256>,
}

#[derive(Debug, PartialEq, Eq)]
enum Unreadable {
    Account(Address),
    Slot(U256),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Unreadable {}

fn never<T>(result: Result<T, Infallible>) -> T {
    let Ok(value) = result;
    value
}

impl StateView for FailingState<'_> {
    type Error = Unreadable;

    fn account(&mut self, address: Address) -> Result<Option<Account>, Unreadable> {
        if self.account == Some(address) {
            return Err(Unreadable::Account(address));
        }
        Ok(never(self.state.account(address)))
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Unreadable> {
        if self.slot == Some(slot) {
            return Err(Unreadable::Slot(slot));
        }
        Ok(never(self.state.storage(address, slot)))
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, Unreadable> {
        Ok(never(self.state.code(code_hash)))
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Unreadable> {
        Ok(never(self.state.block_hash(number)))
    }
}

fn outcome<L: ExecutionLayer>(
    threads: usize,
    layer: &L,
    transactions: &[RecoveredTransaction],
    view: FailingState<'_>,
) -> Result<BlockExecution, EngineError<Unreadable>> {
    engine(threads).execute(layer, &env(), transactions, view)
}

#[test]
fn a_failed_read_ends_the_block_exactly_when_it_ends_the_oracle() {
    let mut transactions: Vec<_> = (0..100u16)
        .map(|number| {
            let slot = u8::try_from(number % 10).unwrap();
            let nonce = u64::from(number == 13);
            transaction(number, nonce, &[Step::Read(slot), Step::Write(slot)])
        })
        .collect();
    transactions.push(transaction(5, 1, &[Step::Beneficiary]));
    let mut base = state(100);
    base.storage.insert(
        SHARED,
        (0..10).map(|slot| (U256::from(slot), U256::ONE)).collect(),
    );
    let accounts = (0..101).map(|number| Some(sender(number))).chain([
        None,
        Some(SHARED),
        Some(common::toy::BENEFICIARY),
    ]);
    let mut failures = 0;
    for account in accounts {
        for slot in [None, Some(0u64), Some(3), Some(11)] {
            let view = FailingState {
                state: &base,
                account,
                slot: slot.map(U256::from),
            };
            let expected = execute_sequential(&plain(), &env(), &transactions, view.clone());
            for threads in [1, 2, 5] {
                let found = outcome(threads, &plain(), &transactions, view.clone());
                match (&found, &expected) {
                    (Ok(found), Ok(expected)) => assert!(found == expected),
                    (Err(EngineError::State(found)), Err(EngineError::State(expected))) => {
                        failures += 1;
                        // The engine pays all fees in one sum, and so comes later to an account of
                        // the beneficiary that cannot be read; by then another read has failed.
                        let beneficiary = Unreadable::Account(common::toy::BENEFICIARY);
                        let later = *expected == beneficiary && view.slot.is_some();
                        assert!(found == expected || later, "{found}, expected {expected}");
                    }
                    _ => panic!("found {found:?}, expected {expected:?}"),
                }
            }
        }
    }
    assert!(failures > 0);
}
