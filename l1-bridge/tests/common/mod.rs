//! A real L1 for tests: anvil as a child process. Each test starts its own.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

pub(crate) mod rpc_proxy;
pub(crate) mod transactions;

use std::{
    path::PathBuf,
    process::Stdio,
    sync::{Arc, RwLock},
    time::Duration,
};

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_rpc_types_eth::TransactionReceipt;
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::watch,
};
use weft_batcher::{
    BatchPolicy, ChainSource, ChainSourceError, EventSink, Placement, Prepared, RetryPolicy,
    Submitter,
};
use weft_l1_bridge::{
    ContractPoster, DeployParameters, DeploymentPlan, Derivation, DerivationConfig, DerivedBatch,
    L1Client, L1ClientConfig, MAX_BATCH_BLOBS, OriginAdvance, OriginConfig, OriginSource,
    PostableData, ResumePoint, RollupInfo, SendError, TransactionManager, TxManagerConfig, deploy,
    genesis,
};
use weft_primitives::{
    Block, BlockAttributes, ChainSpec, L1Origin, SealedBlock, Transaction, attributes_deposit,
    child_header,
};

pub(crate) const L2_CHAIN_ID: u64 = 31338;

/// Keys that anvil funds: the first accounts of the usual development mnemonic.
const KEYS: [&str; 3] = [
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
];

pub(crate) fn key(index: usize) -> PrivateKeySigner {
    KEYS[index].parse().unwrap()
}

pub(crate) struct Anvil {
    process: Child,
    pub(crate) url: String,
}

fn find_anvil() -> Option<PathBuf> {
    let installed = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../.tools/node_modules/.bin/anvil"
    );
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&on_path)
        .map(|folder| folder.join("anvil"))
        .chain([PathBuf::from(installed)])
        .find(|path| path.is_file())
        .map(native_binary)
}

/// npm installs a script that starts the program as its own child, which would outlive a killed
/// script: the program itself lies in a sibling package.
fn native_binary(found: PathBuf) -> PathBuf {
    let script = found.canonicalize().unwrap();
    if script
        .extension()
        .is_none_or(|extension| extension != "mjs")
    {
        return found;
    }
    let packages = script.ancestors().nth(2).unwrap();
    packages
        .read_dir()
        .unwrap()
        .map(|package| package.unwrap().path().join("bin/anvil"))
        .find(|path| path.is_file())
        .unwrap_or(found)
}

