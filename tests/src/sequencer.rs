//! The real `weft sequence`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use alloy_primitives::Address;
use eyre::{Context, ContextCompat, bail, ensure, eyre};
use serde_json::{Value, json};

use crate::{
    anvil::Anvil,
    faults::FaultyDisk,
    load::{L2_CHAIN_ID, Sender, all_included, send_all, transfers},
    process::Process,
    rollup::{operator, test_account},
    rpc::Rpc,
    wait::until,
    weft::{Account, Dev, READY, binary},
};

/// Accounts that the genesis gives ether.
const ACCOUNTS: u32 = 10;

/// Where and how a sequencer runs; each start makes a new process on the same folder.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its data folder.
    pub data_dir: PathBuf,
    genesis: PathBuf,
    l1: Option<(String, Address)>,
    disk: Option<FaultyDisk>,
    options: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Place {
    /// A chain without an L1 in `folder`, which must exist.
    ///
    /// # Errors
    /// When its genesis cannot be written.
    pub fn new(folder: &Path) -> eyre::Result<Self> {
        let genesis = folder.join("genesis.json");
        fs::write(&genesis, genesis_json()?)?;
        Ok(Self {
            data_dir: folder.join("chain"),
            genesis,
            l1: None,
            disk: None,
            options: Vec::new(),
            variables: Vec::new(),
        })
    }

    /// A chain whose batches go to the L1 of `dev`, on a contract of its own.
    ///
    /// # Errors
    /// When the contract cannot be deployed.
    pub async fn on_l1_of(dev: &Dev, folder: &Path) -> eyre::Result<Self> {
        let deployer = dev.info.accounts.first().wrap_err("no account")?;
        Self::on_l1(&dev.info.l1_rpc, deployer, folder, &[]).await
    }

    /// A chain whose batches go to this anvil.
    ///
    /// # Errors
    /// When the contract cannot be deployed.
    pub async fn on_anvil(anvil: &Anvil, folder: &Path) -> eyre::Result<Self> {
        Self::on_anvil_with(anvil, folder, &[]).await
    }

    /// A chain whose batches go to this anvil, deployed with these options.
    ///
    /// # Errors
    /// When the contract cannot be deployed.
    pub async fn on_anvil_with(
        anvil: &Anvil,
        folder: &Path,
        options: &[&str],
    ) -> eyre::Result<Self> {
        let operator = operator()?.address;
        let funds = json!([operator, "0x56bc75e2d63100000"]);
        let _: Value = anvil.rpc.call("anvil_setBalance", funds).await?;
        Self::on_l1(anvil.rpc.url(), &test_account(0)?, folder, options).await
    }

    /// A chain whose batches go to any L1 that funds `deployer`. `options` are further flags of
    /// `weft deploy`.
    ///
    /// # Errors
    /// When the contract cannot be deployed.
    pub async fn on_l1(
        l1_url: &str,
        deployer: &Account,
        folder: &Path,
        options: &[&str],
    ) -> eyre::Result<Self> {
        let mut place = Self::new(folder)?;
        let chain = folder.join("deployed.json");
        let output = tokio::process::Command::new(binary().await?)
            .args(["deploy", "--l1", l1_url, "--genesis"])
            .arg(&place.genesis)
            .arg("--out")
            .arg(&chain)
            .args(["--batcher", &operator()?.address.to_string()])
            .args(options)
            .env("WEFT_DEPLOYER_KEY", deployer.private_key.to_string())
            .output()
            .await?;
        ensure!(output.status.success(), "{output:?}");
        let summary: Value = serde_json::from_slice(&output.stdout)?;
        let contract = summary.get("contract").wrap_err("no contract")?;
        place.genesis = chain;
        place.l1 = Some((l1_url.to_owned(), serde_json::from_value(contract.clone())?));
        Ok(place)
    }

    /// The same chain without an L1.
    pub fn without_l1(mut self) -> Self {
        self.l1 = None;
        self.options.clear();
        self
    }

    /// Puts the data folder on a faulty disk.
    pub fn on_disk(mut self, disk: &FaultyDisk) -> Self {
        self.data_dir = disk.below().to_path_buf();
        self.disk = Some(disk.clone());
        self
    }

    /// Another data folder.
    pub fn at(mut self, data_dir: &Path) -> Self {
        self.data_dir = data_dir.to_path_buf();
        self
    }

    /// Reaches the same L1 at another URL.
    ///
    /// # Errors
    /// When the chain has no L1.
    pub fn through(mut self, url: &str) -> eyre::Result<Self> {
        let (l1, _) = self.l1.as_mut().wrap_err("the chain has no L1")?;
        url.clone_into(l1);
        Ok(self)
    }

    /// Overrides one key of the configuration, as `SECTION.KEY=VALUE`.
    pub fn set(mut self, option: &str) -> Self {
        self.options.push(option.to_owned());
        self
    }

    /// Sets an environment variable of the process.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The contract on L1.
    ///
    /// # Errors
    /// When the chain has no L1.
    pub fn contract(&self) -> eyre::Result<Address> {
        let (_, contract) = self.l1.as_ref().wrap_err("the chain has no L1")?;
        Ok(*contract)
    }

    /// The file that the process's output is appended to.
    pub fn log(&self) -> PathBuf {
        self.genesis.with_file_name("sequencer.log")
    }

    /// Starts a process and does not wait.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn spawn(&self) -> eyre::Result<Process> {
        let mut command = Command::new(binary().await?);
        command
            .args(["sequence", "--set", "rpc.port=0"])
            .arg("--set")
            .arg(format!("chain.genesis={}", self.genesis.display()))
            .arg("--set")
            .arg(format!("chain.data_dir={}", self.data_dir.display()))
            .env("WEFT_BATCHER_KEY", operator()?.private_key.to_string());
        let l1 = match &self.l1 {
            Some((url, contract)) => vec![
                format!("l1.rpc_url={url}"),
                format!("l1.contract={contract}"),
                "l1.deposit_confirmations=0".to_owned(),
                "l1.safe_confirmations=1".to_owned(),
                "l1.poll_interval_ms=200".to_owned(),
                "batcher.max_age_s=1".to_owned(),
            ],
            None => vec!["batcher.enabled=false".to_owned()],
        };
        for option in l1.iter().chain(&self.options) {
            command.args(["--set", option]);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if let Some(disk) = &self.disk {
            disk.put_under(&mut command);
        }
        Process::spawn(&mut command, &self.log())
    }

    /// Starts a process and waits until it is ready.
    ///
    /// # Errors
    /// When it ends, or is not ready in time.
    pub async fn start(&self) -> eyre::Result<Sequencer> {
        let before = fs::read(self.log()).map_or(0, |log| log.len());
        let mut process = self.spawn().await?;
        let ready = until("weft sequence to be ready", READY, || {
            let status = process.exit_status();
            let log = process.log();
            async move {
                let printed = log.get(before..).unwrap_or_default();
                if let Some(status) = status? {
                    return Ok(Some(Err(eyre!("it ended with {status}:\n{printed}"))));
                }
                let Some(address) = printed_address(printed) else {
                    return Ok(None);
                };
                let rpc = Rpc::new(&format!("http://{address}"))?;
                let (status, _) = rpc.get("/ready").await?;
                Ok((status == 200).then_some(Ok(rpc)))
            }
        })
        .await;
        let rpc = ready.wrap_err_with(|| process.log_tail())??;
        Ok(Sequencer { process, rpc })
    }

    /// Starts a process that is expected to end by itself without having served, and returns what it
    /// printed.
    ///
    /// # Errors
    /// When it goes on, ends with success or panics.
    pub async fn refusal(&self) -> eyre::Result<String> {
        let before = fs::read(self.log()).map_or(0, |log| log.len());
        let mut process = self.spawn().await?;
        let status = process.wait(READY).await?;
        let log = process.log();
        let printed = log.get(before..).unwrap_or_default().to_owned();
        ensure!(!status.success(), "expected a refusal, found:\n{printed}");
        ensure!(!printed.contains("panicked"), "{printed}");
        Ok(printed)
    }
}

