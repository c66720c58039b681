//! What a node's engine has learned, from one run of the node to the next.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests fail by panicking"
)]

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, address, hex};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::subscriber::DefaultGuard;
use weft_executor_parallel::{PREDICTOR_CAPACITY, Predictor};
use weft_primitives::Transaction;
use weft_sequencer::{
    ChainSpec,
    chain::{ExecutionMode, ProducerConfig},
    config::StateSection,
    mempool::MempoolLimits,
    node::{Node, NodeConfig},
    rpc::RpcConfig,
};

const CHAIN_ID: u64 = 31338;
const GAS_LIMIT: u64 = 30_000_000;
/// A call that asks for so much gas is worth more than one thread, and is learned from.
const CALL_GAS: u64 = 2_000_000;
/// Adds one to slot 0.
const COUNTER: Address = address!("00000000000000000000000000000000000c0001");

/// A data folder, and what was logged about it on this thread.
struct Folder {
    folder: TempDir,
    log: Arc<Mutex<Vec<u8>>>,
    _logging: DefaultGuard,
}

struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Folder {
    fn new() -> Self {
        let log = Arc::<Mutex<Vec<u8>>>::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_ansi(false)
            .with_writer(move || Log(writer.clone()))
            .finish();
        Self {
            folder: TempDir::new().unwrap(),
            log,
            _logging: tracing::subscriber::set_default(subscriber),
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn file(&self) -> PathBuf {
        self.path().join("predictions")
    }

    fn kept(&self) -> Vec<u8> {
        fs::read(self.file()).unwrap()
    }

    /// Warnings since the last time.
    fn warnings(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.log.lock())).unwrap()
    }
}

struct Running {
    node: Node,
    stop: CancellationToken,
}

fn caller() -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap()
}

fn spec() -> ChainSpec {
    let genesis = json!({
        "config": {"chainId": CHAIN_ID},
        "gasLimit": format!("{GAS_LIMIT:#x}"),
        "difficulty": "0x0",
        "timestamp": "0x65000000",
        "extraData": "0x",
        "nonce": "0x0",
        "baseFeePerGas": "0x7",
        "alloc": {
            caller().address().to_string(): {"balance": "0xde0b6b3a7640000"},
            COUNTER.to_string(): {"balance": "0x0", "code": "0x60005460010160005500"},
        },
    });
    ChainSpec::from_json(genesis.to_string().as_bytes()).unwrap()
}

impl Running {
    async fn start(folder: &Path, threads: usize) -> Self {
        let stop = CancellationToken::new();
        let config = NodeConfig {
            spec: Arc::new(spec()),
            history: weft_state::History::All,
            data_dir: folder.to_owned(),
            execution: ExecutionMode::EVM,
            threads,
            state: StateSection::default(),
            rpc: RpcConfig {
                port: 0,
                ..RpcConfig::default()
            },
            mempool: MempoolLimits::default(),
            producer: ProducerConfig {
                min_interval: Duration::ZERO,
                heartbeat: None,
                gas_limit: GAS_LIMIT,
                beneficiary: Address::ZERO,
                max_transactions: 100,
                max_transaction_bytes: 100_000,
                elastic: None,
            },
            l1: None,
            admin: None,
            metrics: None,
        };
        let node = Node::start(config, stop.clone()).await.unwrap();
        Self { node, stop }
    }

    /// Calls the counter, and waits for the block.
    async fn call(&self, nonce: u64) {
        let transaction = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit: CALL_GAS,
            max_fee_per_gas: 1_000,
            max_priority_fee_per_gas: 1,
            to: TxKind::Call(COUNTER),
            input: Bytes::from_static(&[1, 2, 3, 4]),
            ..TxEip1559::default()
        };
        let signature = caller()
            .sign_hash_sync(&transaction.signature_hash())
            .unwrap();
        let signed = Transaction::Eip1559(transaction.into_signed(signature));
        let mut blocks = self.node.chain().subscribe();
        let answer: Value = reqwest::Client::new()
            .post(format!("http://{}/", self.node.address()))
            .json(&json!({
                "jsonrpc": "2.0",
                "id": 1,
                "method": "eth_sendRawTransaction",
                "params": [hex::encode_prefixed(signed.encoded_2718())],
            }))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(answer["result"], signed.hash().to_string(), "{answer}");
        let block = timeout(Duration::from_secs(60), blocks.recv())
            .await
            .expect("no block within a minute")
            .unwrap();
        assert_eq!(block.block.transactions.len(), 1);
    }

    async fn stop(self) {
        self.stop.cancel();
        self.node.join().await.unwrap();
    }
}

