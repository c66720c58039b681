//! Loss of power: what was answered is on disk (I2), whatever becomes of the rest.

use std::{path::Path, time::Duration};

use eyre::{ContextCompat, ensure};
use rand::{Rng, rngs::StdRng};
use tempfile::TempDir;
use tokio::process::Command;
use weft_tests::{
    clients::Clients,
    faults::FaultyDisk,
    power::{self, Unsynced},
    seed,
    sequencer::{Place, accounts},
    witness::Witness,
};

/// How long a node may take to meet a fault under load, and to stop at it.
const LIMIT: Duration = Duration::from_secs(60);

/// How many clients send.
const SENDERS: usize = 3;

/// How many losses of power a run has.
const ROUNDS: &str = "WEFT_TEST_CUTS";

#[tokio::test]
async fn what_was_answered_survives_a_loss_of_power() -> eyre::Result<()> {
    let folder = TempDir::new()?;
    let Some(disk) = disk_in(folder.path())? else {
        return Ok(());
    };
    let mut random = seed::random()?;
    let place = Place::new(folder.path())?.on_disk(&disk);
    let witness = Witness::new(&folder.path().join("witness"))?;
    power::begin(&disk)?;
    for round in 0..seed::number(ROUNDS, 6)? {
        let what = one_life(&place, &disk, &witness, &mut random).await?;
        let unsynced = Unsynced::ALL[round % Unsynced::ALL.len()];
        let pending = power::cut(&disk, unsynced, &mut random)?;
        eprintln!(
            "round {round}: {what}; {pending} unsynced, {unsynced:?}; {} acknowledged",
            witness.acknowledged()
        );
        let mut node = place.start().await?;
        witness.check(&node.rpc).await?;
        node.process.kill()?;
    }
    ensure!(witness.acknowledged() > 0, "nothing was acknowledged");
    Ok(())
}

/// Runs the node until it is killed, once or several times, at random moments.
async fn one_life(
    place: &Place,
    disk: &FaultyDisk,
    witness: &Witness,
    random: &mut StdRng,
) -> eyre::Result<String> {
    let mut what = Vec::new();
    let accounts = accounts()?;
    let senders = accounts.get(..SENDERS).wrap_err("accounts")?;
    loop {
        match random.random_range(0..4) {
            // Somewhere in the start: the folder may be made just then.
            0 => {
                let alive = Duration::from_millis(random.random_range(0..300));
                let mut process = place.spawn().await?;
                tokio::time::sleep(alive).await;
                process.kill()?;
                what.push(format!("killed {alive:?} after its start"));
            }
            // Its head is shown, and nothing more is written.
            1 => {
                let mut node = place.start().await?;
                witness.check(&node.rpc).await?;
                let head = node
                    .rpc
                    .call("eth_getBlockByNumber", serde_json::json!(["latest", false]));
                witness.header(&head.await?)?;
                node.process.kill()?;
                what.push("killed when it had shown its head".to_owned());
            }
            // A sync fails: the node stops, and the disk forgets what it did not write.
            2 => {
                let mut node = place.start().await?;
                let clients = Clients::start(&node.rpc, senders, witness);
                clients.expect_end();
                let skip = random.random_range(0..20);
                disk.plan(&[&format!("sync .jnl {skip} 1 EIO")])?;
                let status = node.process.wait(LIMIT).await?;
                clients.join().await?;
                disk.heal()?;
                ensure!(!status.success(), "{status}");
                what.push(format!("sync {skip} failed"));
            }
            _ => {
                let mut node = place.start().await?;
                let clients = Clients::start(&node.rpc, senders, witness);
                let alive = Duration::from_millis(random.random_range(50..1500));
                tokio::time::sleep(alive).await;
                clients.expect_end();
                node.process.kill()?;
                clients.join().await?;
                what.push(format!("killed under load after {alive:?}"));
            }
        }
        // The next start may find what only memory holds.
        if random.random_range(0..3) == 0 {
            return Ok(what.join(", "));
        }
    }
}

