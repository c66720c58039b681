//! A disk that fails: the node stops before it answers (I6), and what it had answered is there when
//! it comes back (I2).

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use eyre::{ContextCompat, ensure};
use tempfile::TempDir;
use weft_tests::{
    clients::Clients,
    faults::FaultyDisk,
    load::{self, L2_CHAIN_ID, Sender},
    rpc::Rpc,
    sequencer::{Place, Sequencer, accounts},
    skip::skip,
    wait::until,
    weft::STOPPED,
    witness::Witness,
};

/// How long a node may take to meet a fault under load, and to stop at it.
const LIMIT: Duration = Duration::from_secs(60);

/// How many clients send.
const SENDERS: usize = 3;

/// Size of a large transaction in bytes: nearly as large as they may be.
const LARGE: usize = 110_000;

/// What the disk does, and what the log must say about it.
type Case<'a> = (&'a [&'a str], &'a str);

const FULL: &str = "No space left on device";
const BROKEN: &str = "Input/output error";
const READ_ONLY: &str = "Read-only file system";

#[tokio::test]
async fn a_node_that_cannot_write_stops_and_comes_back() -> eyre::Result<()> {
    let cases: &[Case] = &[
        (&["write .jnl 5 -1 ENOSPC"], FULL),
        (&["write .jnl 5 -1 SHORT:ENOSPC"], FULL),
        (&["write .jnl 7 1 EIO"], BROKEN),
        (&["sync .jnl 2 1 EIO"], BROKEN),
        (&["write acknowledged 2 1 ENOSPC"], FULL),
        (
            &[
                "write * 0 -1 EROFS",
                "sync * 0 -1 EROFS",
                "open * 0 -1 EROFS",
            ],
            READ_ONLY,
        ),
    ];
    stops_at_each(cases, None).await
}

/// The store writes its memtables to tables in the background. A failure there is no block's own.
#[tokio::test]
async fn a_node_whose_tables_cannot_be_written_stops_and_comes_back() -> eyre::Result<()> {
    let cases: &[Case] = &[
        (&["write /tables/ 3 -1 ENOSPC"], FULL),
        (&["sync /keyspaces/ 0 1 EIO"], BROKEN),
    ];
    stops_at_each(cases, Some(LARGE)).await
}

