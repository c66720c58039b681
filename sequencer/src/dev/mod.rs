//! `weft dev`: an L1, a sequencer, a batcher, the bridge and a watcher in one process, for people
//! who want to try a rollup and for tests.

mod accounts;
mod banner;
mod setup;

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub use accounts::{DEV_MNEMONIC, DevAccount, operator};
use alloy_primitives::{Address, U256};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::{Deserialize, Serialize};
use tokio_util::sync::{CancellationToken, DropGuard};
use weft_batcher::{BatchPolicy, MAX_BLOCK_TRANSACTION_BYTES};
use weft_l1_bridge::{BlobReader, TxManagerConfig};
use weft_state::History;

use crate::{
    chain::{ElasticConfig, ExecutionMode, ProducerConfig},
    config::StateSection,
    error::NodeError,
    follower::{Follower, FollowerConfig},
    l1::{BatcherConfig, L1Config, OnDeepReorg},
    mempool::MempoolLimits,
    node::{Node, NodeConfig},
    rpc::RpcConfig,
};

/// Chain id of the embedded L1.
pub const L1_CHAIN_ID: u64 = 31337;
/// Chain id of the rollup.
pub const L2_CHAIN_ID: u64 = 31338;
/// Balance of each funded account on both chains, in wei: 10,000 ether.
pub const FUNDED_BALANCE: U256 = alloy_primitives::uint!(10_000_000_000_000_000_000_000_U256);

/// Gas limit of a block on both chains, in gas.
const GAS_LIMIT: u64 = 60_000_000;
/// Largest transaction that the embedded L1 takes, in bytes: what go-ethereum's nodes relay.
const L1_MAX_TRANSACTION_BYTES: usize = 128 << 10;
/// How often L1 is asked for news. The embedded L1 is in the same process.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How long a request to L1 may take.
const L1_TIMEOUT: Duration = Duration::from_secs(10);
/// Time after which an idle chain makes an empty block.
const HEARTBEAT: Duration = Duration::from_secs(60);

/// How `weft dev` runs.
#[derive(Debug, Clone)]
pub struct DevConfig {
    /// Folder for everything; the next run with the same folder goes on where this one stopped.
    pub data_dir: PathBuf,
    /// Address to listen on.
    pub host: IpAddr,
    /// RPC port of the rollup; 0 lets the system choose.
    pub port: u16,
    /// RPC port of the embedded L1; 0 lets the system choose.
    pub l1_port: u16,
    /// Least time between two blocks of the rollup.
    pub block_interval: Duration,
    /// RPC URL of an L1 to use in the place of the embedded one.
    pub l1: Option<String>,
    /// URL of the ledger; `None` is a file in the data folder.
    pub ledger: Option<String>,
    /// Which layers the rollup runs.
    pub execution: ExecutionMode,
    /// Threads that execute blocks; 0 takes one for each core.
    pub threads: usize,
    /// How far back the rollup's states are kept.
    pub history: History,
    /// Whether a watcher in the same process rebuilds the rollup from L1 and checks it.
    pub watcher: bool,
}

/// What a user or a script needs to know about a running `weft dev`; the content of
/// `DATA_DIR/dev.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevInfo {
    /// RPC URL of the rollup.
    pub l2_rpc: String,
    /// RPC URL of its L1.
    pub l1_rpc: String,
    /// The rollup's contract on L1.
    pub contract: Address,
    /// The bridge for tokens on L1.
    pub token_bridge: Address,
    /// Funded accounts, the same on both chains.
    pub accounts: Vec<DevAccount>,
    /// Chain id of the rollup.
    pub l2_chain_id: u64,
    /// Chain id of L1.
    pub l1_chain_id: u64,
    /// Folder for everything.
    pub data_dir: PathBuf,
}

/// A running `weft dev`.
#[derive(Debug)]
pub struct Dev {
    info: DevInfo,
    l1: Option<Node>,
    l2: Node,
    watcher: Option<Follower>,
    stop: CancellationToken,
    /// Stops the embedded L1 when it is dropped.
    l1_guard: DropGuard,
}

