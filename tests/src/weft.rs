//! The real `weft` binary: `dev`, `follow` and `watch`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use alloy_primitives::{Address, B256};
use eyre::{Context, ContextCompat, bail};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::{process::Process, rpc::Rpc, tools::repository, wait::until};

/// How long a node may take to get ready, in a debug build on a busy machine.
pub const READY: Duration = Duration::from_secs(90);

/// How long a node may take to stop after Ctrl-C.
pub const STOPPED: Duration = Duration::from_secs(30);

/// The binary: `WEFT_BIN`, or the one beside this test executable, built when it is missing.
///
/// # Errors
/// When it cannot be built.
pub async fn binary() -> eyre::Result<&'static Path> {
    static BINARY: OnceCell<PathBuf> = OnceCell::const_new();
    BINARY.get_or_try_init(find).await.map(PathBuf::as_path)
}

async fn find() -> eyre::Result<PathBuf> {
    if let Some(path) = std::env::var_os("WEFT_BIN") {
        let path = PathBuf::from(path);
        return match path.is_file() {
            true => Ok(path),
            false => bail!("WEFT_BIN names {}, which is no file", path.display()),
        };
    }
    // target/PROFILE/deps/TEST: two folders up is where cargo puts binaries.
    let test = std::env::current_exe()?;
    let folder = test
        .ancestors()
        .nth(2)
        .wrap_err("the test executable lies in target/PROFILE/deps")?;
    let path = folder.join("weft");
    if !path.is_file() {
        let mut cargo = tokio::process::Command::new(env!("CARGO"));
        cargo
            .current_dir(repository())
            .args(["build", "--bin", "weft"]);
        crate::tools::run(&mut cargo).await?;
    }
    Ok(path)
}

/// `DATA_DIR/dev.json`: what a running `weft dev` tells scripts.
#[derive(Debug, Clone, Deserialize)]
pub struct DevInfo {
    /// RPC URL of L2.
    pub l2_rpc: String,
    /// RPC URL of L1.
    pub l1_rpc: String,
    /// Address of the rollup contract on L1.
    pub contract: Address,
    /// Address of the token bridge on L1.
    pub token_bridge: Address,
    /// Funded accounts, the same on both chains.
    pub accounts: Vec<Account>,
}

/// A funded test account.
#[derive(Debug, Clone, Deserialize)]
pub struct Account {
    /// Its address.
    pub address: Address,
    /// Its private key.
    pub private_key: B256,
}

/// A running `weft dev`.
#[derive(Debug)]
pub struct Dev {
    /// The process.
    pub process: Process,
    /// What it says of itself.
    pub info: DevInfo,
    /// RPC of L2.
    pub l2: Rpc,
    /// RPC of L1.
    pub l1: Rpc,
}

impl Dev {
    /// Starts `weft dev` on `data_dir` with ports of the system's choice and waits until it is
    /// ready. `options` are further flags.
    ///
    /// # Errors
    /// When it ends, or is not ready in time.
    pub async fn start(data_dir: &Path, options: &[&str]) -> eyre::Result<Self> {
        let mut process = Self::spawn(data_dir, options).await?;
        let file = data_dir.join("dev.json");
        let found = until("weft dev to be ready", READY, || {
            let running = process.check_running();
            let file = &file;
            async move {
                running?;
                let Ok(text) = fs::read_to_string(file) else {
                    return Ok(None);
                };
                let info: DevInfo = serde_json::from_str(&text)?;
                let l2 = Rpc::new(&info.l2_rpc)?;
                let (status, body) = l2.get("/ready").await?;
                if status != 200 {
                    bail!("/ready: {status} {body}");
                }
                Ok(Some((info, l2)))
            }
        })
        .await;
        let (info, l2) = found.wrap_err_with(|| process.log_tail())?;
        Ok(Self {
            l1: Rpc::new(&info.l1_rpc)?,
            process,
            info,
            l2,
        })
    }

