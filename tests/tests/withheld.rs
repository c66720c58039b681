//! A batch in blobs whose data nobody has: disputed once that has lasted, and by nobody who has it.

use std::{path::PathBuf, time::Duration};

use alloy_primitives::U256;
use eyre::{ContextCompat, bail, ensure};
use serde_json::json;
use tempfile::TempDir;
use weft_tests::{
    anvil::Anvil,
    rollup::{batchCountCall, disputeCountCall, posted_batches, rejectBatchCall, transact, view},
    sequencer::{Place, accounts},
    weft::{Account, RunningWatch, STOPPED},
};

const LIMIT: Duration = Duration::from_secs(120);

async fn challenging(
    anvil: &Anvil,
    place: &Place,
    log: PathBuf,
    key: &Account,
    data: [&str; 2],
    seconds: &str,
) -> eyre::Result<RunningWatch> {
    let [source, of] = data;
    let options = ["--challenge", "--unavailable-after", seconds, source, of];
    RunningWatch::start(anvil.rpc.url(), place.contract()?, &log, key, &options).await
}

#[tokio::test]
async fn a_batch_whose_data_is_withheld_is_disputed() -> eyre::Result<()> {
    let Some(anvil) = Anvil::start().await? else {
        return Ok(());
    };
    let l1 = &anvil.rpc;
    let folder = TempDir::new()?;
    let accounts = accounts()?;
    let [admin, user, challenger, patient, ..] = accounts.as_slice() else {
        bail!("too few accounts");
    };
    let place = Place::on_anvil(&anvil, folder.path())
        .await?
        .set(&format!("l1.beacon_url={}", l1.url()));
    let contract = place.contract()?;
    let mut sequencer = place.start().await?;
    sequencer.include_and_post(user, 600, LIMIT).await?;
    sequencer.process.interrupt(STOPPED).await?;
    let posted = posted_batches(l1, contract).await?;
    let first = posted.iter().position(|batch| batch.header.blobCount > 0);
    let first = first.wrap_err("nothing was posted in blobs")?;

    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty)?;
    let nothing = empty.to_str().wrap_err("path")?;
    let withheld = ["--blob-archive", nothing];
    let start = |name, key, data, seconds| {
        let log = folder.path().join(name);
        challenging(&anvil, &place, log, key, data, seconds)
    };
    let mut patient = start("patient.log", patient, withheld, "3600").await?;
    let mut hasty = start("hasty.log", challenger, withheld, "2").await?;
    let mut informed = start("informed.log", user, ["--beacon", l1.url()], "2").await?;

    let told = hasty.tells("unavailable", 1, LIMIT).await?;
    ensure!(told.get("batch") == Some(&json!(first)), "{told}");
    let told = hasty.tells("challenged", 1, LIMIT).await?;
    ensure!(
        told.get("own") == Some(&json!(true)) && told.get("batch") == Some(&json!(first)),
        "{told}"
    );
    ensure!(view(l1, contract, &disputeCountCall {}).await? == U256::from(1));

    // Others see the dispute, and do not join: one has the data, the other still waits for it.
    informed.tells("verified", posted.len(), LIMIT).await?;
    for watch in [&mut informed, &mut patient] {
        let told = watch.tells("challenged", 1, LIMIT).await?;
        ensure!(told.get("own") == Some(&json!(false)), "{told}");
        ensure!(watch.told("unavailable").is_empty());
    }

    // What nobody has is removed, and the bond goes back.
    let previous = match first.checked_sub(1).and_then(|before| posted.get(before)) {
        Some(before) => before.header.clone(),
        None => Default::default(),
    };
    let reject = rejectBatchCall {
        disputeId: U256::ZERO,
        previous,
    };
    transact(l1, admin, contract, &reject).await?;
    ensure!(view(l1, contract, &batchCountCall {}).await? == U256::from(first));
    hasty.tells("bond_claimed", 1, LIMIT).await?;
    ensure!(view(l1, contract, &disputeCountCall {}).await? == U256::from(1));
    Ok(())
}
