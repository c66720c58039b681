//! Blocks as large as the producer makes them still reach L1.

use std::time::Duration;

use alloy_primitives::{Address, U256};
use eyre::ContextCompat;
use rand::{RngCore, SeedableRng, rngs::StdRng};
use tempfile::TempDir;
use weft_tests::{
    anvil::Anvil,
    load::{L2_CHAIN_ID, Sender, all_included, send_all},
    weft::Dev,
};

/// Calldata that makes a transaction nearly as large as admission allows (115,000 bytes).
const INPUT_BYTES: usize = 114_800;

#[tokio::test]
async fn transactions_that_do_not_compress_are_posted_to_the_embedded_l1() -> eyre::Result<()> {
    posted_and_derived(&[]).await
}

#[tokio::test]
async fn transactions_that_do_not_compress_are_posted_to_anvil() -> eyre::Result<()> {
    let Some(anvil) = Anvil::start().await? else {
        return Ok(());
    };
    posted_and_derived(&["--l1", anvil.rpc.url()]).await
}

async fn posted_and_derived(options: &[&str]) -> eyre::Result<()> {
    let folder = TempDir::new()?;
    let mut dev = Dev::start(&folder.path().join("dev"), options).await?;
    let mut sender = Sender::new(
        dev.info.accounts.first().wrap_err("no account")?,
        L2_CHAIN_ID,
        &dev.l2,
    )
    .await?;
    let mut random = StdRng::seed_from_u64(1);
    let mut sent = Vec::new();
    for _ in 0..3 {
        let mut input = vec![0; INPUT_BYTES];
        random.fill_bytes(&mut input);
        let gas = 21_000 + 40 * INPUT_BYTES as u64;
        sent.push(sender.sign(Address::ZERO.into(), U256::ZERO, input.into(), gas)?);
    }
    send_all(&dev.l2, &sent).await?;
    all_included(&dev.l2, &sent, Duration::from_secs(30)).await?;

    let head = dev.all_safe(Duration::from_secs(60)).await?;
    let report = dev.watch().await?;
    assert!(report.verified, "{}", report.json);
    assert!(report.last_l2_block >= head, "{}", report.json);
    Ok(())
}
