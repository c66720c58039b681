//! A damaged database is refused, or what it still answers is right; never a panic, never wrong
//! data.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at what it did not expect"
)]

mod common;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use alloy_primitives::{Address, U256};
use common::{Chain, Edit, options, spec, write};
use rand::{Rng, SeedableRng, rngs::StdRng};
use weft_executor_core::{MemoryState, StateView};
use weft_primitives::SealedBlock;
use weft_state::{StateError, Store, StoreOptions};

const BLOCKS: u64 = 30;

fn address(index: u64) -> Address {
    Address::with_last_byte(0xa0 + index as u8)
}

#[derive(Debug, Clone, Copy)]
enum Damage {
    Remove,
    Cut,
    Flip,
}

/// Small memtables, so that part of the chain is in tables on disk and part in the journal.
fn small_memtables() -> StoreOptions {
    StoreOptions {
        memtable_bytes: 16 << 10,
        ..options()
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn copy_folder(from: &Path, to: &Path) {
    for file in files_below(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&file, target).unwrap();
    }
}

/// Asks for everything. Whatever comes back without an error must be what was committed.
fn check_answers(
    store: &Store,
    blocks: &[SealedBlock],
    models: &[MemoryState],
) -> Result<(), StateError> {
    assert_eq!(store.head()?, blocks[BLOCKS as usize].header);
    let mut result = Ok(());
    let mut keep_first = |error: Result<(), StateError>| {
        if result.is_ok() {
            result = error;
        }
    };
    for (number, (block, model)) in (0..).zip(blocks.iter().zip(models)) {
        keep_first((|| {
            let stored = store.block_with_receipts(number)?.unwrap();
            assert_eq!(stored.block.header, block.header);
            assert_eq!(stored.block.transactions, block.transactions);
            assert_eq!(store.block_number(block.hash())?, Some(number));
            store.deposit_count(number)?;
            Ok(())
        })());
        let mut state = store.state_at(number)?.unwrap();
        for index in 0..8 {
            keep_first((|| {
                let account = state.account(address(index))?;
                assert_eq!(account, model.accounts.get(&address(index)).copied());
                for slot in 0..6 {
                    let slot = U256::from(slot);
                    let expected = model
                        .storage
                        .get(&address(index))
                        .and_then(|slots| slots.get(&slot))
                        .copied();
                    assert_eq!(
                        state.storage(address(index), slot)?,
                        expected.unwrap_or_default()
                    );
                }
                Ok(())
            })());
        }
    }
    for index in 0..8 {
        keep_first(store.proof(address(index), &[U256::ZERO]).map(drop));
    }
    keep_first((|| {
        let changes = common::changes(
            &models[BLOCKS as usize],
            &BTreeMap::from([(address(1), write(77, 77, &[(1, 77)]))]),
        );
        let (root, _) = store.state_root(&changes)?;
        let mut model = models[BLOCKS as usize].clone();
        model.apply(&changes);
        assert_eq!(root, common::oracle_root(&model));
        Ok(())
    })());
    result
}

/// A chain of `BLOCKS` blocks, written and closed.
fn closed_chain(path: &Path, options: &StoreOptions) -> (Vec<SealedBlock>, Vec<MemoryState>) {
    let mut chain = Chain {
        store: Store::open_with(path, &spec(), options).unwrap(),
        models: vec![common::genesis_model(&spec())],
        blocks: Vec::new(),
    };
    chain.blocks.push(chain.store.block(0).unwrap().unwrap());
    for block in 1..=BLOCKS {
        let mut edits: BTreeMap<Address, Edit> = (0..6)
            .map(|n| {
                let slots: Vec<_> = (0..4).map(|slot| ((slot + block) % 6, block * n)).collect();
                (address((n * block) % 8), write(block, n + 1, &slots))
            })
            .collect();
        if block % 7 == 0 {
            edits.insert(address(3), Edit::Remove);
        }
        chain.push(&edits);
    }
    // Opening cuts the journal, which is made at full length, to what it holds.
    let chain = chain.reopen(path).unwrap();
    check_answers(&chain.store, &chain.blocks, &chain.models).unwrap();
    (chain.blocks, chain.models)
}

#[test]
fn damage_is_refused_or_harmless() {
    let seed = std::env::var("WEFT_TEST_SEED")
        .map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("WEFT_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);

    let original = tempfile::tempdir().unwrap();
    let (blocks, models) = closed_chain(original.path(), &small_memtables());

    let files: Vec<_> = files_below(original.path())
        .into_iter()
        .filter(|file| fs::metadata(file).unwrap().len() > 0)
        .collect();
    assert!(
        files
            .iter()
            .any(|file| file.components().any(|part| part.as_os_str() == "tables")),
        "no table was written to disk: {files:?}"
    );
    let journal = files
        .iter()
        .find(|file| file.extension().is_some_and(|extension| extension == "jnl"))
        .unwrap();
    let small = files
        .iter()
        .filter(|file| fs::metadata(file).unwrap().len() < 1000);
    let cases = files
        .iter()
        .flat_map(|file| [Damage::Remove, Damage::Cut, Damage::Flip].map(|damage| (file, damage)))
        // Most of the chain is in the journal.
        .chain((0..8).map(|_| (journal, Damage::Flip)))
        // The small files say how to read the others.
        .chain(small.flat_map(|file| (0..10).map(move |_| (file, Damage::Flip))));
    let (mut refused, mut failed, mut harmless) = (0, 0, 0);
    for (file, damage) in cases {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(original.path(), copy.path());
        let target = copy
            .path()
            .join(file.strip_prefix(original.path()).unwrap());
        let mut bytes = fs::read(&target).unwrap();
        let at = random.random_range(0..bytes.len());
        let what = match damage {
            Damage::Remove => {
                fs::remove_file(&target).unwrap();
                "removed".to_owned()
            }
            Damage::Cut => {
                bytes.truncate(at);
                fs::write(&target, &bytes).unwrap();
                format!("cut to {at}")
            }
            Damage::Flip => {
                bytes[at] ^= 1 << random.random_range(0..8);
                fs::write(&target, &bytes).unwrap();
                format!("bit flipped at {at}")
            }
        };
        println!(
            "{} {what}",
            target.strip_prefix(copy.path()).unwrap().display()
        );
        match Store::open_with(copy.path(), &spec(), &small_memtables()) {
            Err(error) => {
                println!("  refused: {error}");
                refused += 1;
            }
            Ok(store) => match check_answers(&store, &blocks, &models) {
                Err(error) => {
                    println!("  failed: {error}");
                    failed += 1;
                }
                Ok(()) => harmless += 1,
            },
        }
    }
    println!("{refused} refused, {failed} failed a read, {harmless} harmless");
    assert!(refused > 0);
}

/// fjall's own checksums do not cover the order of the batches, and it takes the end of any journal
/// for a crash.
#[test]
fn journals_that_lack_a_block_or_have_another_order_are_refused() {
    let original = tempfile::tempdir().unwrap();
    // Nothing is written to tables: the whole chain is in the journal.
    let (blocks, models) = closed_chain(original.path(), &options());
    let journal = fs::read(original.path().join("db/0.jnl")).unwrap();
    let ends: Vec<_> = journal
        .windows(4)
        .enumerate()
        .filter_map(|(at, bytes)| (bytes == b"FJL\x03").then_some(at + 4))
        .collect();
    assert_eq!(ends.len() as u64, BLOCKS + 1);
    assert_eq!(ends[BLOCKS as usize], journal.len());

    // Opens a copy with these journals.
    let open = |journals: [Option<&[u8]>; 2]| {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(original.path(), copy.path());
        let paths = [0, 1].map(|number| copy.path().join(format!("db/{number}.jnl")));
        for (path, journal) in paths.iter().zip(journals) {
            match journal {
                Some(bytes) => fs::write(path, bytes).unwrap(),
                None => fs::remove_file(path).unwrap(),
            }
        }
        let result = Store::open_with(copy.path(), &spec(), &options());
        if result.is_err() {
            for (path, journal) in paths.iter().zip(journals) {
                let left = fs::read(path).ok();
                assert_eq!(left.as_deref(), journal, "what is refused is left as it is");
            }
        }
        (result, copy)
    };
    let check_refused = |journals, expected: &str| {
        let error = open(journals).0.unwrap_err();
        assert!(matches!(error, StateError::Damaged { .. }), "{error}");
        let sentence = error.to_string();
        assert!(sentence.contains(expected), "{sentence}");
    };

    // A journal that was followed by another one has unused bytes at its end.
    let (before, after) = journal.split_at(ends[15]);
    let padded = [before, &[0; 100]].concat();
    let (store, _copy) = open([Some(&padded), Some(after)]);
    check_answers(&store.unwrap(), &blocks, &models).unwrap();

    let gap = "expected the block after 14, found block 16";
    check_refused([Some(&journal[..ends[14]]), Some(after)], gap);
    check_refused([Some(&journal[..ends[15] - 1]), Some(after)], gap);
    check_refused([None, Some(after)], "expected block 0");
    let torn = &journal[ends[15]..ends[29] + 3];
    check_refused([Some(before), Some(torn)], "expected block 30");

    // The sequence number follows the start's tag and its count of items. Block 27 is the last one to
    // change account 3.
    for batch in [0, 14, 26, 29] {
        for bit in [0, 1, 2, 3, 4, 5, 6, 7, 40, 62, 63] {
            let mut changed = journal.clone();
            changed[ends[batch] + 5 + bit / 8] ^= 1 << (bit % 8);
            let (before, after) = changed.split_at(ends[15]);
            match open([Some(before), Some(after)]) {
                (Ok(store), _copy) => check_answers(&store, &blocks, &models).unwrap(),
                (Err(error), _) => {
                    assert!(matches!(error, StateError::Damaged { .. }), "{error}");
                }
            }
        }
    }
}