/// One chain meets the faults one after the other.
async fn stops_at_each(cases: &[Case<'_>], large: Option<usize>) -> eyre::Result<()> {
    let folder = TempDir::new()?;
    let Some(disk) = disk_in(folder.path())? else {
        return Ok(());
    };
    let place = Place::new(folder.path())?.set("block.min_interval_ms=0");
    let faulty = place.clone().on_disk(&disk);
    let sound = place.at(disk.below());
    let witness = Witness::new(&folder.path().join("witness"))?;
    for (plan, said) in cases {
        let known = disk.hits()?.len();
        let mut node = faulty.start().await?;
        let before = node.process.log().len();
        let clients = load_until_answered(&node, &witness, large).await?;
        clients.expect_end();
        disk.plan(plan)?;
        let status = node.process.wait(LIMIT).await?;
        clients.join().await?;
        let log = node.process.log();
        let printed = log.get(before..).unwrap_or_default();
        let hits = disk.hits()?.split_off(known);
        disk.heal()?;
        eprintln!("{plan:?}: {status}, {} faults", hits.len());
        ensure!(!hits.is_empty(), "{plan:?} met no call");
        ensure!(!status.success(), "{plan:?}: {status}\n{printed}");
        ensure!(!printed.contains("panicked"), "{plan:?}:\n{printed}");
        ensure!(
            printed.contains(said),
            "{plan:?}: no {said:?} in\n{printed}"
        );
        comes_back(&sound, &witness).await?;
    }
    Ok(())
}

/// Starts clients and waits until they have been answered some times.
async fn load_until_answered(
    node: &Sequencer,
    witness: &Witness,
    large: Option<usize>,
) -> eyre::Result<Clients> {
    let accounts = accounts()?;
    let (senders, others) = accounts.split_at_checked(SENDERS).wrap_err("accounts")?;
    let mut clients = Clients::start(&node.rpc, senders, witness);
    if let Some(bytes) = large {
        for account in others {
            clients.add_large(&node.rpc, account, witness, bytes);
        }
    }
    let enough = witness.acknowledged() + 20;
    until("answers", LIMIT, || async {
        Ok((witness.acknowledged() >= enough).then_some(()))
    })
    .await?;
    Ok(clients)
}

/// Starts the node, compares all that it says with what clients were told, and sees it go on.
async fn comes_back(place: &Place, witness: &Witness) -> eyre::Result<()> {
    let mut node = place.start().await?;
    witness.check(&node.rpc).await?;
    one_more(&node.rpc).await?;
    let status = node.process.interrupt(STOPPED).await?;
    ensure!(status.success(), "{status}\n{}", node.process.log_tail());
    Ok(())
}

async fn one_more(rpc: &Rpc) -> eyre::Result<()> {
    let accounts = accounts()?;
    let account = accounts.last().wrap_err("no account")?;
    let mut sender = Sender::new(account, L2_CHAIN_ID, rpc).await?;
    let signed = load::transfers(&mut sender, 1)?;
    load::send_all(rpc, &signed).await?;
    load::all_included(rpc, &signed, LIMIT).await?;
    Ok(())
}

fn disk_in(folder: &Path) -> eyre::Result<Option<FaultyDisk>> {
    FaultyDisk::new(&folder.join("chain"), &folder.join("disk"))
}

/// A disk that is slow, or takes half of what it is given, is no fault.
#[tokio::test]
async fn a_node_goes_on_with_short_writes_and_slow_syncs() -> eyre::Result<()> {
    let folder = TempDir::new()?;
    let Some(disk) = disk_in(folder.path())? else {
        return Ok(());
    };
    let place = Place::new(folder.path())?.on_disk(&disk);
    let witness = Witness::new(&folder.path().join("witness"))?;
    // In place from the start: the folder is made under it.
    disk.plan(&["write * 0 -1 SHORT", "sync * 0 -1 SLEEP:5"])?;
    let mut node = place.start().await?;
    let clients = load_until_answered(&node, &witness, None).await?;
    clients.expect_end();
    node.process.kill()?;
    clients.join().await?;
    let hits = disk.hits()?;
    for kind in ["write short", "sync sleep"] {
        let count = hits.iter().filter(|hit| hit.starts_with(kind)).count();
        ensure!(count > 20, "{count} times {kind}");
    }
    disk.heal()?;
    comes_back(&place, &witness).await
}

/// A file system of its own, which is unmounted when it is dropped.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// `None` after saying that a test is skipped.
    async fn mount(path: &Path, size: &str) -> eyre::Result<Option<Self>> {
        std::fs::create_dir(path)?;
        let disk = Self {
            path: path.to_path_buf(),
        };
        let options = format!("size={size}");
        let mounted = disk
            .command("mount", &["-t", "tmpfs", "-o", &options, "none"])
            .await;
        if let Err(error) = mounted {
            skip(&format!("no small file system can be mounted: {error}"));
            return Ok(None);
        }
        Ok(Some(disk))
    }

    async fn remount(&self, options: &str) -> eyre::Result<()> {
        let options = format!("remount,{options}");
        self.command("mount", &["-o", &options]).await
    }

    async fn command(&self, program: &str, arguments: &[&str]) -> eyre::Result<()> {
        let mut command = tokio::process::Command::new(program);
        command.args(arguments).arg(&self.path);
        weft_tests::tools::run(&mut command).await.map(drop)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that was just killed may still hold it.
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.path)
            .status();
    }
}

#[tokio::test]
async fn a_real_disk_that_is_full_or_read_only_stops_the_node() -> eyre::Result<()> {
    let folder = TempDir::new()?;
    let Some(small) = SmallDisk::mount(&folder.path().join("disk"), "6m").await? else {
        return Ok(());
    };
    let place = Place::new(folder.path())?
        .at(&small.path.join("chain"))
        .set("block.min_interval_ms=0");
    let witness = Witness::new(&folder.path().join("witness"))?;
    let mut node = place.start().await?;
    let before = node.process.log().len();
    let clients = load_until_answered(&node, &witness, Some(LARGE)).await?;
    clients.expect_end();
    let status = node.process.wait(LIMIT).await?;
    clients.join().await?;
    let log = node.process.log();
    let printed = log.get(before..).unwrap_or_default();
    ensure!(
        !status.success() && printed.contains(FULL),
        "{status}\n{printed}"
    );
    ensure!(!printed.contains("panicked"), "{printed}");

    small.remount("ro").await?;
    let printed = place.refusal().await?;
    ensure!(printed.contains(READ_ONLY), "{printed}");
    small.remount("rw,size=200m").await?;
    comes_back(&place, &witness).await
}
