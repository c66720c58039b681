//! The harness itself: a bad network that is not bad would prove nothing.

use std::time::Duration;

use eyre::{ContextCompat, ensure};
use serde_json::json;
use weft_tests::{
    anvil::{Anvil, host_and_port},
    load::{Sender, all_included, send_all, transfers},
    proxy::{Proxy, Weather},
    rollup::{L1_CHAIN_ID, check_tiling, posted_batches, test_account},
    rpc::Rpc,
};

#[tokio::test]
async fn the_proxy_breaks_what_it_says() -> eyre::Result<()> {
    let Some(anvil) = Anvil::start().await? else {
        return Ok(());
    };
    let proxy = Proxy::start(host_and_port(&anvil.rpc)?).await?;
    let rpc = Rpc::new(proxy.url())?;
    let chain_id = async || rpc.call::<String>("eth_chainId", json!([])).await;
    ensure!(chain_id().await? == "0x7a69");
    for weather in [
        Weather::Down,
        Weather::Errors,
        Weather::Nonsense,
        Weather::WrongTypes,
    ] {
        proxy.set(weather);
        ensure!(chain_id().await.is_err(), "{weather:?}");
        proxy.set(Weather::Clear);
        ensure!(chain_id().await? == "0x7a69", "after {weather:?}");
    }
    proxy.set(Weather::Silent);
    let silent = tokio::time::timeout(Duration::from_millis(300), chain_id()).await;
    ensure!(!matches!(silent, Ok(Ok(_))), "a silent L1 answered");
    Ok(())
}

#[tokio::test]
async fn the_load_reaches_a_chain_that_is_not_wefts() -> eyre::Result<()> {
    let Some(anvil) = Anvil::start().await? else {
        return Ok(());
    };
    let mut sender = Sender::new(&test_account(0)?, L1_CHAIN_ID, &anvil.rpc).await?;
    let signed = transfers(&mut sender, 150)?;
    send_all(&anvil.rpc, &signed).await?;
    let receipts = all_included(&anvil.rpc, &signed, Duration::from_secs(30)).await?;
    ensure!(receipts.len() == 150);
    ensure!(anvil.rpc.nonce(sender.address()).await? == 150);
    let head = anvil.rpc.block_number("latest").await?;
    ensure!(anvil.rpc.block_hash(head).await?.len() == 66);
    ensure!(
        posted_batches(&anvil.rpc, sender.address())
            .await?
            .is_empty()
    );
    check_tiling(&[])?;
    let mut bad = signed.first().wrap_err("no transaction")?.clone();
    bad.hash = Default::default();
    ensure!(
        send_all(&anvil.rpc, &[bad]).await.is_err(),
        "a used nonce was taken"
    );
    Ok(())
}
