//! Batches in blobs on a real L1: when they are the cheaper place, and reading them back.

use std::{net::TcpListener, path::Path, time::Duration};

use alloy_primitives::U64;
use eyre::{ContextCompat, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use weft_tests::{
    anvil::Anvil,
    load::{self, L2_CHAIN_ID, Sender},
    lying_beacon::LyingBeacon,
    rollup::{PostedBatch, check_tiling, posted_batches},
    sequencer::{Place, Sequencer, accounts},
    wait::until,
    weft::{Follower, binary, watch_with},
};

const LIMIT: Duration = Duration::from_secs(120);

/// Excess at which blobs cost some 25 gwei a unit of gas.
const DEAR: u64 = 120_000_000;

/// Sends transfers and waits until all of the chain is on L1; returns its head.
async fn include_and_post(sequencer: &Sequencer, count: usize) -> eyre::Result<u64> {
    let account = accounts()?.into_iter().next().wrap_err("no account")?;
    let mut sender = Sender::new(&account, L2_CHAIN_ID, &sequencer.rpc).await?;
    let signed = load::transfers(&mut sender, count)?;
    load::send_all(&sequencer.rpc, &signed).await?;
    load::all_included(&sequencer.rpc, &signed, LIMIT).await?;
    let head = sequencer.rpc.block_number("latest").await?;
    until("the head to be safe", LIMIT, || {
        let rpc = sequencer.rpc.clone();
        async move { Ok((rpc.block_number("safe").await? >= head).then_some(())) }
    })
    .await?;
    Ok(head)
}

fn in_blobs(batches: &[PostedBatch]) -> usize {
    let blobs = batches.iter().filter(|batch| batch.header.blobCount > 0);
    blobs.count()
}

/// A URL on which nobody answers.
fn dead_url() -> eyre::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    Ok(format!("http://{}", listener.local_addr()?))
}

async fn follower_hash(
    anvil: &Anvil,
    place: &Place,
    data_dir: &Path,
    options: &[&str],
    block: u64,
) -> eyre::Result<String> {
    let contract = place.contract()?;
    let mut follower = Follower::start_with(anvil.rpc.url(), contract, data_dir, options).await?;
    follower.hash_at(block, LIMIT).await
}

#[tokio::test]
async fn batches_move_into_blobs_when_these_get_cheaper() -> eyre::Result<()> {
    let Some(anvil) = Anvil::start_with_dear_blobs(DEAR).await? else {
        return Ok(());
    };
    let folder = TempDir::new()?;
    let archive = folder.path().join("archive");
    let archive = archive.to_str().wrap_err("path")?;
    let place = Place::on_anvil(&anvil, folder.path())
        .await?
        .set(&format!("l1.beacon_url={}", anvil.rpc.url()))
        .set(&format!("l1.blob_archive={archive}"));
    let contract = place.contract()?;
    let sequencer = place.start().await?;

    include_and_post(&sequencer, 200).await?;
    let dear = posted_batches(&anvil.rpc, contract).await?;
    ensure!(!dear.is_empty() && in_blobs(&dear) == 0, "{dear:?}");

    // Blocks without blobs make blobs cheap.
    until("blobs to be cheap", LIMIT, || async {
        let _: Value = anvil.rpc.call("anvil_mine", json!(["0x32"])).await?;
        let fee: U64 = anvil.rpc.call("eth_blobBaseFee", json!([])).await?;
        Ok((fee.to::<u64>() < 1_000).then_some(()))
    })
    .await?;
    let head = include_and_post(&sequencer, 3_000).await?;
    let all = posted_batches(&anvil.rpc, contract).await?;
    check_tiling(&all)?;
    let after = all.get(dear.len()..).unwrap_or_default();
    ensure!(in_blobs(after) > 0, "{after:?}");
    let hash = sequencer.rpc.block_hash(head).await?;

    // Everybody rebuilds the same chain: from the node that serves blobs, and from the archive when
    // that node has forgotten them.
    let beacon = ["--beacon", anvil.rpc.url()];
    let report = watch_with(anvil.rpc.url(), contract, &beacon).await?;
    ensure!(
        report.verified && report.last_l2_block == head,
        "{}",
        report.json
    );
    let kept = folder.path().join("kept");
    let keeping = [
        "--beacon",
        anvil.rpc.url(),
        "--blob-archive",
        kept.to_str().wrap_err("path")?,
    ];
    let followed = folder.path().join("followed");
    ensure!(follower_hash(&anvil, &place, &followed, &keeping, head).await? == hash);
    let dead = dead_url()?;
    for archive in [archive, kept.to_str().wrap_err("path")?] {
        let forgotten = ["--beacon", &dead, "--blob-archive", archive];
        let report = watch_with(anvil.rpc.url(), contract, &forgotten).await?;
        ensure!(
            report.verified && report.last_l2_block == head,
            "{}",
            report.json
        );
    }
    let followed = folder.path().join("followed-from-archive");
    let alone = ["--blob-archive", archive];
    ensure!(follower_hash(&anvil, &place, &followed, &alone, head).await? == hash);
    Ok(())
}