/// A running `weft sequence`.
#[derive(Debug)]
pub struct Sequencer {
    /// The process.
    pub process: Process,
    /// Its RPC.
    pub rpc: Rpc,
}

impl Sequencer {
    /// Includes `count` transfers of one account, and waits until the whole chain is on L1: its head
    /// and the hash of it.
    ///
    /// # Errors
    /// When the process ends, or it has not come so far within `limit`.
    pub async fn include_and_post(
        &mut self,
        account: &Account,
        count: usize,
        limit: Duration,
    ) -> eyre::Result<(u64, String)> {
        let mut sender = Sender::new(account, L2_CHAIN_ID, &self.rpc).await?;
        let signed = transfers(&mut sender, count)?;
        send_all(&self.rpc, &signed).await?;
        all_included(&self.rpc, &signed, limit).await?;
        let head = self.rpc.block_number("latest").await?;
        let what = format!("block {head} to be safe");
        let posted = until(&what, limit, || {
            let running = self.process.check_running();
            let rpc = self.rpc.clone();
            async move {
                running?;
                let safe = rpc.block_number("safe").await?;
                match safe >= head {
                    true => Ok(Some(())),
                    false => bail!("safe is {safe}"),
                }
            }
        })
        .await;
        posted.wrap_err_with(|| self.process.log_tail())?;
        Ok((head, self.rpc.block_hash(head).await?))
    }
}

/// The accounts that have ether on a sequencer's chain.
///
/// # Errors
/// Never, for a mnemonic that is valid.
pub fn accounts() -> eyre::Result<Vec<Account>> {
    (0..ACCOUNTS).map(test_account).collect()
}

fn genesis_json() -> eyre::Result<String> {
    let alloc: serde_json::Map<String, Value> = accounts()?
        .iter()
        .map(|account| {
            let funds = json!({"balance": "0x21e19e0c9bab2400000"});
            (account.address.to_string(), funds)
        })
        .collect();
    let genesis = json!({
        "config": {"chainId": L2_CHAIN_ID},
        "gasLimit": "0x3938700",
        "difficulty": "0x0",
        "alloc": alloc,
    });
    Ok(genesis.to_string())
}

/// Where it serves, from the line that says so.
fn printed_address(log: &str) -> Option<String> {
    let line = log.lines().find(|line| line.contains("JSON-RPC"))?;
    let (_, address) = line.split_once("address=")?;
    Some(address.trim().to_owned())
}
