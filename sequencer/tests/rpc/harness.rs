//! A real server over a real store, mempool and EVM. Blocks are made when a test says so.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use alloy_eips::BlockNumHash;
use alloy_eips::eip1559::BaseFeeParams;
use alloy_primitives::{Address, B256, Bytes, U256, address, bytes, hex};
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner};
use axum::{Router, routing::get};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use weft_batcher::BatchHeader;
use weft_primitives::{BlockAttributes, RecoveredTransaction, Transaction, TxDeposit};
use weft_sequencer::{
    ChainSpec,
    chain::{ChainHandle, ChainWriter, ExecutionMode, L1Labels, LabelSource, Layers, engine},
    mempool::{AdmissionRules, Mempool, MempoolLimits},
    metrics::BlockSource,
    rpc::{
        AttemptInfo, AttemptStatus, BatchInfo, BatchStatus, L1Info, L1InfoError, L1Status,
        RpcConfig, RpcContext, RpcServer, RpcServerHandle, WithdrawalOnL1,
    },
};
use weft_state::{BlockBundle, History, Store, StoreOptions};

use crate::transactions;

pub(crate) const CHAIN_ID: u64 = 31338;
pub(crate) const GAS_LIMIT: u64 = 30_000_000;
pub(crate) const RICH: u64 = 1_000_000_000_000_000_000;
pub(crate) const MNEMONIC: &str = "test test test test test test test test test test test junk";

/// Emits one log: topics are words 0 and 2 of the input, data is word 1.
pub(crate) const EMITTER: Address = address!("00000000000000000000000000000000000e0001");
/// The same contract at another address.
pub(crate) const EMITTER_2: Address = address!("00000000000000000000000000000000000e0002");
/// Adds one to slot 0 and returns it.
pub(crate) const COUNTER: Address = address!("00000000000000000000000000000000000c0001");
/// Reverts with its input.
pub(crate) const REVERTER: Address = address!("00000000000000000000000000000000000f0001");
/// Calls the counter with all its gas and reverts when that fails.
pub(crate) const NESTED: Address = address!("00000000000000000000000000000000000a0001");
/// Clears slot 0, which is set in genesis.
pub(crate) const CLEARER: Address = address!("00000000000000000000000000000000000b0001");
/// Counts down from word 0 of the input.
pub(crate) const LOOP: Address = address!("00000000000000000000000000000000000d0001");
/// Returns number, timestamp, base fee, coinbase, PREVRANDAO, gas limit, the caller's balance,
/// slot 7 and the hash of block 7.
pub(crate) const OBSERVER: Address = address!("0000000000000000000000000000000000090001");

/// Emits a log whose data is as many zero bytes as word 0 of the input says.
pub(crate) const BIG_LOG: Address = address!("0000000000000000000000000000000000080001");

pub(crate) fn key(index: u32) -> PrivateKeySigner {
    MnemonicBuilder::english()
        .phrase(MNEMONIC)
        .index(index)
        .unwrap()
        .build()
        .unwrap()
}

fn genesis() -> ChainSpec {
    let mut alloc = serde_json::Map::new();
    for index in 0..10 {
        let address = key(index).address().to_string();
        alloc.insert(address, json!({"balance": "0xd3c21bcecceda1000000"}));
    }
    let emitter = "0x6020602060003760403560003560206000a200";
    let nested = "0x600060006000600060007300000000000000000000000000000000000c00015af115602657005b60006000fd";
    let contracts = [
        (EMITTER, emitter.to_owned()),
        (EMITTER_2, emitter.to_owned()),
        (
            COUNTER,
            "0x60005460010160005560005460005260206000f3".to_owned(),
        ),
        (REVERTER, "0x366000600037366000fd".to_owned()),
        (NESTED, nested.to_owned()),
        (BIG_LOG, "0x6000356000a000".to_owned()),
        (CLEARER, "0x600060005500".to_owned()),
        (LOOP, "0x6000355b8015601057600190036003565b00".to_owned()),
        (
            OBSERVER,
            [
                "0x43600052",
                "42602052",
                "48604052",
                "41606052",
                "44608052",
                "4560a052",
                "333160c052",
                "60075460e052",
                "60074061010052",
                "6101206000f3",
            ]
            .concat(),
        ),
    ];
    for (address, code) in contracts {
        let word = |number: u64| B256::from(U256::from(number)).to_string();
        alloc.insert(
            address.to_string(),
            json!({"balance": "0x0", "code": code, "storage": {word(0): word(u64::from(address == CLEARER)), word(7): word(u64::from(address == OBSERVER) * 77)}}),
        );
    }
    let genesis = json!({
        "config": {"chainId": CHAIN_ID},
        "gasLimit": format!("{GAS_LIMIT:#x}"),
        "difficulty": "0x0",
        "timestamp": "0x65000000",
        "coinbase": "0x00000000000000000000000000000000000fee00",
        "extraData": "0x",
        "nonce": "0x0",
        "mixHash": B256::ZERO,
        "baseFeePerGas": "0x3b9aca00",
        "alloc": alloc,
    });
    ChainSpec::from_json(genesis.to_string().as_bytes()).unwrap()
}

