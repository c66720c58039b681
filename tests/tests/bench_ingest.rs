//! `weft bench ingest` as a user runs it, on a real node that it starts itself or is told of.

use std::process::Output;

use eyre::{ContextCompat, ensure};
use serde_json::Value;
use weft_tests::{anvil::Anvil, weft::binary};

async fn bench(arguments: &str) -> eyre::Result<Output> {
    let mut weft = tokio::process::Command::new(binary().await?);
    let arguments = arguments.split_whitespace();
    let output = weft.args(["bench", "ingest"]).args(arguments).output();
    Ok(output.await?)
}

/// The reports of a run that succeeds.
async fn reports(arguments: &str) -> eyre::Result<Vec<Value>> {
    let output = bench(&format!("{arguments} --json")).await?;
    ensure!(output.status.success(), "{arguments}: {output:?}");
    let text = String::from_utf8(output.stdout)?;
    let lines = text.lines().map(serde_json::from_str);
    Ok(lines.collect::<Result<_, _>>()?)
}

fn number(report: &Value, pointer: &str) -> eyre::Result<f64> {
    let value = report.pointer(pointer).and_then(Value::as_f64);
    value.wrap_err_with(|| format!("no number {pointer} in {report}"))
}

async fn error(arguments: &str) -> eyre::Result<String> {
    let output = bench(arguments).await?;
    ensure!(!output.status.success(), "{arguments}: {output:?}");
    Ok(String::from_utf8(output.stderr)?)
}

#[tokio::test]
async fn every_transport_and_workload_brings_all_transactions_into_blocks() -> eyre::Result<()> {
    for (transport, workload, least_gas) in [
        ("http", "transfers", 21_000.0),
        ("batch", "erc20", 30_000.0),
        ("ws", "mix", 26_000.0),
    ] {
        let arguments = format!(
            "--txs 300 --senders 20 --receivers 40 --connections 4 --batch 10 --runs 2 --transport {transport} --workload {workload}"
        );
        let reports = reports(&arguments).await?;
        ensure!(reports.len() == 2, "{reports:?}");
        for report in reports {
            ensure!(report["phase"] == "throughput", "{report}");
            ensure!(report["transport"] == transport, "{report}");
            ensure!(report["workload"] == workload, "{report}");
            ensure!(report["txs"] == 300 && report["refused"] == 0, "{report}");
            ensure!(number(&report, "/gas")? >= 300.0 * least_gas, "{report}");
            ensure!(number(&report, "/blocks")? >= 1.0, "{report}");
            for positive in [
                "/seconds",
                "/tps",
                "/latency/p50_ms",
                "/latency/max_ms",
                "/generator_peak_rss_bytes",
                "/node/rss_bytes",
                "/node/disk_bytes",
            ] {
                ensure!(number(&report, positive)? > 0.0, "{positive}: {report}");
            }
            ensure!(report["limited_by"].is_string(), "{report}");
            ensure!(report["evidence"].is_string(), "{report}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn latencies_and_an_overload_are_measured() -> eyre::Result<()> {
    let reports = reports(
        "--txs 400 --senders 50 --batch 10 --connections 2 --transport batch --idle 5 --fractions 0.5 --overload 3 --seconds 2",
    )
    .await?;
    let phases: Vec<&str> = reports
        .iter()
        .filter_map(|report| report["phase"].as_str())
        .collect();
    ensure!(phases == ["idle", "idle", "throughput", "rate", "overload"]);
    let [http, ws, throughput, rate, overload] = &reports[..] else {
        eyre::bail!("{reports:?}");
    };
    ensure!(http["transport"] == "http" && ws["transport"] == "ws");
    for idle in [http, ws] {
        ensure!(idle["txs"] == 5, "{idle}");
        ensure!(idle["method"] == "eth_sendRawTransactionSync", "{idle}");
        ensure!(number(idle, "/latency/p50_ms")? <= number(idle, "/latency/max_ms")?);
    }
    let most = number(throughput, "/tps")?;
    let offered = number(rate, "/offered_tps")?;
    ensure!((offered - most / 2.0).abs() < 0.001 * most, "{rate}");
    ensure!(number(rate, "/txs")? == (offered * 2.0).floor(), "{rate}");
    let offered = number(overload, "/offered_tps")?;
    ensure!((offered - most * 3.0).abs() < 0.001 * most, "{overload}");
    let requests = number(overload, "/overload/requests")?;
    let refused = number(overload, "/refused")?;
    ensure!(
        number(overload, "/txs")? == requests - refused,
        "{overload}"
    );
    ensure!(
        number(overload, "/overload/recovery_s")? > 0.0,
        "{overload}"
    );
    Ok(())
}

#[tokio::test]
async fn refusals_are_counted_and_tried_again() -> eyre::Result<()> {
    // Forty waiting transactions fill the pool, and a block comes twice a second.
    let reports = reports(
        "--txs 200 --senders 30 --connections 2 --batch 30 --transport batch --set mempool.max_transactions=40 --set block.min_interval_ms=500",
    )
    .await?;
    let [report] = &reports[..] else {
        eyre::bail!("{reports:?}");
    };
    ensure!(report["txs"] == 200, "{report}");
    let refusals = report["refusals"].as_object().wrap_err("no refusals")?;
    let counted: u64 = refusals.values().filter_map(Value::as_u64).sum();
    ensure!(counted > 0 && report["refused"] == counted, "{report}");
    ensure!(
        refusals.keys().all(|text| text.contains("txpool is full")),
        "{report}"
    );
    Ok(())
}

#[tokio::test]
async fn another_node_is_driven_by_the_same_transactions() -> eyre::Result<()> {
    let Some(anvil) = Anvil::start().await? else {
        return Ok(());
    };
    let arguments = format!(
        "--url {} --pid {} --txs 60 --senders 20 --in-flight 20 --connections 2 --runs 2 --idle 3",
        anvil.rpc.url(),
        anvil.process.id(),
    );
    for report in reports(&arguments).await? {
        let expected = if report["phase"] == "idle" { 3 } else { 60 };
        ensure!(report["txs"] == expected, "{report}");
        if report["phase"] == "throughput" {
            ensure!(number(&report, "/node/rss_bytes")? > 0.0, "{report}");
            ensure!(report["stages"] == serde_json::json!([]), "{report}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn says_what_is_wrong() -> eyre::Result<()> {
    for (arguments, expected) in [
        (
            "--workload erc21",
            "no workload \"erc21\": expected transfers",
        ),
        ("--transport smoke", "no transport \"smoke\": expected http"),
        ("--url http://127.0.0.1:1", "cannot connect to 127.0.0.1:1"),
        ("--url localhost", "URL \"localhost\": expected http://"),
        ("--set rpc.prot=1", "rpc.prot"),
        // The first transaction of the preparation is refused.
        (
            "--set mempool.min_tip_wei=2000000000 --set rpc.min_suggested_tip_wei=2000000000",
            "transaction underpriced",
        ),
    ] {
        let error = error(arguments).await?;
        ensure!(error.contains(expected), "{arguments}: {error}");
    }
    Ok(())
}
