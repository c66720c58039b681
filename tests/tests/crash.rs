//! kill -9 at any moment: what was acknowledged is there afterwards, once and where it was said to be
//! (I2), no block has a second version, batches go on without gap or overlap (I4), and the chain that
//! follows from L1 is the same (I3).

use std::{path::Path, time::Duration};

use eyre::{ContextCompat, ensure};
use rand::{Rng, rngs::StdRng};
use tempfile::TempDir;
use weft_tests::{
    anvil::Anvil,
    clients::Clients,
    load::{self, L2_CHAIN_ID, Sender},
    process::Process,
    rollup::{check_tiling, posted_batches},
    rpc::Rpc,
    seed,
    sequencer::{Place, accounts},
    wait::until,
    weft::{Dev, Follower, watch},
    witness::{Witness, block_hashes, same_blocks},
};

/// How many accounts send.
const SENDERS: usize = 6;

/// How many times the sequencer is killed.
const KILLS: &str = "WEFT_TEST_KILLS";

/// How long L1 and a follower may take to get everything, for each kill and at least.
const LIMIT: Duration = Duration::from_secs(120);

/// The sequencer alone is killed; L1 lives on.
#[tokio::test]
async fn nothing_acknowledged_is_lost_by_kills_of_the_sequencer() -> eyre::Result<()> {
    let kills = seed::number(KILLS, 8)?;
    let mut random = seed::random()?;
    let folder = TempDir::new()?;
    let l1 = Dev::start(&folder.path().join("l1"), &["--no-watcher"]).await?;
    let place = Place::on_l1_of(&l1, folder.path()).await?;
    let witness = Witness::new(&folder.path().join("witness"))?;
    let mut killed = 0;
    while killed < kills {
        let moment = Moment::choose(&mut random);
        killed += moment.meet(&place, &witness).await?;
        eprintln!(
            "{killed} kills: {moment:?}; {} acknowledged, block {}",
            witness.acknowledged(),
            witness.highest_block()
        );
    }
    ensure!(witness.acknowledged() > 0, "nothing was acknowledged");

    let node = place.start().await?;
    one_more(&node.rpc, &accounts()?).await?;
    let hashes = witness.check(&node.rpc).await?;
    let head = hashes.len() as u64 - 1;
    let limit = LIMIT + Duration::from_secs(2 * kills as u64);
    until("the whole chain to be safe", limit, || async {
        let safe = node.rpc.block_number("safe").await?;
        ensure!(safe >= head, "safe is {safe} of {head}");
        Ok(Some(()))
    })
    .await?;
    let contract = place.contract()?;
    check_tiling(&posted_batches(&l1.l1, contract).await?)?;
    // An L1 with long logs may answer too late when the machine is busy.
    let report = until("weft watch to read L1", limit, || async {
        watch(&l1.info.l1_rpc, contract).await.map(Some)
    })
    .await?;
    ensure!(report.success && report.verified, "{}", report.json);
    let followed = folder.path().join("followed");
    let mut follower = Follower::start(&l1.info.l1_rpc, contract, &followed).await?;
    follower.hash_at(head, limit).await?;
    let same = same_blocks(&hashes, &block_hashes(&follower.rpc).await?)?;
    ensure!(
        same == hashes.len(),
        "only {same} of {} blocks",
        hashes.len()
    );
    // The witness is of the follower's chain too.
    witness.check(&follower.rpc).await?;
    eprintln!(
        "{killed} kills, {} acknowledged, {same} blocks, {} batches",
        witness.acknowledged(),
        report.batches
    );
    Ok(())
}

/// When the node is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// This long after its start, whatever it does by then.
    Start(Duration),
    /// This long after clients have begun.
    Load(Duration),
    /// As `Load`, but it is asked to stop first, and killed this long after that.
    Stop(Duration, Duration),
    /// As `Load`, and again this long after the next start.
    Twice(Duration, Duration),
}

impl Moment {
    fn choose(random: &mut StdRng) -> Self {
        let mut ms = |most| Duration::from_millis(random.random_range(0..most));
        let (loaded, short, start) = (ms(1200), ms(60), ms(400));
        match random.random_range(0..10) {
            0 => Self::Start(start),
            1..3 => Self::Stop(loaded, short),
            3 => Self::Twice(loaded, start),
            _ => Self::Load(loaded),
        }
    }

