//! The block producer over a real store, mempool and EVM.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests fail by panicking"
)]

use std::{sync::Arc, thread, time::Duration};

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    runtime::Handle,
    sync::{broadcast, watch},
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use weft_executor_core::StateView;
use weft_l1_bridge::OriginAdvance;
use weft_primitives::{
    ATTRIBUTES_GAS_LIMIT, L1Origin, RecoveredTransaction, Transaction, TxDeposit,
};
use weft_sequencer::{
    ChainSpec,
    chain::{
        ChainHandle, ChainWriter, ElasticConfig, ExecutionMode, LabelSource, Layers, OriginUpdate,
        Producer, ProducerConfig, engine,
    },
    mempool::{AdmissionRules, Mempool, MempoolLimits},
    metrics::BlockSource,
};
use weft_state::{BlockBundle, Store};

const CHAIN_ID: u64 = 31338;
/// Most gas that a transaction may ask for (EIP-7825).
const MAX_TRANSACTION_GAS: u64 = 1 << 24;
const ETHER: u128 = 1_000_000_000_000_000_000;

struct Producing {
    mempool: Mempool,
    blocks: broadcast::Receiver<Arc<BlockBundle>>,
    sender: PrivateKeySigner,
    chain: ChainHandle,
    _origins: watch::Sender<Option<Arc<OriginUpdate>>>,
    _stop: DropGuard,
    _folder: TempDir,
}

impl Producing {
    /// A chain with one funded account and its transactions, whose next block may move to `advance`.
    fn start(gas_limit: u64, advance: OriginAdvance, pooled: &[TxEip1559]) -> Self {
        Self::start_at(gas_limit, 7, advance, pooled)
    }

    /// The same with this base fee in the genesis, in wei per gas.
    fn start_at(
        gas_limit: u64,
        base_fee: u64,
        advance: OriginAdvance,
        pooled: &[TxEip1559],
    ) -> Self {
        let sender = PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap();
        let genesis = json!({
            "config": {"chainId": CHAIN_ID},
            "gasLimit": format!("{gas_limit:#x}"),
            "difficulty": "0x0",
            "timestamp": "0x65000000",
            "extraData": "0x",
            "nonce": "0x0",
            "baseFeePerGas": format!("{base_fee:#x}"),
            "alloc": {sender.address().to_string(): {"balance": format!("{ETHER:#x}")}},
        });
        let spec = Arc::new(ChainSpec::from_json(genesis.to_string().as_bytes()).unwrap());
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path(), &spec).unwrap();
        let layers = Arc::new(Layers::new(ExecutionMode::default(), None).unwrap());
        let (writer, chain) = ChainWriter::new(
            spec,
            store,
            layers,
            engine(2).unwrap(),
            LabelSource::Durable,
            BlockSource::Produced,
        )
        .unwrap();
        let next = chain.pending_env(0);
        let rules = AdmissionRules {
            chain_id: next.chain_id,
            fork: next.fork,
            block_gas_limit: gas_limit,
            base_fee: next.base_fee,
        };
        let blocks = chain.subscribe();
        let (origins, feed) = watch::channel(Some(Arc::new(OriginUpdate {
            from: None,
            advance,
        })));
        let stop = CancellationToken::new();
        let producing = Self {
            mempool: Mempool::new(MempoolLimits::default(), rules),
            blocks,
            sender,
            chain: chain.clone(),
            _origins: origins,
            _stop: stop.clone().drop_guard(),
            _folder: folder,
        };
        for transaction in pooled {
            producing.add(transaction.clone());
        }
        let producer = Producer::new(
            writer,
            &chain,
            producing.mempool.clone(),
            feed,
            ProducerConfig {
                min_interval: Duration::ZERO,
                heartbeat: None,
                gas_limit,
                beneficiary: Address::ZERO,
                max_transactions: 100,
                max_transaction_bytes: 100_000,
                elastic: Some(ElasticConfig {
                    max_interval: Duration::from_millis(5),
                    ..ElasticConfig::around(gas_limit)
                }),
            },
        )
        .unwrap();
        let runtime = Handle::current();
        thread::spawn(move || producer.run(&runtime, &stop).unwrap());
        producing
    }

    fn add(&self, transaction: TxEip1559) -> B256 {
        let signature = self
            .sender
            .sign_hash_sync(&transaction.signature_hash())
            .unwrap();
        let signed = Transaction::Eip1559(transaction.into_signed(signature));
        let recovered: RecoveredTransaction = signed.recover().unwrap();
        let mut state = self.chain.store().latest_state().unwrap();
        let account = state.account(self.sender.address()).unwrap();
        let added = self.mempool.add(recovered, account.unwrap_or_default());
        added.unwrap().hash
    }

    async fn next_block(&mut self) -> Arc<BlockBundle> {
        timeout(Duration::from_secs(60), self.blocks.recv())
            .await
            .expect("no block within a minute")
            .unwrap()
    }
}

