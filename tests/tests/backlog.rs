//! A chain that waits for L1: it stops taking transactions in before too much is not safe, and goes
//! on by itself.

use std::{path::Path, process::Command, time::Duration};

use eyre::{ContextCompat, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use weft_tests::{
    anvil::host_and_port,
    load::{L2_CHAIN_ID, Sender, all_included, transfers},
    ports::free_port,
    process::Process,
    proxy::{Proxy, Weather},
    rollup::test_account,
    rpc::Rpc,
    tools::repository,
    wait::until,
    weft::{Dev, STOPPED, binary},
};

const LIMIT: Duration = Duration::from_secs(120);
/// Bytes of transactions at which the chain stops: about forty transfers.
const STOP_AT: u64 = 4_500;
/// Accounts on L1 that `weft dev` does not use itself.
const DEPLOYER: u32 = 0;
const BATCHER: u32 = 1;
/// Many more transfers than that.
const MOST_SENDS: usize = 2_000;
/// Time between two: a load that the chain could take.
const PACE: Duration = Duration::from_millis(25);

/// Puts a contract on L1 and returns its address; the chain's genesis is then at `genesis`.
async fn deploy(l1: &str, genesis: &Path, folder: &Path) -> eyre::Result<String> {
    let deployer = test_account(DEPLOYER)?;
    let mut command = Command::new(binary().await?);
    command
        .args(["deploy", "--l1", l1, "--genesis"])
        .arg(repository().join("docker/genesis.json"))
        .arg("--out")
        .arg(genesis)
        .args(["--batcher", &test_account(BATCHER)?.address.to_string()])
        .env("WEFT_DEPLOYER_KEY", deployer.private_key.to_string());
    let mut process = Process::spawn(&mut command, &folder.join("deploy.log"))?;
    ensure!(process.wait(LIMIT).await?.success(), "{}", process.log());
    let printed = process.log();
    let summary = printed.lines().find(|line| line.starts_with('{'));
    let summary: Value = serde_json::from_str(summary.wrap_err("no summary")?)?;
    let contract = summary.get("contract").and_then(Value::as_str);
    Ok(contract.wrap_err("no contract")?.to_owned())
}

async fn start(
    l1: &str,
    contract: &str,
    genesis: &Path,
    folder: &Path,
) -> eyre::Result<(Process, Rpc)> {
    let port = free_port()?;
    let mut command = Command::new(binary().await?);
    command
        .arg("sequence")
        .env(
            "WEFT_BATCHER_KEY",
            test_account(BATCHER)?.private_key.to_string(),
        )
        .env("WEFT_CHAIN_GENESIS", genesis)
        .env("WEFT_CHAIN_DATA_DIR", folder.join("data"))
        .env("WEFT_RPC_PORT", port.to_string())
        .env("WEFT_L1_RPC_URL", l1)
        .env("WEFT_L1_CONTRACT", contract)
        .env("WEFT_L1_DEPOSIT_CONFIRMATIONS", "0")
        .env("WEFT_L1_SAFE_CONFIRMATIONS", "1")
        .env("WEFT_L1_POLL_INTERVAL_MS", "100")
        .env("WEFT_L1_SLOW_AT_BACKLOG_BYTES", (STOP_AT / 2).to_string())
        .env("WEFT_L1_STOP_AT_BACKLOG_BYTES", STOP_AT.to_string())
        .env("WEFT_BLOCK_MAX_INTERVAL_MS", "500")
        .env("WEFT_BLOCK_MAX_TRANSACTIONS", "5")
        .env("WEFT_BATCHER_MAX_AGE_S", "1");
    let mut process = Process::spawn(&mut command, &folder.join("sequence.log"))?;
    let rpc = Rpc::new(&format!("http://127.0.0.1:{port}"))?;
    until("the sequencer to be ready", LIMIT, || {
        let look = process.check_running();
        let rpc = &rpc;
        async move {
            look?;
            Ok((rpc.get("/ready").await?.0 == 200).then_some(()))
        }
    })
    .await?;
    Ok((process, rpc))
}

#[tokio::test]
async fn a_chain_stops_before_too_much_waits_for_l1_and_goes_on_by_itself() -> eyre::Result<()> {
    let folder = TempDir::new()?;
    // A chain of its own on the L1 of `weft dev`.
    let mut dev = Dev::start(&folder.path().join("dev"), &["--no-watcher"]).await?;
    let genesis = folder.path().join("chain.json");
    let contract = deploy(dev.l1.url(), &genesis, folder.path()).await?;
    let proxy = Proxy::start(host_and_port(&dev.l1)?).await?;
    let (mut process, rpc) = start(proxy.url(), &contract, &genesis, folder.path()).await?;

    let mut sender = Sender::new(&test_account(0)?, L2_CHAIN_ID, &rpc).await?;
    let all = transfers(&mut sender, MOST_SENDS)?;
    let (mut accepted, mut refusal) = (0, None);
    proxy.set(Weather::Down);
    let mut pace = tokio::time::interval(PACE);
    for transaction in &all {
        pace.tick().await;
        let answer = rpc
            .raw("eth_sendRawTransaction", json!([transaction.raw]))
            .await?;
        if let Some(error) = answer.get("error") {
            refusal = Some(error.clone());
            break;
        }
        accepted += 1;
    }
    let refusal = refusal.wrap_err("everything was taken in")?;
    let message = refusal.get("message").and_then(Value::as_str);
    ensure!(
        message.is_some_and(|message| message.starts_with("txpool is full")
            && message.ends_with("bytes of blocks wait for L1, try later")),
        "{refusal}"
    );
    ensure!(refusal.get("code") == Some(&json!(-32000)), "{refusal}");
    // What is not safe is bounded: nothing but the last block can be above the limit.
    let blocks = rpc.block_number("latest").await?;
    let mut bytes = 0;
    for number in 1..=blocks {
        let block: Value = rpc
            .call(
                "eth_getBlockByNumber",
                json!([format!("{number:#x}"), false]),
            )
            .await?;
        let transactions = block.get("transactions").and_then(Value::as_array);
        bytes += 110 * transactions.map_or(0, Vec::len) as u64;
    }
    ensure!(
        bytes < STOP_AT + 5 * 120,
        "{bytes} bytes are not safe, expected about {STOP_AT}"
    );

    proxy.set(Weather::Clear);
    let refused = all.get(accepted).wrap_err("no transaction was refused")?;
    until("the chain to take transactions in again", LIMIT, || async {
        let answer = rpc
            .raw("eth_sendRawTransaction", json!([refused.raw]))
            .await?;
        Ok(answer.get("result").map(drop))
    })
    .await?;
    all_included(&rpc, all.get(..=accepted).unwrap_or_default(), LIMIT).await?;
    process.interrupt(STOPPED).await?;
    dev.process.interrupt(STOPPED).await?;
    Ok(())
}
