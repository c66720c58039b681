//! A real L1: anvil.

use std::{path::Path, process::Command, time::Duration};

use eyre::ContextCompat;
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
        let mut process = spawn(&program, &folder)?;
        let limit = Duration::from_secs(30);
        let address = until("anvil to listen", limit, || {
            let look = process
                .check_running()
                .map(|()| listening_address(&process.log()));
            async { look }
        })
        .await?;
        Ok(Some(Self {
            rpc: Rpc::new(&format!("http://{address}"))?,
            process,
            _folder: folder,
        }))
    }
}

fn spawn(program: &Path, folder: &TempDir) -> eyre::Result<Process> {
    Process::spawn(
        Command::new(program).current_dir(folder.path()).args([
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--chain-id",
            "31337",
        ]),
        &folder.path().join("log"),
    )
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
