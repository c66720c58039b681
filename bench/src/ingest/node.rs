//! A node of one's own: a child process of the same program on an empty folder.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use alloy_genesis::{ChainConfig, Genesis, GenesisAccount};
use alloy_primitives::U256;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{
    IngestConfig, IngestError,
    account::{Account, FUNDED_ACCOUNTS},
};

/// Chain id that development nodes share, so that the same transactions fit all of them.
const CHAIN_ID: u64 = 31337;
/// Base fee of the genesis block, in wei per gas.
const BASE_FEE: u128 = 1_000_000_000;
/// Gas limit of a block: so far above what blocks hold that fees do not rise and decide.
const GAS_LIMIT: u64 = 1_000_000_000;
/// 10^12 ether for each funded account.
const FUNDS: U256 = alloy_primitives::uint!(1_000_000_000_000_000_000_000_000_000_000_U256);
/// How long it may take to start.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long it may take to stop when asked.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// A running node. Dropping it kills it and removes its folder.
#[derive(Debug)]
pub(super) struct OwnNode {
    child: Child,
    pub(super) pid: u32,
    pub(super) url: String,
    folder: TempDir,
}

impl OwnNode {
    /// Starts `weft sequence` without an L1 and waits until it answers.
    pub(super) async fn start(config: &IngestConfig) -> Result<Self, IngestError> {
        let parent = config.data_dir.clone().unwrap_or_else(std::env::temp_dir);
        let folder =
            TempDir::with_prefix_in("weft-ingest-", &parent).map_err(IngestError::file(&parent))?;
        let genesis = folder.path().join("genesis.json");
        let text = genesis_json(&config.mnemonic)?;
        fs::write(&genesis, text).map_err(IngestError::file(&genesis))?;
        let log = folder.path().join("log");
        let output = File::create(&log).map_err(IngestError::file(&log))?;
        let program = std::env::current_exe().map_err(IngestError::file("the running program"))?;
        let mut command = Command::new(&program);
        for (name, _) in std::env::vars_os() {
            // Settings of another node.
            if name.to_string_lossy().starts_with("WEFT_") {
                command.env_remove(name);
            }
        }
        command.arg("sequence");
        let own = [
            format!("chain.data_dir={}", data_dir(&folder).display()),
            format!("chain.genesis={}", genesis.display()),
            "rpc.port=0".to_owned(),
            "batcher.enabled=false".to_owned(),
            format!("block.gas_limit={GAS_LIMIT}"),
            "log.filter=info".to_owned(),
            "log.format=json".to_owned(),
        ];
        for setting in own.iter().chain(&config.settings) {
            command.arg("--set").arg(setting);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .map_err(IngestError::file(&program))?;
        let address = listening_address(&mut child, &log).await?;
        Ok(Self {
            pid: child.id().unwrap_or_default(),
            child,
            url: format!("http://{address}"),
            folder,
        })
    }

    /// Its data folder.
    pub(super) fn data_dir(&self) -> PathBuf {
        data_dir(&self.folder)
    }

    /// Folder for what is to be removed with it.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn log_tail(&self) -> String {
        tail(&self.folder.path().join("log"))
    }

    /// When it has ended, that is what went wrong.
    pub(super) fn explain(mut self, error: IngestError) -> IngestError {
        match self.child.try_wait() {
            Ok(Some(status)) => IngestError::Node(format!(
                "it ended with {status} ({error}); it printed {}",
                self.log_tail()
            )),
            _ => error,
        }
    }

    /// Asks it to stop and waits for it.
    pub(super) async fn stop(mut self) -> Result<(), IngestError> {
        let interrupt = rustix::process::Pid::from_raw(i32::try_from(self.pid).unwrap_or_default())
            .map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::INT));
        if !matches!(interrupt, Some(Ok(()))) {
            return Err(IngestError::Node(format!(
                "it cannot be stopped: {interrupt:?}; it printed {}",
                self.log_tail()
            )));
        }
        match tokio::time::timeout(STOP_LIMIT, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(ended) => Err(IngestError::Node(format!(
                "it ended with {ended:?}; it printed {}",
                self.log_tail()
            ))),
            Err(_) => Err(IngestError::Node(format!(
                "it did not stop within {} s",
                STOP_LIMIT.as_secs()
            ))),
        }
    }
}

fn data_dir(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

/// A chain on which the accounts of the mnemonic have funds, and nobody else anything.
fn genesis_json(mnemonic: &str) -> Result<Vec<u8>, IngestError> {
    let alloc = (0..FUNDED_ACCOUNTS)
        .map(|number| {
            let account = GenesisAccount {
                balance: FUNDS,
                ..GenesisAccount::default()
            };
            Ok((Account::of_mnemonic(mnemonic, number)?.address(), account))
        })
        .collect::<Result<_, IngestError>>()?;
    let genesis = Genesis {
        config: ChainConfig {
            chain_id: CHAIN_ID,
            ..ChainConfig::default()
        },
        gas_limit: GAS_LIMIT,
        base_fee_per_gas: Some(BASE_FEE),
        alloc,
        ..Genesis::default()
    };
    weft_primitives::ChainSpec::new(genesis)
        .map(|spec| spec.to_json())
        .map_err(|error| IngestError::Node(format!("genesis: {error}")))
}

/// Waits for the line of the log that says where it listens.
async fn listening_address(child: &mut Child, log: &Path) -> Result<String, IngestError> {
    let started = Instant::now();
    loop {
        let text = fs::read_to_string(log).map_err(IngestError::file(log))?;
        let found = text.lines().find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            let fields = line.get("fields")?;
            let is_rpc = fields.get("message")? == "JSON-RPC";
            is_rpc.then(|| Some(fields.get("address")?.as_str()?.to_owned()))?
        });
        if let Some(address) = found {
            return Ok(address);
        }
        match child.try_wait() {
            Ok(None) if started.elapsed() < START_LIMIT => {}
            Ok(status) => {
                let end = status.map_or("it is silent".to_owned(), |status| status.to_string());
                return Err(IngestError::Node(format!(
                    "{end}; it printed {}",
                    tail(log)
                )));
            }
            Err(error) => return Err(IngestError::Node(error.to_string())),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(10).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