impl Anvil {
    /// Starts anvil on a port of the OS; `None`, said aloud, where it is not installed.
    pub(crate) async fn start(arguments: &[&str]) -> Option<Self> {
        let Some(program) = find_anvil() else {
            assert!(
                std::env::var_os("WEFT_REQUIRE_ANVIL").is_none(),
                "anvil is required but neither on PATH nor in .tools"
            );
            eprintln!("SKIPPED: anvil is neither on PATH nor in .tools (run ./test once)");
            return None;
        };
        let mut process = Command::new(program)
            .args(["--port", "0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let url = loop {
            let line = lines.next_line().await.unwrap().expect("anvil ended");
            if let Some(address) = line.strip_prefix("Listening on ") {
                break format!("http://{address}");
            }
        };
        // Nobody reads on, and a full pipe would stop anvil.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Some(Self { process, url })
    }

    pub(crate) fn client(&self) -> L1Client {
        L1Client::new(&self.url, L1ClientConfig::default()).unwrap()
    }

    pub(crate) fn sender(&self, index: usize) -> TransactionManager {
        TransactionManager::new(self.client(), key(index), manager_config())
    }

    pub(crate) async fn rpc(&self, method: &str, params: serde_json::Value) -> serde_json::Value {
        let request =
            serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let response: serde_json::Value = reqwest::Client::new()
            .post(&self.url)
            .json(&request)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert!(response.get("error").is_none(), "{method}: {response}");
        response["result"].clone()
    }

    pub(crate) async fn mine(&self, blocks: u64) {
        self.rpc("anvil_mine", serde_json::json!([blocks])).await;
    }

    /// Deploys the contract of `chain`; key 0 is the admin, key 1 the batcher.
    pub(crate) async fn deploy(&self, chain: &TestChain) -> RollupInfo {
        let parameters = DeployParameters {
            admin: key(0).address(),
            batcher: key(1).address(),
            genesis_block_hash: chain.block_at(0).hash(),
            chain_spec: &chain.spec,
            forced_inclusion_delay: 3_600,
            challenge_window: 60,
            resolution_time: 3_600,
            escape_delay: 86_400,
            challenge_bond: 1_000_000_000,
        };
        let plan = DeploymentPlan::of_account(&self.client(), key(0).address())
            .await
            .unwrap();
        let deployment = deploy(&self.sender(0), &plan, &parameters).await.unwrap();
        RollupInfo::load(&self.client(), deployment.contract)
            .await
            .unwrap()
    }

    pub(crate) async fn stop(mut self) {
        self.process.kill().await.unwrap();
    }
}

alloy_sol_types::sol! {
    function depositTransaction(address to, uint256 value, uint64 gasLimit, bool isCreation, bytes data);
}

/// Moves wei of the sender's ether from L1 to `to` on L2.
pub(crate) async fn deposit_eth(
    sender: &TransactionManager,
    contract: Address,
    to: Address,
    amount: U256,
) -> Result<TransactionReceipt, SendError> {
    let call = depositTransactionCall {
        to,
        value: amount,
        gasLimit: 100_000,
        isCreation: false,
        data: Bytes::new(),
    };
    sender
        .send(TxKind::Call(contract), amount, call.abi_encode().into())
        .await
}

pub(crate) fn manager_config() -> TxManagerConfig {
    TxManagerConfig {
        poll_interval: Duration::from_millis(20),
        ..TxManagerConfig::default()
    }
}

/// A chain whose blocks are linked but not executed: the bridge never looks at the outcome.
pub(crate) struct TestChain {
    pub(crate) spec: ChainSpec,
    blocks: RwLock<Vec<SealedBlock>>,
    head: watch::Sender<u64>,
}

impl TestChain {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        let funded = [(Address::repeat_byte(1), U256::from(seed))];
        let spec = genesis::l2_genesis(
            L2_CHAIN_ID,
            &funded,
            30_000_000,
            1_700_000_000,
            Address::repeat_byte(2),
        )
        .unwrap();
        let header = spec.genesis_header(B256::from(U256::from(seed)));
        let genesis = SealedBlock {
            header,
            transactions: Vec::new(),
        };
        Arc::new(Self {
            spec,
            blocks: RwLock::new(vec![genesis]),
            head: watch::Sender::new(0),
        })
    }

    pub(crate) fn block_at(&self, number: u64) -> SealedBlock {
        self.blocks.read().unwrap()[number as usize].clone()
    }

    /// Adds a block with `transfers` signed transfers, one second after its parent.
    pub(crate) fn extend(&self, advance: Option<OriginAdvance>, transfers: u64) -> SealedBlock {
        let parent = self.block_at(self.head());
        let attributes = BlockAttributes {
            timestamp: parent.header.timestamp + 1,
            gas_limit: 30_000_000,
            beneficiary: Address::repeat_byte(0x42),
            new_l1_origin: advance.as_ref().map(|advance| advance.origin),
        };
        let mut header = child_header(L2_CHAIN_ID, &parent.header, &attributes);
        header.state_root = keccak256(header.number.to_be_bytes());
        let mut transactions: Vec<Transaction> = Vec::new();
        if let Some(advance) = advance {
            transactions.push(attributes_deposit(&advance.origin).into());
            transactions.extend(advance.deposits.into_iter().map(Transaction::from));
        }
        transactions.extend((0..transfers).map(|nonce| transfer(header.number * 1_000 + nonce)));
        let block = Block {
            header,
            transactions,
        }
        .seal();
        self.blocks.write().unwrap().push(block.clone());
        self.head.send_replace(block.number());
        block
    }
}

fn transfer(nonce: u64) -> Transaction {
    let tx = TxEip1559 {
        chain_id: L2_CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 2_000_000_000,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(Address::repeat_byte(7)),
        value: U256::from(nonce),
        access_list: Default::default(),
        input: Bytes::new(),
    };
    let signature = key(2).sign_hash_sync(&tx.signature_hash()).unwrap();
    Transaction::Eip1559(tx.into_signed(signature))
}

impl ChainSource for TestChain {
    fn head(&self) -> u64 {
        *self.head.borrow()
    }

