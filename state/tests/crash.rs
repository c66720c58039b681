//! What was acknowledged survives the process (invariant I2), and a store that could not write does
//! not write again (invariant I6).
//!
//! The writers run in processes of their own: this test binary again, with one of the ignored tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod common;

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use alloy_primitives::{Address, Bytes, keccak256};
use common::{Edit, options, spec, write};
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};
use weft_executor_core::{ChangeSet, MemoryState, StateView};
use weft_state::{StateError, Store, StoreOptions};

const FOLDER: &str = "WEFT_TEST_FOLDER";

/// What block `number` does, so that both processes know.
fn edits(number: u64) -> BTreeMap<Address, Edit> {
    let mut random = StdRng::seed_from_u64(number);
    (0..10)
        .map(|_| {
            let address = Address::with_last_byte(random.random_range(0xa0..0xc0));
            let edit = match random.random_range(0..6) {
                0 => Edit::Remove,
                1 => Edit::Recreate {
                    balance: number,
                    slots: Vec::new(),
                },
                _ => {
                    let slots: Vec<_> = (0..5)
                        .map(|_| (random.random_range(0..20), random.random_range(0..3)))
                        .collect();
                    write(number, number, &slots)
                }
            };
            (address, edit)
        })
        .collect()
}

fn model_at(number: u64) -> MemoryState {
    let mut model = common::genesis_model(&spec());
    for number in 1..=number {
        let changes = common::changes(&model, &edits(number));
        model.apply(&changes);
    }
    model
}

/// Small memtables, so that kills meet flushes too.
fn kill_options() -> StoreOptions {
    StoreOptions {
        memtable_bytes: 64 << 10,
        ..options()
    }
}

