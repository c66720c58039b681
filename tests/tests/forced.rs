//! A sequencer that refuses a user: what the user puts into the queue on L1 is executed all the same, by
//! this sequencer or by none.

use std::time::Duration;

use alloy_primitives::{Address, U256, address};
use eyre::{ContextCompat, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use weft_tests::{
    anvil::Anvil,
    bridge::Ends,
    load::{L2_CHAIN_ID, Sender, TIP, sink},
    rollup::{check_tiling, posted_batches, test_account},
    sequencer::{Place, accounts},
    wait::until,
    weft::{Follower, STOPPED},
};

const LIMIT: Duration = Duration::from_secs(120);

/// Seconds of L1 for which batches may leave a deposit out.
const DELAY: &str = "600";

/// Where withdrawals start.
const WITHDRAWALS: Address = address!("0x4200000000000000000000000000000000000016");

#[tokio::test]
async fn what_a_refused_user_forces_is_executed_by_whoever_posts() -> eyre::Result<()> {
    let Some(anvil) = Anvil::start().await? else {
        return Ok(());
    };
    let l1 = &anvil.rpc;
    let folder = TempDir::new()?;
    let options = [
        "--forced-inclusion-delay",
        DELAY,
        "--challenge-window",
        "5",
        "--resolution-time",
        "5",
    ];
    // It refuses whoever does not pay it enough, and makes blocks of its own.
    let place = Place::on_anvil_with(&anvil, folder.path(), &options)
        .await?
        .set(&format!("mempool.min_tip_wei={}", TIP + 1))
        .set(&format!("rpc.min_suggested_tip_wei={}", TIP + 1))
        .set("block.heartbeat_s=1");
    let contract = place.contract()?;
    // And it looks at nothing that is new on L1.
    let mut stubborn = place
        .clone()
        .set("l1.deposit_confirmations=100000")
        .start()
        .await?;
    let ends = |l2: &str| Ends {
        l1: l1.url().to_owned(),
        l2: l2.to_owned(),
        contract,
    };
    let user = accounts()?.into_iter().next().wrap_err("no account")?;
    let to = sink(user.address);
    let mut sender = Sender::new(&user, L2_CHAIN_ID, &stubborn.rpc).await?;
    let refused = stubborn
        .rpc
        .call::<Value>(
            "eth_sendRawTransaction",
            json!([sender.transfer(to, U256::from(5))?.raw]),
        )
        .await;
    let error = format!("{:#}", refused.err().wrap_err("the user was not refused")?);
    ensure!(error.contains("underpriced"), "{error}");

    let amount = "0.000000001";
    let (receiver, whom) = (to.to_string(), WITHDRAWALS.to_string());
    let l2 = stubborn.rpc.url().to_owned();
    // What the genesis gave is not in the contract: the withdrawal is paid out of this deposit.
    let call = ["--to", &receiver, "--value", amount, "--deposit", "0.1"];
    ends(&l2).run("force", &user, &call).await?;
    let withdrawal = ["--to", &whom, "--value", amount];
    ends(&l2).run("force", &user, &withdrawal).await?;

    // Within the delay it may go on without, and not a batch longer.
    let posted = async || Ok::<_, eyre::Report>(posted_batches(l1, contract).await?.len());
    let first = posted().await?;
    until("batches without the user", LIMIT, || async {
        Ok((posted().await? > first).then_some(()))
    })
    .await?;
    let _: Value = l1.call("evm_increaseTime", json!([700])).await?;
    let () = l1.call("anvil_mine", json!([1])).await?;
    until("the batcher to be refused", LIMIT, || {
        let running = stubborn.process.check_running();
        let log = stubborn.process.log();
        async move {
            running?;
            Ok(log.contains("DepositOverdue").then_some(()))
        }
    })
    .await?;
    let without = posted().await?;
    let () = l1.call("anvil_mine", json!([5])).await?;
    let head = stubborn.rpc.block_number("latest").await?;
    until("more blocks", LIMIT, || async {
        Ok((stubborn.rpc.block_number("latest").await? > head + 2).then_some(()))
    })
    .await?;
    ensure!(posted().await? == without, "a batch left the user out");
    ensure!(stubborn.rpc.balance(to).await?.is_zero());
    stubborn.process.interrupt(STOPPED).await?;

    // Whoever wants to post has to execute it, and still need not take the user's transactions.
    let willing = place.start().await?;
    let wei = U256::from(1_000_000_000);
    until("the forced transactions", LIMIT, || async {
        let () = l1.call("anvil_mine", json!([1])).await?;
        Ok((willing.rpc.balance(to).await? == wei).then_some(()))
    })
    .await?;
    let head = willing.rpc.block_number("latest").await?;
    until("batches with the user", LIMIT, || async {
        let posted = posted_batches(l1, contract).await?;
        let last = posted.last().wrap_err("no batch")?;
        Ok((last.header.lastBlock >= head && last.header.depositsConsumed == 2).then_some(()))
    })
    .await?;
    check_tiling(&posted_batches(l1, contract).await?)?;
    let followed = folder.path().join("followed");
    let mut follower = Follower::start(l1.url(), contract, &followed).await?;
    let expected = willing.rpc.block_hash(head).await?;
    ensure!(follower.hash_at(head, LIMIT).await? == expected);
    ensure!(follower.rpc.balance(to).await? == wei);

    // The forced withdrawal is one like any other.
    let before = l1.balance(user.address).await?;
    let _: Value = l1.call("evm_increaseTime", json!([60])).await?;
    let () = l1.call("anvil_mine", json!([1])).await?;
    ends(willing.rpc.url())
        .prove_and_finalize(&test_account(5)?, 0, LIMIT)
        .await?;
    ensure!(l1.balance(user.address).await? == before + wei);
    Ok(())
}
