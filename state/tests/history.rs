//! States of old blocks: as far back as the setting says, with proofs, and not further.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use std::{cell::Cell, collections::BTreeMap, num::NonZeroU64};

use alloy_consensus::{Header, Sealed};
use alloy_primitives::{Address, U256};
use common::{
    Chain, Edit, options,
    random::{assert_proofs_verify, assert_state_equals, blocks},
    write,
};
use proptest::{collection::vec, option, prelude::*};
use weft_executor_core::MemoryState;
use weft_state::{AccountProof, History, StateError, Store, StoreOptions};

fn keep(blocks: Option<u64>) -> StoreOptions {
    StoreOptions {
        history: blocks
            .and_then(NonZeroU64::new)
            .map_or(History::All, History::Blocks),
        // So that values are removed at once.
        unwritten_trie_bytes: 0,
        ..options()
    }
}

fn prove(
    store: &Store,
    number: u64,
    most_keys: usize,
) -> impl Fn(Address, &[U256]) -> (Sealed<Header>, AccountProof) {
    move |address, slots| {
        store
            .proof_at::<StateError>(number, address, slots, most_keys, || Ok(()))
            .unwrap()
            .unwrap()
    }
}

fn assert_all_states(store: &Store, models: &[MemoryState]) {
    let oldest = store.oldest_state().unwrap();
    for (number, model) in (0..).zip(models) {
        let state = store.state_at(number).unwrap();
        assert_eq!(state.is_some(), number >= oldest, "state of block {number}");
        let Some(state) = state else {
            let proof = store
                .proof_at::<StateError>(number, Address::ZERO, &[], usize::MAX, || Ok(()))
                .unwrap();
            assert!(proof.is_none());
            continue;
        };
        assert_state_equals(state, model);
        assert_proofs_verify(model, prove(store, number, usize::MAX));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Random chains with creations, deletions, wipes and re-creations, whose setting changes with
    /// every restart: every state that is kept is right and has proofs that lead to its root.
    #[test]
    fn kept_states_are_right(
        runs in vec((option::of(1u64..6), blocks()), 1..4),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut chain = Chain::create(folder.path());
        for (kept, blocks) in &runs {
            chain = chain.reopen_with(folder.path(), &keep(*kept)).unwrap();
            let before = chain.store.oldest_state().unwrap();
            for edits in blocks {
                chain.push(edits);
            }
            let head = chain.store.head().unwrap().number;
            let oldest = chain.store.oldest_state().unwrap();
            // These blocks are so small that one batch removes as many as there can be.
            let wanted = kept.map_or(0, |kept| (head + 1).saturating_sub(kept).min(head - 1));
            prop_assert_eq!(oldest, wanted.max(before));
        }
        chain = chain.reopen(folder.path()).unwrap();
        assert_all_states(&chain.store, &chain.models);
    }
}

/// More keys than one step of the way back takes, most of them in one account.
fn large_block(seed: u64, slots: u64) -> BTreeMap<Address, Edit> {
    let slots: Vec<_> = (0..slots).map(|slot| (slot, seed + slot % 3)).collect();
    let mut edits: BTreeMap<_, _> = (0..200)
        .map(|index| {
            (
                Address::with_last_byte(index),
                write(seed, seed, &[(1, seed)]),
            )
        })
        .collect();
    edits.insert(Address::with_last_byte(0xbb), write(seed, seed, &slots));
    edits
}

#[test]
fn the_way_back_has_a_bound_and_can_be_left() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = Chain::create(folder.path());
    chain.push(&large_block(1, 5000));
    chain.push(&large_block(4, 9000));
    chain.push(&BTreeMap::from([(
        Address::with_last_byte(0xbb),
        Edit::Remove,
    )]));
    let store = &chain.store;
    let address = Address::with_last_byte(0xbb);
    for (number, model) in (0..).zip(&chain.models) {
        // The root that it leads to is the header's, or else there would be an error.
        let (_, proof) = prove(store, number, 10_000)(address, &[U256::ONE]);
        let root = common::oracle_storage_root(model, address);
        assert_eq!(proof.storage_root, root);
        assert_eq!(proof.account, model.accounts.get(&address).copied());
    }
    let ask = |number, most| store.proof_at(number, address, &[], most, || Ok(()));
    assert!(matches!(
        ask(0, 9000),
        Err(StateError::TooManyChanges {
            number: 0,
            most: 9000
        })
    ));
    // The last block changed one account, its 9000 slots and one of genesis, and the head needs no way back.
    assert!(ask(2, 9002).unwrap().is_some());
    assert!(ask(2, 9001).is_err());
    assert!(ask(3, 0).unwrap().is_some());
    assert!(ask(4, usize::MAX).unwrap().is_none());

    let patience = Cell::new(1000);
    let left = store.proof_at(0, address, &[], usize::MAX, || {
        patience.set(patience.get() - 1);
        if patience.get() == 0 {
            Err(StateError::Poisoned)
        } else {
            Ok(())
        }
    });
    assert!(matches!(left, Err(StateError::Poisoned)));
}

/// A reader that was made before its block's values were removed still has them.
#[test]
fn readers_outlive_what_they_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = Chain::create(folder.path())
        .reopen_with(folder.path(), &keep(Some(2)))
        .unwrap();
    for number in 1..=3 {
        chain.push(&large_block(number, 50));
    }
    let reader = chain.store.state_at(2).unwrap().unwrap();
    for number in 4..=20 {
        chain.push(&large_block(number, 50));
    }
    assert!(chain.store.state_at(2).unwrap().is_none());
    assert_state_equals(reader, &chain.models[2]);
}
