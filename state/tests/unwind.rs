//! A chain that was unwound is one that never had the blocks that were taken back.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at what it did not expect"
)]

mod common;

use std::{collections::BTreeMap, num::NonZeroU64, path::Path};

use alloy_primitives::{Address, B256, Bytes, Log, keccak256};
use common::{
    Edit, options,
    random::{assert_proofs_verify, assert_state_equals, blocks},
    spec, write,
};
use proptest::{collection::vec, option, prelude::*};
use weft_executor_core::MemoryState;
use weft_primitives::{Transaction, TxDeposit, attributes_deposit, child_header};
use weft_state::{BlockBundle, History, LogQuery, StateError, Store, StoreOptions};

/// What a block does, apart from where it stands.
#[derive(Debug, Clone)]
struct Plan {
    edits: BTreeMap<Address, Edit>,
    /// Makes its transactions and logs unlike those of other blocks.
    seed: u64,
}

fn deposit(seed: u64) -> Transaction {
    TxDeposit {
        source_hash: keccak256(seed.to_be_bytes()),
        mint: 5,
        ..TxDeposit::default()
    }
    .into()
}

fn log(seed: u64) -> Log {
    let topics = vec![B256::with_last_byte((seed % 3) as u8), B256::ZERO];
    Log::new_unchecked(
        Address::with_last_byte((seed % 5) as u8),
        topics,
        Bytes::new(),
    )
}

/// Adds a block; the model follows.
fn add(store: &Store, model: &mut MemoryState, plan: &Plan) -> BlockBundle {
    let changes = common::changes(model, &plan.edits);
    let parent = store.head().unwrap();
    let (state_root, trie) = store.sealer().apply(&changes).unwrap();
    let mut attributes = common::attributes(&parent);
    let mut transactions = Vec::new();
    if plan.seed.is_multiple_of(2) {
        let origin = common::origin(plan.seed);
        attributes.new_l1_origin = Some(origin);
        transactions.push(attributes_deposit(&origin).into());
    }
    transactions.extend((0..plan.seed % 4).map(|index| deposit(plan.seed << 8 | index)));
    let mut header = child_header(31338, &parent, &attributes);
    header.state_root = state_root;
    let mut bundle = common::bundle(header, changes, trie, transactions);
    for (index, receipt) in (0..).zip(&mut bundle.receipts) {
        receipt.logs = (0..index).map(|more| log(plan.seed + more)).collect();
    }
    store.commit(&bundle).unwrap();
    model.apply(&bundle.changes);
    bundle
}

/// A chain, and what it was made from.
struct Chain {
    store: Store,
    models: Vec<MemoryState>,
    bundles: Vec<BlockBundle>,
}

impl Chain {
    fn open(path: &Path, options: &StoreOptions) -> Self {
        Self {
            store: Store::open_with(path, &spec(), options).unwrap(),
            models: vec![common::genesis_model(&spec())],
            bundles: Vec::new(),
        }
    }

    fn push(&mut self, plan: &Plan) {
        let mut model = self.models.last().unwrap().clone();
        self.bundles.push(add(&self.store, &mut model, plan));
        self.models.push(model);
    }
}

/// All that a store says of the chain, apart from states.
fn assert_same_blocks(store: &Store, expected: &Store) {
    let head = expected.head().unwrap();
    assert_eq!(store.head().unwrap(), head);
    for number in 0..=head.number + 8 {
        let (one, other) = (store.header(number), expected.header(number));
        assert_eq!(one.unwrap(), other.unwrap());
        let (one, other) = (
            store.block_with_receipts(number).unwrap(),
            expected.block_with_receipts(number).unwrap(),
        );
        assert_eq!(one.is_some(), number <= head.number);
        if let (Some(one), Some(other)) = (one, other) {
            assert_eq!(one.block.header, other.block.header);
            assert_eq!(one.block.transactions, other.block.transactions);
            assert_eq!(one.senders, other.senders);
            assert_eq!(one.receipts, other.receipts);
        }
        assert_eq!(
            store.l1_origin(number).unwrap(),
            expected.l1_origin(number).unwrap()
        );
        assert_eq!(
            store.deposit_count(number).unwrap(),
            expected.deposit_count(number).unwrap()
        );
    }
    for last in 0..6 {
        let address = Address::with_last_byte(last);
        let topic = B256::with_last_byte(last);
        for query in [
            LogQuery::new([&address], Vec::<[&B256; 0]>::new()),
            LogQuery::new([], [[&topic]]),
            LogQuery::new([], Vec::<[&B256; 0]>::new()),
        ] {
            assert_eq!(
                store.blocks_with_logs(&query, 0, u64::MAX).unwrap(),
                expected.blocks_with_logs(&query, 0, u64::MAX).unwrap()
            );
        }
    }
}

fn assert_gone(store: &Store, dropped: &[BlockBundle]) {
    for bundle in dropped {
        assert_eq!(store.block_number(bundle.block.hash()).unwrap(), None);
        for transaction in &bundle.block.transactions {
            let location = store.transaction_location(transaction.hash()).unwrap();
            assert_eq!(location, None);
        }
    }
}

fn assert_states(store: &Store, models: &[MemoryState], proofs_at: u64) {
    let oldest = store.oldest_state().unwrap();
    for (number, model) in (0..).zip(models) {
        let state = store.state_at(number).unwrap();
        assert_eq!(state.is_some(), number >= oldest, "state of block {number}");
        let Some(state) = state else { continue };
        if models.len() > 30 && number % 16 > 0 {
            continue;
        }
        assert_state_equals(state, model);
        if number == oldest || number == proofs_at {
            assert_proofs_verify(model, |address, slots| {
                store
                    .proof_at::<StateError>(number, address, slots, usize::MAX, || Ok(()))
                    .unwrap()
                    .unwrap()
            });
        }
    }
    let head = models.last().unwrap();
    assert_proofs_verify(head, |address, slots| store.proof(address, slots).unwrap());
}

