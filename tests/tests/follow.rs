//! `weft follow` on a folder that it should not use.

use std::time::Duration;

use eyre::{ContextCompat, ensure};
use serde_json::Value;
use tempfile::TempDir;
use weft_tests::{
    load::{self, L2_CHAIN_ID, Sender},
    weft::{Dev, Follower, binary},
};

const LIMIT: Duration = Duration::from_secs(60);

/// Two contracts may have the same genesis; what is on disk is still one chain's.
#[tokio::test]
async fn a_folder_of_another_contract_with_the_same_genesis_is_refused() -> eyre::Result<()> {
    let folder = TempDir::new()?;
    let data_dir = folder.path().join("dev");
    let mut dev = Dev::start(&data_dir, &[]).await?;
    let account = dev.info.accounts.first().cloned().wrap_err("no account")?;
    let mut sender = Sender::new(&account, L2_CHAIN_ID, &dev.l2).await?;
    let signed = load::transfers(&mut sender, 10)?;
    load::send_all(&dev.l2, &signed).await?;
    load::all_included(&dev.l2, &signed, LIMIT).await?;
    let head = dev.all_safe(LIMIT).await?;
    let followed = folder.path().join("followed");
    let mut follower = Follower::start(&dev.info.l1_rpc, dev.info.contract, &followed).await?;
    follower.hash_at(head, LIMIT).await?;
    follower.process.kill()?;

    let output = tokio::process::Command::new(binary().await?)
        .args(["deploy", "--l1", &dev.info.l1_rpc, "--genesis"])
        .arg(data_dir.join("genesis.json"))
        .arg("--out")
        .arg(folder.path().join("genesis.json"))
        .args(["--batcher", &account.address.to_string()])
        .env("WEFT_DEPLOYER_KEY", account.private_key.to_string())
        .output()
        .await?;
    ensure!(output.status.success(), "{output:?}");
    let summary: Value = serde_json::from_slice(&output.stdout)?;
    let other = summary.get("contract").and_then(Value::as_str);
    let other = other.wrap_err("no contract")?;

    let refused = tokio::process::Command::new(binary().await?)
        .args(["follow", "--l1", &dev.info.l1_rpc, "--contract", other])
        .args(["--port", "0", "--data-dir"])
        .arg(&followed)
        .kill_on_drop(true)
        .output();
    let refused = tokio::time::timeout(LIMIT, refused).await??;
    let printed = String::from_utf8(refused.stderr)?;
    ensure!(!refused.status.success(), "{printed}");
    ensure!(printed.contains("belongs to contract"), "{printed}");
    Ok(())
}
