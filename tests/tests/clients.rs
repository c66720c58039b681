//! The clients that people use, against a running `weft dev`: viem, ethers and cast.

use std::path::PathBuf;

use eyre::{ContextCompat, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use weft_tests::{
    tools::{client_script, foundry, repository, run},
    weft::Dev,
};

async fn dev(folder: &TempDir) -> eyre::Result<Dev> {
    Dev::start(&folder.path().join("dev"), &["--quiet"]).await
}

#[tokio::test]
async fn viem() -> eyre::Result<()> {
    if foundry("cast").is_none() {
        return Ok(());
    }
    let folder = TempDir::new()?;
    let dev = dev(&folder).await?;
    eprintln!("{}", client_script("viem.mjs", &[dev.l2.url()]).await?);
    Ok(())
}

#[tokio::test]
async fn ethers() -> eyre::Result<()> {
    if foundry("cast").is_none() {
        return Ok(());
    }
    let folder = TempDir::new()?;
    let dev = dev(&folder).await?;
    eprintln!("{}", client_script("ethers.mjs", &[dev.l2.url()]).await?);
    Ok(())
}

/// Programs, called as their Solidity twins are.
#[tokio::test]
async fn viem_and_programs() -> eyre::Result<()> {
    if foundry("cast").is_none() {
        return Ok(());
    }
    let folder = TempDir::new()?;
    let dev = dev(&folder).await?;
    eprintln!("{}", client_script("stylus.mjs", &[dev.l2.url()]).await?);
    Ok(())
}

/// Down to L2 and up again, as a wallet does it.
#[tokio::test]
async fn viem_and_the_bridge() -> eyre::Result<()> {
    if foundry("cast").is_none() {
        return Ok(());
    }
    let folder = TempDir::new()?;
    let dev = dev(&folder).await?;
    let contract = dev.info.contract.to_string();
    let token_bridge = dev.info.token_bridge.to_string();
    let arguments = [dev.l2.url(), dev.l1.url(), &contract, &token_bridge];
    eprintln!("{}", client_script("bridge.mjs", &arguments).await?);
    Ok(())
}

/// The embedded L1 is a weft chain too: the same scripts pass there.
#[tokio::test]
async fn viem_on_the_embedded_l1() -> eyre::Result<()> {
    if foundry("cast").is_none() {
        return Ok(());
    }
    let folder = TempDir::new()?;
    let dev = dev(&folder).await?;
    eprintln!("{}", client_script("viem.mjs", &[dev.l1.url()]).await?);
    Ok(())
}

struct Cast {
    program: PathBuf,
    url: String,
    key: String,
}

impl Cast {
    async fn run(&self, arguments: &[&str]) -> eyre::Result<String> {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("ETH_RPC_URL", &self.url);
        Ok(run(&mut command).await?.trim().to_owned())
    }

    async fn send(&self, arguments: &[&str]) -> eyre::Result<Value> {
        let options = ["send", "--json", "--private-key", &self.key];
        let printed = self.run(&[&options, arguments].concat()).await?;
        let receipt: Value = serde_json::from_str(&printed)?;
        let status = receipt.get("status").and_then(Value::as_str);
        ensure!(status == Some("0x1"), "{receipt}");
        Ok(receipt)
    }
}

fn text<'a>(value: &'a Value, key: &str) -> eyre::Result<&'a str> {
    let found = value.get(key).and_then(Value::as_str);
    found.wrap_err_with(|| format!("no {key} in {value}"))
}

#[tokio::test]
async fn cast() -> eyre::Result<()> {
    let Some(program) = foundry("cast") else {
        return Ok(());
    };
    let folder = TempDir::new()?;
    let dev = dev(&folder).await?;
    let account = dev.info.accounts.get(3).wrap_err("no account")?;
    let cast = Cast {
        program,
        url: dev.l2.url().to_owned(),
        key: account.private_key.to_string(),
    };
    let receiver = "0x00000000000000000000000000000000000Beef1";
    ensure!(cast.run(&["chain-id"]).await? == "31338");

    cast.send(&[receiver, "--value", "1ether"]).await?;
    ensure!(cast.run(&["balance", receiver]).await? == "1000000000000000000");
    cast.send(&["--legacy", receiver, "--value", "1"]).await?;

    let artifact = repository().join("tests/contracts/artifacts/TestToken.json");
    let artifact: Value = serde_json::from_slice(&std::fs::read(artifact)?)?;
    let constructor = [
        "constructor(string,string,uint256)",
        "Cast Token",
        "CT",
        "1000",
    ];
    let deployment = [
        &["--create", text(&artifact, "bytecode")?],
        &constructor[..],
    ]
    .concat();
    let deployed = cast.send(&deployment).await?;
    let token = text(&deployed, "contractAddress")?;

    let sent = cast
        .send(&[token, "transfer(address,uint256)", receiver, "77"])
        .await?;
    let balance = cast
        .run(&["call", token, "balanceOf(address)(uint256)", receiver])
        .await?;
    ensure!(balance == "77", "balanceOf: {balance}");
    let logs = cast
        .run(&["logs", "--json", "--from-block", "0", "--address", token])
        .await?;
    let logs: Vec<Value> = serde_json::from_str(&logs)?;
    ensure!(
        logs.len() == 2,
        "expected the mint and the transfer, found {logs:?}"
    );
    let hash = text(&sent, "transactionHash")?;
    let receipt = cast.run(&["receipt", "--json", hash]).await?;
    let receipt: Value = serde_json::from_str(&receipt)?;
    ensure!(text(&receipt, "blockHash")? == text(&sent, "blockHash")?);
    let gas: u64 = cast
        .run(&[
            "estimate",
            "--from",
            &account.address.to_string(),
            token,
            "transfer(address,uint256)",
            receiver,
            "1",
        ])
        .await?
        .parse()?;
    ensure!((21_001..100_000).contains(&gas), "estimate: {gas}");
    let block = cast.run(&["block", "latest", "--json"]).await?;
    let block: Value = serde_json::from_str(&block)?;
    let state_root = text(&block, "stateRoot")?;
    let proof = cast.run(&["proof", token, "0x0"]).await?;
    ensure!(proof.contains("accountProof"), "{proof}");
    ensure!(state_root.len() == 66, "{state_root}");
    ensure!(cast.run(&["gas-price"]).await?.parse::<u64>()? > 0);
    let nonce = cast.run(&["nonce", &account.address.to_string()]).await?;
    ensure!(nonce == "4", "nonce {nonce}");
    Ok(())
}