#[derive(Debug, Clone)]
struct Round {
    blocks: Vec<BTreeMap<Address, Edit>>,
    /// How far back, among as many blocks as it can be.
    back: prop::sample::Index,
    reopen: [bool; 2],
    kept: Option<u64>,
    unwritten: usize,
}

fn round() -> impl Strategy<Value = Round> {
    let unwritten = prop::sample::select(vec![0, 4 << 10, 1 << 30]);
    (
        blocks(),
        any::<prop::sample::Index>(),
        any::<[bool; 2]>(),
        option::of(1u64..8),
        unwritten,
    )
        .prop_map(|(blocks, back, reopen, kept, unwritten)| Round {
            blocks,
            back,
            reopen,
            kept,
            unwritten,
        })
}

fn reopened(store: Store, path: &Path, options: &StoreOptions) -> Store {
    drop(store);
    Store::open_with(path, &spec(), options).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Random chains, unwound to random blocks again and again, with history that is pruned and trie
    /// nodes that are written late, opened anew in between.
    #[test]
    fn an_unwound_chain_is_one_that_never_had_the_blocks(rounds in vec(round(), 1..5)) {
        let folder = tempfile::tempdir().unwrap();
        let (path, beside) = (folder.path().join("one"), folder.path().join("other"));
        let mut chain = Chain::open(&path, &options());
        let mut seed = 0;
        for round in &rounds {
            let options = StoreOptions {
                history: round.kept.and_then(NonZeroU64::new).map_or(History::All, History::Blocks),
                unwritten_trie_bytes: round.unwritten,
                ..options()
            };
            chain.store = reopened(chain.store, &path, &options);
            for edits in &round.blocks {
                seed += 1;
                chain.push(&Plan { edits: edits.clone(), seed });
            }
            if round.reopen[0] {
                chain.store = reopened(chain.store, &path, &options);
            }
            let head = chain.store.head().unwrap().number;
            let oldest = chain.store.oldest_state().unwrap();
            if let Some(below) = oldest.checked_sub(1) {
                let error = chain.store.unwind_to(below).unwrap_err();
                let too_far = matches!(
                    error,
                    StateError::UnwindTooFar { number, oldest: at } if number == below && at == oldest
                );
                prop_assert!(too_far, "{}", error);
            }
            let number = oldest + round.back.index((head - oldest + 1) as usize) as u64;
            let reader = chain.store.latest_state().unwrap();
            let old_model = chain.models.last().unwrap().clone();
            let mut sealer = chain.store.sealer();
            let unwound = chain.store.unwind_to(number).unwrap();
            prop_assert_eq!(unwound.from.number, head);
            prop_assert_eq!(unwound.to.number, number);
            if number < head {
                let error = sealer.apply(&Default::default()).unwrap_err();
                prop_assert!(matches!(error, StateError::SealerUnwound), "{}", error);
            }
            drop(sealer);
            // A reader goes on with what it had.
            assert_state_equals(reader, &old_model);
            if round.reopen[1] {
                chain.store = reopened(chain.store, &path, &options);
            }
            let dropped = chain.bundles.split_off(number as usize);
            chain.models.truncate(number as usize + 1);
            assert_gone(&chain.store, &dropped);
            assert_states(&chain.store, &chain.models, number / 2);

            let _ = std::fs::remove_dir_all(&beside);
            let expected = Store::open_with(&beside, &spec(), &options).unwrap();
            for bundle in &chain.bundles {
                let (root, trie) = expected.state_root(&bundle.changes).unwrap();
                prop_assert_eq!(root, bundle.block.header.state_root);
                expected.commit(&BlockBundle { trie: trie.into(), ..bundle.clone() }).unwrap();
            }
            assert_same_blocks(&chain.store, &expected);
            // The same blocks on both.
            let mut model = chain.models.last().unwrap().clone();
            for edits in round.blocks.iter().take(2) {
                seed += 1;
                let plan = Plan { edits: edits.clone(), seed };
                let bundle = add(&expected, &mut model, &plan);
                chain.push(&plan);
                prop_assert_eq!(chain.bundles.last().unwrap().block.hash(), bundle.block.hash());
            }
            assert_same_blocks(&chain.store, &expected);
            assert_states(&chain.store, &chain.models, number);
        }
    }
}

/// More blocks, and more keys in a block, than one step takes back.
#[test]
fn many_steps_lead_back() {
    let folder = tempfile::tempdir().unwrap();
    let options = options();
    let mut chain = Chain::open(folder.path(), &options);
    for seed in 0..150 {
        let many = if seed == 7 { 9000 } else { 3 };
        let slots: Vec<_> = (0..many).map(|slot| (slot, seed + slot % 3)).collect();
        let edits = BTreeMap::from([(Address::with_last_byte(0xbb), write(seed, seed, &slots))]);
        chain.push(&Plan { edits, seed });
    }
    for number in [140, 66, 3, 0] {
        let head = chain.store.head().unwrap().number;
        assert!(matches!(
            chain.store.unwind_to(head + 1),
            Err(StateError::UnwindAboveHead { head: at, .. }) if at == head
        ));
        let unwound = chain.store.unwind_to(number).unwrap();
        assert_eq!(unwound.from.number, head);
        let dropped = chain.bundles.split_off(number as usize);
        chain.models.truncate(number as usize + 1);
        assert_gone(&chain.store, &dropped);
        assert_states(&chain.store, &chain.models, number / 2);
        chain.store = reopened(chain.store, folder.path(), &options);
        assert_eq!(chain.store.head().unwrap(), unwound.to);
    }
}
