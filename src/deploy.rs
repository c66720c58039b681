use std::{fs, path::PathBuf, time::Duration};

use alloy_primitives::Address;
use clap::Args;
use eyre::{Result, WrapErr};
use weft_sequencer::{
    deploy::{DeployConfig, deploy},
    production::read_spec,
};

use crate::{
    bridge::ether,
    logging::{self, LogFormat},
};

/// Arguments of `weft deploy`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// RPC URL of L1.
    #[arg(long, env = "WEFT_L1_RPC_URL", hide_env_values = true)]
    l1: String,
    /// The chain's geth-format genesis.json. The L1 origin predeploy is added to it when it is not
    /// there, and the result is written to --out.
    #[arg(long)]
    genesis: PathBuf,
    /// Where the completed genesis.json goes, which `weft sequence` takes.
    #[arg(long)]
    out: PathBuf,
    /// Account that may post batches.
    #[arg(long)]
    batcher: Address,
    /// Account that may change roles, pause and decide disputes; the deployer when left out.
    #[arg(long)]
    admin: Option<Address>,
    /// Time after which the contract takes no batch that leaves a deposit out, in seconds.
    #[arg(long, default_value_t = 43_200)]
    forced_inclusion_delay: u64,
    /// How long after it was posted a batch can be challenged, in seconds.
    #[arg(long, default_value_t = 604_800)]
    challenge_window: u64,
    /// How long the resolver has to decide a dispute before anybody may reject the batch, in seconds.
    #[arg(long, default_value_t = 604_800)]
    resolution_time: u64,
    /// How long no batch may come before anybody can close the chain and take their ether out, in
    /// seconds; longer than --challenge-window and --resolution-time together.
    #[arg(long, default_value_t = 2_592_000)]
    escape_delay: u64,
    /// What a challenge costs until it is decided, in ether.
    #[arg(long, default_value = "1")]
    challenge_bond: String,
    /// Environment variable that holds the deployer's private key.
    #[arg(long, default_value = "WEFT_DEPLOYER_KEY")]
    private_key_env: String,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    logging::install("warn", LogFormat::Text)?;
    let challenge_bond = ether("--challenge-bond", &arguments.challenge_bond)?
        .try_into()
        .wrap_err("--challenge-bond is too large")?;
    // A deployment is paid for: what would keep its result from being written is found before.
    fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(&arguments.out)
        .wrap_err_with(|| arguments.out.display().to_string())?;
    let deployment = deploy(DeployConfig {
        l1_url: arguments.l1,
        timeout: Duration::from_secs(30),
        spec: read_spec(&arguments.genesis)?,
        batcher: arguments.batcher,
        admin: arguments.admin,
        forced_inclusion_delay: arguments.forced_inclusion_delay,
        challenge_window: arguments.challenge_window,
        resolution_time: arguments.resolution_time,
        escape_delay: arguments.escape_delay,
        challenge_bond,
        private_key_env: arguments.private_key_env,
    })
    .await?;
    // First of all the address: the contract is on L1, whatever becomes of the file.
    println!("{}", serde_json::to_string(&deployment.summary)?);
    std::fs::write(&arguments.out, deployment.spec.to_json())
        .wrap_err_with(|| format!("cannot write {}", arguments.out.display()))
}
