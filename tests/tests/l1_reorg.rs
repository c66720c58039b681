//! L1 reorganises under a chain that takes in the newest L1 blocks.

use std::time::Duration;

use alloy_primitives::U64;
use eyre::{ContextCompat, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use weft_tests::{
    anvil::Anvil,
    load::{L2_CHAIN_ID, Sender, all_included, send_all, transfers},
    rollup::{check_tiling, posted_batches},
    rpc::Rpc,
    wait::until,
    weft::Dev,
};

const LIMIT: Duration = Duration::from_secs(60);

/// Includes one transaction on L2 and returns its receipt.
async fn include(dev: &Dev) -> eyre::Result<Value> {
    let account = dev.info.accounts.first().wrap_err("no account")?;
    let mut sender = Sender::new(account, L2_CHAIN_ID, &dev.l2).await?;
    let signed = transfers(&mut sender, 1)?;
    send_all(&dev.l2, &signed).await?;
    let receipts = all_included(&dev.l2, &signed, LIMIT).await?;
    receipts.into_iter().next().wrap_err("no receipt")
}

/// The node's record of the batches is what L1 has, and names a transaction that was included for
/// each.
async fn check_record(dev: &Dev, l1: &Rpc) -> eyre::Result<()> {
    let posted = posted_batches(l1, dev.info.contract).await?;
    let count = U64::from(posted.len());
    let status: Value = dev.l2.call("weft_nodeStatus", json!([])).await?;
    ensure!(
        status.pointer("/l1/batches") == Some(&json!(count)),
        "{status}"
    );
    for batch in &posted {
        let index = json!([U64::from(batch.index)]);
        let recorded: Value = dev.l2.call("weft_getBatch", index.clone()).await?;
        ensure!(
            recorded.get("hash") == Some(&json!(batch.hash))
                && recorded.get("l1TransactionHash") == Some(&json!(batch.l1_transaction)),
            "expected batch {} in transaction {}, found {recorded}",
            batch.hash,
            batch.l1_transaction
        );
        let attempts: Vec<Value> = dev.l2.call("weft_getBatchAttempts", index).await?;
        let included = attempts.iter().any(|attempt| {
            attempt.get("transactionHash") == recorded.get("l1TransactionHash")
                && attempt.get("status") == Some(&json!("included"))
                && attempt.get("l1BlockNumber") == recorded.get("l1BlockNumber")
        });
        ensure!(included, "batch {}: {attempts:?}", batch.index);
    }
    Ok(())
}

/// I4: a batch that L1 drops is posted again.
#[tokio::test]
async fn a_dropped_batch_is_posted_again() -> eyre::Result<()> {
    let Some(anvil) = Anvil::start().await? else {
        return Ok(());
    };
    let folder = TempDir::new()?;
    let mut dev = Dev::start(&folder.path().join("dev"), &["--l1", anvil.rpc.url()]).await?;
    include(&dev).await?;
    dev.all_safe(LIMIT).await?;
    let kept = posted_batches(&anvil.rpc, dev.info.contract).await?.len();
    include(&dev).await?;
    let head = dev.all_safe(LIMIT).await?;
    until("the record of both", Duration::from_secs(20), || async {
        check_record(&dev, &anvil.rpc).await.map(Some)
    })
    .await?;
    // The last L1 block holds the batch, and no L2 block has taken it in.
    let () = anvil.rpc.call("anvil_reorg", json!([1, []])).await?;
    let posted = posted_batches(&anvil.rpc, dev.info.contract).await?;
    ensure!(posted.len() == kept, "the batch is still there: {posted:?}");
    until("the batch to be posted again", LIMIT, || async {
        let posted = posted_batches(&anvil.rpc, dev.info.contract).await?;
        Ok(posted
            .last()
            .is_some_and(|batch| batch.header.lastBlock >= head)
            .then_some(()))
    })
    .await?;
    until("the record to follow", Duration::from_secs(20), || async {
        check_record(&dev, &anvil.rpc).await.map(Some)
    })
    .await?;
    dev.process.check_running()?;
    check_tiling(&posted_batches(&anvil.rpc, dev.info.contract).await?)?;
    let report = dev.watch().await?;
    ensure!(report.verified && report.success, "{}", report.json);
    Ok(())
}

/// I3: blocks that took in an L1 block which L1 has dropped can never be derived, so they are not
/// posted: L1 keeps only what verifies, and L2 goes on serving.
#[tokio::test]
async fn a_batch_whose_l1_origin_is_gone_is_not_posted() -> eyre::Result<()> {
    let Some(anvil) = Anvil::start().await? else {
        return Ok(());
    };
    let folder = TempDir::new()?;
    let mut dev = Dev::start(&folder.path().join("dev"), &["--l1", anvil.rpc.url()]).await?;
    include(&dev).await?;
    dev.all_safe(LIMIT).await?;

    // With mining off, L2 takes in an L1 block that nothing is posted on top of.
    let () = anvil.rpc.call("evm_setAutomine", json!([false])).await?;
    let _: Value = anvil.rpc.call("evm_mine", json!([])).await?;
    let newest: U64 = anvil.rpc.call("eth_blockNumber", json!([])).await?;
    until("L2 to take in the newest L1 block", LIMIT, || async {
        include(&dev).await?;
        let origin: Value = dev.l2.call("weft_getL1Origin", json!(["latest"])).await?;
        match origin.get("number") == Some(&json!(newest)) {
            true => Ok(Some(())),
            false => bail!("the origin is {origin}, L1 is at {newest}"),
        }
    })
    .await?;
    let () = anvil.rpc.call("anvil_reorg", json!([1, []])).await?;
    let () = anvil.rpc.call("evm_setAutomine", json!([true])).await?;
    let _: Value = anvil.rpc.call("evm_mine", json!([])).await?;

    until("the batcher to refuse", LIMIT, || {
        let look = dev.process.check_running();
        let log = dev.process.log();
        async move {
            look?;
            let refused = log.lines().any(|line| {
                line.contains("posting to L1 failed") && line.contains("L1 reorganised")
            });
            Ok(refused.then_some(()))
        }
    })
    .await?;
    include(&dev).await?;
    dev.process.check_running()?;
    let report = dev.watch().await?;
    ensure!(report.verified && report.success, "{}", report.json);
    let log = dev.process.log();
    let repeated = log
        .lines()
        .filter(|line| line.contains("no deposits are taken in"))
        .count();
    ensure!(repeated <= 3, "the log repeats itself:\n{log}");
    Ok(())
}