/// A disk that loses nothing would prove nothing.
#[tokio::test]
async fn a_loss_of_power_takes_what_was_not_synced() -> eyre::Result<()> {
    let folder = TempDir::new()?;
    let Some(disk) = disk_in(folder.path())? else {
        return Ok(());
    };
    let mut random = seed::random()?;
    let below = disk.below().to_path_buf();
    std::fs::create_dir(&below)?;
    std::fs::write(below.join("old"), [7; 10_000])?;
    power::begin(&disk)?;
    // conv=fsync syncs the file at the end.
    run_on(
        &disk,
        "dd if=/dev/zero of=synced bs=4096 count=2 conv=fsync",
    )
    .await?;
    run_on(&disk, "dd if=/dev/urandom of=unsynced bs=4096 count=2").await?;
    run_on(&disk, "sync .").await?;
    run_on(
        &disk,
        "dd if=/dev/zero of=nameless bs=4096 count=2 conv=fsync",
    )
    .await?;
    run_on(
        &disk,
        "dd if=/dev/zero of=old bs=1000 seek=1 count=3 conv=notrunc",
    )
    .await?;
    run_on(&disk, "mv synced moved").await?;
    ensure!(names(&below)? == ["moved", "nameless", "old", "unsynced"]);
    let pending = power::cut(&disk, Unsynced::Lost, &mut random)?;
    ensure!(pending == 8, "{pending} unsynced");
    ensure!(names(&below)? == ["old", "synced", "unsynced"]);
    ensure!(std::fs::read(below.join("synced"))? == [0; 8192]);
    ensure!(std::fs::read(below.join("unsynced"))?.is_empty());
    ensure!(std::fs::read(below.join("old"))? == [7; 10_000]);

    // A write whose sync failed is lost, though the next sync succeeds; the one after it is not.
    disk.plan(&["sync old 0 1 EIO"])?;
    let first = "dd if=/dev/zero of=old bs=1000 count=1 conv=notrunc,fsync";
    ensure!(
        run_on(&disk, first).await.is_err(),
        "a failed sync succeeded"
    );
    disk.heal()?;
    run_on(
        &disk,
        "dd if=/dev/zero of=old bs=1000 seek=2 count=1 conv=notrunc,fsync",
    )
    .await?;
    power::cut(&disk, Unsynced::Lost, &mut random)?;
    let expected = [vec![7; 2000], vec![0; 1000], vec![7; 7000]].concat();
    ensure!(std::fs::read(below.join("old"))? == expected);

    // All errors that a plan names are those that programs see.
    for (error, text) in [
        ("ENOSPC", "No space left"),
        ("EIO", "Input/output error"),
        ("EROFS", "Read-only file system"),
    ] {
        for (call, command) in [
            ("open", "dd if=/dev/zero of=new count=1"),
            ("write", "dd if=/dev/zero of=new count=1"),
            ("truncate", "truncate -s 3 old"),
            ("sync", "sync old"),
        ] {
            disk.plan(&[&format!("{call} * 0 -1 {error}")])?;
            let Err(found) = run_on(&disk, command).await else {
                eyre::bail!("{call} {error}: {command} succeeded");
            };
            ensure!(found.to_string().contains(text), "{call} {error}: {found}");
        }
    }
    // Half of each write is taken, and the program writes the rest.
    disk.plan(&["write * 0 -1 SHORT"])?;
    let known = disk.hits()?.len();
    run_on(
        &disk,
        "dd if=/dev/zero of=halves bs=1000 count=1 iflag=fullblock",
    )
    .await?;
    ensure!(std::fs::metadata(below.join("halves"))?.len() == 1000);
    ensure!(disk.hits()?.len() > known + 5, "{:?}", disk.hits()?);
    Ok(())
}

fn names(folder: &Path) -> eyre::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Runs a program of the system on the disk.
async fn run_on(disk: &FaultyDisk, line: &str) -> eyre::Result<String> {
    let mut words = line.split(' ');
    let mut command = std::process::Command::new(words.next().unwrap_or_default());
    command.args(words).current_dir(disk.below());
    disk.put_under(&mut command);
    weft_tests::tools::run(&mut Command::from(command)).await
}

fn disk_in(folder: &Path) -> eyre::Result<Option<FaultyDisk>> {
    FaultyDisk::new(&folder.join("chain"), &folder.join("disk"))
}
