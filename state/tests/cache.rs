//! What readers answer from memory, against the same store without a cache.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at what it did not expect"
)]

mod common;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use alloy_primitives::{Address, B256, U256};
use common::{Chain, Edit};
use proptest::{collection::vec, prelude::*};
use weft_executor_core::{MemoryState, StateView};
use weft_state::{StateReader, Store, StoreOptions};

const SLOTS: u64 = 6;

fn address(index: u16) -> Address {
    Address::left_padding_from(&(0xaa + index).to_be_bytes())
}

fn assert_reads(reader: &mut StateReader, mut model: &MemoryState, index: u16, slot: u64) {
    let (address, slot) = (address(index), U256::from(slot));
    let number = reader.number();
    let account = reader.account(address).unwrap();
    assert_eq!(
        account,
        model.account(address).unwrap(),
        "{address} after block {number}"
    );
    let value = reader.storage(address, slot).unwrap();
    assert_eq!(
        value,
        model.storage(address, slot).unwrap(),
        "{slot} of {address} after {number}"
    );
    if let Some(account) = account {
        assert_eq!(
            reader.code(account.code_hash).unwrap(),
            model.code(account.code_hash).unwrap()
        );
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    let slots = || {
        vec(
            (
                (0..SLOTS).prop_map(U256::from),
                (0u64..4).prop_map(U256::from),
            ),
            0..5,
        )
    };
    prop_oneof![
        6 => (0u64..3, 1u64..1000, slots())
            .prop_map(|(nonce, balance, slots)| Edit::Write { nonce, balance, slots }),
        1 => vec(any::<u8>(), 1..40).prop_map(Edit::Code),
        2 => Just(Edit::Remove),
        2 => (1u64..1000, slots()).prop_map(|(balance, slots)| Edit::Recreate { balance, slots }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Readers of all blocks read all the time, on several threads, while blocks are committed; the
    /// cache has room for all, for some, or for nothing.
    #[test]
    fn cached_reads_are_those_of_the_reader_s_block(
        blocks in vec(prop::collection::btree_map((0u16..200).prop_map(address), edit(), 1..60), 2..12),
        hot_state_bytes in prop::sample::select(vec![0, 130 << 10, 16 << 20]),
        seed in any::<u64>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions {
            hot_state_bytes,
            hot_code_bytes: 500,
            ..common::options()
        };
        let mut chain = Chain::create_with(folder.path(), &options);
        // What each block leaves is known before it is committed.
        let mut models = vec![chain.model().clone()];
        for edits in &blocks {
            let changes = common::changes(models.last().unwrap(), edits);
            let mut model = models.last().unwrap().clone();
            model.apply(&changes);
            models.push(model);
        }
        let done = AtomicBool::new(false);
        let reads = AtomicU64::new(0);
        let store: Store = chain.store.clone();
        thread::scope(|scope| {
            for thread in 0..3u64 {
                let (store, models, done, reads) = (&store, &models, &done, &reads);
                scope.spawn(move || {
                    let mut random = seed ^ (thread + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    let mut next = || {
                        random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                        random >> 33
                    };
                    let mut old = store.latest_state().unwrap();
                    let mut last_round = false;
                    loop {
                        let mut latest = store.latest_state().unwrap();
                        for _ in 0..100 {
                            let (index, slot) = ((next() % 200) as u16, next() % SLOTS);
                            for reader in [&mut latest, &mut old] {
                                let number = usize::try_from(reader.number()).unwrap();
                                assert_reads(reader, &models[number], index, slot);
                            }
                            reads.fetch_add(1, Ordering::Release);
                        }
                        if next().is_multiple_of(3) {
                            old = latest;
                        }
                        if last_round {
                            break;
                        }
                        last_round = done.load(Ordering::Acquire);
                    }
                });
            }
            for edits in &blocks {
                // Between two blocks there are reads.
                let before = reads.load(Ordering::Acquire);
                chain.push(edits);
                while reads.load(Ordering::Acquire) < before + 20 {
                    thread::yield_now();
                }
            }
            done.store(true, Ordering::Release);
        });
        let counters = store.cache_counters();
        prop_assert!(counters.bytes <= hot_state_bytes);
        prop_assert_eq!(counters.hits > 0, hot_state_bytes > 0);

    }
}

/// What was read once is not read from the database again, be it there or not; and what a block
/// writes is in memory at once.
#[test]
fn reads_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = Chain::create(folder.path());
    let count = |store: &Store| {
        let counters = store.cache_counters();
        (counters.hits, counters.misses)
    };
    let absent = Address::repeat_byte(9);
    let mut reader = chain.store.latest_state().unwrap();
    for round in 0..3u64 {
        assert_eq!(reader.account(absent).unwrap(), None);
        assert_eq!(reader.storage(absent, U256::ONE).unwrap(), U256::ZERO);
        assert_eq!(count(&chain.store), (2 * round, 2));
    }
    chain.push(&BTreeMap::from([(absent, common::write(1, 1, &[(1, 1)]))]));
    let mut reader_of_new = chain.store.latest_state().unwrap();
    assert!(reader_of_new.account(absent).unwrap().is_some());
    assert_eq!(reader_of_new.storage(absent, U256::ONE).unwrap(), U256::ONE);
    assert_eq!(count(&chain.store), (6, 2));
    // The older reader cannot use them.
    assert_eq!(reader.account(absent).unwrap(), None);
    assert_eq!(count(&chain.store), (6, 3));
    let code = alloy_primitives::hex!("6001600255");
    let hash: B256 = alloy_primitives::keccak256(code);
    assert_eq!(
        reader.code(hash).unwrap().as_ptr(),
        reader.code(hash).unwrap().as_ptr()
    );
}
