//! kill -9 under load: nothing that was acknowledged is missing afterwards (I2), batches go on
//! without gap or overlap (I4), and no block has a second version.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use eyre::{ContextCompat, ensure};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
use weft_tests::{
    anvil::Anvil,
    load::{self, L2_CHAIN_ID, Sender},
    rollup::{check_tiling, posted_batches},
    rpc::Rpc,
    weft::{Account, Dev},
};

const SENDERS: usize = 4;

/// How long one transaction may wait for its block, in milliseconds.
const SYNC_TIMEOUT_MS: u64 = 20_000;

/// Repeats a run: the moments of the kills.
const SEED_VARIABLE: &str = "WEFT_TEST_SEED";

#[tokio::test]
async fn nothing_acknowledged_is_lost_with_the_embedded_l1() -> eyre::Result<()> {
    kill_and_restart(4, &[]).await
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_with_anvil() -> eyre::Result<()> {
    let Some(anvil) = Anvil::start().await? else {
        return Ok(());
    };
    kill_and_restart(3, &["--l1", anvil.rpc.url()]).await
}

async fn kill_and_restart(rounds: usize, options: &[&str]) -> eyre::Result<()> {
    let seed = match std::env::var(SEED_VARIABLE) {
        Ok(seed) => seed.parse()?,
        Err(_) => rand::rng().random(),
    };
    eprintln!("{SEED_VARIABLE}={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = TempDir::new()?;
    let data_dir = folder.path().join("dev");
    let mut witness = Witness::default();
    for round in 0..rounds {
        let alive = Duration::from_millis(random.random_range(500..4000));
        let seen = one_round(&data_dir, options, alive).await?;
        eprintln!(
            "round {round}: killed after {alive:?}, {} acknowledged",
            seen.receipts.len()
        );
        witness.receipts.extend(seen.receipts);
    }
    ensure!(
        !witness.receipts.is_empty(),
        "no transaction was acknowledged in {rounds} rounds"
    );

    let mut dev = Dev::start(&data_dir, options).await?;
    witness.check(&dev.l2).await?;
    // A last transaction shows that the chain goes on.
    let account = dev.info.accounts.first().wrap_err("no account")?;
    let mut sender = Sender::new(account, L2_CHAIN_ID, &dev.l2).await?;
    let signed = load::transfers(&mut sender, 1)?;
    load::send_all(&dev.l2, &signed).await?;
    load::all_included(&dev.l2, &signed, Duration::from_secs(30)).await?;
    let head = dev.all_safe(Duration::from_secs(120)).await?;
    check_tiling(&posted_batches(&dev.l1, dev.info.contract).await?)?;
    let report = dev.watch().await?;
    ensure!(report.success && report.verified, "{}", report.json);
    ensure!(
        report.last_l2_block >= head,
        "{} < {head}",
        report.last_l2_block
    );
    witness.check(&dev.l2).await
}

/// Starts the node, sends until `alive` has passed, and kills it while requests are under way.
async fn one_round(data_dir: &Path, options: &[&str], alive: Duration) -> eyre::Result<Witness> {
    let mut dev = Dev::start(data_dir, options).await?;
    let killed = Arc::new(AtomicBool::new(false));
    let mut senders = JoinSet::new();
    for account in dev.info.accounts.iter().take(SENDERS) {
        senders.spawn(send_until_killed(
            account.clone(),
            dev.l2.clone(),
            killed.clone(),
        ));
    }
    // The load itself is the clock here: the kill comes at a random moment of it.
    tokio::time::sleep(alive).await;
    // Set first: an answer that fails from now on may be the kill's doing.
    killed.store(true, Ordering::SeqCst);
    dev.process.kill()?;
    let mut witness = Witness::default();
    while let Some(sent) = senders.join_next().await {
        witness.receipts.extend(sent??.receipts);
    }
    Ok(witness)
}

/// Sends one transaction after the other and notes each receipt that was answered.
async fn send_until_killed(
    account: Account,
    rpc: Rpc,
    killed: Arc<AtomicBool>,
) -> eyre::Result<Witness> {
    let mut sender = Sender::new(&account, L2_CHAIN_ID, &rpc).await?;
    let mut witness = Witness::default();
    loop {
        let signed = load::transfers(&mut sender, 1)?;
        let raw = signed.first().wrap_err("no transaction")?.raw.clone();
        match rpc
            .call::<Value>("eth_sendRawTransactionSync", json!([raw, SYNC_TIMEOUT_MS]))
            .await
        {
            Ok(receipt) => witness.note(&receipt)?,
            Err(_) if killed.load(Ordering::SeqCst) => return Ok(witness),
            Err(error) => return Err(error),
        }
    }
}

/// What clients were told: transaction hash to block number and block hash.
#[derive(Debug, Default)]
struct Witness {
    receipts: BTreeMap<String, (String, String)>,
}

impl Witness {
    fn note(&mut self, receipt: &Value) -> eyre::Result<()> {
        let (hash, place) = place(receipt)?;
        self.receipts.insert(hash, place);
        Ok(())
    }

    /// Every receipt is still there, in the same block.
    async fn check(&self, rpc: &Rpc) -> eyre::Result<()> {
        let hashes: Vec<&String> = self.receipts.keys().collect();
        for chunk in hashes.chunks(100) {
            let params = chunk.iter().map(|hash| json!([hash])).collect();
            let found: Vec<Value> = rpc.batch("eth_getTransactionReceipt", params).await?;
            for (hash, receipt) in chunk.iter().zip(&found) {
                ensure!(!receipt.is_null(), "{hash} was acknowledged and is missing");
                let (_, found) = place(receipt)?;
                let expected = self.receipts.get(*hash).wrap_err("unknown hash")?;
                ensure!(
                    *expected == found,
                    "{hash}: expected {expected:?}, found {found:?}"
                );
            }
        }
        Ok(())
    }
}

fn place(receipt: &Value) -> eyre::Result<(String, (String, String))> {
    let field = |name| {
        let text = receipt.get(name).and_then(Value::as_str);
        Ok::<_, eyre::Report>(
            text.wrap_err_with(|| format!("no {name} in {receipt}"))?
                .to_owned(),
        )
    };
    Ok((
        field("transactionHash")?,
        (field("blockNumber")?, field("blockHash")?),
    ))
}
