//! A chain whose sequencer is gone for good: users get out by themselves.

use std::time::Duration;

use alloy_primitives::{U64, U256};
use eyre::{ContextCompat, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use weft_tests::{
    anvil::Anvil,
    bridge::Ends,
    rollup::{posted_batches, test_account},
    sequencer::Place,
    wait::until,
    weft::Follower,
};

const LIMIT: Duration = Duration::from_secs(90);

/// Longer than the chain's escape delay, in seconds.
const LONG: u64 = 4_000;

#[tokio::test]
async fn users_leave_a_chain_that_has_stopped() -> eyre::Result<()> {
    let Some(anvil) = Anvil::start().await? else {
        return Ok(());
    };
    let folder = TempDir::new()?;
    let windows = [
        "--challenge-window",
        "600",
        "--resolution-time",
        "600",
        "--escape-delay",
        "3600",
    ];
    let place = Place::on_anvil_with(&anvil, folder.path(), &windows).await?;
    let contract = place.contract()?;
    let mut sequencer = place.start().await?;
    let ends = Ends {
        l1: anvil.rpc.url().to_owned(),
        l2: sequencer.rpc.url().to_owned(),
        contract,
    };
    // The account has no ether from the genesis: all that it has on L2 is in the contract.
    let user = test_account(30)?;
    let funds = json!([user.address, "0x56bc75e2d63100000"]);
    let () = anvil.rpc.call("anvil_setBalance", funds).await?;
    let () = anvil.rpc.call("anvil_mine", json!(["0x1"])).await?;
    let deposit = ends.run("deposit", &user, &["--amount", "2"]).await?;
    let made = deposit
        .get("l1_transaction")
        .and_then(Value::as_str)
        .wrap_err_with(|| deposit.to_string())?;
    until("the deposit on L2", LIMIT, || async {
        let status = ends.run("status", &user, &["--deposit", made]).await?;
        ensure!(status.get("stage") == Some(&json!("executed")), "{status}");
        Ok(Some(()))
    })
    .await?;
    let deposited = U256::from(2_000_000_000_000_000_000_u64);
    ensure!(
        sequencer.rpc.balance(user.address).await? == deposited,
        "wrong balance on L2"
    );

    // A transaction that only L1 has seen: a quarter of it goes to somebody else.
    let other = test_account(31)?;
    let to = other.address.to_string();
    let arguments = ["--to", &to, "--value", "0.5"];
    let forced = ends.run("force", &user, &arguments).await?;
    ensure!(forced.get("deadline").is_some(), "{forced}");
    let given = deposited / U256::from(4);
    until("the forced transaction", LIMIT, || async {
        let found = sequencer.rpc.balance(other.address).await?;
        ensure!(found == given, "{to} has {found}");
        Ok(Some(()))
    })
    .await?;
    let head = sequencer.rpc.block_number("latest").await?;
    until("everything on L1", LIMIT, || async {
        let posted = posted_batches(&anvil.rpc, contract).await?;
        let last = posted.last().map_or(0, |batch| batch.header.lastBlock);
        ensure!(last >= head, "L1 is at block {last}");
        Ok(Some(()))
    })
    .await?;

    let early = ends.run("escape", &user, &[]).await;
    let error = format!("{:#}", early.err().wrap_err("escaped from a living chain")?);
    ensure!(error.contains("cannot be closed yet"), "{error}");

    sequencer.process.kill()?;
    let _: Value = anvil
        .rpc
        .call("evm_increaseTime", json!([U64::from(LONG)]))
        .await?;
    let () = anvil.rpc.call("anvil_mine", json!(["0x1"])).await?;
    let data_dir = folder.path().join("follower");
    let mut follower = Follower::start(anvil.rpc.url(), contract, &data_dir).await?;
    follower.hash_at(head, LIMIT).await?;
    let ends = Ends {
        l2: follower.rpc.url().to_owned(),
        ..ends
    };

    let destination = test_account(32)?.address;
    let to = destination.to_string();
    let escaped = ends.run("escape", &user, &["--to", &to]).await?;
    ensure!(
        escaped.get("closed_by").is_some_and(Value::is_string),
        "{escaped}"
    );
    let left = deposited - given;
    let found = anvil.rpc.balance(destination).await?;
    ensure!(found == left, "expected {left} on L1, found {found}");
    let twice = ends.run("escape", &user, &["--to", &to]).await;
    let error = format!("{:#}", twice.err().wrap_err("escaped twice")?);
    ensure!(error.contains("AlreadyEscaped"), "{error}");
    ensure!(anvil.rpc.balance(destination).await? == left, "paid twice");

    // The chain is closed for deposits, too.
    let late = ends.run("deposit", &user, &["--amount", "1"]).await;
    let error = format!(
        "{:#}",
        late.err().wrap_err("a closed chain took a deposit")?
    );
    ensure!(error.contains("ChainIsClosed"), "{error}");
    Ok(())
}
