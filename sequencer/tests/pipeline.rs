//! Blocks that are executed on top of blocks still being sealed and written.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests fail by panicking"
)]

use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, address, bytes};
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;
use weft_executor_core::StateView;
use weft_primitives::{BlockAttributes, RecoveredTransaction, Transaction};
use weft_sequencer::{
    ChainSpec, NodeError,
    chain::{ChainHandle, ChainWriter, ExecutionMode, LabelSource, Layers, engine},
    metrics::BlockSource,
};
use weft_state::{StateError, Store};

const CHAIN_ID: u64 = 31338;
const ACCOUNTS: u8 = 8;
/// Puts the hash of the parent into slot 0: `sstore(0, blockhash(number - 1))`.
const ASKS_FOR_PARENT: Address = address!("00000000000000000000000000000000000000a1");
const ASKING_CODE: Bytes = bytes!("4360019003405f5500");
/// Counts its calls: `sstore(0, sload(0) + 1)`.
const COUNTS: Address = address!("00000000000000000000000000000000000000a2");
const COUNTING_CODE: Bytes = bytes!("5f546001015f5500");

struct Chain {
    writer: ChainWriter,
    handle: ChainHandle,
    nonces: [u64; ACCOUNTS as usize],
    _folder: TempDir,
}

fn account(index: u8) -> Address {
    Address::repeat_byte(0x10 + index % ACCOUNTS)
}

impl Chain {
    fn new() -> Self {
        let mut alloc = serde_json::Map::new();
        for index in 0..ACCOUNTS {
            alloc.insert(
                account(index).to_string(),
                json!({"balance": "0xde0b6b3a7640000"}),
            );
        }
        for (contract, code) in [(ASKS_FOR_PARENT, ASKING_CODE), (COUNTS, COUNTING_CODE)] {
            alloc.insert(
                contract.to_string(),
                json!({"balance": "0x0", "code": code}),
            );
        }
        let genesis = json!({
            "config": {"chainId": CHAIN_ID},
            "gasLimit": "0x1c9c380",
            "difficulty": "0x0",
            "timestamp": "0x65000000",
            "extraData": "0x",
            "nonce": "0x0",
            "baseFeePerGas": "0x7",
            "alloc": alloc,
        });
        let spec = Arc::new(ChainSpec::from_json(genesis.to_string().as_bytes()).unwrap());
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path(), &spec).unwrap();
        let (writer, handle) = ChainWriter::new(
            spec,
            store,
            Arc::new(Layers::new(ExecutionMode::default(), None).unwrap()),
            engine(2).unwrap(),
            LabelSource::Durable,
            BlockSource::Produced,
        )
        .unwrap();
        Self {
            writer,
            handle,
            nonces: [0; ACCOUNTS as usize],
            _folder: folder,
        }
    }

    fn append(&mut self, calls: &[(u8, Target)]) {
        let transactions = calls
            .iter()
            .map(|(sender, target)| self.transaction(*sender, *target))
            .collect();
        let attributes = BlockAttributes {
            timestamp: self.writer.tip().timestamp + 1,
            gas_limit: 30_000_000,
            beneficiary: Address::ZERO,
            new_l1_origin: None,
        };
        let block = self.writer.execute(&attributes, transactions).unwrap();
        assert!(block.dropped.is_empty(), "{:?}", block.dropped);
        self.writer.append(block).unwrap();
    }

    fn transaction(&mut self, sender: u8, target: Target) -> RecoveredTransaction {
        let nonce = self.nonces.get_mut(usize::from(sender % ACCOUNTS)).unwrap();
        let (to, value) = match target {
            Target::Parent => (ASKS_FOR_PARENT, U256::ZERO),
            Target::Counter => (COUNTS, U256::ZERO),
            Target::Account(index) => (account(index), U256::from(index)),
            Target::New(byte) => (Address::repeat_byte(byte | 0x80), U256::ONE),
        };
        let transaction = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce: *nonce,
            gas_limit: 60_000,
            max_fee_per_gas: 1_000,
            max_priority_fee_per_gas: 1,
            to: TxKind::Call(to),
            value,
            access_list: Default::default(),
            input: Bytes::new(),
        };
        *nonce += 1;
        let signed = transaction.into_signed(Signature::test_signature());
        RecoveredTransaction::new_unchecked(Transaction::Eip1559(signed), account(sender))
    }

    fn hashes(&self) -> Vec<B256> {
        let store = self.handle.store();
        (0..=self.handle.head().number)
            .map(|number| store.header(number).unwrap().unwrap().hash())
            .collect()
    }
}