fn child(test: &str, folder: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args([test, "--exact", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped());
    command
}

/// Lines that start with `word`, as the numbers after it.
fn numbers_after(line: &str, word: &str) -> Option<u64> {
    line.strip_prefix(word)?.trim().parse().ok()
}

#[test]
fn acknowledged_blocks_survive_kill_9() {
    let seed =
        env::var("WEFT_TEST_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("WEFT_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let mut acknowledged = 0;
    for round in 0..10 {
        let mut child = child("child_commits_until_it_is_killed", &path)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        if round < 4 {
            // Somewhere in the creation or the opening.
            thread::sleep(Duration::from_millis(random.random_range(0..200)));
        } else {
            for _ in 0..random.random_range(1..40) {
                let line = lines.next().expect("the child goes on").unwrap();
                acknowledged = numbers_after(&line, "committed").unwrap_or(acknowledged);
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What was in the pipe was acknowledged too.
        for line in lines.map_while(Result::ok) {
            acknowledged = numbers_after(&line, "committed").unwrap_or(acknowledged);
        }

        let store = Store::open_with(&path, &spec(), &kill_options()).unwrap();
        let head = store.head().unwrap();
        assert!(
            head.number >= acknowledged,
            "block {acknowledged} was acknowledged, the chain ends at {}",
            head.number
        );
        let model = model_at(head.number);
        assert_eq!(head.state_root, common::oracle_root(&model));
        let (root, _) = store.state_root(&ChangeSet::default()).unwrap();
        assert_eq!(root, head.state_root);
        let past = random.random_range(0..=head.number);
        for (number, model) in [(head.number, model), (past, model_at(past))] {
            let mut state = store.state_at(number).unwrap().unwrap();
            for last in 0xa0..0xc0 {
                let address = Address::with_last_byte(last);
                assert_eq!(
                    state.account(address).unwrap(),
                    model.accounts.get(&address).copied()
                );
            }
        }
        println!(
            "round {round}: {acknowledged} acknowledged, {} found",
            head.number
        );
    }
    assert!(acknowledged > 0);
}

#[test]
#[ignore = "the child of acknowledged_blocks_survive_kill_9"]
fn child_commits_until_it_is_killed() {
    let Some(path) = env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let store = Store::open_with(&path, &spec(), &kill_options()).unwrap();
    let mut model = model_at(store.head().unwrap().number);
    loop {
        let number = store.head().unwrap().number + 1;
        let changes = common::changes(&model, &edits(number));
        let bundle = common::bundle_on(&store, changes, Vec::new());
        store.commit(&bundle).unwrap();
        println!("committed {number}");
        model.apply(&bundle.changes);
    }
}

/// A process that is killed while it unwinds leaves a whole chain, which can be unwound further and
/// grows again.
#[test]
fn an_unwinding_that_is_killed_leaves_a_whole_chain() {
    let seed =
        env::var("WEFT_TEST_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("WEFT_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let (mut cut_off, mut unwound) = (0, 0);
    for round in 0..5 {
        let mut child = child("child_unwinds_until_it_is_killed", &path)
            .spawn()
            .unwrap();
        // The chain has at least so many blocks, and what the child does now ends there.
        let (mut least, mut target) = (0, None);
        let mut take = |line: &str| {
            if let Some(number) = numbers_after(line, "committed") {
                (least, target) = (number, None);
            } else if let Some(number) = numbers_after(line, "unwinding") {
                (least, target) = (number, Some(number));
            } else if let Some(number) = numbers_after(line, "unwound") {
                unwound += 1;
                (least, target) = (number, None);
            }
            line.starts_with("unwinding")
        };
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let unwindings = random.random_range(1..3);
        let mut seen = 0;
        while seen < unwindings {
            let line = lines.next().expect("the child goes on").unwrap();
            seen += usize::from(take(&line));
        }
        thread::sleep(Duration::from_micros(random.random_range(0..20_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            take(&line);
        }

        let store = Store::open_with(&path, &spec(), &kill_options()).unwrap();
        let head = store.head().unwrap();
        assert!(
            head.number >= least,
            "expected block {least}, the chain ends at {}",
            head.number
        );
        cut_off += usize::from(target.is_some_and(|target| head.number > target));
        let check = |store: &Store, number: u64| {
            let head = store.head().unwrap();
            let model = model_at(number);
            assert_eq!(
                (head.number, head.state_root),
                (number, common::oracle_root(&model))
            );
            let (root, _) = store.state_root(&ChangeSet::default()).unwrap();
            assert_eq!(root, head.state_root);
        };
        check(&store, head.number);
        let further = target.unwrap_or_else(|| random.random_range(0..=head.number));
        store.unwind_to(further).unwrap();
        check(&store, further);
        let changes = common::changes(&model_at(further), &edits(further + 1));
        let bundle = common::bundle_on(&store, changes, Vec::new());
        store.commit(&bundle).unwrap();
        check(&store, further + 1);
        println!(
            "round {round}: at least {least} expected, {} found",
            head.number
        );
    }
    println!("{unwound} unwindings ended, {cut_off} were cut off");
    assert!(unwound > 0);
}

#[test]
#[ignore = "the child of an_unwinding_that_is_killed_leaves_a_whole_chain"]
fn child_unwinds_until_it_is_killed() {
    let Some(path) = env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let store = Store::open_with(&path, &spec(), &kill_options()).unwrap();
    let mut random = StdRng::seed_from_u64(store.head().unwrap().number);
    loop {
        let head = store.head().unwrap().number;
        let mut model = model_at(head);
        // More than one step takes back.
        for number in head + 1..=head + random.random_range(70..90) {
            let changes = common::changes(&model, &edits(number));
            let bundle = common::bundle_on(&store, changes, Vec::new());
            store.commit(&bundle).unwrap();
            println!("committed {number}");
            model.apply(&bundle.changes);
        }
        let target = random.random_range(0..5);
        println!("unwinding {target}");
        store.unwind_to(target).unwrap();
        println!("unwound {target}");
    }
}

/// A journal starts out 64 MiB long; no file of the child may grow beyond that, so that the write
/// which would needs it longer fails.
#[test]
fn nothing_is_written_after_a_failed_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let inner = child("child_writes_until_it_cannot", &path);
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"trap '' XFSZ; ulimit -f 131072; exec "$0" "$@""#])
        .arg(inner.get_program())
        .args(inner.get_args())
        .env(FOLDER, &path);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let acknowledged = text
        .lines()
        .filter_map(|line| numbers_after(line, "committed"))
        .next_back()
        .expect("some blocks fit");
    assert!(text.contains("poisoned after"), "{text}");

    let store = Store::open_with(&path, &spec(), &roomy_options()).unwrap();
    assert_eq!(store.head().unwrap().number, acknowledged);
    let changes = ChangeSet::default();
    let bundle = common::bundle_on(&store, changes, Vec::new());
    store.commit(&bundle).unwrap();
}

/// Memtables that are not written to disk during the test: the journal must grow.
fn roomy_options() -> StoreOptions {
    StoreOptions {
        memtable_bytes: 1 << 30,
        ..options()
    }
}

#[test]
#[ignore = "the child of nothing_is_written_after_a_failed_write"]
fn child_writes_until_it_cannot() {
    let Some(path) = env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let store = Store::open_with(&path, &spec(), &roomy_options()).unwrap();
    let mut code = vec![0u8; 4 << 20];
    StdRng::seed_from_u64(0).fill_bytes(&mut code);
    for number in 1..=32u64 {
        code[..8].copy_from_slice(&number.to_be_bytes());
        let mut changes = ChangeSet::default();
        changes
            .code
            .insert(keccak256(&code), Bytes::copy_from_slice(&code));
        let large = common::bundle_on(&store, changes, Vec::new());
        let Err(error) = store.commit(&large) else {
            println!("committed {number}");
            continue;
        };
        assert!(
            matches!(error, StateError::Write { number: failed, .. } if failed == number),
            "{error}"
        );
        // The head is still the last block that was acknowledged, and even a block that would fit
        // is refused.
        assert_eq!(store.head().unwrap().number, number - 1);
        let mut small = large.clone();
        small.changes = Arc::default();
        for _ in 0..2 {
            assert!(matches!(store.commit(&small), Err(StateError::Poisoned)));
        }
        assert!(store.header(number).unwrap().is_none());
        assert!(store.block(number - 1).unwrap().is_some());
        println!("poisoned after {}", number - 1);
        return;
    }
    panic!("every write succeeded");
}
