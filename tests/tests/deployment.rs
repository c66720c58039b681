//! What `docker compose up` runs, run without Docker: the same commands, variables, health checks
//! and order.

use std::{fs, path::Path, process::Command, time::Duration};

use eyre::{ContextCompat, ensure};
use serde_json::Value;
use tempfile::TempDir;
use weft_tests::{
    compose::{Compose, Placement, Service, image_health_check},
    load::{self, L2_CHAIN_ID, Sender},
    ports::free_port,
    postgres::Postgres,
    process::Process,
    rollup::test_account,
    rpc::Rpc,
    skip::skip,
    tools::{foundry, repository},
    wait::until,
    weft::binary,
};

const LIMIT: Duration = Duration::from_secs(120);

/// The port on which each program listens in its container.
const CONTAINER_PORT: &str = "8545";

struct Machine {
    compose: Compose,
    folder: TempDir,
    l1_port: u16,
    postgres: Postgres,
    programs: Vec<(&'static str, std::path::PathBuf)>,
}

impl Machine {
    /// Where a service runs here; its own port becomes `port`.
    fn place(&self, name: &str, port: u16) -> eyre::Result<Placement> {
        let folder = |name: &str| {
            let path = self.folder.path().join(name);
            fs::create_dir_all(&path).map(|()| path.display().to_string())
        };
        let pair = |from: &str, to: String| (from.to_owned(), to);
        let ledger = "postgres://weft:weft@postgres:5432/weft";
        Ok(Placement {
            replacements: vec![
                pair(
                    "http://l1:8545",
                    format!("http://127.0.0.1:{}", self.l1_port),
                ),
                pair(ledger, self.postgres.url().to_owned()),
                pair("/l1/", format!("{}/", folder("l1")?)),
                pair("/chain/", format!("{}/", folder("chain")?)),
                pair("/etc/weft/", format!("{}/docker/", repository().display())),
                pair("/data", folder(name)?),
                pair("0.0.0.0", "127.0.0.1".to_owned()),
                pair(CONTAINER_PORT, port.to_string()),
            ],
            programs: self
                .programs
                .iter()
                .map(|(name, path)| ((*name).to_owned(), path.clone()))
                .collect(),
            logs: self.folder.path().to_path_buf(),
        })
    }

    fn start(&self, name: &str, program: &str, port: u16) -> eyre::Result<Process> {
        let placement = self.place(name, port)?;
        let mut command = placement.command(self.compose.service(name)?, program)?;
        Process::spawn(&mut command, &placement.logs.join(format!("{name}.log")))
    }

