use std::{path::PathBuf, process::ExitCode, time::Duration};

use alloy_primitives::Address;
use clap::Args;
use eyre::Result;
use tokio_util::sync::CancellationToken;
use weft_sequencer::{
    chain::ExecutionMode,
    production::read_spec,
    watcher::{WatchConfig, WatchEvent, Watcher},
};

use crate::{
    blobs::BlobArguments,
    logging::{self, LogFormat},
    stop::stop_on_signal,
};

/// Arguments of `weft watch`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// RPC URL of L1.
    #[arg(long, env = "WEFT_L1_RPC_URL", hide_env_values = true)]
    l1: String,
    /// The rollup's contract on L1.
    #[arg(long)]
    contract: Address,
    /// Check what is posted now, then end. Without it, go on with what comes.
    #[arg(long)]
    once: bool,
    /// Print JSON: one object for each event and one at the end, or with --once one object in
    /// all.
    #[arg(long)]
    json: bool,
    /// The chain's genesis.json, when it was too large to be posted to L1.
    #[arg(long)]
    genesis: Option<PathBuf>,
    /// Execution layers of the chain: evm, wasm or evm+wasm.
    #[arg(long, default_value_t = ExecutionMode::default())]
    execution: ExecutionMode,
    /// Threads that execute blocks; 0 takes one for each core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// RPC URL of a node with the posted chain, as a rule the poster's own, which is asked for its
    /// blocks to find the first difference when a batch is wrong.
    #[arg(long, env = "WEFT_COMPARE_URL", hide_env_values = true)]
    compare: Option<String>,
    #[command(flatten)]
    blobs: BlobArguments,
    /// Dispute the first batch that does not verify, on L1 and with the bond that the contract asks
    /// for, and have the bond paid back when the batch is removed. Not with --once.
    #[arg(long, conflicts_with = "once")]
    challenge: bool,
    /// Environment variable that holds the private key that disputes.
    #[arg(long, default_value = "WEFT_PRIVATE_KEY")]
    private_key_env: String,
    /// With --challenge: how long the data of a batch may be nowhere to be had before the batch is
    /// disputed for that, in seconds.
    #[arg(long, default_value_t = 3600)]
    unavailable_after: u64,
    /// How often L1 is asked for news, in milliseconds.
    #[arg(long, default_value_t = 1000)]
    poll_interval: u64,
    /// What to log, as `RUST_LOG` understands it.
    #[arg(long, env = "RUST_LOG", default_value = "warn")]
    log: String,
}

/// Exit code 0: everything verifies. 1: something posted does not. Other failures (L1 cannot be
/// reached, wrong arguments, stopped before anything was read) end with 1 too, but print no report.
pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode> {
    logging::install(&arguments.log, LogFormat::Text)?;
    let stop = CancellationToken::new();
    stop_on_signal(stop.clone());
    let find = Watcher::new(WatchConfig {
        l1_url: arguments.l1,
        contract: arguments.contract,
        blobs: arguments.blobs.open()?,
        timeout: Duration::from_secs(10),
        poll_interval: Duration::from_millis(arguments.poll_interval),
        spec: arguments.genesis.as_deref().map(read_spec).transpose()?,
        execution: arguments.execution,
        threads: arguments.threads,
        once: arguments.once,
        compare: arguments.compare,
        challenger_key_env: arguments.challenge.then_some(arguments.private_key_env),
        unavailable_after: Duration::from_secs(arguments.unavailable_after),
    });
    let Some(watcher) = stop.run_until_cancelled(find).await.transpose()? else {
        return Ok(ExitCode::FAILURE);
    };
    let (once, json) = (arguments.once, arguments.json);
    let report = watcher
        .run(&stop, |event: &WatchEvent| {
            if !json {
                println!("{event}");
            } else if !once && let Ok(line) = serde_json::to_string(event) {
                println!("{line}");
            }
        })
        .await?;
    if json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
    }
    Ok(if report.verified {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