/// L1 as the tests see it: one batch over blocks 1 to 2.
struct OneBatch;

impl OneBatch {
    fn info() -> BatchInfo {
        BatchInfo {
            index: 0,
            hash: B256::repeat_byte(1),
            first_block: 1,
            last_block: 2,
            last_block_hash: B256::repeat_byte(2),
            header: (&BatchHeader {
                previous_batch_hash: B256::ZERO,
                first_block: 1,
                last_block: 2,
                last_block_hash: B256::repeat_byte(2),
                state_root: B256::repeat_byte(5),
                withdrawals_root: B256::ZERO,
                l1_origin: BlockNumHash::new(7, B256::repeat_byte(7)),
                deposits_consumed: 0,
                blob_count: 0,
                data_hash: B256::repeat_byte(6),
            })
                .into(),
            l1_transaction_hash: B256::repeat_byte(3),
            l1_block_number: 9,
            status: BatchStatus::Safe,
        }
    }
}

impl L1Info for OneBatch {
    fn batch(
        &self,
        index: u64,
    ) -> futures::future::BoxFuture<'_, Result<Option<BatchInfo>, L1InfoError>> {
        Box::pin(async move { Ok((index == 0).then(Self::info)) })
    }

    fn batch_of_block(
        &self,
        number: u64,
    ) -> futures::future::BoxFuture<'_, Result<Option<BatchInfo>, L1InfoError>> {
        Box::pin(async move { Ok((1..=2).contains(&number).then(Self::info)) })
    }

    fn attempts(
        &self,
        index: u64,
    ) -> futures::future::BoxFuture<'_, Result<Vec<AttemptInfo>, L1InfoError>> {
        let attempt = AttemptInfo {
            transaction_hash: B256::repeat_byte(3),
            sender: Address::repeat_byte(4),
            nonce: 5,
            gas_limit: 21_000,
            max_fee_per_gas: 9,
            max_priority_fee_per_gas: 1,
            max_fee_per_blob_gas: Some(7),
            sent_at: 0x6500_0000,
            status: AttemptStatus::Included,
            l1_block_number: Some(9),
            error: None,
        };
        Box::pin(async move { Ok((index == 0).then_some(attempt).into_iter().collect()) })
    }

    fn withdrawal(
        &self,
        _: B256,
    ) -> futures::future::BoxFuture<'_, Result<WithdrawalOnL1, L1InfoError>> {
        Box::pin(std::future::ready(Ok(WithdrawalOnL1::default())))
    }

    fn status(&self) -> futures::future::BoxFuture<'_, Result<L1Status, L1InfoError>> {
        Box::pin(async move {
            Ok(L1Status {
                head: Some(12),
                batches: Some(1),
                ..L1Status::default()
            })
        })
    }
}

/// A node without a producer of its own.
pub(crate) struct Node {
    pub(crate) chain: ChainHandle,
    pub(crate) mempool: Mempool,
    pub(crate) server: RpcServerHandle,
    pub(crate) labels: tokio::sync::watch::Sender<L1Labels>,
    writer: Arc<Mutex<ChainWriter>>,
    client: reqwest::Client,
    _folder: TempDir,
}

