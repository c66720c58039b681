//! `weft follow`: folders that it should not use, an L1 that reorganises, and kill -9.

use std::time::Duration;

use eyre::{ContextCompat, bail, ensure};
use rand::{Rng, seq::SliceRandom};
use serde_json::{Value, json};
use tempfile::TempDir;
use weft_tests::{
    anvil::Anvil,
    load::{self, L2_CHAIN_ID, Sender},
    rollup::{check_tiling, operator, posted_batches},
    seed,
    sequencer::{Place, accounts},
    weft::{Dev, Follower, binary},
};

const LIMIT: Duration = Duration::from_secs(60);

/// What is on disk is one contract's chain; another contract's has another genesis, which names its
/// bridge.
#[tokio::test]
async fn a_folder_of_another_contract_is_refused() -> eyre::Result<()> {
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
    let named = printed.contains("choose that chain's data folder or an empty one");
    ensure!(named, "{printed}");
    Ok(())
}

/// L1 blocks below the newest that the chain does not take in: deeper than any reorganisation here.
const DEPTH: u64 = 64;

/// I3: whatever L1 drops, the follower ends at the chain that L1 has.
#[tokio::test]
async fn reorganisations_of_l1_are_followed() -> eyre::Result<()> {
    let Some(anvil) = Anvil::start().await? else {
        return Ok(());
    };
    // The batcher may wait for a transaction that L1 has dropped before it sends another.
    let limit = Duration::from_secs(240);
    let mut random = seed::random()?;
    let l1 = &anvil.rpc;
    let folder = TempDir::new()?;
    let accounts = accounts()?;
    let [deployer, user, ..] = accounts.as_slice() else {
        bail!("too few accounts");
    };
    let ether = "0x56bc75e2d63100000";
    let operator = operator()?.address;
    let () = l1
        .call("anvil_setBalance", json!([operator, ether]))
        .await?;
    let place = Place::on_l1(l1.url(), deployer, folder.path(), &[]).await?;
    let place = place.set(&format!("l1.deposit_confirmations={DEPTH}"));
    let contract = place.contract()?;
    let () = l1.call("anvil_mine", json!([DEPTH + 5])).await?;
    let mut sequencer = place.start().await?;
    let (head, hash) = sequencer.include_and_post(user, 5, limit).await?;
    let mut follower = Follower::start(l1.url(), contract, &folder.path().join("followed")).await?;
    ensure!(follower.hash_at(head, limit).await? == hash);

    let mut depths = vec![1, 60, random.random_range(2..60)];
    depths.shuffle(&mut random);
    for depth in depths {
        // Batches at different depths, some of which L1 drops.
        for _ in 0..2 {
            let count = random.random_range(1..8);
            let (head, hash) = sequencer.include_and_post(user, count, limit).await?;
            ensure!(follower.hash_at(head, limit).await? == hash);
            let blocks: u64 = random.random_range(0..20);
            let () = l1.call("anvil_mine", json!([blocks])).await?;
        }
        eprintln!("L1 drops {depth} blocks");
        let () = l1.call("anvil_reorg", json!([depth, []])).await?;
        let (head, hash) = sequencer.include_and_post(user, 3, limit).await?;
        ensure!(follower.hash_at(head, limit).await? == hash);
        check_tiling(&posted_batches(l1, contract).await?)?;
    }
    follower.process.check_running()?;
    let report = weft_tests::weft::watch(l1.url(), contract).await?;
    ensure!(report.verified && report.success, "{}", report.json);
    Ok(())
}

/// I2, I3: a follower that is killed goes on where it was, and ends with the same blocks.
#[tokio::test]
async fn a_follower_killed_at_any_moment_ends_with_the_same_chain() -> eyre::Result<()> {
    let mut random = seed::random()?;
    let folder = TempDir::new()?;
    let mut dev = Dev::start(&folder.path().join("dev"), &[]).await?;
    let account = dev.info.accounts.first().cloned().wrap_err("no account")?;
    let followed = folder.path().join("followed");
    for _ in 0..8 {
        let mut sender = Sender::new(&account, L2_CHAIN_ID, &dev.l2).await?;
        let signed = load::transfers(&mut sender, 300)?;
        load::send_all(&dev.l2, &signed).await?;
        let mut follower = Follower::start(&dev.info.l1_rpc, dev.info.contract, &followed).await?;
        let moment = Duration::from_millis(random.random_range(0..1_500));
        tokio::time::sleep(moment).await;
        follower.process.kill()?;
        load::all_included(&dev.l2, &signed, LIMIT).await?;
    }
    let head = dev.all_safe(LIMIT).await?;
    let mut follower = Follower::start(&dev.info.l1_rpc, dev.info.contract, &followed).await?;
    follower.hash_at(head, LIMIT).await?;
    for number in 0..=head {
        let (ours, theirs) = (
            dev.l2.block_hash(number).await?,
            follower.rpc.block_hash(number).await?,
        );
        ensure!(ours == theirs, "block {number}: {ours} and {theirs}");
    }
    Ok(())
}
