//! A real L1: anvil.

use std::{
    path::Path,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use eyre::ContextCompat;
use serde_json::json;
use tempfile::TempDir;

use crate::{process::Process, rpc::Rpc, tools::foundry, wait::until};

/// A running anvil with chain id 31337 that mines each transaction at once.
#[derive(Debug)]
pub struct Anvil {
    /// Its RPC.
    pub rpc: Rpc,
    /// The process.
    pub process: Process,
    _folder: TempDir,
}

impl Anvil {
    /// A new chain on a port that the system chooses, or `Ok(None)` after saying that a test is
    /// skipped.
    ///
    /// # Errors
    /// When anvil is there but does not start.
    pub async fn start() -> eyre::Result<Option<Self>> {
        let Some(program) = foundry("anvil") else {
            return Ok(None);
        };
        let folder = TempDir::with_prefix("weft-anvil-")?;
        Self::run(&program, folder, None).await.map(Some)
    }

    /// As [`Anvil::start`], on a chain whose blocks have used this much more blob gas than they
    /// should: blobs are dear until enough blocks without them have passed.
    ///
    /// # Errors
    /// As [`Anvil::start`].
    pub async fn start_with_dear_blobs(excess_blob_gas: u64) -> eyre::Result<Option<Self>> {
        let Some(program) = foundry("anvil") else {
            return Ok(None);
        };
        let folder = TempDir::with_prefix("weft-anvil-")?;
        let genesis = folder.path().join("genesis.json");
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let content = json!({
            "config": {"chainId": 31337},
            "timestamp": format!("{now:#x}"),
            "gasLimit": "0x1c9c380",
            "difficulty": "0x0",
            "baseFeePerGas": "0x3b9aca00",
            "excessBlobGas": format!("{excess_blob_gas:#x}"),
            "blobGasUsed": "0x0",
            "alloc": {},
        });
        std::fs::write(&genesis, content.to_string())?;
        Self::run(&program, folder, Some(&genesis)).await.map(Some)
    }

    async fn run(program: &Path, folder: TempDir, genesis: Option<&Path>) -> eyre::Result<Self> {
        let mut process = spawn(program, &folder, genesis)?;
        let limit = Duration::from_secs(30);
        let address = until("anvil to listen", limit, || {
            let look = process
                .check_running()
                .map(|()| listening_address(&process.log()));
            async { look }
        })
        .await?;
        Ok(Self {
            rpc: Rpc::new(&format!("http://{address}"))?,
            process,
            _folder: folder,
        })
    }
}

fn spawn(program: &Path, folder: &TempDir, genesis: Option<&Path>) -> eyre::Result<Process> {
    let mut command = Command::new(program);
    command.current_dir(folder.path()).args([
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--chain-id",
        "31337",
    ]);
    if let Some(genesis) = genesis {
        command.arg("--init").arg(genesis);
    }
    Process::spawn(&mut command, &folder.path().join("log"))
}

fn listening_address(log: &str) -> Option<String> {
    let line = log
        .lines()
        .find_map(|line| line.strip_prefix("Listening on "))?;
    Some(line.trim().to_owned())
}

/// An HTTP endpoint that anvil answers, without its scheme.
///
/// # Errors
/// When the URL is not one of anvil's.
pub fn host_and_port(rpc: &Rpc) -> eyre::Result<&str> {
    rpc.url()
        .strip_prefix("http://")
        .wrap_err("anvil's URL starts with http://")
}
