use std::time::Duration;

use alloy_primitives::{Address, U256, utils::parse_ether};
use clap::{Args, Subcommand};
use eyre::{Result, WrapErr, bail};
use weft_sequencer::deploy::{DepositConfig, deposit};

use crate::logging::{self, LogFormat};

/// Arguments of `weft bridge`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lock ether on L1 and get it on L2.
    Deposit(Deposit),
}

/// Arguments of `weft bridge deposit`.
#[derive(Debug, Args)]
struct Deposit {
    /// RPC URL of L1.
    #[arg(long, env = "WEFT_L1_RPC_URL", hide_env_values = true)]
    l1: String,
    /// The rollup's contract on L1.
    #[arg(long)]
    contract: Address,
    /// Amount, in ether.
    #[arg(long)]
    amount: String,
    /// Account that gets it on L2; the sender when left out.
    #[arg(long)]
    to: Option<Address>,
    /// Environment variable that holds the sender's private key.
    #[arg(long, default_value = "WEFT_PRIVATE_KEY")]
    private_key_env: String,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    logging::install("warn", LogFormat::Text)?;
    let Command::Deposit(arguments) = arguments.command;
    let amount = wei("--amount", &arguments.amount)?;
    let receipt = deposit(DepositConfig {
        l1_url: arguments.l1,
        timeout: Duration::from_secs(30),
        contract: arguments.contract,
        to: arguments.to,
        amount,
        private_key_env: arguments.private_key_env,
    })
    .await?;
    println!("{}", serde_json::to_string(&receipt)?);
    Ok(())
}

/// The amount of ether that is given for an argument, in wei.
pub(crate) fn wei(argument: &str, amount: &str) -> Result<U256> {
    let not_an_amount = || format!("{argument} {amount:?} is not an amount of ether");
    // The parser takes nothing for zero, and wraps what is below zero around.
    if !amount.starts_with(|first: char| first.is_ascii_digit()) {
        bail!(not_an_amount());
    }
    parse_ether(amount).wrap_err_with(not_an_amount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_ether_and_not_negative() {
        assert_eq!(
            wei("--amount", "1.5").unwrap(),
            U256::from(1_500_000_000_000_000_000_u64)
        );
        assert_eq!(wei("--amount", "0").unwrap(), U256::ZERO);
        for wrong in ["-1", "-0.5", "", "x", "1e400"] {
            assert!(wei("--amount", wrong).is_err(), "{wrong:?}");
        }
    }
}
