//! `weft batcher`: what an operator asks of a running batcher.

use std::time::Duration;

use clap::{Args, Subcommand};
use eyre::{Result, WrapErr, bail, eyre};
use serde_json::{Value, json};

use crate::logging::{self, LogFormat};

/// Arguments of `weft batcher`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// URL of the node's admin port.
    #[arg(long, global = true, default_value = "http://127.0.0.1:8549")]
    admin: String,
    /// Environment variable that holds the node's admin token.
    #[arg(long, global = true, default_value = "WEFT_ADMIN_TOKEN")]
    token_env: String,
    /// Longest wait for an answer, in seconds.
    #[arg(long, global = true, default_value_t = 600)]
    timeout: u64,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Command {
    /// Print what the batcher is doing.
    Status,
    /// Let it send nothing new to L1, until it is resumed or the node restarts.
    Pause,
    /// Let it go on.
    Resume,
    /// Let it post what it has now, however young, and wait until L1 has it.
    Flush,
}

impl Command {
    const fn method(self) -> &'static str {
        match self {
            Self::Status => "admin_batcherStatus",
            Self::Pause => "admin_batcherPause",
            Self::Resume => "admin_batcherResume",
            Self::Flush => "admin_batcherFlush",
        }
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    logging::install("warn", LogFormat::Text)?;
    let variable = &arguments.token_env;
    let token = std::env::var(variable)
        .map_err(|_| eyre!("expected the node's admin token in ${variable}"))?;
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(arguments.timeout))
        .build()?;
    let method = arguments.command.method();
    let response = client
        .post(&arguments.admin)
        .bearer_auth(token.trim())
        .json(&json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": [] }))
        .send()
        .await
        .wrap_err("the node's admin port does not answer")?;
    if !response.status().is_success() {
        let status = response.status();
        bail!("{status}: {}", response.text().await?.trim());
    }
    let answer: Value = response.json().await.wrap_err("the answer is not JSON")?;
    if let Some(error) = answer.get("error") {
        let message = error.get("message").and_then(Value::as_str);
        bail!("{method}: {}", message.unwrap_or("refused"));
    }
    let result = answer.get("result").unwrap_or(&Value::Null);
    println!("{}", serde_json::to_string_pretty(result)?);
    Ok(())
}
