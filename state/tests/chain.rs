//! Blocks, indexes and the rules of committing.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at what it did not expect"
)]

mod common;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use alloy_consensus::{Header, SignableTransaction, TxEip1559};
use alloy_primitives::{
    Address, B256, Bytes, KECCAK256_EMPTY, Signature, TxKind, U256, b256, keccak256,
};
use alloy_trie::EMPTY_ROOT_HASH;
use common::{Chain, Edit, write};
use weft_executor_core::{ChangeSet, StateView};
use weft_primitives::{ChainSpec, Transaction, TxDeposit, attributes_deposit, child_header};
use weft_state::{StateError, Store, TransactionLocation};

fn transfer(nonce: u64) -> Transaction {
    let transaction = TxEip1559 {
        chain_id: 31338,
        nonce,
        gas_limit: 21_000,
        to: TxKind::Call(Address::with_last_byte(0xaa)),
        input: Bytes::from_static(b"hello"),
        ..TxEip1559::default()
    };
    Transaction::Eip1559(transaction.into_signed(Signature::test_signature()))
}

fn deposit(seed: u64) -> Transaction {
    TxDeposit {
        source_hash: keccak256(seed.to_be_bytes()),
        from: Address::with_last_byte(0xaa),
        to: TxKind::Call(Address::with_last_byte(0xbb)),
        mint: 5,
        ..TxDeposit::default()
    }
    .into()
}

fn one_edit(nonce: u64) -> BTreeMap<Address, Edit> {
    BTreeMap::from([(
        Address::with_last_byte(0xaa),
        write(nonce, nonce + 1, &[(1, nonce)]),
    )])
}

#[test]
fn genesis_is_the_spec() {
    let folder = tempfile::tempdir().unwrap();
    let chain = Chain::create(folder.path());
    let head = chain.store.head().unwrap();
    assert_eq!(head.number, 0);
    // Slot 2 of account bb is zero and account 01 is empty: geth's rules leave the one out of the
    // trie and keep the other.
    assert_eq!(chain.model().accounts.len(), 3);
    assert_eq!(head.state_root, common::oracle_root(chain.model()));
    assert_eq!(
        head,
        common::spec().genesis_header(common::oracle_root(chain.model()))
    );
    let mut state = chain.store.latest_state().unwrap();
    let account = state
        .account(Address::with_last_byte(0xbb))
        .unwrap()
        .unwrap();
    assert_eq!(account.balance, U256::ONE);
    assert_eq!(
        state.code(account.code_hash).unwrap(),
        Bytes::from_static(&[0x60, 1, 0x60, 2, 0x55])
    );
    assert_eq!(state.code(KECCAK256_EMPTY).unwrap(), Bytes::new());
    assert_eq!(
        state
            .storage(Address::with_last_byte(0xbb), U256::ONE)
            .unwrap(),
        U256::from(0xff)
    );
    assert_eq!(
        state.account(Address::with_last_byte(1)).unwrap(),
        Some(Default::default())
    );
    assert_eq!(state.account(Address::with_last_byte(2)).unwrap(), None);
}

/// `customghash` of go-ethereum's `core/genesis_test.go`: the hash of a genesis block with one
/// account and one slot, which fixes the state root.
#[test]
fn genesis_root_equals_geths() {
    let folder = tempfile::tempdir().unwrap();
    let spec = ChainSpec::from_json(
        br#"{
            "config": {"chainId": 7}, "gasLimit": "0x1c9c380", "difficulty": "0x0",
            "alloc": {"0100000000000000000000000000000000000000": {
                "balance": "0x1",
                "storage": {"0x0100000000000000000000000000000000000000000000000000000000000000":
                    "0x0100000000000000000000000000000000000000000000000000000000000000"}
            }}
        }"#,
    )
    .unwrap();
    let store = Store::open_with(folder.path(), &spec, &common::options()).unwrap();
    let geths = Header {
        state_root: store.head().unwrap().state_root,
        // `params.GenesisDifficulty` and `params.GenesisGasLimit`.
        difficulty: U256::from(131_072),
        gas_limit: 4_712_388,
        ..Header::default()
    };
    assert_eq!(
        geths.hash_slow(),
        b256!("0x89c99d90b79719238d2645c7642f2c9295246e80775b38cfd162b696817fbd50")
    );
}

/// An empty state has the root of the empty trie, and proofs without nodes.
#[test]
fn empty_genesis_has_the_empty_root() {
    let folder = tempfile::tempdir().unwrap();
    let spec = ChainSpec::from_json(
        br#"{"config":{"chainId":7},"gasLimit":"0x1c9c380","difficulty":"0x0","alloc":{}}"#,
    )
    .unwrap();
    let store = Store::open_with(folder.path(), &spec, &common::options()).unwrap();
    assert_eq!(store.head().unwrap().state_root, EMPTY_ROOT_HASH);
    let (_, proof) = store.proof(Address::ZERO, &[U256::ONE]).unwrap();
    assert!(proof.proof.is_empty() && proof.account.is_none());
    drop(store);
    Store::open_with(folder.path(), &spec, &common::options()).unwrap();
}

