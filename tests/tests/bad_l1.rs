//! A bad L1: batches that do not verify, and an L1 that is down, silent or talks nonsense.

use std::{path::Path, time::Duration};

use alloy_primitives::{Bytes, U256};
use eyre::{ContextCompat, ensure};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;
use tempfile::TempDir;
use weft_tests::{
    anvil::{Anvil, host_and_port},
    load::{L2_CHAIN_ID, Sender, all_included, send_all, transfers},
    proxy::{Proxy, Weather},
    rollup::{BatchHeader, batch_calldata, check_tiling, post_batch, posted_batches},
    wait::until,
    weft::{Dev, STOPPED, watch},
};

const LIMIT: Duration = Duration::from_secs(120);

async fn include(dev: &Dev, count: usize) -> eyre::Result<()> {
    let account = dev.info.accounts.first().wrap_err("no account")?;
    let mut sender = Sender::new(account, L2_CHAIN_ID, &dev.l2).await?;
    let signed = transfers(&mut sender, count)?;
    send_all(&dev.l2, &signed).await?;
    all_included(&dev.l2, &signed, LIMIT).await?;
    Ok(())
}

/// A chain with one batch taken back from L1: its calldata is at hand, and L1 would accept it or
/// anything that looks like it.
struct Rewound {
    anvil: Anvil,
    dev: Dev,
    header: BatchHeader,
    data: Bytes,
    batches_before: u64,
    _folder: TempDir,
}

async fn rewound() -> eyre::Result<Option<Rewound>> {
    let Some(anvil) = Anvil::start().await? else {
        return Ok(None);
    };
    let folder = TempDir::new()?;
    let mut dev = Dev::start(&folder.path().join("dev"), &["--l1", anvil.rpc.url()]).await?;
    include(&dev, 20).await?;
    dev.all_safe(LIMIT).await?;
    let before = posted_batches(&anvil.rpc, dev.info.contract).await?;
    let snapshot: U256 = anvil.rpc.call("evm_snapshot", json!([])).await?;
    include(&dev, 50).await?;
    dev.all_safe(LIMIT).await?;
    dev.process.interrupt(STOPPED).await?;
    let after = posted_batches(&anvil.rpc, dev.info.contract).await?;
    let next = after.get(before.len()).wrap_err("no further batch")?;
    let call = batch_calldata(&anvil.rpc, next).await?;
    let reverted: bool = anvil.rpc.call("evm_revert", json!([snapshot])).await?;
    ensure!(reverted, "anvil did not revert");
    Ok(Some(Rewound {
        batches_before: before.len() as u64,
        anvil,
        dev,
        header: call.header,
        data: call.data,
        _folder: folder,
    }))
}

impl Rewound {
    /// Posts a batch, watches, and takes the batch back.
    async fn watch_with(
        &self,
        header: BatchHeader,
        data: Bytes,
    ) -> eyre::Result<weft_tests::weft::WatchReport> {
        let l1 = &self.anvil.rpc;
        let snapshot: U256 = l1.call("evm_snapshot", json!([])).await?;
        post_batch(l1, self.dev.info.contract, header, data).await?;
        let report = watch(l1.url(), self.dev.info.contract).await?;
        let reverted: bool = l1.call("evm_revert", json!([snapshot])).await?;
        ensure!(reverted, "anvil did not revert");
        Ok(report)
    }
}

#[tokio::test]
async fn a_posted_batch_that_is_wrong_does_not_verify() -> eyre::Result<()> {
    let Some(chain) = rewound().await? else {
        return Ok(());
    };
    let good = chain
        .watch_with(chain.header.clone(), chain.data.clone())
        .await?;
    ensure!(good.verified && good.success, "{}", good.json);
    ensure!(good.batches == chain.batches_before + 1, "{}", good.json);

    let seed: u64 = rand::rng().random();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut broken = Vec::new();
    for _ in 0..12 {
        let mut data = chain.data.to_vec();
        let bit = random.random_range(0..data.len() * 8);
        if let Some(byte) = data.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
        broken.push((format!("bit {bit} flipped"), chain.header.clone(), data));
    }
    let mut shorter = chain.data.to_vec();
    shorter.truncate(shorter.len() / 2);
    broken.push(("half of the data".into(), chain.header.clone(), shorter));
    let mut longer = chain.data.to_vec();
    longer.push(0);
    broken.push(("one byte more".into(), chain.header.clone(), longer));
    let wrong_root = BatchHeader {
        stateRoot: [7; 32].into(),
        ..chain.header.clone()
    };
    broken.push(("another state root".into(), wrong_root, chain.data.to_vec()));
    let wrong_hash = BatchHeader {
        lastBlockHash: [7; 32].into(),
        ..chain.header.clone()
    };
    broken.push(("another block hash".into(), wrong_hash, chain.data.to_vec()));
    let wrong_range = BatchHeader {
        lastBlock: chain.header.lastBlock + 1,
        ..chain.header.clone()
    };
    broken.push(("a block too many".into(), wrong_range, chain.data.to_vec()));
    for (name, header, data) in broken {
        let report = chain.watch_with(header, data.into()).await?;
        ensure!(
            !report.verified && !report.success,
            "{name}: {}",
            report.json
        );
        ensure!(
            report.batches == chain.batches_before,
            "{name}: {}",
            report.json
        );
    }
    Ok(())
}

#[tokio::test]
async fn l2_serves_while_l1_is_away_and_batches_go_on() -> eyre::Result<()> {
    let Some(anvil) = Anvil::start().await? else {
        return Ok(());
    };
    let proxy = Proxy::start(host_and_port(&anvil.rpc)?).await?;
    let folder = TempDir::new()?;
    let data_dir: &Path = &folder.path().join("dev");
    let mut dev = Dev::start(data_dir, &["--l1", proxy.url()]).await?;
    include(&dev, 10).await?;
    dev.all_safe(LIMIT).await?;
    for weather in [
        Weather::Down,
        Weather::Errors,
        Weather::Nonsense,
        Weather::WrongTypes,
        Weather::Silent,
    ] {
        proxy.set(weather);
        let safe = dev.l2.block_number("safe").await?;
        include(&dev, 25).await?;
        // The node has met the weather when a request of its own has failed.
        let met = format!("weft to meet an L1 that is {weather:?}");
        until(&met, LIMIT, || async {
            Ok((proxy.met() > 0).then_some(()))
        })
        .await?;
        include(&dev, 25).await?;
        ensure!(
            dev.l2.block_number("safe").await? == safe,
            "{weather:?}: safe moved"
        );
        let (status, _) = dev.l2.get("/health").await?;
        ensure!(status == 200, "{weather:?}: /health {status}");
        proxy.set(Weather::Clear);
        dev.all_safe(LIMIT).await?;
    }
    dev.process.check_running()?;
    let log = dev.process.log();
    ensure!(!log.contains("panicked"), "{log}");
    check_tiling(&posted_batches(&anvil.rpc, dev.info.contract).await?)?;
    let report = watch(anvil.rpc.url(), dev.info.contract).await?;
    ensure!(report.verified && report.success, "{}", report.json);
    Ok(())
}