    /// Starts the node and kills it at this moment; returns the number of kills.
    async fn meet(self, place: &Place, witness: &Witness) -> eyre::Result<usize> {
        match self {
            Self::Start(alive) => kill_after(place.spawn().await?, alive).await?,
            Self::Load(loaded) => kill_loaded(place, witness, loaded, None).await?,
            Self::Stop(loaded, stopping) => {
                kill_loaded(place, witness, loaded, Some(stopping)).await?;
            }
            Self::Twice(loaded, alive) => {
                kill_loaded(place, witness, loaded, None).await?;
                kill_after(place.spawn().await?, alive).await?;
                return Ok(2);
            }
        }
        Ok(1)
    }
}

// The load itself is the clock here: kills come at a random moment of it.
async fn kill_after(mut process: Process, alive: Duration) -> eyre::Result<()> {
    tokio::time::sleep(alive).await;
    process.kill()
}

async fn kill_loaded(
    place: &Place,
    witness: &Witness,
    loaded: Duration,
    stopping: Option<Duration>,
) -> eyre::Result<()> {
    let node = place.start().await?;
    let senders = accounts()?;
    let senders = senders.get(..SENDERS).wrap_err("accounts")?;
    let clients = Clients::start(&node.rpc, senders, witness);
    tokio::time::sleep(loaded).await;
    clients.expect_end();
    if let Some(stopping) = stopping {
        node.process.signal("TERM")?;
        kill_after(node.process, stopping).await?;
    } else {
        kill_after(node.process, Duration::ZERO).await?;
    }
    clients.join().await
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_with_the_embedded_l1() -> eyre::Result<()> {
    kill_and_restart(3, &[]).await
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_with_anvil() -> eyre::Result<()> {
    let Some(anvil) = Anvil::start().await? else {
        return Ok(());
    };
    kill_and_restart(3, &["--l1", anvil.rpc.url()]).await
}

/// The whole of `weft dev` is killed, L1 with it when it is the embedded one.
async fn kill_and_restart(rounds: usize, options: &[&str]) -> eyre::Result<()> {
    let mut random = seed::random()?;
    let folder = TempDir::new()?;
    let data_dir = folder.path().join("dev");
    let witness = Witness::new(&folder.path().join("witness"))?;
    for round in 0..rounds {
        let alive = Duration::from_millis(random.random_range(500..4000));
        one_round(&data_dir, options, alive, &witness).await?;
        eprintln!(
            "round {round}: killed after {alive:?}, {} acknowledged",
            witness.acknowledged()
        );
    }
    ensure!(witness.acknowledged() > 0, "nothing was acknowledged");

    let mut dev = Dev::start(&data_dir, options).await?;
    witness.check(&dev.l2).await?;
    one_more(&dev.l2, &dev.info.accounts).await?;
    let head = dev.all_safe(LIMIT).await?;
    check_tiling(&posted_batches(&dev.l1, dev.info.contract).await?)?;
    let report = dev.watch().await?;
    ensure!(report.success && report.verified, "{}", report.json);
    ensure!(
        report.last_l2_block >= head,
        "{} < {head}",
        report.last_l2_block
    );
    witness.check(&dev.l2).await?;
    Ok(())
}

async fn one_round(
    data_dir: &Path,
    options: &[&str],
    alive: Duration,
    witness: &Witness,
) -> eyre::Result<()> {
    let dev = Dev::start(data_dir, options).await?;
    let senders = dev.info.accounts.get(..SENDERS).wrap_err("accounts")?;
    let clients = Clients::start(&dev.l2, senders, witness);
    tokio::time::sleep(alive).await;
    clients.expect_end();
    kill_after(dev.process, Duration::ZERO).await?;
    clients.join().await
}

/// A last transaction shows that the chain goes on.
async fn one_more(rpc: &Rpc, accounts: &[weft_tests::weft::Account]) -> eyre::Result<()> {
    let account = accounts.first().wrap_err("no account")?;
    let mut sender = Sender::new(account, L2_CHAIN_ID, rpc).await?;
    let signed = load::transfers(&mut sender, 1)?;
    load::send_all(rpc, &signed).await?;
    load::all_included(rpc, &signed, Duration::from_secs(30)).await?;
    Ok(())
}
