//! Bits that flip on disk: the node comes back with every acknowledged block, or it refuses and says
//! what to do. It never shows anything else than before, never panics and never hangs.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use eyre::{ContextCompat, ensure};
use rand::{Rng, seq::IndexedRandom};
use tempfile::TempDir;
use weft_tests::{
    clients::Clients,
    load::{self, L2_CHAIN_ID, Sender},
    rpc::Rpc,
    seed,
    sequencer::{Place, accounts},
    wait::until,
    weft::{READY, STOPPED},
    witness::Witness,
};

/// How many times a copy of the chain is damaged.
const FLIPS: &str = "WEFT_TEST_FLIPS";

/// How long the chain may take to grow so long that it is written to tables.
const LIMIT: Duration = Duration::from_secs(240);

#[tokio::test]
async fn flipped_bits_are_harmless_or_refused() -> eyre::Result<()> {
    let folder = TempDir::new()?;
    let place = Place::new(folder.path())?.set("block.min_interval_ms=0");
    let witness = Witness::new(&folder.path().join("witness"))?;
    used_folder(&place, &witness).await?;
    let files = files_below(&place.data_dir)?;
    let is_large = |file: &&PathBuf| fs::metadata(file).is_ok_and(|found| found.len() > 100_000);
    let large: Vec<&PathBuf> = files.iter().filter(is_large).collect();
    let files: Vec<&PathBuf> = files.iter().collect();
    let mut random = seed::random()?;
    let (mut refused, mut noticed, mut harmless) = (0, 0, 0);
    for flip in 0..=seed::number(FLIPS, 6)? {
        let copy = TempDir::new_in(folder.path())?;
        let damaged = place.clone().at(&copy.path().join("chain"));
        copy_folder(&place.data_dir, &damaged.data_dir)?;
        if flip == 0 {
            // A copy is a chain: what is refused below is refused for its damage.
            let outcome = start_and_look(&damaged, &witness).await?;
            ensure!(matches!(outcome, Outcome::Harmless), "{outcome:?}");
            continue;
        }
        // Every second time a large file: there are many small ones, but most of the chain is there.
        let file = match flip % 2 {
            0 => files.choose(&mut random),
            _ => large.choose(&mut random),
        };
        let file = file.wrap_err("no file")?.strip_prefix(&place.data_dir)?;
        let mut bytes = fs::read(damaged.data_dir.join(file))?;
        let at = random.random_range(0..bytes.len());
        *bytes.get_mut(at).wrap_err("no byte")? ^= 1 << random.random_range(0..8);
        fs::write(damaged.data_dir.join(file), bytes)?;
        let outcome = start_and_look(&damaged, &witness).await?;
        eprintln!("{} at {at}: {outcome:?}", file.display());
        match outcome {
            Outcome::Refused(_) => refused += 1,
            Outcome::Noticed(_) => noticed += 1,
            Outcome::Harmless => harmless += 1,
        }
    }
    eprintln!("{refused} refused, {noticed} noticed when read, {harmless} harmless");
    Ok(())
}

/// With what was said.
#[derive(Debug)]
#[allow(dead_code, reason = "printed")]
enum Outcome {
    Refused(String),
    Noticed(String),
    Harmless,
}

/// Starts the node, reads the whole chain if it serves, lets it make a block, and stops it.
async fn start_and_look(place: &Place, witness: &Witness) -> eyre::Result<Outcome> {
    let before = fs::read(place.log())?.len();
    let printed = || {
        let log = fs::read(place.log())?;
        let printed = log.get(before..).unwrap_or_default();
        Ok::<_, eyre::Report>(String::from_utf8_lossy(printed).into_owned())
    };
    let mut node = match place.start().await {
        Ok(node) => node,
        Err(error) => {
            let printed = printed()?;
            ensure!(printed.contains("Error: "), "{error}\n{printed}");
            ensure!(printed.contains("weft follow"), "{printed}");
            ensure!(!printed.contains("panicked at /"), "{printed}");
            return Ok(Outcome::Refused(printed));
        }
    };
    // An error in place of a block is right, another block is not.
    let mut errors = Vec::new();
    errors.extend(witness.check(&node.rpc).await.err());
    errors.extend(one_more(&node.rpc).await.err());
    // It may have stopped by itself.
    let status = match node.process.exit_status()? {
        Some(status) => status,
        None => node.process.interrupt(STOPPED).await?,
    };
    let printed = printed()?;
    ensure!(!printed.contains("panicked at /"), "{printed}");
    if !errors.is_empty() {
        let said = format!("{errors:#?}\n{printed}");
        ensure!(said.contains("weft follow"), "{status}\n{said}");
        return Ok(Outcome::Noticed(format!("{errors:?}")));
    }
    ensure!(status.success(), "{status}\n{printed}");
    Ok(Outcome::Harmless)
}

async fn one_more(rpc: &Rpc) -> eyre::Result<()> {
    let account = accounts()?.pop().wrap_err("no account")?;
    let mut sender = Sender::new(&account, L2_CHAIN_ID, rpc).await?;
    let signed = load::transfers(&mut sender, 1)?;
    load::send_all(rpc, &signed).await?;
    load::all_included(rpc, &signed, READY).await?;
    Ok(())
}

/// A chain of a stopped node, part of it in tables and part in the journal.
async fn used_folder(place: &Place, witness: &Witness) -> eyre::Result<()> {
    let mut node = place.start().await?;
    let accounts = accounts()?;
    let (senders, others) = accounts.split_at_checked(3).wrap_err("accounts")?;
    let mut clients = Clients::start(&node.rpc, senders, witness);
    for account in others {
        clients.add_large(&node.rpc, account, witness, 110_000);
    }
    let blocks = place.data_dir.join("state/db/keyspaces/4/tables");
    until("a table of blocks", LIMIT, || async {
        Ok(fs::read_dir(&blocks)?.next().map(drop))
    })
    .await?;
    clients.expect_end();
    node.process.interrupt(STOPPED).await?;
    clients.join().await?;
    // A start cuts the journal to what it holds.
    let mut node = place.start().await?;
    node.process.interrupt(STOPPED).await?;
    Ok(())
}

/// With all that is empty.
fn copy_folder(from: &Path, to: &Path) -> eyre::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Those that are not empty.
fn files_below(folder: &Path) -> eyre::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(files_below(&entry.path())?);
        } else if entry.metadata()?.len() > 0 {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}