/// Runs `weft watch --once`, which must fail without a verdict, and returns what it says.
async fn watch_fails(anvil: &Anvil, place: &Place, options: &[&str]) -> eyre::Result<String> {
    let output = tokio::process::Command::new(binary().await?)
        .args(["watch", "--once", "--l1", anvil.rpc.url(), "--contract"])
        .arg(place.contract()?.to_string())
        .args(options)
        .kill_on_drop(true)
        .output()
        .await?;
    ensure!(!output.status.success(), "{output:?}");
    let error = String::from_utf8(output.stderr)?;
    ensure!(!error.contains("panicked"), "{error}");
    Ok(error)
}

#[tokio::test]
async fn blobs_are_believed_by_their_hashes_alone() -> eyre::Result<()> {
    let Some(anvil) = Anvil::start().await? else {
        return Ok(());
    };
    let folder = TempDir::new()?;
    let archive = folder.path().join("archive");
    let archive = archive.to_str().wrap_err("path")?;
    let place = Place::on_anvil(&anvil, folder.path())
        .await?
        .set(&format!("l1.blob_archive={archive}"));
    let contract = place.contract()?;
    let sequencer = place.start().await?;
    let head = include_and_post(&sequencer, 500).await?;
    ensure!(in_blobs(&posted_batches(&anvil.rpc, contract).await?) > 0);

    let said = watch_fails(&anvil, &place, &[]).await?;
    ensure!(
        said.contains("expected a beacon node's URL or an archive"),
        "{said}"
    );
    let liar = LyingBeacon::start(anvil.rpc.url()).await?;
    let said = watch_fails(&anvil, &place, &["--beacon", liar.url()]).await?;
    ensure!(said.contains("is not to be had"), "{said}");
    // The archive makes up for the liar.
    let both = ["--beacon", liar.url(), "--blob-archive", archive];
    let report = watch_with(anvil.rpc.url(), contract, &both).await?;
    ensure!(
        report.verified && report.last_l2_block == head,
        "{}",
        report.json
    );

    // An archive that was tampered with is no better than none.
    let mut files = std::fs::read_dir(archive)?;
    let file = files.next().wrap_err("an empty archive")??.path();
    let mut blob = std::fs::read(&file)?;
    *blob.get_mut(40).wrap_err("a short blob")? ^= 1;
    std::fs::write(&file, blob)?;
    let said = watch_fails(&anvil, &place, &["--blob-archive", archive]).await?;
    ensure!(said.contains("a blob that is another"), "{said}");
    Ok(())
}

/// Without a way to read them back no blobs are posted, however cheap they are.
#[tokio::test]
async fn a_chain_that_cannot_read_blobs_posts_none() -> eyre::Result<()> {
    let Some(anvil) = Anvil::start().await? else {
        return Ok(());
    };
    let folder = TempDir::new()?;
    let place = Place::on_anvil(&anvil, folder.path()).await?;
    let sequencer = place.start().await?;
    let head = include_and_post(&sequencer, 500).await?;
    let batches = posted_batches(&anvil.rpc, place.contract()?).await?;
    ensure!(
        !batches.is_empty() && in_blobs(&batches) == 0,
        "{batches:?}"
    );
    let report = watch_with(anvil.rpc.url(), place.contract()?, &[]).await?;
    ensure!(
        report.verified && report.last_l2_block == head,
        "{}",
        report.json
    );
    Ok(())
}