    /// Starts `weft dev` and does not wait.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn spawn(data_dir: &Path, options: &[&str]) -> eyre::Result<Process> {
        // An earlier run's file would be taken for this one's.
        match fs::remove_file(data_dir.join("dev.json")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        Process::spawn(
            Command::new(binary().await?)
                .arg("dev")
                .arg("--data-dir")
                .arg(data_dir)
                .args(["--port", "0", "--l1-port", "0"])
                .args(options),
            &log_beside(data_dir, "dev"),
        )
    }

    /// Waits until the whole chain is on L1 and returns its head.
    ///
    /// # Errors
    /// When `safe` has not reached the head of now within `limit`.
    pub async fn all_safe(&mut self, limit: Duration) -> eyre::Result<u64> {
        let head = self.l2.block_number("latest").await?;
        let what = format!("block {head} to be safe");
        let result = until(&what, limit, || {
            let running = self.process.check_running();
            let l2 = self.l2.clone();
            async move {
                running?;
                let safe = l2.block_number("safe").await?;
                match safe >= head {
                    true => Ok(Some(())),
                    false => bail!("safe is {safe}"),
                }
            }
        })
        .await;
        result.wrap_err_with(|| self.process.log_tail())?;
        Ok(head)
    }

    /// `weft watch --once --json` on this chain's L1.
    ///
    /// # Errors
    /// When it prints no report.
    pub async fn watch(&self) -> eyre::Result<WatchReport> {
        watch(&self.info.l1_rpc, self.info.contract).await
    }
}

/// A running `weft follow`.
#[derive(Debug)]
pub struct Follower {
    /// The process.
    pub process: Process,
    /// Its read-only RPC.
    pub rpc: Rpc,
}

impl Follower {
    /// Follows `contract` on `l1_rpc` into `data_dir`.
    ///
    /// # Errors
    /// When it ends, or does not answer in time.
    pub async fn start(l1_rpc: &str, contract: Address, data_dir: &Path) -> eyre::Result<Self> {
        Self::start_with(l1_rpc, contract, data_dir, &[]).await
    }

    /// As [`Follower::start`], with more options.
    ///
    /// # Errors
    /// As [`Follower::start`].
    pub async fn start_with(
        l1_rpc: &str,
        contract: Address,
        data_dir: &Path,
        options: &[&str],
    ) -> eyre::Result<Self> {
        let log = log_beside(data_dir, "follow");
        // An earlier run's URL would be taken for this one's.
        let before = fs::read(&log).map_or(0, |log| log.len());
        let mut process = Process::spawn(
            Command::new(binary().await?)
                .args([
                    "follow",
                    "--l1",
                    l1_rpc,
                    "--contract",
                    &contract.to_string(),
                ])
                .args(["--port", "0", "--data-dir"])
                .arg(data_dir)
                .args(options),
            &log,
        )?;
        let rpc = until("weft follow to answer", READY, || {
            let look = process
                .check_running()
                .map(|()| printed_url(process.log().get(before..).unwrap_or_default()));
            async move { look?.map(|url| Rpc::new(&url)).transpose() }
        })
        .await?;
        Ok(Self { process, rpc })
    }

    /// Waits until the follower has the block with this number and returns its hash there.
    ///
    /// # Errors
    /// When it ends, or has not come so far within `limit`.
    pub async fn hash_at(&mut self, number: u64, limit: Duration) -> eyre::Result<String> {
        let what = format!("the follower to reach block {number}");
        let result = until(&what, limit, || {
            let running = self.process.check_running();
            let rpc = self.rpc.clone();
            async move {
                running?;
                let head = rpc.block_number("latest").await?;
                match head >= number {
                    true => Ok(Some(())),
                    false => bail!("its head is {head}"),
                }
            }
        })
        .await;
        result.wrap_err_with(|| self.process.log_tail())?;
        self.rpc.block_hash(number).await
    }
}

