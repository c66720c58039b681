//! Blocks of Ethereum itself, executed again: gas used, logs bloom and receipts root must be the
//! block's own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use std::{collections::BTreeMap, fs::File, path::Path, time::Duration};

use alloy_consensus::{Header, Typed2718, transaction::SignerRecoverable};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use flate2::read::GzDecoder;
use serde::Deserialize;
use weft_executor_core::{BlockEnv, MemoryState};
use weft_executor_evm::EvmLayer;
use weft_executor_parallel::{Engine, execute_sequential};
use weft_primitives::{Fork, Receipt, RecoveredTransaction, Transaction};

#[derive(Deserialize)]
struct Fixture {
    spec: String,
    block: alloy_rpc_types_eth::Block<alloy_rpc_types_eth::Transaction<Transaction>>,
    pre_state: BTreeMap<Address, PreAccount>,
    block_hashes: BTreeMap<String, B256>,
}

#[derive(Deserialize)]
struct PreAccount {
    balance: U256,
    nonce: u64,
    code: Option<Bytes>,
    storage: BTreeMap<U256, U256>,
}

impl Fixture {
    fn read(path: &Path) -> Self {
        serde_json::from_reader(GzDecoder::new(File::open(path).unwrap()))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn state(&self) -> MemoryState {
        let mut state = MemoryState::default();
        for (address, account) in &self.pre_state {
            state.insert(
                *address,
                account.nonce,
                account.balance,
                account.code.clone().unwrap_or_default(),
                account.storage.iter().map(|(slot, value)| (*slot, *value)),
            );
        }
        state.block_hashes = self
            .block_hashes
            .iter()
            .map(|(number, hash)| (number.parse().unwrap(), *hash))
            .collect();
        state
    }

    /// The block's transactions with senders recovered from their signatures.
    fn transactions(&self) -> Vec<RecoveredTransaction> {
        let transactions = self.block.transactions.as_transactions();
        transactions
            .unwrap_or_default()
            .iter()
            .map(|listed| {
                let transaction = listed.inner.inner();
                assert_eq!(
                    keccak256(transaction.encoded_2718()),
                    transaction.hash(),
                    "type {}",
                    transaction.ty()
                );
                // Frontier took signatures with a high `s`.
                let sender = transaction.recover_signer_unchecked().unwrap();
                assert_eq!(sender, listed.inner.signer(), "sender");
                RecoveredTransaction::new_unchecked(transaction.clone(), sender)
            })
            .collect()
    }
}

#[test]
fn every_fixture_gives_the_blocks_own_gas_bloom_and_receipts_root() {
    let Some(folder) = common::fixtures("mainnet") else {
        return;
    };
    let files = common::files(&folder, ".json.gz");
    assert!(!files.is_empty(), "no fixtures in {}", folder.display());
    let layer = EvmLayer::new();
    // Blocks that are too small to be worth it are executed on several threads too.
    let engines = [1, 2, 4, 8].map(|threads| {
        let engine = Engine::new(threads.try_into().unwrap()).unwrap();
        engine.with_parallel_from(Duration::ZERO)
    });
    let types = common::on_all_cores(&files, |path| {
        let fixture = Fixture::read(path);
        let header: &Header = &fixture.block.header.inner;
        assert_eq!(header.hash_slow(), fixture.block.header.hash);
        let fork: Fork = fixture.spec.parse().unwrap();
        let block = BlockEnv::from_header(header, 1, fork);
        let transactions = fixture.transactions();
        let result = execute_sequential(&layer, &block, &transactions, fixture.state()).unwrap();

        let number = header.number;
        let state = fixture.state();
        for engine in &engines {
            // Once without and once with what it has learned from this block.
            for learned in [false, true] {
                let parallel = engine
                    .execute(&layer, &block, &transactions, &state)
                    .unwrap();
                assert!(
                    parallel == result,
                    "block {number} on {engine:?}, learned: {learned}; the same: access list {}, \
                     changes {}, receipts {}, gas {}",
                    parallel.access_list() == result.access_list(),
                    parallel.changes == result.changes,
                    parallel.receipts == result.receipts,
                    parallel.gas_used == result.gas_used
                );
                // Waits until it has learned.
                engine.predictor();
            }
        }
        assert_eq!(result.dropped, [], "block {number}");
        assert_eq!(result.gas_used, header.gas_used, "gas of block {number}");
        assert_eq!(
            Receipt::block_bloom(&result.receipts),
            header.logs_bloom,
            "logs bloom of block {number}"
        );
        // Before Byzantium a receipt carries the state root after its transaction.
        if fork >= Fork::Byzantium {
            assert_eq!(
                Receipt::root(&result.receipts),
                header.receipts_root,
                "receipts root of block {number}"
            );
        }
        transactions.iter().map(|tx| tx.ty()).collect::<Vec<_>>()
    });
    let mut count = BTreeMap::new();
    for ty in types.into_iter().flat_map(|(_, types)| types) {
        *count.entry(ty).or_insert(0) += 1;
    }
    eprintln!(
        "{} mainnet blocks replayed; transactions by type: {count:?}",
        files.len()
    );
}
