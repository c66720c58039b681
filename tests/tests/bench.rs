//! `weft bench execute` and `weft bench encode` as a user runs them.

use std::{path::Path, process::Output};

use eyre::{ContextCompat, ensure};
use serde_json::Value;
use weft_tests::{skip::skip, weft::binary};

async fn bench(arguments: &[&str]) -> eyre::Result<Output> {
    let mut weft = tokio::process::Command::new(binary().await?);
    let output = weft.args(["bench", "execute"]).args(arguments).output();
    Ok(output.await?)
}

#[tokio::test]
async fn prints_one_json_line_with_all_fields() -> eyre::Result<()> {
    let arguments = "--workload transfers --txs 200 --runs 1 --threads 2 --json";
    let output = bench(&arguments.split(' ').collect::<Vec<_>>()).await?;
    ensure!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout)?;
    let line = text.strip_suffix('\n').wrap_err("no end of line")?;
    ensure!(!line.contains('\n'), "{text}");
    let report: Value = serde_json::from_str(line)?;
    let field = |name: &str| {
        let value = report.get(name);
        value.wrap_err_with(|| format!("no {name} in {report}"))
    };
    ensure!(field("workload")? == "transfers");
    ensure!(field("threads")? == 2 && field("txs")? == 200 && field("runs")? == 1);
    ensure!(field("gas")? == 200 * 21_000);
    for name in [
        "plain_ms",
        "oracle_ms",
        "engine_ms",
        "plain_min_ms",
        "oracle_min_ms",
        "engine_min_ms",
        "ratio",
    ] {
        let value = field(name)?.as_f64();
        ensure!(value.is_some_and(|value| value > 0.0), "{name}: {value:?}");
    }
    for name in ["seed", "reexecutions", "lanes"] {
        ensure!(field(name)?.is_u64(), "{name}");
    }
    ensure!(field("min_ratio_block")?.is_null());
    Ok(())
}

#[tokio::test]
async fn says_what_is_wrong() -> eyre::Result<()> {
    for (arguments, expected) in [
        ("--workload erc21", "no workload \"erc21\""),
        ("--workload fixtures", "--fixtures DIR"),
        ("--workload transfers --txs 0", "invalid value '0'"),
    ] {
        let output = bench(&arguments.split(' ').collect::<Vec<_>>()).await?;
        ensure!(!output.status.success(), "{arguments}: {output:?}");
        let error = String::from_utf8(output.stderr)?;
        ensure!(error.contains(expected), "{arguments}: {error}");
    }
    Ok(())
}

/// Two real blocks of 60 and 44 transactions, or a skip when there are no fixtures.
fn two_fixtures() -> eyre::Result<Option<tempfile::TempDir>> {
    let given = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures/mainnet");
    if !given.is_dir() {
        skip("weft bench encode: no mainnet fixtures");
        return Ok(None);
    }
    let folder = tempfile::tempdir()?;
    for name in ["19933122.json.gz", "6137495.json.gz"] {
        std::fs::copy(given.join(name), folder.path().join(name))?;
    }
    Ok(Some(folder))
}

#[tokio::test]
async fn encode_prints_one_json_object() -> eyre::Result<()> {
    let Some(folder) = two_fixtures()? else {
        return Ok(());
    };
    let mut weft = tokio::process::Command::new(binary().await?);
    let output = weft
        .args(["bench", "encode", "--runs", "1", "--json", "--fixtures"])
        .arg(folder.path())
        .output()
        .await?;
    ensure!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let number = |name: &str| {
        let value = report.get(name).and_then(Value::as_f64);
        value.wrap_err_with(|| format!("no {name} in {report}"))
    };
    ensure!(
        number("blocks")? == 2.0 && number("batches")? == 1.0,
        "{report}"
    );
    ensure!(number("txs")? == 104.0, "{report}");
    ensure!(number("signature_bytes_per_tx")? == 64.0, "{report}");
    let bytes = number("bytes_per_tx")?;
    ensure!(
        bytes > 64.0 && bytes < number("raw_bytes")? / 104.0,
        "{report}"
    );
    ensure!((bytes * 104.0 - number("bytes")?).abs() < 0.5, "{report}");
    for name in ["mb_per_s", "decode_mb_per_s", "alone_bytes_per_tx", "level"] {
        ensure!(number(name)? > 0.0, "{name}: {report}");
    }
    let levels = report["levels"].as_array().wrap_err("no levels")?;
    ensure!(levels.len() == 4, "{report}");
    Ok(())
}

#[tokio::test]
async fn encode_says_that_there_are_no_fixtures() -> eyre::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut weft = tokio::process::Command::new(binary().await?);
    let output = weft
        .args(["bench", "encode", "--fixtures"])
        .arg(folder.path())
        .output()
        .await?;
    ensure!(!output.status.success(), "{output:?}");
    let error = String::from_utf8(output.stderr)?;
    ensure!(error.contains("no fixtures"), "{error}");
    Ok(())
}
