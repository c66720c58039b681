use std::{io::IsTerminal, net::IpAddr, path::PathBuf, time::Duration};

use alloy_primitives::Address;
use clap::Args;
use eyre::Result;
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;
use weft_sequencer::{
    History,
    chain::ExecutionMode,
    follower::{Follower, FollowerConfig},
    l1::L1Config,
    metrics,
    production::read_spec,
    rpc::RpcConfig,
};

use crate::{
    blobs::BlobArguments,
    logging::{self, LogFormat},
    stop::stop_on_signal,
};

/// Arguments of `weft follow`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// RPC URL of L1.
    #[arg(long, env = "WEFT_L1_RPC_URL", hide_env_values = true)]
    l1: String,
    /// The rollup's contract on L1.
    #[arg(long)]
    contract: Address,
    /// Folder for the rebuilt chain.
    #[arg(long, env = "WEFT_DATA_DIR")]
    data_dir: PathBuf,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// RPC port; 0 lets the system choose.
    #[arg(long, default_value_t = 8547)]
    port: u16,
    /// The chain's genesis.json, when it was too large to be posted to L1.
    #[arg(long)]
    genesis: Option<PathBuf>,
    /// Execution layers of the chain: evm, wasm or evm+wasm.
    #[arg(long, default_value_t = ExecutionMode::default())]
    execution: ExecutionMode,
    /// Threads that execute blocks; 0 takes one for each core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Blocks whose state can be asked for: all, or a number.
    #[arg(long, default_value_t = History::All)]
    history: History,
    /// RPC URL of a node that is asked for the access lists of blocks, so that they are executed
    /// faster. It need not be trusted: every list is checked.
    #[arg(long, env = "WEFT_ACCESS_LISTS_URL", hide_env_values = true)]
    access_lists: Option<String>,
    /// RPC URL of a node with the posted chain, as a rule the poster's own, which is asked for its
    /// blocks to find the first difference when a batch is wrong; that of --access-lists when left
    /// out.
    #[arg(long, env = "WEFT_COMPARE_URL", hide_env_values = true)]
    compare: Option<String>,
    #[command(flatten)]
    blobs: BlobArguments,
    /// How often L1 is asked for news, in milliseconds.
    #[arg(long, default_value_t = 1000)]
    poll_interval: u64,
    /// L1 confirmations after which a batch counts as safe.
    #[arg(long, default_value_t = 1)]
    safe_confirmations: u64,
    /// What to log, as `RUST_LOG` understands it.
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    log: String,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    logging::install(&arguments.log, LogFormat::Text)?;
    let metrics = metrics::install()?;
    let stop = CancellationToken::new();
    stop_on_signal(stop.clone());
    let start = Follower::start(
        FollowerConfig {
            l1: L1Config {
                url: arguments.l1,
                contract: arguments.contract,
                timeout: Duration::from_secs(10),
                poll_interval: Duration::from_millis(arguments.poll_interval),
                deposit_confirmations: 0,
                safe_confirmations: arguments.safe_confirmations,
                blobs: arguments.blobs.open()?,
                ledger: None,
                batcher: None,
            },
            data_dir: arguments.data_dir,
            spec: arguments.genesis.as_deref().map(read_spec).transpose()?,
            execution: arguments.execution,
            threads: arguments.threads,
            history: arguments.history,
            rpc: Some(RpcConfig {
                host: arguments.host,
                port: arguments.port,
                ..RpcConfig::default()
            }),
            access_lists: arguments.access_lists,
            compare: arguments.compare,
            metrics: Some(metrics),
        },
        stop.clone(),
    );
    let Some(follower) = stop.run_until_cancelled(start).await.transpose()? else {
        return Ok(());
    };
    if let Some(address) = follower.address() {
        println!("read-only RPC: http://{address}");
    }
    show_progress(&follower);
    Ok(follower.join().await?)
}

/// Draws a bar over the batches that L1 holds, where a person can see it.
fn show_progress(follower: &Follower) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let mut progress = follower.progress();
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} batches ({per_sec})")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    tokio::spawn(async move {
        let bar = ProgressBar::new(0).with_style(style);
        while progress.changed().await.is_ok() {
            let now = *progress.borrow_and_update();
            bar.set_length(now.posted_batches);
            bar.set_position(now.batches);
        }
        bar.finish_and_clear();
    });
}
