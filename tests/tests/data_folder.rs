//! A folder that is not weft's, or not whole, is refused with a sentence; one process at a time.

use std::{fs, path::Path, time::Duration};

use eyre::ContextCompat;
use tempfile::TempDir;
use weft_tests::{
    load::{self, L2_CHAIN_ID, Sender},
    weft::{Dev, READY, STOPPED},
};

/// A folder with some blocks in it, from a node that was stopped.
async fn used_folder(data_dir: &Path) -> eyre::Result<()> {
    let mut dev = Dev::start(data_dir, &[]).await?;
    let account = dev.info.accounts.first().wrap_err("no account")?;
    let mut sender = Sender::new(account, L2_CHAIN_ID, &dev.l2).await?;
    let signed = load::transfers(&mut sender, 10)?;
    load::send_all(&dev.l2, &signed).await?;
    load::all_included(&dev.l2, &signed, Duration::from_secs(30)).await?;
    dev.process.interrupt(STOPPED).await?;
    Ok(())
}

/// Starts on the folder, expects an end with failure, and returns what was printed.
async fn refusal(data_dir: &Path) -> eyre::Result<String> {
    let mut process = Dev::spawn(data_dir, &["--quiet"]).await?;
    let before = process.log();
    let status = process.wait(READY).await?;
    let log = process.log();
    assert!(
        !status.success(),
        "expected a refusal, found {status}:\n{log}"
    );
    assert!(!log.contains("panicked"), "{log}");
    let printed = log.strip_prefix(&before).unwrap_or(&log).to_owned();
    let sentence = printed
        .lines()
        .any(|line| line.split_whitespace().count() >= 4);
    assert!(sentence, "expected a sentence, found:\n{printed}");
    Ok(printed)
}

#[tokio::test]
async fn a_used_folder_goes_on() -> eyre::Result<()> {
    let folder = TempDir::new()?;
    let data_dir = folder.path().join("dev");
    used_folder(&data_dir).await?;
    // What the engines have learned, if there is a second core to learn for.
    let parallel = std::thread::available_parallelism()?.get() > 1;
    for node in ["l2", "watcher"] {
        assert_eq!(data_dir.join(node).join("predictions").is_file(), parallel);
    }
    let dev = Dev::start(&data_dir, &[]).await?;
    let nonce = dev.l2.nonce(dev.info.accounts[0].address).await?;
    assert_eq!(nonce, 10);
    // While it runs, a second process on the same folder is refused.
    let printed = second_process(&data_dir).await?;
    assert!(!printed.contains("panicked"), "{printed}");
    assert_eq!(dev.l2.nonce(dev.info.accounts[0].address).await?, 10);
    Ok(())
}

async fn second_process(data_dir: &Path) -> eyre::Result<String> {
    let output = tokio::process::Command::new(weft_tests::weft::binary().await?)
        .args(["dev", "--port", "0", "--l1-port", "0", "--data-dir"])
        .arg(data_dir)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(READY, output).await??;
    assert!(!output.status.success(), "two processes on one folder");
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test]
async fn a_file_in_place_of_the_folder_is_refused() -> eyre::Result<()> {
    let folder = TempDir::new()?;
    let data_dir = folder.path().join("dev");
    fs::write(&data_dir, "this is a letter")?;
    let output = tokio::process::Command::new(weft_tests::weft::binary().await?)
        .args(["dev", "--port", "0", "--l1-port", "0", "--data-dir"])
        .arg(&data_dir)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(READY, output).await??;
    assert!(!output.status.success());
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(printed.contains(&*data_dir.to_string_lossy()), "{printed}");
    assert_eq!(fs::read_to_string(&data_dir)?, "this is a letter");
    Ok(())
}

#[tokio::test]
async fn another_chains_genesis_is_refused() -> eyre::Result<()> {
    let folder = TempDir::new()?;
    let data_dir = folder.path().join("dev");
    used_folder(&data_dir).await?;
    let path = data_dir.join("genesis.json");
    let mut genesis: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)?;
    genesis["timestamp"] = "0x1".into();
    fs::write(&path, serde_json::to_vec(&genesis)?)?;
    let printed = refusal(&data_dir).await?;
    assert!(printed.contains("expected"), "{printed}");
    Ok(())
}

#[tokio::test]
async fn damaged_files_are_refused() -> eyre::Result<()> {
    let folder = TempDir::new()?;
    let data_dir = folder.path().join("dev");
    used_folder(&data_dir).await?;
    let damaged = overwrite_store(&data_dir.join("l2"))?;
    assert!(damaged > 0, "no file of the store was found");
    refusal(&data_dir).await?;
    Ok(())
}

/// Fills every file of the store with other bytes, as a broken disk might.
fn overwrite_store(folder: &Path) -> eyre::Result<usize> {
    let mut damaged = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            damaged += overwrite_store(&path)?;
        } else if entry.metadata()?.len() > 0 && !path.to_string_lossy().contains("ledger") {
            let length = usize::try_from(entry.metadata()?.len())?.min(4096);
            fs::write(&path, vec![0xA5; length])?;
            damaged += 1;
        }
    }
    Ok(damaged)
}
