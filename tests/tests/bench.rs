//! `weft bench execute` as a user runs it.

use std::process::Output;

use eyre::{ContextCompat, ensure};
use serde_json::Value;
use weft_tests::weft::binary;

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
