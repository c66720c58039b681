//! A sequencer whose data folder is gone, or has other blocks than L1: `weft follow` makes it what L1
//! says, and the sequencer goes on from there.

use std::{fs, path::Path, time::Duration};

use alloy_primitives::U256;
use eyre::{ContextCompat, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use weft_tests::{
    anvil::Anvil,
    bridge::Ends,
    load::{L2_CHAIN_ID, Sender, all_included, send_all},
    rollup::{self, L1_CHAIN_ID, check_tiling, posted_batches, test_account},
    sequencer::{Place, accounts},
    wait::until,
    weft::{Follower, STOPPED, watch},
};

const LIMIT: Duration = Duration::from_secs(120);

fn copy(from: &Path, to: &Path) -> eyre::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// What the sequencer in this place says when it cannot go on.
async fn fails(place: &Place) -> eyre::Result<String> {
    let mut process = place.spawn().await?;
    let status = process.wait(LIMIT).await?;
    ensure!(!status.success(), "{}", process.log_tail());
    Ok(process.log_tail())
}

#[tokio::test]
async fn a_sequencer_goes_on_with_what_a_follower_has_rebuilt() -> eyre::Result<()> {
    let Some(anvil) = Anvil::start().await? else {
        return Ok(());
    };
    let l1 = &anvil.rpc;
    let folder = TempDir::new()?;
    let accounts = accounts()?;
    let [user, other, ..] = accounts.as_slice() else {
        bail!("too few accounts");
    };
    let windows = ["--challenge-window", "5", "--resolution-time", "5"];
    let place = Place::on_anvil_with(&anvil, folder.path(), &windows).await?;
    let contract = place.contract()?;
    let follow = async |data_dir: &Path, block, hash: &str| {
        let mut follower = Follower::start(l1.url(), contract, data_dir).await?;
        let found = until("the block of L1", LIMIT, || async {
            let found = follower.rpc.block_hash(block).await?;
            Ok((found == hash).then_some(()))
        });
        found.await?;
        follower.process.interrupt(STOPPED).await?;
        eyre::Ok(())
    };

    // A chain with something of everything, and an old copy of it.
    let mut sequencer = place.start().await?;
    sequencer.include_and_post(user, 10, LIMIT).await?;
    sequencer.process.interrupt(STOPPED).await?;
    let old = folder.path().join("old");
    copy(&place.data_dir, &old)?;
    let mut sequencer = place.start().await?;
    let mut depositor = Sender::new(&test_account(5)?, L1_CHAIN_ID, l1).await?;
    let (lucky, wei) = (test_account(30)?, U256::from(10).pow(U256::from(18)));
    let deposit = rollup::deposit(&mut depositor, contract, lucky.address, wei)?;
    send_all(l1, &[deposit]).await?;
    until("the deposit on L2", LIMIT, || async {
        let balance = sequencer.rpc.balance(lucky.address).await?;
        Ok((balance == wei).then_some(()))
    })
    .await?;
    let ends = |l2: &str| Ends {
        l1: l1.url().to_owned(),
        l2: l2.to_owned(),
        contract,
    };
    let (paid_to, amount) = (test_account(31)?.address, U256::from(12_345));
    let index = ends(sequencer.rpc.url())
        .withdraw(user, paid_to, amount)
        .await?;
    let (head, hash) = sequencer.include_and_post(user, 40, LIMIT).await?;
    sequencer.process.interrupt(STOPPED).await?;

    // The folder is lost.
    fs::rename(&place.data_dir, folder.path().join("lost"))?;
    follow(&place.data_dir, head, &hash).await?;
    let mut sequencer = place.start().await?;
    ensure!(sequencer.rpc.block_number("latest").await? >= head);
    let (second, second_hash) = sequencer.include_and_post(user, 5, LIMIT).await?;
    // What it knows of L1 it has read from there again.
    let _: Value = l1.call("evm_increaseTime", json!([60])).await?;
    let () = l1.call("anvil_mine", json!([2])).await?;
    ends(sequencer.rpc.url())
        .prove_and_finalize(user, index, LIMIT)
        .await?;
    ensure!(l1.balance(paid_to).await? == amount);
    sequencer.process.interrupt(STOPPED).await?;

    // A copy that is older than what was posted: nothing is posted from it, and it catches up.
    let copied = place.clone().at(&old);
    let said = fails(&copied).await?;
    ensure!(
        said.contains("the data folder is older than what was posted"),
        "{said}"
    );
    // With blocks of its own it is another chain, until it has gone back.
    let without_batches = copied.clone().set("batcher.enabled=false");
    let mut apart = without_batches.start().await?;
    let mut sender = Sender::new(other, L2_CHAIN_ID, &apart.rpc).await?;
    let () = l1.call("anvil_mine", json!([2])).await?;
    while apart.rpc.block_number("latest").await? < second {
        let signed = vec![sender.transfer(user.address, U256::from(1))?];
        send_all(&apart.rpc, &signed).await?;
        all_included(&apart.rpc, &signed, LIMIT).await?;
    }
    apart.process.interrupt(STOPPED).await?;
    let said = fails(&copied).await?;
    ensure!(said.contains("L1 holds another chain"), "{said}");
    follow(&copied.data_dir, second, &second_hash).await?;
    let mut sequencer = copied.start().await?;
    let (third, third_hash) = sequencer.include_and_post(other, 5, LIMIT).await?;

    let followed = folder.path().join("followed");
    follow(&followed, third, &third_hash).await?;
    check_tiling(&posted_batches(l1, contract).await?)?;
    let report = watch(l1.url(), contract).await?;
    ensure!(report.verified && report.success, "{}", report.json);
    let status: Value = sequencer.rpc.call("weft_nodeStatus", json!([])).await?;
    let batches = status.pointer("/l1/batches").wrap_err("no count")?;
    ensure!(
        *batches == json!(format!("{:#x}", report.batches)),
        "{status}"
    );
    Ok(())
}
