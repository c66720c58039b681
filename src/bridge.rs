//! `weft bridge`: what a person moves between L1 and L2.

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256};
use clap::{Args, Subcommand};
use eyre::Result;
use serde::Serialize;
use weft_l1_bridge::bridge::{
    Asset, Bridge, BridgeConfig, BridgeError, Deposit, ForcedTransaction, WithdrawalId, parse_units,
};
use weft_sequencer::deploy::key_from_env;

use crate::logging::{self, LogFormat};

/// Arguments of `weft bridge`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lock ether or tokens on L1 and get them on L2.
    Deposit(DepositArguments),
    /// Give up ether or tokens on L2, to get them on L1.
    Withdraw(WithdrawArguments),
    /// Show L1 that a withdrawal was started, once its batch is there.
    Prove(WithdrawalArguments),
    /// Take a proven withdrawal's ether or tokens on L1, once its batch is settled.
    Finalize(WithdrawalArguments),
    /// Put a transaction into the queue on L1: L2 executes it, whatever the sequencer wants.
    Force(ForceArguments),
    /// Take out of a chain that has stopped what the sender held when its last batch was made.
    Escape(EscapeArguments),
    /// Say how far a deposit or a withdrawal is.
    Status(StatusArguments),
}

/// Where L1 is, and who signs there.
#[derive(Debug, Args)]
struct L1 {
    /// RPC URL of L1.
    #[arg(long = "l1", env = "WEFT_L1_RPC_URL", hide_env_values = true)]
    l1_url: String,
    /// The rollup's contract on L1.
    #[arg(long)]
    contract: Address,
}

/// Where L2 is.
#[derive(Debug, Args)]
struct L2 {
    /// RPC URL of L2.
    #[arg(long = "l2", env = "WEFT_L2_RPC_URL", hide_env_values = true)]
    l2_url: String,
}

/// Who signs.
#[derive(Debug, Args)]
struct Key {
    /// Environment variable that holds the sender's private key.
    #[arg(long, default_value = "WEFT_PRIVATE_KEY")]
    private_key_env: String,
}

/// Arguments of `weft bridge deposit`.
#[derive(Debug, Args)]
struct DepositArguments {
    #[command(flatten)]
    l1: L1,
    #[command(flatten)]
    key: Key,
    /// Amount, in ether or in whole tokens.
    #[arg(long)]
    amount: String,
    /// Account that gets it on L2; the sender when left out.
    #[arg(long)]
    to: Option<Address>,
    /// The ERC-20 token on L1; ether when left out.
    #[arg(long, requires = "token_bridge")]
    token: Option<Address>,
    /// The token bridge's contract on L1, as `weft deploy` printed it.
    #[arg(long)]
    token_bridge: Option<Address>,
}

/// Arguments of `weft bridge withdraw`.
#[derive(Debug, Args)]
struct WithdrawArguments {
    #[command(flatten)]
    l2: L2,
    #[command(flatten)]
    key: Key,
    /// Amount, in ether or in whole tokens.
    #[arg(long)]
    amount: String,
    /// Account that gets it on L1; the sender when left out.
    #[arg(long)]
    to: Option<Address>,
    /// The ERC-20 token, by its address on L1; ether when left out.
    #[arg(long)]
    token: Option<Address>,
}

/// Arguments of `weft bridge prove` and `weft bridge finalize`.
#[derive(Debug, Args)]
struct WithdrawalArguments {
    #[command(flatten)]
    l1: L1,
    #[command(flatten)]
    l2: L2,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    withdrawal: Withdrawal,
    /// Wait until it is possible, at most so many seconds.
    #[arg(long, default_value_t = 0)]
    wait: u64,
}

/// Which withdrawal is meant.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Withdrawal {
    /// Index of the withdrawal.
    #[arg(long)]
    index: Option<u64>,
    /// L2 transaction that started it; its first withdrawal.
    #[arg(long)]
    tx: Option<B256>,
}

impl Withdrawal {
    const fn id(&self) -> Option<WithdrawalId> {
        match (self.index, self.tx) {
            (Some(index), _) => Some(WithdrawalId::Index(index)),
            (None, Some(hash)) => Some(WithdrawalId::Transaction(hash)),
            (None, None) => None,
        }
    }
}

/// Arguments of `weft bridge force`.
#[derive(Debug, Args)]
struct ForceArguments {
    #[command(flatten)]
    l1: L1,
    #[command(flatten)]
    key: Key,
    /// Account that is called on L2; a contract is created when left out.
    #[arg(long)]
    to: Option<Address>,
    /// Ether that the call sends, of what the sender holds on L2.
    #[arg(long, default_value = "0")]
    value: String,
    /// Ether that is deposited for it first.
    #[arg(long, default_value = "0")]
    deposit: String,
    /// Input of the call, or the code that creates the contract, in hex.
    #[arg(long, default_value = "0x")]
    data: Bytes,
    /// Gas that it may use on L2.
    #[arg(long, default_value_t = 1_000_000)]
    gas_limit: u64,
}

/// Arguments of `weft bridge escape`.
#[derive(Debug, Args)]
struct EscapeArguments {
    #[command(flatten)]
    l1: L1,
    /// RPC URL of a node that has the state of the last posted block: a follower, for instance.
    #[command(flatten)]
    l2: L2,
    #[command(flatten)]
    key: Key,
    /// Account that gets it on L1; the sender when left out.
    #[arg(long)]
    to: Option<Address>,
    /// The ERC-20 token, by its address on L1; ether when left out.
    #[arg(long, requires = "token_bridge")]
    token: Option<Address>,
    /// The token bridge's contract on L1, as `weft deploy` printed it.
    #[arg(long)]
    token_bridge: Option<Address>,
}

