//! `weft bridge deposit` in wrong hands.

use alloy_primitives::Address;
use eyre::{ContextCompat, ensure};
use tempfile::TempDir;
use weft_tests::weft::{Dev, binary};

#[tokio::test]
async fn ether_is_not_sent_to_an_address_without_the_contract() -> eyre::Result<()> {
    let folder = TempDir::new()?;
    let dev = Dev::start(&folder.path().join("dev"), &[]).await?;
    let [sender, other, ..] = dev.info.accounts.as_slice() else {
        eyre::bail!("no accounts");
    };
    let before = dev.l1.balance(sender.address).await?;
    for wrong in [other.address, Address::with_last_byte(4)] {
        let output = tokio::process::Command::new(binary().await?)
            .args(["bridge", "deposit", "--amount", "1"])
            .args(["--l1", &dev.info.l1_rpc, "--contract", &wrong.to_string()])
            .env("WEFT_PRIVATE_KEY", sender.private_key.to_string())
            .output()
            .await?;
        let error = String::from_utf8(output.stderr)?;
        ensure!(!output.status.success(), "a deposit to {wrong} succeeded");
        let line = error.lines().last().wrap_err("no error is printed")?;
        ensure!(line.contains("no contract at"), "{line}");
    }
    ensure!(
        dev.l1.balance(sender.address).await? == before,
        "ether was sent"
    );
    Ok(())
}
