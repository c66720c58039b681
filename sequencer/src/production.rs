//! `weft sequence`: a sequencing node as a configuration describes it.

use std::{path::Path, sync::Arc, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;
use weft_primitives::ChainSpec;

use crate::{
    config::{Config, ConfigError},
    error::NodeError,
    l1::{BatcherConfig, L1Config},
    node::{Node, NodeConfig},
};

/// Runs the node until it is stopped or fails.
///
/// # Errors
/// When the configuration lacks something, or as [`Node::run`].
pub async fn run(
    config: Config,
    metrics: Option<PrometheusHandle>,
    stop: CancellationToken,
) -> Result<(), NodeError> {
    let start = async {
        let config = node_config(config, metrics).await?;
        Node::start(config, stop.child_token()).await
    };
    let Some(node) = stop.run_until_cancelled(start).await.transpose()? else {
        return Ok(());
    };
    tracing::info!(address = %node.address(), "JSON-RPC");
    node.run(&stop).await
}

async fn node_config(
    config: Config,
    metrics: Option<PrometheusHandle>,
) -> Result<NodeConfig, NodeError> {
    let genesis = config
        .chain
        .genesis
        .as_deref()
        .ok_or(ConfigError::Missing {
            key: "chain.genesis",
            why: "a chain starts from a geth-format genesis.json",
        })?;
    let spec = read_spec(genesis)?;
    let l1 = l1_config(&config).await?;
    Ok(NodeConfig {
        spec: Arc::new(spec),
        data_dir: config.chain.data_dir,
        history: config.chain.history,
        execution: config.chain.execution,
        threads: config.chain.threads,
        state: config.state,
        rpc: config.rpc,
        mempool: config.mempool,
        producer: config.block.producer(&config.l1),
        l1,
        admin: config.admin.server(|name| std::env::var(name).ok())?,
        metrics,
    })
}

/// Reads a geth-format `genesis.json`.
///
/// # Errors
/// When the file cannot be read or is no such file.
pub fn read_spec(path: &Path) -> Result<ChainSpec, NodeError> {
    let json = std::fs::read(path).map_err(NodeError::file(path))?;
    Ok(ChainSpec::from_json(&json)?)
}

/// The L1 of the configuration; `None` for a chain without one.
async fn l1_config(config: &Config) -> Result<Option<L1Config>, NodeError> {
    let (Some(url), Some(contract)) = (&config.l1.rpc_url, config.l1.contract) else {
        return Ok(None);
    };
    let batcher = if config.batcher.enabled {
        let section = config.batcher.clone();
        let (policy, max_blobs) = (section.policy(), section.max_blobs);
        // Opening a keystore is slow on purpose.
        let signer =
            tokio::task::spawn_blocking(move || section.signer(|name| std::env::var(name).ok()))
                .await
                .map_err(|error| NodeError::Setup(format!("reading the key: {error}")))??;
        Some(BatcherConfig {
            signer,
            transactions: config
                .batcher
                .transactions(Duration::from_millis(config.l1.poll_interval_ms)),
            policy,
            max_blobs,
            on_deep_reorg: config.l1.on_deep_reorg,
        })
    } else {
        None
    };
    Ok(Some(L1Config {
        url: url.expose().to_owned(),
        contract,
        timeout: Duration::from_millis(config.l1.timeout_ms),
        poll_interval: Duration::from_millis(config.l1.poll_interval_ms),
        deposit_confirmations: config.l1.deposit_confirmations,
        safe_confirmations: config.l1.safe_confirmations,
        blobs: config.l1.blobs()?,
        ledger: config
            .ledger
            .url
            .as_ref()
            .map(|url| url.expose().to_owned()),
        batcher,
    }))
}
