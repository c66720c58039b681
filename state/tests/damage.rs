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

#[test]
fn damage_is_refused_or_harmless() {
    let seed = std::env::var("WEFT_TEST_SEED")
        .map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("WEFT_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);

    let original = tempfile::tempdir().unwrap();
    let mut chain = Chain {
        store: Store::open_with(original.path(), &spec(), &small_memtables()).unwrap(),
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
    let chain = chain.reopen(original.path()).unwrap();
    let Chain {
        store,
        models,
        blocks,
    } = chain;
    check_answers(&store, &blocks, &models).unwrap();
    drop(store);

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