    fn block(&self, number: u64) -> Result<Option<SealedBlock>, ChainSourceError> {
        Ok(self.blocks.read().unwrap().get(number as usize).cloned())
    }

    fn deposit_count(&self, number: u64) -> Result<u64, ChainSourceError> {
        let blocks = self.blocks.read().unwrap();
        let transactions = blocks[..=number as usize]
            .iter()
            .flat_map(|block| &block.transactions);
        let system = blocks[..=number as usize]
            .iter()
            .filter(|block| block.new_l1_origin().is_some())
            .count();
        Ok((transactions.filter(|tx| tx.is_deposit()).count() - system) as u64)
    }

    fn withdrawals_root(&self, number: u64) -> Result<B256, ChainSourceError> {
        Ok(withdrawals_root(number))
    }

    fn l1_origin(&self, number: u64) -> Result<Option<L1Origin>, ChainSourceError> {
        let blocks = self.blocks.read().unwrap();
        let up_to = blocks[..=number as usize].iter().rev();
        Ok(up_to.into_iter().find_map(SealedBlock::new_l1_origin))
    }

    async fn wait_for(&self, number: u64) {
        let mut head = self.head.subscribe();
        head.wait_for(|head| *head >= number).await.unwrap();
    }
}

/// Any value will do: the bridge passes it on.
pub(crate) fn withdrawals_root(block: u64) -> B256 {
    keccak256([b"withdrawals".as_slice(), &block.to_be_bytes()].concat())
}

pub(crate) const GENESIS_TIMESTAMP: u64 = 1_700_000_000;

pub(crate) fn origin_source(
    client: L1Client,
    info: &RollupInfo,
    max_deposit_gas: u64,
) -> OriginSource {
    let config = OriginConfig {
        confirmations: 0,
        max_deposit_gas,
    };
    OriginSource::new(client, info, config)
}

pub(crate) fn derivation(client: L1Client, info: &RollupInfo, from: ResumePoint) -> Derivation {
    Derivation::new(client, info.clone(), from, DerivationConfig::default())
}

pub(crate) fn retry() -> RetryPolicy {
    RetryPolicy {
        first: Duration::from_millis(20),
        most: Duration::from_millis(200),
    }
}

pub(crate) fn policy(max_blocks: usize) -> BatchPolicy {
    BatchPolicy {
        max_age: Duration::ZERO,
        max_blocks,
        ..BatchPolicy::default()
    }
}

pub(crate) fn poster(anvil: &Anvil, info: &RollupInfo) -> ContractPoster {
    ContractPoster::new(
        anvil.client(),
        anvil.sender(1),
        info.contract,
        MAX_BATCH_BLOBS,
    )
}

/// Data that is posted as calldata, whatever it is.
pub(crate) fn calldata(data: &[u8]) -> Prepared<PostableData> {
    Prepared {
        placement: Placement::Calldata,
        blob_count: 0,
        data_hash: keccak256(data),
        bytes: data.len(),
        data: PostableData::Calldata(data.to_vec().into()),
    }
}

/// Runs a submitter until the chain's head is on L1, then drops it.
pub(crate) async fn submit_all(
    anvil: &Anvil,
    info: &RollupInfo,
    chain: &Arc<TestChain>,
    max_blocks: usize,
) {
    submit_with(poster(anvil, info), chain, max_blocks).await;
}

/// As [`submit_all`], through this poster.
pub(crate) async fn submit_with(poster: ContractPoster, chain: &Arc<TestChain>, max_blocks: usize) {
    let submitter = Submitter::new(
        Arc::clone(chain),
        poster,
        policy(max_blocks),
        retry(),
        EventSink::default(),
    );
    let mut status = submitter.status();
    let head = chain.head();
    let done = status.wait_for(|status| {
        status
            .last_batch
            .is_some_and(|last| last.last_block == head)
    });
    tokio::select! {
        error = submitter.run() => panic!("submitter stopped: {error:?}"),
        done = done => { done.unwrap(); }
    }
}

pub(crate) async fn derive_all(derivation: &mut Derivation) -> Vec<DerivedBatch> {
    let mut batches = Vec::new();
    while let Some(batch) = derivation.next_batch().await.unwrap() {
        batches.push(batch);
    }
    batches
}
