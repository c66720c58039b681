//! `weft batcher`: the operator tells and steers a running batcher, and nobody else does.

use std::time::Duration;

use eyre::{ContextCompat, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use weft_tests::{
    load::{L2_CHAIN_ID, Sender, all_included, send_all, transfers},
    ports::free_port,
    rollup::{posted_batches, test_account},
    rpc::Rpc,
    sequencer::{Place, Sequencer},
    wait::until,
    weft::{Dev, binary},
};

const TOKEN: &str = "a token that nobody guesses";
const LIMIT: Duration = Duration::from_secs(60);

/// What `weft batcher` prints, or the error that it ends with.
async fn batcher(command: &str, port: u16, token: &str) -> eyre::Result<Result<Value, String>> {
    let output = Command::new(binary().await?)
        .args(["batcher", command, "--admin"])
        .arg(format!("http://127.0.0.1:{port}"))
        .env("WEFT_ADMIN_TOKEN", token)
        .kill_on_drop(true)
        .output()
        .await?;
    if output.status.success() {
        return Ok(Ok(serde_json::from_slice(&output.stdout)?));
    }
    Ok(Err(String::from_utf8(output.stderr)?))
}

async fn include(sequencer: &Sequencer) -> eyre::Result<u64> {
    let l2 = &sequencer.rpc;
    let mut sender = Sender::new(&test_account(1)?, L2_CHAIN_ID, l2).await?;
    let signed = transfers(&mut sender, 1)?;
    send_all(l2, &signed).await?;
    all_included(l2, &signed, LIMIT).await?;
    l2.block_number("latest").await
}

async fn posted(l1: &Rpc, place: &Place) -> eyre::Result<u64> {
    let batches = posted_batches(l1, place.contract()?).await?;
    Ok(batches.last().map_or(0, |batch| batch.header.lastBlock))
}

#[tokio::test]
async fn an_operator_pauses_resumes_and_flushes_the_batcher() -> eyre::Result<()> {
    let folder = TempDir::new()?;
    let dev = Dev::start(&folder.path().join("dev"), &[]).await?;
    let port = free_port()?;
    let place = Place::on_l1_of(&dev, folder.path())
        .await?
        // By age, no batch would close in this test.
        .set("batcher.max_age_s=3600")
        .set("admin.enabled=true")
        .set(&format!("admin.port={port}"))
        .variable("WEFT_ADMIN_TOKEN", TOKEN);
    let sequencer = place.start().await?;

    for wrong in ["another token, of any length", ""] {
        let refused = batcher("pause", port, wrong).await?;
        let error = refused.err().wrap_err("a wrong token was taken")?;
        ensure!(error.contains("401"), "{error}");
    }
    let status = until("the batcher to run", LIMIT, || async {
        Ok(batcher("status", port, TOKEN).await?.ok())
    })
    .await?;
    ensure!(
        status.get("paused") == Some(&Value::Bool(false)),
        "{status}"
    );

    let head = include(&sequencer).await?;
    let flushed = batcher("flush", port, TOKEN).await?;
    ensure!(flushed.is_ok(), "{flushed:?}");
    ensure!(
        posted(&dev.l1, &place).await? >= head,
        "the flush is not on L1"
    );

    let paused = batcher("pause", port, TOKEN)
        .await?
        .map_err(|error| eyre::eyre!(error))?;
    ensure!(paused.get("paused") == Some(&Value::Bool(true)), "{paused}");
    let before = posted(&dev.l1, &place).await?;
    let head = include(&sequencer).await?;
    let refused = batcher("flush", port, TOKEN).await?;
    let error = refused.err().wrap_err("a paused batcher flushed")?;
    ensure!(error.contains("paused"), "{error}");
    ensure!(
        posted(&dev.l1, &place).await? == before,
        "a paused batcher posted"
    );

    let resumed = batcher("resume", port, TOKEN).await?;
    ensure!(resumed.is_ok(), "{resumed:?}");
    let flushed = batcher("flush", port, TOKEN).await?;
    ensure!(flushed.is_ok(), "{flushed:?}");
    ensure!(
        posted(&dev.l1, &place).await? >= head,
        "the flush is not on L1"
    );
    ensure!(
        !sequencer.process.log().contains(TOKEN),
        "the log has the token"
    );
    Ok(())
}
