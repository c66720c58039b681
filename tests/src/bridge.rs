//! `weft bridge`, as a user runs it.

use std::time::Duration;

use alloy_primitives::{Address, U256};
use eyre::{Context, ContextCompat, bail};
use serde_json::Value;
use tokio::process::Command;

use crate::{
    wait::until,
    weft::{Account, binary},
};

/// The two ends of a bridge.
#[derive(Debug, Clone)]
pub struct Ends {
    /// RPC URL of L1.
    pub l1: String,
    /// RPC URL of L2.
    pub l2: String,
    /// The rollup's contract.
    pub contract: Address,
}

impl Ends {
    /// Runs `weft bridge` with these arguments and the ends that the command takes, and gives what
    /// it printed.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub async fn run(
        &self,
        command: &str,
        account: &Account,
        arguments: &[&str],
    ) -> eyre::Result<Value> {
        let contract = self.contract.to_string();
        let l1 = ["--l1", &self.l1, "--contract", &contract];
        let l2 = ["--l2", &self.l2];
        let ends = match command {
            "deposit" | "force" => l1.to_vec(),
            "withdraw" => l2.to_vec(),
            _ => [&l1[..], &l2[..]].concat(),
        };
        let output = Command::new(binary().await?)
            .args(["bridge", command])
            .args(ends)
            .args(arguments)
            .env("WEFT_PRIVATE_KEY", account.private_key.to_string())
            .kill_on_drop(true)
            .output()
            .await?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            bail!("weft bridge {command} {arguments:?}: {}", error.trim());
        }
        serde_json::from_slice(&output.stdout)
            .wrap_err_with(|| format!("{}", String::from_utf8_lossy(&output.stdout)))
    }

    /// Starts a withdrawal of `wei` to `to`, and gives its index.
    ///
    /// # Errors
    /// When L2 does not take it.
    pub async fn withdraw(&self, account: &Account, to: Address, wei: U256) -> eyre::Result<u64> {
        let amount = alloy_primitives::utils::format_ether(wei);
        let to = to.to_string();
        let arguments = ["--amount", &amount, "--to", &to];
        let printed = self.run("withdraw", account, &arguments).await?;
        printed
            .get("index")
            .and_then(Value::as_u64)
            .wrap_err_with(|| printed.to_string())
    }

    /// Proves a withdrawal and takes it, trying again for at most `limit`.
    ///
    /// # Errors
    /// When it is not paid in time.
    pub async fn prove_and_finalize(
        &self,
        account: &Account,
        index: u64,
        limit: Duration,
    ) -> eyre::Result<()> {
        let number = index.to_string();
        let arguments = ["--index", &number];
        for command in ["prove", "finalize"] {
            until(&format!("withdrawal {index}: {command}"), limit, || async {
                self.run(command, account, &arguments).await.map(Some)
            })
            .await?;
        }
        Ok(())
    }
}
