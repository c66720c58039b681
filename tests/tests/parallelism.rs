//! What a node says about how the transactions of its blocks get along.

use std::time::Duration;

use eyre::{ContextCompat, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use weft_tests::{
    load::{self, L2_CHAIN_ID, Sender},
    weft::{Dev, Follower, STOPPED},
};

const LIMIT: Duration = Duration::from_secs(60);

/// A sequencer with two threads, a follower that rebuilt the chain from L1, and the sequencer after
/// a restart say the same.
#[tokio::test]
async fn everybody_tells_the_same_of_a_block() -> eyre::Result<()> {
    let folder = TempDir::new()?;
    let data_dir = folder.path().join("dev");
    let options = ["--threads", "2", "--no-watcher"];
    let mut dev = Dev::start(&data_dir, &options).await?;
    let mut signed = Vec::new();
    for account in dev.info.accounts.iter().take(4) {
        let mut sender = Sender::new(account, L2_CHAIN_ID, &dev.l2).await?;
        signed.extend(load::transfers(&mut sender, 50)?);
    }
    load::send_all(&dev.l2, &signed).await?;
    let receipts = load::all_included(&dev.l2, &signed, LIMIT).await?;
    let head = dev.all_safe(LIMIT).await?;
    let block = receipts
        .last()
        .and_then(|receipt| receipt.get("blockNumber"))
        .wrap_err("no block")?;

    let parallelism: Value = dev
        .l2
        .call("weft_getBlockParallelism", json!([block]))
        .await?;
    let text = |name: &str| parallelism.get(name).cloned().unwrap_or_default();
    let bound = text("speedUpBound").as_f64().unwrap_or_default();
    ensure!(bound >= 1.0 && text("lanes") != "0x0", "{parallelism}");
    ensure!(text("execution").get("threads").is_some(), "{parallelism}");
    let conflicts: Value = dev.l2.call("weft_getConflicts", json!(["0x40"])).await?;
    let places = conflicts.get("conflicts").and_then(Value::as_array);
    let senders: Vec<Value> = dev
        .info
        .accounts
        .iter()
        .map(|account| json!(account.address))
        .collect();
    let worst = places
        .and_then(|places| places.first())
        .wrap_err("no conflict")?;
    ensure!(
        worst
            .get("address")
            .is_some_and(|address| senders.contains(address)),
        "expected a sender of many transactions first, found {conflicts}"
    );

    let mut lists = Vec::new();
    for number in 0..=head {
        let params = json!([format!("{number:#x}")]);
        lists.push(
            dev.l2
                .call::<Value>("weft_getBlockAccessList", params)
                .await?,
        );
    }
    let followed = folder.path().join("followed");
    let mut follower = Follower::start(&dev.info.l1_rpc, dev.info.contract, &followed).await?;
    follower.hash_at(head, LIMIT).await?;
    let metrics = dev.l2.get("/metrics").await?.1;
    for name in [
        "weft_reexecutions_total",
        "weft_block_lanes",
        "weft_block_speed_up_bound",
    ] {
        ensure!(
            metrics.contains(&format!("\n{name}{{")),
            "{name} is not in:\n{metrics}"
        );
    }
    for (number, list) in lists.iter().enumerate() {
        let params = json!([format!("{number:#x}")]);
        let theirs: Value = follower.rpc.call("weft_getBlockAccessList", params).await?;
        ensure!(
            &theirs == list,
            "block {number}: {list} here, {theirs} there"
        );
    }
    dev.process.interrupt(STOPPED).await?;
    let dev = Dev::start(&data_dir, &options).await?;
    for (number, list) in lists.iter().enumerate() {
        let params = json!([format!("{number:#x}")]);
        let again: Value = dev.l2.call("weft_getBlockAccessList", params).await?;
        ensure!(
            &again == list,
            "block {number}: {list} before, {again} after"
        );
    }
    Ok(())
}

/// A follower takes access lists from anybody: true ones, those of another chain, and none at all
/// lead to the same chain, and it says which they were.
#[tokio::test]
async fn a_follower_checks_the_access_lists_that_it_is_given() -> eyre::Result<()> {
    let folder = TempDir::new()?;
    // Time for many transactions to meet in a block.
    let options = ["--no-watcher", "--block-interval", "500"];
    let mut dev = Dev::start(&folder.path().join("dev"), &options).await?;
    let account = dev.info.accounts.first().cloned().wrap_err("no account")?;
    let mut sender = Sender::new(&account, L2_CHAIN_ID, &dev.l2).await?;
    let signed = load::transfers(&mut sender, 100)?;
    load::send_all(&dev.l2, &signed).await?;
    load::all_included(&dev.l2, &signed, LIMIT).await?;
    let head = dev.all_safe(LIMIT).await?;

    // Another chain, with at least as many blocks.
    let other = Dev::start(&folder.path().join("other"), &["--no-watcher"]).await?;
    let mut sender = Sender::new(&account, L2_CHAIN_ID, &other.l2).await?;
    while other.l2.block_number("latest").await? < head {
        let signed = load::transfers(&mut sender, 1)?;
        load::send_all(&other.l2, &signed).await?;
        load::all_included(&other.l2, &signed, LIMIT).await?;
    }

    let hash = dev.l2.block_hash(head).await?;
    let nobody = "http://127.0.0.1:1/".to_owned();
    for (name, url) in [
        ("true", &dev.info.l2_rpc),
        ("false", &other.info.l2_rpc),
        ("none", &nobody),
    ] {
        let mut follower = Follower::start_with(
            &dev.info.l1_rpc,
            dev.info.contract,
            &folder.path().join(name),
            &["--access-lists", url],
        )
        .await?;
        ensure!(follower.hash_at(head, LIMIT).await? == hash, "{name}");
        let status: Value = follower.rpc.call("weft_nodeStatus", json!([])).await?;
        let of = |key: &str| status.pointer(&format!("/accessLists/{key}")).cloned();
        let some = |key: &str| of(key).is_some_and(|count| count != "0x0" && !count.is_null());
        ensure!(some("right") == (name == "true"), "{name}: {status}");
        ensure!(some("wrong") == (name == "false"), "{name}: {status}");
        ensure!(some("problem") == (name == "false"), "{name}: {status}");
    }
    Ok(())
}
