//! Roots by the trie that stays in memory, against alloy's and against those from disk alone.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use std::collections::{BTreeMap, VecDeque};

use alloy_primitives::{Address, U256};
use common::Edit;
use proptest::{collection::vec, prelude::*};
use weft_executor_core::ChangeSet;
use weft_primitives::child_header;
use weft_state::{Store, StoreOptions};

fn address(index: u16) -> Address {
    Address::left_padding_from(&(0xaa + index).to_be_bytes())
}

fn slots() -> impl Strategy<Value = Vec<(U256, U256)>> {
    let value = prop_oneof![
        2 => Just(U256::ZERO),
        2 => (1u64..4).prop_map(U256::from),
        1 => any::<[u8; 32]>().prop_map(U256::from_be_bytes),
    ];
    vec(((0..40u64).prop_map(U256::from), value), 0..12)
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        6 => (0u64..3, 1u64..1000, slots())
            .prop_map(|(nonce, balance, slots)| Edit::Write { nonce, balance, slots }),
        4 => Just(Edit::Remove),
        2 => (1u64..1000, slots()).prop_map(|(balance, slots)| Edit::Recreate { balance, slots }),
    ]
}

/// What blocks do, how many of them wait for the disk, and whether the store is opened anew.
fn blocks() -> impl Strategy<Value = Vec<(BTreeMap<Address, Edit>, usize, bool)>> {
    let edits = prop::collection::btree_map((0u16..90).prop_map(address), edit(), 0..40);
    vec((edits, 0usize..4, prop::bool::weighted(0.1)), 1..14)
}

fn open(path: &std::path::Path, trie_bytes: u64, unwritten_trie_bytes: usize) -> Store {
    let options = StoreOptions {
        trie_bytes,
        unwritten_trie_bytes,
        ..common::options()
    };
    Store::open_with(path, &common::spec(), &options).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn roots_are_those_from_scratch(
        blocks in blocks(),
        trie_bytes in prop::sample::select(vec![0, 4 << 10, 32 << 10, 1 << 30]),
        unwritten in prop::sample::select(vec![0, 4 << 10, 1 << 30]),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path(), trie_bytes, unwritten);
        let mut sealer = store.sealer();
        let mut model = common::genesis_model(&common::spec());
        let mut parent = store.head().unwrap();
        let mut waiting = VecDeque::new();
        for (edits, lag, reopen) in &blocks {
            let changes = common::changes(&model, edits);
            let all_durable = waiting.is_empty();
            let (root, trie) = sealer.apply(&changes).unwrap();
            if waiting.is_empty() {
                let (expected, _) = store.state_root(&changes).unwrap();
                prop_assert_eq!(root, expected);
            }
            model.apply(&changes);
            prop_assert_eq!(root, common::oracle_root(&model));
            let mut header = child_header(31338, &parent, &common::attributes(&parent));
            header.state_root = root;
            let bundle = common::bundle(header, changes, trie, Vec::new());
            parent = bundle.block.header.clone();
            waiting.push_back(bundle);
            while waiting.len() > if *reopen { 0 } else { *lag } {
                store.commit(&waiting.pop_front().unwrap()).unwrap();
            }
            if *reopen {
                drop((sealer, store));
                store = open(folder.path(), trie_bytes, unwritten);
                sealer = store.sealer();
            }
            if all_durable && !reopen && unwritten == 0 {
                // All can be folded that was not used by this block, but for the two uppermost
                // levels, which have 17 branches at most.
                let most = edits.len() as u64 * 16 * 1024;
                prop_assert!(sealer.memory_bytes() <= trie_bytes + most + 17 * 1024);
            }
        }
        for bundle in waiting {
            store.commit(&bundle).unwrap();
        }
        // What is on disk is what was computed.
        prop_assert_eq!(
            store.state_root(&ChangeSet::default()).unwrap().0,
            common::oracle_root(&model)
        );
    }
}

/// Blocks and a contract large enough to be shared among threads.
#[test]
fn large_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 200 << 10, 100 << 10);
    let mut sealer = store.sealer();
    let mut model = common::genesis_model(&common::spec());
    for round in 0u64..5 {
        let mut edits: BTreeMap<Address, Edit> = (0u16..3000)
            .filter(|index| !(u64::from(*index) + round).is_multiple_of(3))
            .map(|index| {
                let edit = if (u64::from(index) + round).is_multiple_of(5) {
                    Edit::Remove
                } else {
                    common::write(round, u64::from(index), &[])
                };
                (address(index), edit)
            })
            .collect();
        let slots: Vec<_> = (0..2000u64)
            .map(|slot| (slot, (slot * (round + 1)) % 7))
            .collect();
        edits.insert(Address::repeat_byte(7), common::write(1, 1, &slots));
        let changes = common::changes(&model, &edits);
        let parent = store.head().unwrap();
        let (root, trie) = sealer.apply(&changes).unwrap();
        model.apply(&changes);
        assert_eq!(root, common::oracle_root(&model));
        let mut header = child_header(31338, &parent, &common::attributes(&parent));
        header.state_root = root;
        store
            .commit(&common::bundle(header, changes, trie, Vec::new()))
            .unwrap();
    }
}