#[derive(Debug, Clone, Copy)]
enum Target {
    Parent,
    Counter,
    Account(u8),
    New(u8),
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        1 => Just(Target::Parent),
        2 => Just(Target::Counter),
        4 => any::<u8>().prop_map(Target::Account),
        2 => any::<u8>().prop_map(Target::New),
    ]
}

fn blocks() -> impl Strategy<Value = Vec<Vec<(u8, Target)>>> {
    let small = prop::collection::vec((any::<u8>(), target()), 0..6);
    let large = prop::collection::vec((any::<u8>(), target()), 60..150);
    prop::collection::vec(prop_oneof![5 => small, 1 => large], 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whether the next block waits for the last one to be durable makes no difference.
    #[test]
    fn overlapping_blocks_are_those_made_one_after_another(blocks in blocks()) {
        let (mut overlapping, mut waiting) = (Chain::new(), Chain::new());
        let mut published = overlapping.handle.subscribe();
        for block in &blocks {
            overlapping.append(block);
            waiting.append(block);
            waiting.writer.flush().unwrap();
        }
        let head = overlapping.writer.flush().unwrap();
        prop_assert_eq!(head.number, blocks.len() as u64);
        prop_assert_eq!(overlapping.hashes(), waiting.hashes());
        for expected in overlapping.hashes().into_iter().skip(1) {
            prop_assert_eq!(published.try_recv().unwrap().block.hash(), expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// A chain that goes back while it runs goes on like one that never had the blocks, and its head,
    /// records and state are those of the lower block.
    #[test]
    fn a_running_chain_goes_back(
        kept in blocks(),
        dropped in blocks(),
        after in blocks(),
        waits in any::<bool>(),
    ) {
        let (mut chain, mut expected) = (Chain::new(), Chain::new());
        for block in &kept {
            chain.append(block);
            expected.append(block);
        }
        let (number, nonces) = (kept.len() as u64, chain.nonces);
        for block in &dropped {
            chain.append(block);
        }
        if waits {
            chain.writer.flush().unwrap();
        }
        let unwound = chain.writer.unwind_to(number).unwrap();
        let head = expected.writer.flush().unwrap();
        prop_assert_eq!(&unwound.to, &head);
        prop_assert_eq!(unwound.from.number, number + dropped.len() as u64);
        prop_assert_eq!(chain.writer.tip().number, number);
        prop_assert_eq!(chain.handle.head(), head);
        prop_assert_eq!(chain.handle.labels().safe, number);
        for above in number + 1..=unwound.from.number {
            prop_assert!(chain.handle.record(above).unwrap().is_none());
        }
        let error = chain.writer.unwind_to(number + 1).unwrap_err();
        prop_assert!(matches!(error, NodeError::Store(StateError::UnwindAboveHead { .. })), "{}", error);

        chain.nonces = nonces;
        for block in &after {
            chain.append(block);
            expected.append(block);
        }
        chain.writer.flush().unwrap();
        expected.writer.flush().unwrap();
        prop_assert_eq!(chain.hashes(), expected.hashes());
        let last = chain.handle.head().number;
        let hash = |chain: &Chain| chain.handle.record(last).unwrap().unwrap().hash();
        prop_assert_eq!(hash(&chain), hash(&expected));
    }
}

#[test]
fn a_transaction_gets_the_hash_of_a_parent_that_is_not_durable() {
    let mut chain = Chain::new();
    for _ in 0..20 {
        chain.append(&[(0, Target::Parent)]);
    }
    let head = chain.writer.flush().unwrap();
    let stored = chain
        .handle
        .store()
        .latest_state()
        .unwrap()
        .storage(ASKS_FOR_PARENT, U256::ZERO)
        .unwrap();
    assert_eq!(B256::from(stored), head.parent_hash);
}

#[test]
fn what_was_appended_is_durable_when_the_writer_is_gone() {
    let mut chain = Chain::new();
    for _ in 0..5 {
        chain.append(&[(1, Target::Counter)]);
    }
    let Chain { writer, handle, .. } = chain;
    drop(writer);
    assert_eq!(handle.head().number, 5);
}

#[tokio::test]
async fn who_waits_for_a_transaction_gets_its_place() {
    let mut chain = Chain::new();
    let transaction = chain.transaction(3, Target::Account(1));
    let hash = transaction.hash();
    chain.nonces = [0; ACCOUNTS as usize];
    let (first, second) = (chain.handle.inclusion(hash), chain.handle.inclusion(hash));
    drop(chain.handle.inclusion(hash));
    chain.append(&[(2, Target::Counter), (3, Target::Account(1))]);
    chain.writer.flush().unwrap();
    for waiting in [first, second] {
        let (bundle, index) = waiting.await.unwrap();
        assert_eq!((bundle.block.number(), index), (1, 1));
    }
}