#[test]
fn blocks_and_indexes_come_back_as_committed() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = Chain::create(folder.path());
    let origins = [common::origin(7), common::origin(9)];
    let bodies = [
        vec![transfer(0)],
        vec![
            attributes_deposit(&origins[0]).into(),
            deposit(1),
            deposit(2),
            transfer(1),
        ],
        vec![],
        vec![deposit(3), transfer(2), transfer(3)],
        vec![attributes_deposit(&origins[1]).into()],
    ];
    for (nonce, body) in (1..).zip(&bodies) {
        chain.push_with(&one_edit(nonce), body.clone());
    }
    let check = |chain: &Chain| {
        let store = &chain.store;
        for (number, block) in (0..).zip(&chain.blocks) {
            assert_eq!(store.header(number).unwrap().as_ref(), Some(&block.header));
            assert_eq!(store.block_number(block.hash()).unwrap(), Some(number));
            let stored = store.block_with_receipts(number).unwrap().unwrap();
            assert_eq!(stored.block.header, block.header);
            assert_eq!(stored.block.transactions, block.transactions);
            assert_eq!(stored.receipts.len(), block.transactions.len());
            assert_eq!(stored.senders.len(), block.transactions.len());
            for (index, transaction) in (0..).zip(&block.transactions) {
                assert_eq!(
                    store.transaction_location(transaction.hash()).unwrap(),
                    Some(TransactionLocation {
                        block_number: number,
                        index
                    })
                );
                assert_eq!(
                    stored.senders[index as usize],
                    Address::with_last_byte(index as u8)
                );
                assert_eq!(
                    stored.receipts[index as usize].cumulative_gas_used,
                    21_000 * (index + 1)
                );
                assert_eq!(
                    stored.receipts[index as usize].deposit_nonce,
                    transaction.is_deposit().then_some(index)
                );
            }
        }
        let counts: Vec<_> = (0..=7).map(|n| store.deposit_count(n).unwrap()).collect();
        assert_eq!(counts, [0, 0, 2, 2, 3, 3, 3, 3]);
        let seen: Vec<_> = (0..=7).map(|n| store.l1_origin(n).unwrap()).collect();
        let [first, second] = origins.map(Some);
        assert_eq!(
            seen,
            [None, None, first, first, first, second, second, second]
        );
        assert!(store.header(6).unwrap().is_none());
        assert!(store.block(6).unwrap().is_none());
        assert!(store.block_with_receipts(6).unwrap().is_none());
        assert!(store.block_number(B256::ZERO).unwrap().is_none());
        assert!(store.transaction_location(B256::ZERO).unwrap().is_none());
        let mut state = store.state_at(3).unwrap().unwrap();
        assert_eq!(state.block_hash(3).unwrap(), chain.blocks[3].hash());
        assert_eq!(state.block_hash(0).unwrap(), chain.blocks[0].hash());
        assert_eq!(state.block_hash(4).unwrap(), B256::ZERO);
    };
    check(&chain);
    let chain = chain.reopen(folder.path()).unwrap();
    check(&chain);
}

#[test]
fn commit_refuses_what_does_not_follow() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = Chain::create(folder.path());
    chain.push(&one_edit(1));
    let store = &chain.store;
    let changes = common::changes(chain.model(), &one_edit(2));
    let good = common::bundle_on(store, changes, vec![transfer(0)]);

    let mut wrong_number = good.clone();
    let mut header = good.block.header.inner().clone();
    header.number = 3;
    wrong_number.block.header = alloy_consensus::Sealed::new(header);
    assert!(matches!(
        store.commit(&wrong_number),
        Err(StateError::NotChild {
            expected_number: 2,
            found_number: 3,
            ..
        })
    ));

    let mut wrong_parent = good.clone();
    let mut header = good.block.header.inner().clone();
    header.parent_hash = chain.blocks[0].hash();
    wrong_parent.block.header = alloy_consensus::Sealed::new(header);
    assert!(matches!(
        store.commit(&wrong_parent),
        Err(StateError::NotChild { .. })
    ));

    let mut wrong_root = good.clone();
    let mut header = good.block.header.inner().clone();
    header.state_root = B256::repeat_byte(1);
    wrong_root.block.header = alloy_consensus::Sealed::new(header);
    assert!(matches!(
        store.commit(&wrong_root),
        Err(StateError::StateRoot { found, .. }) if found == B256::repeat_byte(1)
    ));

    let mut wrong_hash = good.clone();
    wrong_hash.block.header = alloy_consensus::Sealed::new_unchecked(
        good.block.header.inner().clone(),
        B256::repeat_byte(2),
    );
    assert!(matches!(
        store.commit(&wrong_hash),
        Err(StateError::BlockHash { .. })
    ));

    let mut no_receipts = good.clone();
    no_receipts.receipts.clear();
    assert!(matches!(
        store.commit(&no_receipts),
        Err(StateError::Lengths {
            transactions: 1,
            senders: 1,
            receipts: 0
        })
    ));

    let mut old_nodes = good.clone();
    old_nodes.trie = Default::default();
    assert!(matches!(
        store.commit(&old_nodes),
        Err(StateError::TrieBase { .. })
    ));

    // Nothing of all that was written, and nothing is broken.
    assert_eq!(store.head().unwrap().number, 1);
    store.commit(&good).unwrap();
    assert!(matches!(
        store.commit(&good),
        Err(StateError::NotChild { .. })
    ));
    let chain = chain.reopen(folder.path()).unwrap();
    assert_eq!(chain.store.head().unwrap(), good.block.header);
}

