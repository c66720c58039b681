//! `weft dev` the whole way, on each L1 and ledger that a user may choose.

use std::time::Duration;

use eyre::ensure;
use tempfile::TempDir;
use weft_tests::{
    anvil::Anvil,
    postgres::Postgres,
    scenario::whole_way,
    wait::until,
    weft::{Dev, STOPPED},
};

/// How long the ledger may take to follow L1.
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn ten_thousand_transfers_go_to_l1_and_come_back() -> eyre::Result<()> {
    let folder = TempDir::new()?;
    let mut dev = Dev::start(&folder.path().join("dev"), &[]).await?;
    whole_way(&mut dev, folder.path(), 10_000).await?;
    let banner = dev.process.log();
    for expected in [
        &dev.info.l2_rpc,
        &dev.info.l1_rpc,
        &dev.info.contract.to_string(),
    ] {
        assert!(
            banner.contains(expected.as_str()),
            "{expected} is not in:\n{banner}"
        );
    }
    let status = dev.process.interrupt(STOPPED).await?;
    assert!(
        status.success(),
        "Ctrl-C: {status}\n{}",
        dev.process.log_tail()
    );
    Ok(())
}

#[tokio::test]
async fn a_real_anvil_serves_as_l1() -> eyre::Result<()> {
    let Some(anvil) = Anvil::start().await? else {
        return Ok(());
    };
    let folder = TempDir::new()?;
    let options = ["--l1", anvil.rpc.url()];
    let mut dev = Dev::start(&folder.path().join("dev"), &options).await?;
    whole_way(&mut dev, folder.path(), 1_000).await
}

#[tokio::test]
async fn a_real_postgres_serves_as_ledger() -> eyre::Result<()> {
    let Some(postgres) = Postgres::start().await? else {
        return Ok(());
    };
    let folder = TempDir::new()?;
    let data_dir = folder.path().join("dev");
    let options = ["--ledger", postgres.url(), "--quiet"];
    let mut dev = Dev::start(&data_dir, &options).await?;
    whole_way(&mut dev, folder.path(), 500).await?;
    dev.process.interrupt(STOPPED).await?;
    let log = dev.process.log();
    assert!(
        !log.contains(postgres.password()),
        "the log shows the password:\n{log}"
    );

    // The next run finds its batches in Postgres and goes on.
    let mut dev = Dev::start(&data_dir, &options).await?;
    dev.all_safe(LIMIT).await?;
    let report = dev.watch().await?;
    assert!(report.verified, "{}", report.json);
    until("the ledger to have every batch", LIMIT, || async {
        let batches = postgres.count("batches").await?;
        let deposits = postgres.count("deposits").await?;
        ensure!(
            batches >= report.batches && deposits == 1,
            "{batches} batches, {deposits} deposits"
        );
        Ok(Some(()))
    })
    .await?;
    assert!(postgres.count("l1_attempts").await? > 0);
    assert!(!data_dir.join("l2/ledger.sqlite").exists());
    Ok(())
}