pub(crate) fn config() -> RpcConfig {
    RpcConfig {
        port: 0,
        ..RpcConfig::default()
    }
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::start_with(config(), true).await
    }

    pub(crate) async fn start_with(config: RpcConfig, takes_transactions: bool) -> Self {
        Self::start_keeping(History::All, config, takes_transactions).await
    }

    /// With old states as far back as `history` says.
    pub(crate) async fn start_keeping(
        history: History,
        config: RpcConfig,
        takes_transactions: bool,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let spec = genesis();
        let store = open(folder.path(), &spec, history);
        let spec = Arc::new(spec);
        let layers = Arc::new(Layers::new(ExecutionMode::default(), None).unwrap());
        let (labels, label_source) = tokio::sync::watch::channel(L1Labels::default());
        let (writer, chain) = ChainWriter::new(
            spec,
            store,
            layers,
            engine(2).unwrap(),
            LabelSource::L1(label_source),
            BlockSource::Produced,
        )
        .unwrap();
        let mempool = Mempool::new(MempoolLimits::default(), rules(&chain));
        let context = RpcContext {
            chain: chain.clone(),
            mempool: takes_transactions.then(|| mempool.clone()),
            preloader: None,
            l1: Arc::new(OneBatch),
        };
        let extra = Router::new().route("/health", get(|| async { "ok" }));
        let server = RpcServer::start(config, context, extra).await.unwrap();
        Self {
            chain,
            mempool,
            server,
            labels,
            writer: Arc::new(Mutex::new(writer)),
            client: reqwest::Client::new(),
            _folder: folder,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.local_addr()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address())
    }

    pub(crate) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// Makes a block of what waits in the mempool.
    pub(crate) fn mine(&self) -> Arc<BlockBundle> {
        self.mine_with(Vec::new())
    }

    /// Makes a block of deposits and what waits in the mempool.
    pub(crate) fn mine_with(&self, deposits: Vec<TxDeposit>) -> Arc<BlockBundle> {
        let mut writer = self.writer.lock();
        let mut blocks = self.chain.subscribe();
        let head = writer.tip().clone();
        let mut transactions: Vec<RecoveredTransaction> = deposits
            .into_iter()
            .map(|deposit| Transaction::from(deposit).recover().unwrap())
            .collect();
        let pooled = self.mempool.best(head.gas_limit, 10_000);
        transactions.extend(pooled.iter().map(|pooled| pooled.transaction.clone()));
        let executed = writer
            .execute(
                &BlockAttributes {
                    timestamp: head.timestamp + 2,
                    gas_limit: head.gas_limit,
                    beneficiary: head.beneficiary,
                    new_l1_origin: None,
                },
                transactions,
            )
            .unwrap();
        assert!(executed.dropped.is_empty(), "{:?}", executed.dropped);
        let number = executed.number();
        writer.append(executed).unwrap();
        writer.flush().unwrap();
        let bundle = blocks.try_recv().unwrap();
        assert_eq!(bundle.block.number(), number);
        let changed: Vec<_> = bundle
            .changes
            .accounts
            .iter()
            .map(|(address, change)| (*address, change.after.unwrap_or_default()))
            .collect();
        self.mempool
            .on_executed(rules(&self.chain), None, &changed, &[]);
        bundle
    }

    /// Makes a block whenever a transaction is ready, until the returned guard is dropped.
    pub(crate) fn mine_automatically(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        let node = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                node.mempool.ready().await;
                let node = Arc::clone(&node);
                tokio::task::spawn_blocking(move || node.mine())
                    .await
                    .unwrap();
            }
        })
    }

    /// The whole answer to a request.
    pub(crate) async fn request(&self, method: &str, params: Value) -> Value {
        self.raw(json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string())
            .await
            .1
    }

    /// The result of a request that must have one.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Value {
        let answer = self.request(method, params.clone()).await;
        match answer.get("result") {
            Some(result) => result.clone(),
            None => panic!("{method} {params}: {answer}"),
        }
    }

    /// Code, message and data of a request that must fail.
    pub(crate) async fn error(&self, method: &str, params: Value) -> (i64, String, Value) {
        let answer = self.request(method, params.clone()).await;
        error_of(&answer).unwrap_or_else(|| panic!("{method} {params}: {answer}"))
    }

    /// Posts a body and gives status and answer; null when the answer is empty.
    pub(crate) async fn raw(&self, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let response = self
            .client
            .post(self.url())
            .body(body)
            .send()
            .await
            .unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        if text.is_empty() {
            return (status, Value::Null);
        }
        (status, serde_json::from_str(&text).unwrap())
    }

    /// Sends a transaction and gives its hash.
    pub(crate) async fn send(&self, transaction: &Transaction) -> B256 {
        let hash = self
            .call(
                "eth_sendRawTransaction",
                json!([transactions::raw(transaction)]),
            )
            .await;
        serde_json::from_value(hash).unwrap()
    }
}

pub(crate) fn error_of(answer: &Value) -> Option<(i64, String, Value)> {
    let error = answer.get("error")?;
    Some((
        error["code"].as_i64()?,
        error["message"].as_str()?.to_owned(),
        error.get("data").cloned().unwrap_or_default(),
    ))
}

fn open(path: &Path, spec: &ChainSpec, history: History) -> Store {
    let options = StoreOptions {
        history,
        ..StoreOptions::default()
    };
    Store::open_with(path, spec, &options).unwrap()
}

fn rules(chain: &ChainHandle) -> AdmissionRules {
    let head = chain.head();
    AdmissionRules {
        chain_id: chain.spec().chain_id(),
        fork: chain.spec().fork(),
        block_gas_limit: head.gas_limit,
        base_fee: head.next_block_base_fee(BaseFeeParams::ethereum()).unwrap(),
    }
}

/// Words as contract input.
pub(crate) fn words(words: &[u64]) -> Bytes {
    words
        .iter()
        .flat_map(|word| U256::from(*word).to_be_bytes::<32>())
        .collect()
}

/// Init code that deploys one byte, STOP.
pub(crate) fn init_code() -> Bytes {
    bytes!("60016000f3")
}

pub(crate) fn number(value: &Value) -> u64 {
    let text = value
        .as_str()
        .unwrap_or_else(|| panic!("no quantity: {value}"));
    let digits = text.strip_prefix("0x").unwrap();
    assert!(
        digits == "0" || !digits.starts_with('0'),
        "{text} has leading zeros"
    );
    u64::from_str_radix(digits, 16).unwrap()
}

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Data of a Solidity `Error(string)` with the reason "no".
pub(crate) fn solidity_error() -> Bytes {
    let mut data = hex!("08c379a0").to_vec();
    data.extend(words(&[32, 2]));
    data.extend(b"no");
    data.resize(4 + 96, 0);
    data.into()
}