/// The roots of blocks that are not durable yet are those that they have afterwards.
#[test]
fn roots_stack_on_blocks_that_are_not_durable() {
    let folder = tempfile::tempdir().unwrap();
    let chain = Chain::create(folder.path());
    let store = &chain.store;
    let contract = Address::with_last_byte(0xbb);
    let other = Address::with_last_byte(0xcc);
    let steps: Vec<BTreeMap<Address, Edit>> = vec![
        BTreeMap::from([
            (contract, write(1, 2, &[(1, 0), (3, 4)])),
            (other, write(1, 1, &[(1, 1)])),
        ]),
        BTreeMap::from([(
            contract,
            Edit::Recreate {
                balance: 3,
                slots: vec![(U256::from(9), U256::from(9))],
            },
        )]),
        BTreeMap::from([
            (contract, write(2, 2, &[(1, 7), (9, 0)])),
            (other, Edit::Remove),
        ]),
        BTreeMap::from([(other, write(0, 8, &[(2, 2)]))]),
    ];
    let mut model = chain.model().clone();
    let mut bundles: Vec<weft_state::BlockBundle> = Vec::new();
    let mut parent = store.head().unwrap();
    let mut sealer = store.sealer();
    let mut late = store.sealer();
    for edits in &steps {
        let changes = common::changes(&model, edits);
        let (root, trie) = sealer.apply(&changes).unwrap();
        model.apply(&changes);
        assert_eq!(root, common::oracle_root(&model));
        assert_eq!(root, sealer.root());
        let mut header = child_header(31338, &parent, &common::attributes(&parent));
        header.state_root = root;
        let bundle = common::bundle(header, changes, trie, Vec::new());
        parent = bundle.block.header.clone();
        bundles.push(bundle);
    }
    for bundle in &bundles {
        store.commit(bundle).unwrap();
        assert_eq!(store.head().unwrap(), bundle.block.header);
    }
    let (root, _) = sealer.apply(&ChangeSet::default()).unwrap();
    assert_eq!(root, parent.state_root);
    // Blocks that went past a sealer leave it without a trie.
    assert!(matches!(
        late.apply(&ChangeSet::default()),
        Err(StateError::TrieBase { .. })
    ));
    assert!(matches!(
        late.apply(&ChangeSet::default()),
        Err(StateError::SealerFailed)
    ));
}

/// A reader answers for its block while others are committed, on other threads too.
#[test]
fn readers_do_not_see_later_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = Chain::create(folder.path());
    let address = Address::with_last_byte(0xaa);
    chain.push(&one_edit(1));
    let done = AtomicBool::new(false);
    let store = chain.store.clone();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    let (header, proof) = store.proof(address, &[U256::ONE]).unwrap();
                    let mut state = store.state_at(header.number).unwrap().unwrap();
                    let account = state.account(address).unwrap().unwrap();
                    // Block n sets nonce n, balance n + 1 and slot 1 to n.
                    assert_eq!(account.nonce, header.number);
                    assert_eq!(proof.account, Some(account));
                    assert_eq!(proof.storage[0].value, U256::from(header.number));
                    let mut latest = store.latest_state().unwrap();
                    let number = latest.number();
                    assert!(number >= header.number);
                    let account = latest.clone().account(address).unwrap().unwrap();
                    let value = latest.storage(address, U256::ONE).unwrap();
                    assert_eq!((account.nonce, value), (number, U256::from(number)));
                }
            });
        }
        for nonce in 2..60 {
            chain.push(&one_edit(nonce));
        }
        done.store(true, Ordering::Release);
    });
    assert_eq!(chain.store.head().unwrap().number, 59);
}