/// The line `read-only RPC: http://...` that `weft follow` prints.
fn printed_url(log: &str) -> Option<String> {
    let (_, url) = log
        .lines()
        .find_map(|line| line.split_once("read-only RPC: "))?;
    Some(url.trim().to_owned())
}

/// What `weft watch --once --json` found.
#[derive(Debug, Clone)]
pub struct WatchReport {
    /// Whether it ended with exit status 0.
    pub success: bool,
    /// `verified` of the report.
    pub verified: bool,
    /// Number of batches.
    pub batches: u64,
    /// Last L2 block of the last batch.
    pub last_l2_block: u64,
    /// Number of deposits.
    pub deposits: u64,
    /// The whole report.
    pub json: Value,
}

/// Runs `weft watch --once --json`.
///
/// # Errors
/// When it prints no JSON object with the keys that it promises.
pub async fn watch(l1_rpc: &str, contract: Address) -> eyre::Result<WatchReport> {
    watch_with(l1_rpc, contract, &[]).await
}

/// As [`watch`], with more options.
///
/// # Errors
/// As [`watch`].
pub async fn watch_with(
    l1_rpc: &str,
    contract: Address,
    options: &[&str],
) -> eyre::Result<WatchReport> {
    let output = tokio::process::Command::new(binary().await?)
        .args(["watch", "--l1", l1_rpc, "--contract", &contract.to_string()])
        .args(["--once", "--json"])
        .args(options)
        .kill_on_drop(true)
        .output()
        .await?;
    let printed = || {
        format!(
            "weft watch printed: {}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    };
    let json: Value = serde_json::from_slice(&output.stdout).wrap_err_with(printed)?;
    let number = |key| json.get(key).and_then(Value::as_u64).wrap_err_with(printed);
    Ok(WatchReport {
        success: output.status.success(),
        verified: json
            .get("verified")
            .and_then(Value::as_bool)
            .wrap_err_with(printed)?,
        batches: number("batches")?,
        last_l2_block: number("last_l2_block")?,
        deposits: number("deposits")?,
        json: json.clone(),
    })
}

/// A `weft watch --json` that goes on.
#[derive(Debug)]
pub struct RunningWatch {
    /// The process.
    pub process: Process,
}

impl RunningWatch {
    /// Watches `contract` on `l1_rpc`; `options` are further flags. With a key it can dispute.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start(
        l1_rpc: &str,
        contract: Address,
        log: &Path,
        key: &Account,
        options: &[&str],
    ) -> eyre::Result<Self> {
        let process = Process::spawn(
            Command::new(binary().await?)
                .args(["watch", "--l1", l1_rpc, "--contract", &contract.to_string()])
                .args(["--json", "--poll-interval", "200"])
                .args(options)
                .env("WEFT_PRIVATE_KEY", key.private_key.to_string()),
            log,
        )?;
        Ok(Self { process })
    }

    /// What it has told so far, of this kind.
    pub fn told(&self, event: &str) -> Vec<Value> {
        self.process
            .log()
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|told| told.get("event").and_then(Value::as_str) == Some(event))
            .collect()
    }

    /// Waits until it has told so many events of this kind, and returns the last.
    ///
    /// # Errors
    /// When it ends, or has not within `limit`.
    pub async fn tells(
        &mut self,
        event: &str,
        count: usize,
        limit: Duration,
    ) -> eyre::Result<Value> {
        let what = format!("weft watch to tell {event} {count} times");
        let found = until(&what, limit, || {
            let running = self.process.check_running();
            let told = self.told(event);
            async move {
                running?;
                Ok((told.len() >= count)
                    .then(|| told.last().cloned())
                    .flatten())
            }
        })
        .await;
        found.wrap_err_with(|| self.process.log_tail())
    }
}

/// The log of a node stands beside its data folder, not in it: the folder is the node's own.
fn log_beside(data_dir: &Path, name: &str) -> PathBuf {
    let folder = data_dir
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    data_dir.with_file_name(format!("{folder}.{name}.log"))
}
