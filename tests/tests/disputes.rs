//! Batches that are wrong and were posted by the batcher's own key: disputed, removed and replaced.

use std::time::Duration;

use alloy_primitives::{B256, Bytes, U64, U256};
use eyre::{ContextCompat, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use weft_tests::{
    anvil::Anvil,
    load::{L2_CHAIN_ID, Sender, all_included, send_all},
    rollup::{
        BatchHeader, batch_calldata, batchCountCall, challengeBondCall, check_tiling,
        disputeCountCall, operator, post_batch, posted_batches, rejectBatchCall, settleCall,
        settledBatchesCall, transact, view,
    },
    rpc::Rpc,
    sequencer::{Place, accounts},
    wait::until,
    weft::{Follower, RunningWatch, STOPPED, watch_with},
};

const LIMIT: Duration = Duration::from_secs(120);

/// Seconds in which a batch can be challenged: more than a slow machine needs.
const WINDOW: u64 = 3_600;

/// L1 blocks below the newest that the chain does not take in, so that L1 can go back.
const DEPTH: u64 = 30;

async fn l1_balance(l1: &Rpc, account: alloy_primitives::Address) -> eyre::Result<U256> {
    l1.call("eth_getBalance", json!([account, "latest"])).await
}

/// I3, I5: whatever the batcher posts, nobody is led astray by it, and the chain goes on.
#[tokio::test]
async fn a_wrong_batch_is_disputed_removed_and_replaced() -> eyre::Result<()> {
    let Some(anvil) = Anvil::start().await? else {
        return Ok(());
    };
    let l1 = &anvil.rpc;
    let folder = TempDir::new()?;
    let accounts = accounts()?;
    let [admin, user, challenger, ..] = accounts.as_slice() else {
        bail!("too few accounts");
    };
    let ether = U256::from(10).pow(U256::from(20));
    let operator = operator()?.address;
    let () = l1
        .call("anvil_setBalance", json!([operator, ether]))
        .await?;
    let window = WINDOW.to_string();
    let options = ["--challenge-window", &window];
    let place = Place::on_l1(l1.url(), admin, folder.path(), &options).await?;
    let place = place.set(&format!("l1.deposit_confirmations={DEPTH}"));
    let contract = place.contract()?;
    let () = l1.call("anvil_mine", json!([DEPTH + 5])).await?;

    // Right batches, then two more that L1 forgets: what is posted in their place is up to the test.
    let mut sequencer = place.start().await?;
    let (last_right, right_hash) = sequencer.include_and_post(user, 20, LIMIT).await?;
    let right = posted_batches(l1, contract).await?;
    let snapshot: U256 = l1.call("evm_snapshot", json!([])).await?;
    sequencer.include_and_post(user, 40, LIMIT).await?;
    sequencer.include_and_post(user, 30, LIMIT).await?;
    sequencer.process.interrupt(STOPPED).await?;
    let all = posted_batches(l1, contract).await?;
    let next = batch_calldata(l1, all.get(right.len()).wrap_err("no next batch")?).await?;
    let later = batch_calldata(l1, all.last().wrap_err("no batch")?).await?;
    let reverted: bool = l1.call("evm_revert", json!([snapshot])).await?;
    ensure!(reverted, "anvil did not revert");

    let log = folder.path().join("watch.log");
    let mut watch =
        RunningWatch::start(l1.url(), contract, &log, challenger, &["--challenge"]).await?;
    let followed = folder.path().join("followed");
    let mut follower = Follower::start(l1.url(), contract, &followed).await?;
    ensure!(follower.hash_at(last_right, LIMIT).await? == right_hash);
    watch.tells("verified", right.len(), LIMIT).await?;

    let header = &next.header;
    let wrong = |claim: B256| claim ^ B256::repeat_byte(7);
    let cases: Vec<(&str, BatchHeader, Bytes)> = vec![
        (
            "state_root",
            BatchHeader {
                stateRoot: wrong(header.stateRoot),
                ..header.clone()
            },
            next.data.clone(),
        ),
        (
            "withdrawals_root",
            BatchHeader {
                withdrawalsRoot: wrong(header.withdrawalsRoot),
                ..header.clone()
            },
            next.data.clone(),
        ),
        (
            "invalid_transaction",
            BatchHeader {
                lastBlock: header.firstBlock + (later.header.lastBlock - later.header.firstBlock),
                l1OriginNumber: later.header.l1OriginNumber,
                l1OriginHash: later.header.l1OriginHash,
                ..header.clone()
            },
            later.data.clone(),
        ),
        ("data", header.clone(), Bytes::from_static(b"garbage")),
    ];
    let bond = U256::from(view(l1, contract, &challengeBondCall {}).await?);
    for (number, (kind, header, data)) in (1..).zip(cases) {
        let before = l1_balance(l1, challenger.address).await?;
        post_batch(l1, contract, header, data).await?;
        let told = watch.tells("wrong", number, LIMIT).await?;
        ensure!(
            told.get("kind") == Some(&json!(kind))
                && told.get("batch") == Some(&json!(right.len())),
            "expected {kind}, found {told}"
        );
        let told = watch.tells("challenged", number, LIMIT).await?;
        ensure!(told.get("own") == Some(&json!(true)), "{told}");
        ensure!(view(l1, contract, &disputeCountCall {}).await? == U256::from(number));
        let after = l1_balance(l1, challenger.address).await?;
        ensure!(after <= before - bond, "the bond was not paid");

        // The follower waits at the last right block and says so.
        until("the follower to wait", LIMIT, || {
            let running = follower.process.check_running();
            let rpc = follower.rpc.clone();
            let right_hash = &right_hash;
            async move {
                running?;
                let (status, _) = rpc.get("/ready").await?;
                let head = rpc.block_number("latest").await?;
                let is_right = head == last_right && rpc.block_hash(head).await? == *right_hash;
                Ok((status == 503 && is_right).then_some(()))
            }
        })
        .await?;

        // What is before the dispute settles, and nothing else.
        let _: Value = l1.call("evm_increaseTime", json!([WINDOW + 1])).await?;
        transact(
            l1,
            admin,
            contract,
            &settleCall {
                maxBatches: U256::from(10),
            },
        )
        .await?;
        let settled = view(l1, contract, &settledBatchesCall {}).await?;
        ensure!(settled == U256::from(right.len()), "{settled} are settled");
        watch.tells("settled", 1, LIMIT).await?;

        let previous = right.last().wrap_err("no batch")?.header.clone();
        let reject = rejectBatchCall {
            disputeId: U256::from(number - 1),
            previous,
        };
        transact(l1, admin, contract, &reject).await?;
        ensure!(view(l1, contract, &batchCountCall {}).await? == U256::from(right.len()));
        watch.tells("rejected", number, LIMIT).await?;
        let told = watch.tells("bond_claimed", number, LIMIT).await?;
        ensure!(told.get("amount") == Some(&json!(bond)), "{told}");
        let after = l1_balance(l1, challenger.address).await?;
        ensure!(
            after > before - bond / U256::from(2),
            "the bond is not back"
        );
        until("the follower to be ready again", LIMIT, || async {
            let (status, _) = follower.rpc.get("/ready").await?;
            Ok((status == 200).then_some(()))
        })
        .await?;
    }

    // The batcher reads L1 anew and posts what is right.
    let mut sequencer = place.start().await?;
    let (head, hash) = sequencer.include_and_post(user, 5, LIMIT).await?;
    ensure!(follower.hash_at(head, LIMIT).await? == hash);
    let posted = posted_batches(l1, contract).await?;
    check_tiling(&posted)?;
    watch.tells("verified", posted.len(), LIMIT).await?;
    watch.process.check_running()?;
    // Who comes later never sees what was removed.
    let report = weft_tests::weft::watch(l1.url(), contract).await?;
    ensure!(report.verified && report.success, "{}", report.json);
    ensure!(report.batches == posted.len() as u64, "{}", report.json);
    let late = folder.path().join("late");
    let mut late = Follower::start(l1.url(), contract, &late).await?;
    ensure!(late.hash_at(head, LIMIT).await? == hash);
    ensure!(watch.told("challenged").len() == 4);
    Ok(())
}

/// With the poster's node at hand, the report names block, transaction and account.
#[tokio::test]
async fn the_first_difference_to_the_posters_node_is_named() -> eyre::Result<()> {
    let Some(anvil) = Anvil::start().await? else {
        return Ok(());
    };
    let l1 = &anvil.rpc;
    let folder = TempDir::new()?;
    let accounts = accounts()?;
    let [admin, user, ..] = accounts.as_slice() else {
        bail!("too few accounts");
    };
    let ether = U256::from(10).pow(U256::from(20));
    let operator = operator()?.address;
    let () = l1
        .call("anvil_setBalance", json!([operator, ether]))
        .await?;
    let place = Place::on_l1(l1.url(), admin, folder.path(), &[]).await?;
    let contract = place.contract()?;
    // No deposits: both chains can have the same blocks.
    let posting = place.clone().set("l1.deposit_confirmations=1000");
    let snapshot: U256 = l1.call("evm_snapshot", json!([])).await?;
    let mut honest = posting.start().await?;
    for _ in 0..3 {
        honest.include_and_post(user, 20, LIMIT).await?;
    }
    honest.process.interrupt(STOPPED).await?;
    let batches = posted_batches(l1, contract).await?;
    let first = batch_calldata(l1, batches.first().wrap_err("no batch")?).await?;
    let reverted: bool = l1.call("evm_revert", json!([snapshot])).await?;
    ensure!(reverted, "anvil did not revert");

    // Another chain from the same genesis, with at least as many blocks.
    let other = place.without_l1().at(&folder.path().join("other"));
    let other = other.start().await?;
    let last = first.header.lastBlock;
    let mut sender = Sender::new(user, L2_CHAIN_ID, &other.rpc).await?;
    while other.rpc.block_number("latest").await? < last {
        let signed = vec![sender.transfer(admin.address, U256::from(5))?];
        send_all(&other.rpc, &signed).await?;
        all_included(&other.rpc, &signed, LIMIT).await?;
    }
    let block: Value = other
        .rpc
        .call("eth_getBlockByNumber", json!([U64::from(last), false]))
        .await?;
    let field = |name: &str| -> eyre::Result<B256> {
        let value = block.get(name).cloned().wrap_err("no such field")?;
        Ok(serde_json::from_value(value)?)
    };
    let header = BatchHeader {
        lastBlockHash: field("hash")?,
        stateRoot: field("stateRoot")?,
        ..first.header.clone()
    };
    post_batch(l1, contract, header, first.data.clone()).await?;
    let options = ["--compare", other.rpc.url()];
    let report = watch_with(l1.url(), contract, &options).await?;
    ensure!(!report.verified && !report.success, "{}", report.json);
    let part = |path: &str| report.json.pointer(&format!("/difference/{path}")).cloned();
    ensure!(part("kind") == Some(json!("state_root")), "{}", report.json);
    ensure!(part("block") == Some(json!(1)), "{}", report.json);
    ensure!(part("transaction") == Some(json!(0)), "{}", report.json);
    ensure!(
        part("node/outcome") == Some(json!("differs"))
            && part("node/block") == Some(json!(1))
            && part("node/has_posted_block") == Some(json!(true)),
        "{}",
        report.json
    );
    // The first transfer goes to another account with another value.
    ensure!(
        part("node/transaction/index") == Some(json!(0))
            && part("node/transaction/receipt/0/field") == Some(json!("transactionHash")),
        "{}",
        report.json
    );
    let state = part("node/state").wrap_err("no state")?;
    ensure!(
        state.get("transaction") == Some(&json!(0))
            && state.get("value") == Some(&json!("balance"))
            && state.get("derived") != state.get("claimed"),
        "{state}"
    );
    // A node that has what the data gives: the header alone is wrong.
    let honest = posting.clone().set("batcher.enabled=false");
    let honest = honest.start().await?;
    let options = ["--compare", honest.rpc.url()];
    let report = watch_with(l1.url(), contract, &options).await?;
    let outcome = report.json.pointer("/difference/node/outcome");
    ensure!(outcome == Some(&json!("same_blocks")), "{}", report.json);
    let options = ["--compare", "http://127.0.0.1:9"];
    let report = watch_with(l1.url(), contract, &options).await?;
    let outcome = report.json.pointer("/difference/node/outcome");
    ensure!(outcome == Some(&json!("unreadable")), "{}", report.json);
    Ok(())
}