    /// Runs the service's own health check until it says healthy.
    async fn healthy(&self, name: &str, port: u16, process: &mut Process) -> eyre::Result<()> {
        let placement = self.place(name, port)?;
        let check = health_check(self.compose.service(name)?)?;
        until(&format!("{name} to be healthy"), LIMIT, || {
            let look = process.check_running().and_then(|()| {
                let output = placement.health_check(&check)?.output()?;
                Ok(output.status.success().then_some(()))
            });
            async { look }
        })
        .await
    }
}

fn health_check(service: &Service) -> eyre::Result<Vec<String>> {
    match &service.healthcheck {
        Some(check) => Ok(check.test.clone()),
        None => image_health_check(),
    }
}

#[tokio::test]
async fn the_services_of_docker_compose_make_a_chain() -> eyre::Result<()> {
    let (Some(anvil), Some(cast)) = (foundry("anvil"), foundry("cast")) else {
        return Ok(());
    };
    let Some(postgres) = Postgres::start().await? else {
        return Ok(());
    };
    let weft = binary().await?.to_path_buf();
    let machine = Machine {
        compose: Compose::load()?,
        folder: TempDir::new()?,
        l1_port: free_port()?,
        postgres,
        programs: vec![("anvil", anvil), ("cast", cast), ("weft", weft)],
    };
    let names: Vec<&str> = machine
        .compose
        .services
        .keys()
        .map(String::as_str)
        .collect();
    ensure!(
        names == ["deploy", "follower", "l1", "postgres", "sequencer"],
        "{names:?}"
    );
    for (name, service) in &machine.compose.services {
        for (other, dependency) in &service.depends_on {
            let expected = match other.as_str() {
                "deploy" => "service_completed_successfully",
                _ => "service_healthy",
            };
            ensure!(dependency.condition == expected, "{name} waits for {other}");
        }
    }

    postgres_check(&machine)?;
    let mut l1 = machine.start("l1", "anvil", machine.l1_port)?;
    machine.healthy("l1", machine.l1_port, &mut l1).await?;
    let contract = deploy(&machine, "deploy").await?;

    let port = free_port()?;
    let service = machine.compose.service("sequencer")?;
    let configured = service.environment.get("WEFT_L1_CONTRACT");
    ensure!(
        configured.is_some_and(|configured| configured.eq_ignore_ascii_case(&contract)),
        "deployed at {contract}, configured {configured:?}"
    );
    let mut sequencer = machine.start("sequencer", "weft", port)?;
    machine.healthy("sequencer", port, &mut sequencer).await?;
    let rpc = Rpc::new(&format!("http://127.0.0.1:{port}"))?;
    let sent = send(&rpc).await?;

    let follower_port = free_port()?;
    let mut follower = machine.start("follower", "weft", follower_port)?;
    machine
        .healthy("follower", follower_port, &mut follower)
        .await?;
    let following = Rpc::new(&format!("http://127.0.0.1:{follower_port}"))?;
    until("the follower to reach the sent block", LIMIT, || async {
        Ok((following.block_number("latest").await? >= sent).then_some(()))
    })
    .await?;
    ensure!(following.block_hash(sent).await? == rpc.block_hash(sent).await?);
    until("the ledger to have a batch", LIMIT, || async {
        Ok((machine.postgres.count("batches").await? > 0).then_some(()))
    })
    .await
}

fn postgres_check(machine: &Machine) -> eyre::Result<()> {
    let check = health_check(machine.compose.service("postgres")?)?;
    let (_, port) = machine.postgres.host_and_port()?;
    let status = machine
        .place("postgres", port)?
        .health_check(&check)?
        .env("PGPORT", port.to_string())
        .status()?;
    ensure!(status.success(), "{check:?}: {status}");
    Ok(())
}

/// Runs the one-shot service twice, as two `docker compose up` do, and returns the contract.
async fn deploy(machine: &Machine, name: &str) -> eyre::Result<String> {
    let mut first = machine.start(name, "weft", 0)?;
    let status = first.wait(LIMIT).await?;
    ensure!(status.success(), "{name}: {status}\n{}", first.log());
    let printed = first.log();
    let summary = printed.lines().find(|line| line.starts_with('{'));
    let summary: Value = serde_json::from_str(summary.wrap_err("no summary")?)?;
    let contract = summary.get("contract").and_then(Value::as_str);
    let contract = contract.wrap_err("no contract")?.to_owned();
    let mut second = machine.start(name, "weft", 0)?;
    ensure!(second.wait(LIMIT).await?.success(), "{}", second.log());
    ensure!(second.log() == printed, "deployed twice:\n{}", second.log());
    Ok(contract)
}

/// Sends from an account of the compose file's genesis and returns the block.
async fn send(rpc: &Rpc) -> eyre::Result<u64> {
    let account = test_account(0)?;
    let mut sender = Sender::new(&account, L2_CHAIN_ID, rpc).await?;
    let signed = load::transfers(&mut sender, 10)?;
    load::send_all(rpc, &signed).await?;
    load::all_included(rpc, &signed, LIMIT).await?;
    rpc.block_number("latest").await
}

#[test]
fn dockerfile_has_a_health_check_that_weft_knows() -> eyre::Result<()> {
    let check = image_health_check()?;
    let ports = ["8545", "8547"].map(|port| format!("http://127.0.0.1:{port}"));
    ensure!(
        check
            == [
                "CMD", "weft", "health", "--url", &ports[0], "--url", &ports[1]
            ],
        "{check:?}"
    );
    let text = fs::read_to_string(repository().join("Dockerfile"))?;
    ensure!(text.contains("\nUSER weft\n"), "the image runs as root");
    ensure!(Path::new(&repository()).join(".dockerignore").is_file());
    Ok(())
}

/// Docker's own parser, where there is one, takes the file too.
#[test]
fn docker_compose_takes_the_file() -> eyre::Result<()> {
    let docker = |arguments: &[&str]| {
        Command::new("docker")
            .current_dir(repository())
            .arg("compose")
            .args(arguments)
            .output()
    };
    if !docker(&["version", "--short"]).is_ok_and(|output| output.status.success()) {
        skip("docker with its compose plug-in is not installed: its parser is not asked");
        return Ok(());
    }
    let output = docker(&["config", "--quiet"])?;
    let printed = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{printed}");
    Ok(())
}