fn nothing_learned() -> Vec<u8> {
    Predictor::new(PREDICTOR_CAPACITY).save()
}

#[tokio::test]
async fn what_was_learned_is_there_after_a_restart() {
    let folder = Folder::new();
    let node = Running::start(folder.path(), 2).await;
    node.call(0).await;
    node.stop().await;
    let learned = folder.kept();
    assert!(learned.len() > nothing_learned().len());

    // It is written again from what was read: the file itself is gone by then.
    let node = Running::start(folder.path(), 2).await;
    fs::remove_file(folder.file()).unwrap();
    node.stop().await;
    assert_eq!(folder.kept(), learned);

    // And a node goes on from there.
    let node = Running::start(folder.path(), 2).await;
    node.call(1).await;
    node.stop().await;
    let more = folder.kept();
    assert!(more.len() > nothing_learned().len());
    let restored = Predictor::restore(&more, PREDICTOR_CAPACITY).unwrap();
    assert_eq!(restored.save(), more);
    assert_eq!(folder.warnings(), "");
}

#[tokio::test]
async fn what_is_no_such_file_is_ignored_and_replaced() {
    let folder = Folder::new();
    let node = Running::start(folder.path(), 2).await;
    node.call(0).await;
    node.stop().await;
    let learned = folder.kept();
    let changed = |change: fn(&mut Vec<u8>)| {
        let mut bytes = learned.clone();
        change(&mut bytes);
        bytes
    };
    let cases = [
        (Vec::new(), "expected a saved predictor, found 0 bytes"),
        (b"this is a letter".to_vec(), "version 116"),
        (changed(|bytes| bytes[0] = 255), "version 255"),
        (changed(|bytes| bytes[9] ^= 1), "checksum"),
        (changed(|bytes| bytes.truncate(20)), "checksum"),
        (vec![0; (32 << 20) + 1], "bytes, found more"),
    ];
    for (bytes, reason) in cases {
        fs::write(folder.file(), bytes).unwrap();
        let node = Running::start(folder.path(), 2).await;
        let warnings = folder.warnings();
        assert!(
            warnings.contains("predictions cannot be used"),
            "{warnings}"
        );
        assert!(warnings.contains(reason), "{reason}: {warnings}");
        node.stop().await;
        assert_eq!(folder.kept(), nothing_learned());
        assert_eq!(folder.warnings(), "");
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_no_reason_to_fail() {
    let folder = Folder::new();
    let node = Running::start(folder.path(), 2).await;
    node.call(0).await;
    // The permissions are nothing to root, and the folder in the file's place is.
    fs::create_dir(folder.path().join("predictions.partial")).unwrap();
    let permissions = |mode| fs::set_permissions(folder.path(), PermissionsExt::from_mode(mode));
    permissions(0o555).unwrap();
    node.stop().await;
    permissions(0o755).unwrap();
    let warnings = folder.warnings();
    assert!(
        warnings.contains("predictions cannot be kept"),
        "{warnings}"
    );
    assert!(!folder.file().exists());

    // Nor is one that cannot be read.
    fs::create_dir(folder.file()).unwrap();
    let node = Running::start(folder.path(), 2).await;
    let warnings = folder.warnings();
    assert!(
        warnings.contains("predictions cannot be used"),
        "{warnings}"
    );
    node.call(1).await;
    node.stop().await;
}

#[tokio::test]
async fn one_thread_predicts_nothing_and_leaves_the_file_alone() {
    let folder = Folder::new();
    fs::write(folder.file(), "this is a letter").unwrap();
    let node = Running::start(folder.path(), 1).await;
    node.call(0).await;
    node.stop().await;
    assert_eq!(folder.kept(), b"this is a letter");
    assert_eq!(folder.warnings(), "");
}