impl Dev {
    /// Starts both chains. When this returns, both answer and `dev.json` is written.
    ///
    /// # Errors
    /// As [`Node::start`]; or when the L1 does not hold the contract that the data folder was made
    /// with.
    pub async fn start(
        config: DevConfig,
        metrics: Option<PrometheusHandle>,
        stop: CancellationToken,
    ) -> Result<Self, NodeError> {
        std::fs::create_dir_all(&config.data_dir).map_err(NodeError::file(&config.data_dir))?;
        setup::remove_info(&config.data_dir)?;
        let l1_stop = CancellationToken::new();
        let l1_guard = l1_stop.clone().drop_guard();
        let l1 = match &config.l1 {
            Some(_) => None,
            None => Some(
                start_l1(
                    &config.data_dir,
                    config.host,
                    config.l1_port,
                    metrics.clone(),
                    l1_stop,
                )
                .await?,
            ),
        };
        let l1_rpc = match (&config.l1, &l1) {
            (Some(url), _) => url.clone(),
            (None, Some(node)) => url_of(node.address()),
            (None, None) => return Err(NodeError::Setup("no L1".into())),
        };
        let deployment = setup::deployment(&config.data_dir, &l1_rpc, l1.is_some()).await?;
        let l1_config = L1Config {
            url: l1_rpc.clone(),
            contract: deployment.contract,
            timeout: L1_TIMEOUT,
            poll_interval: POLL_INTERVAL,
            deposit_confirmations: 0,
            safe_confirmations: 1,
            blobs: BlobReader::default(),
            ledger: config.ledger.clone(),
            batcher: Some(BatcherConfig {
                signer: accounts::operator()?.into(),
                transactions: TxManagerConfig {
                    poll_interval: POLL_INTERVAL,
                    give_up_after: None,
                    ..TxManagerConfig::default()
                },
                policy: BatchPolicy {
                    max_age: Duration::from_secs(2),
                    ..BatchPolicy::default()
                },
                max_blobs: 0,
                on_deep_reorg: OnDeepReorg::Unwind,
            }),
        };
        let l2 = Node::start(
            NodeConfig {
                spec: Arc::new(deployment.spec),
                data_dir: config.data_dir.join("l2"),
                history: config.history,
                execution: config.execution,
                threads: config.threads,
                state: StateSection::default(),
                rpc: RpcConfig {
                    host: config.host,
                    port: config.port,
                    ..RpcConfig::default()
                },
                mempool: MempoolLimits::default(),
                producer: producer_config(config.block_interval, Some(HEARTBEAT)),
                l1: Some(l1_config.clone()),
                admin: None,
                metrics: metrics.clone(),
            },
            stop.child_token(),
        )
        .await?;
        let watcher = if config.watcher {
            let follower = FollowerConfig {
                l1: L1Config {
                    ledger: None,
                    batcher: None,
                    ..l1_config
                },
                data_dir: config.data_dir.join("watcher"),
                history: config.history,
                spec: None,
                execution: config.execution,
                threads: config.threads,
                rpc: None,
                access_lists: None,
                compare: None,
                metrics: None,
            };
            Some(Follower::start(follower, stop.child_token()).await?)
        } else {
            None
        };
        let info = DevInfo {
            l2_rpc: url_of(l2.address()),
            l1_rpc,
            contract: deployment.contract,
            token_bridge: deployment.token_bridge,
            accounts: accounts::funded()?,
            l2_chain_id: L2_CHAIN_ID,
            l1_chain_id: deployment.l1_chain_id,
            data_dir: config.data_dir.clone(),
        };
        setup::write_info(&config.data_dir, &info)?;
        Ok(Self {
            info,
            l1,
            l2,
            watcher,
            stop,
            l1_guard,
        })
    }

    /// What a user needs to know.
    pub const fn info(&self) -> &DevInfo {
        &self.info
    }

    /// Runs until the stop token is cancelled, or a part fails; then stops all parts, the rollup
    /// before its L1.
    ///
    /// # Errors
    /// The first failure.
    pub async fn join(self) -> Result<(), NodeError> {
        let Self {
            l1,
            l2,
            watcher,
            stop,
            l1_guard,
            ..
        } = self;
        let watch = async {
            match watcher {
                Some(watcher) => {
                    let result = watcher.join().await;
                    stop.cancel();
                    result
                }
                None => Ok(()),
            }
        };
        let rollup = async {
            let result = l2.run(&stop).await;
            stop.cancel();
            result
        };
        let base = async {
            match l1 {
                Some(l1) => {
                    let result = l1.join().await;
                    stop.cancel();
                    result
                }
                None => Ok(()),
            }
        };
        let above = async {
            let ended = tokio::join!(watch, rollup);
            drop(l1_guard);
            ended
        };
        let ((watch, rollup), base) = tokio::join!(above, base);
        rollup.and(base).and(watch)
    }
}

/// Starts the L1 of `weft dev` alone: a chain without an L1 above it, with the funded accounts and
/// [`operator`]'s. `port` 0 lets the system choose.
///
/// # Errors
/// As [`Node::start`].
pub async fn start_l1(
    data_dir: &Path,
    host: IpAddr,
    port: u16,
    metrics: Option<PrometheusHandle>,
    stop: CancellationToken,
) -> Result<Node, NodeError> {
    Node::start(
        NodeConfig {
            spec: Arc::new(setup::l1_spec(data_dir)?),
            data_dir: data_dir.join("l1"),
            history: History::All,
            execution: ExecutionMode::EVM,
            threads: 1,
            state: StateSection {
                preload_threads: 0,
                ..StateSection::default()
            },
            rpc: RpcConfig {
                host,
                port,
                ..RpcConfig::default()
            },
            mempool: MempoolLimits {
                max_transaction_bytes: L1_MAX_TRANSACTION_BYTES,
                ..MempoolLimits::default()
            },
            producer: ProducerConfig {
                max_transaction_bytes: usize::MAX,
                elastic: None,
                ..producer_config(Duration::ZERO, None)
            },
            l1: None,
            admin: None,
            metrics,
        },
        stop,
    )
    .await
}

fn producer_config(min_interval: Duration, heartbeat: Option<Duration>) -> ProducerConfig {
    ProducerConfig {
        min_interval,
        heartbeat,
        gas_limit: GAS_LIMIT,
        beneficiary: Address::ZERO,
        max_transactions: 10_000,
        max_transaction_bytes: MAX_BLOCK_TRANSACTION_BYTES,
        elastic: Some(ElasticConfig::around(GAS_LIMIT)),
    }
}

/// A URL that reaches the address from this machine.
fn url_of(address: SocketAddr) -> String {
    let host = if address.ip().is_unspecified() {
        "127.0.0.1".to_owned()
    } else {
        match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        }
    };
    format!("http://{host}:{}", address.port())
}

/// Path of the file that says how to reach a running `weft dev`.
pub fn info_path(data_dir: &Path) -> PathBuf {
    data_dir.join("dev.json")
}