/// Arguments of `weft bridge status`.
#[derive(Debug, Args)]
struct StatusArguments {
    #[command(flatten)]
    l1: L1,
    #[command(flatten)]
    l2: L2,
    #[command(flatten)]
    what: Tracked,
}

/// What is asked about.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Tracked {
    /// Index of a withdrawal.
    #[arg(long)]
    index: Option<u64>,
    /// L2 transaction that started a withdrawal.
    #[arg(long)]
    tx: Option<B256>,
    /// L1 transaction that made a deposit or forced a transaction.
    #[arg(long)]
    deposit: Option<B256>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    logging::install("warn", LogFormat::Text)?;
    match arguments.command {
        Command::Deposit(arguments) => deposit(arguments).await,
        Command::Withdraw(arguments) => withdraw(arguments).await,
        Command::Prove(arguments) => {
            let wait = Duration::from_secs(arguments.wait);
            let (bridge, id) = for_withdrawal(&arguments)?;
            print(&bridge.prove(id, wait).await?)
        }
        Command::Finalize(arguments) => {
            let wait = Duration::from_secs(arguments.wait);
            let (bridge, id) = for_withdrawal(&arguments)?;
            print(&bridge.finalize(id, wait).await?)
        }
        Command::Force(arguments) => force(arguments).await,
        Command::Escape(arguments) => {
            let bridge = Bridge::new(BridgeConfig {
                l2_url: Some(arguments.l2.l2_url),
                ..on_l1(&arguments.l1, Some(&arguments.key))?
            })?;
            let asset = asset(arguments.token, arguments.token_bridge);
            print(&bridge.escape(asset, arguments.to).await?)
        }
        Command::Status(arguments) => status(arguments).await,
    }
}

/// Longest wait for one answer of a node.
const TIMEOUT: Duration = Duration::from_secs(30);

fn on_l1(l1: &L1, key: Option<&Key>) -> Result<BridgeConfig> {
    Ok(BridgeConfig {
        l1_url: Some(l1.l1_url.clone()),
        contract: Some(l1.contract),
        l2_url: None,
        signer: key
            .map(|key| key_from_env(&key.private_key_env))
            .transpose()?,
        timeout: TIMEOUT,
    })
}

async fn deposit(arguments: DepositArguments) -> Result<()> {
    let bridge = Bridge::new(on_l1(&arguments.l1, Some(&arguments.key))?)?;
    let receipt = bridge
        .deposit(Deposit {
            asset: asset(arguments.token, arguments.token_bridge),
            amount: arguments.amount,
            to: arguments.to,
        })
        .await?;
    print(&receipt)
}

const fn asset(token: Option<Address>, bridge: Option<Address>) -> Asset {
    match (token, bridge) {
        (Some(token), Some(bridge)) => Asset::Token { token, bridge },
        _ => Asset::Ether,
    }
}

async fn withdraw(arguments: WithdrawArguments) -> Result<()> {
    let bridge = Bridge::new(BridgeConfig {
        l1_url: None,
        contract: None,
        l2_url: Some(arguments.l2.l2_url),
        signer: Some(key_from_env(&arguments.key.private_key_env)?),
        timeout: TIMEOUT,
    })?;
    let receipt = bridge
        .withdraw(arguments.token, &arguments.amount, arguments.to)
        .await?;
    print(&receipt)
}

fn for_withdrawal(arguments: &WithdrawalArguments) -> Result<(Bridge, WithdrawalId)> {
    let bridge = Bridge::new(BridgeConfig {
        l2_url: Some(arguments.l2.l2_url.clone()),
        ..on_l1(&arguments.l1, Some(&arguments.key))?
    })?;
    let id = arguments.withdrawal.id();
    Ok((bridge, id.ok_or(BridgeError::NotGiven("--index or --tx"))?))
}

async fn force(arguments: ForceArguments) -> Result<()> {
    let bridge = Bridge::new(on_l1(&arguments.l1, Some(&arguments.key))?)?;
    let receipt = bridge
        .force(ForcedTransaction {
            to: arguments.to,
            value: ether("--value", &arguments.value)?,
            mint: ether("--deposit", &arguments.deposit)?,
            data: arguments.data,
            gas_limit: arguments.gas_limit,
        })
        .await?;
    print(&receipt)
}

async fn status(arguments: StatusArguments) -> Result<()> {
    let bridge = Bridge::new(BridgeConfig {
        l2_url: Some(arguments.l2.l2_url),
        ..on_l1(&arguments.l1, None)?
    })?;
    let what = arguments.what;
    match (what.deposit, what.index, what.tx) {
        (Some(hash), ..) => print(&bridge.deposit_status(hash).await?),
        (None, Some(index), _) => {
            print(&bridge.withdrawal_status(WithdrawalId::Index(index)).await?)
        }
        (None, None, Some(hash)) => {
            let id = WithdrawalId::Transaction(hash);
            print(&bridge.withdrawal_status(id).await?)
        }
        (None, None, None) => Err(BridgeError::NotGiven("--index or --tx").into()),
    }
}

pub(crate) fn ether(option: &'static str, amount: &str) -> Result<U256> {
    Ok(parse_units(option, amount, 18)?)
}

fn print<T: Serialize>(value: &T) -> Result<()> {
    println!("{}", serde_json::to_string(value)?);
    Ok(())
}