fn transfer(nonce: u64, gas_limit: u64, value: u128) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit,
        max_fee_per_gas: 100,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(Address::repeat_byte(0x77)),
        value: U256::from(value),
        ..TxEip1559::default()
    }
}

fn origin() -> L1Origin {
    L1Origin {
        number: 5,
        hash: B256::repeat_byte(5),
        timestamp: 0x6500_0000,
        base_fee: U256::from(1),
    }
}

fn hashes(block: &BlockBundle) -> Vec<B256> {
    let transactions = &block.block.transactions;
    transactions.iter().map(Transaction::hash).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_fits_no_block_with_an_origin_goes_before_it() {
    let gas_limit = MAX_TRANSACTION_GAS + ATTRIBUTES_GAS_LIMIT - 1;
    let advance = OriginAdvance {
        origin: origin(),
        deposits: Vec::new(),
    };
    let mut producing =
        Producing::start(gas_limit, advance, &[transfer(0, MAX_TRANSACTION_GAS, 1)]);
    let first = producing.next_block().await;
    assert_eq!(first.block.transactions.len(), 1);
    assert_eq!(first.block.new_l1_origin(), None);

    let small = producing.add(transfer(1, 21_000, 1));
    let second = producing.next_block().await;
    assert_eq!(second.block.new_l1_origin(), Some(origin()));
    assert_eq!(hashes(&second).last(), Some(&small));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_transaction_that_was_left_out_waits_for_its_nonce() {
    let sender = PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap();
    // The deposit goes first: it takes nonce 0 and most of the money that the others count on.
    let deposit = TxDeposit {
        source_hash: B256::repeat_byte(1),
        from: sender.address(),
        to: TxKind::Call(Address::repeat_byte(0x78)),
        mint: 0,
        value: U256::from(ETHER / 10 * 9),
        gas_limit: 100_000,
        is_system_transaction: false,
        input: Bytes::new(),
    };
    let advance = OriginAdvance {
        origin: origin(),
        deposits: vec![deposit],
    };
    let pooled = [
        transfer(0, 21_000, 1),
        transfer(1, 21_000, ETHER / 2),
        transfer(2, 21_000, 1),
    ];
    let mut producing = Producing::start(30_000_000, advance, &pooled);
    let first = producing.next_block().await;
    assert_eq!(first.block.transactions.len(), 2, "only the deposits");

    let again = producing.add(transfer(1, 21_000, 1));
    let mut included = Vec::new();
    while included.len() < 2 {
        included.extend(hashes(&*producing.next_block().await));
    }
    assert_eq!(included.first(), Some(&again));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_fee_that_nobody_pays_falls_until_somebody_does() {
    let advance = OriginAdvance {
        origin: origin(),
        deposits: Vec::new(),
    };
    // It begins at ten times what the transaction pays.
    let mut producing = Producing::start_at(30_000_000, 1_000, advance, &[transfer(0, 21_000, 1)]);
    let mut empty = 0;
    let block = loop {
        let block = producing.next_block().await;
        let user = |transaction: &&Transaction| !transaction.is_deposit();
        if block.block.transactions.iter().any(|tx| user(&tx)) {
            break block;
        }
        empty += 1;
        assert!(empty < 100, "the base fee does not fall");
    };
    assert!(empty > 10);
    assert!(block.block.header.base_fee_per_gas.unwrap() <= 100);
}
