use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::Args;
use eyre::Result;
use tokio_util::sync::CancellationToken;
use weft_sequencer::{
    History,
    chain::ExecutionMode,
    dev::{Dev, DevConfig},
    metrics,
};

use crate::{
    logging::{self, LogFormat},
    stop::stop_on_signal,
};

/// Arguments of `weft dev`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Folder for both chains; a later run with the same folder goes on where this one stopped.
    #[arg(long, env = "WEFT_DATA_DIR", default_value = "weft-dev-data")]
    data_dir: PathBuf,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// RPC port of the rollup; 0 lets the system choose.
    #[arg(long, default_value_t = 8545)]
    port: u16,
    /// RPC port of the embedded L1; 0 lets the system choose.
    #[arg(long, default_value_t = 8546)]
    l1_port: u16,
    /// Least time between two blocks of the rollup, in milliseconds.
    #[arg(long, default_value_t = 0)]
    block_interval: u64,
    /// Use this L1 (RPC URL) in the place of the embedded one.
    #[arg(long)]
    l1: Option<String>,
    /// Use this ledger (postgres://...) in the place of a file in the data folder.
    #[arg(long, env = "WEFT_LEDGER_URL", hide_env_values = true)]
    ledger: Option<String>,
    /// Execution layers: evm, wasm or evm+wasm.
    #[arg(long, default_value_t = ExecutionMode::default())]
    execution: ExecutionMode,
    /// Threads that execute blocks; 0 takes one for each core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Blocks of the rollup whose state can be asked for: all, or a number.
    #[arg(long, default_value_t = History::All)]
    history: History,
    /// Do not rebuild and check the rollup from L1 in this process.
    #[arg(long)]
    no_watcher: bool,
    /// Print no banner, and of the log only warnings.
    #[arg(long, short)]
    quiet: bool,
    /// What to log, as `RUST_LOG` understands it.
    #[arg(long, env = "RUST_LOG")]
    log: Option<String>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let default_filter = if arguments.quiet { "warn" } else { "info" };
    logging::install(
        arguments.log.as_deref().unwrap_or(default_filter),
        LogFormat::Text,
    )?;
    let metrics = metrics::install()?;
    let stop = CancellationToken::new();
    stop_on_signal(stop.clone());
    let start = Dev::start(
        DevConfig {
            data_dir: arguments.data_dir,
            host: arguments.host,
            port: arguments.port,
            l1_port: arguments.l1_port,
            block_interval: Duration::from_millis(arguments.block_interval),
            l1: arguments.l1,
            ledger: arguments.ledger,
            execution: arguments.execution,
            threads: arguments.threads,
            history: arguments.history,
            watcher: !arguments.no_watcher,
        },
        Some(metrics),
        stop.clone(),
    );
    let Some(dev) = stop.run_until_cancelled(start).await.transpose()? else {
        return Ok(());
    };
    if !arguments.quiet {
        println!("{}", dev.info());
    }
    Ok(dev.join().await?)
}
