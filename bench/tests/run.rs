//! Whole measurements, small: all contestants run and agree, and the report has what was asked for.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use weft_bench::{BenchError, Crafted, Report, RunConfig, Selection, Workload, run};

fn config(selection: &str) -> RunConfig {
    RunConfig {
        selection: selection.parse().unwrap(),
        threads: NonZeroUsize::new(2).unwrap(),
        seed: 5,
        runs: NonZeroUsize::MIN,
        transactions: NonZeroUsize::new(150),
        fixtures: None,
    }
}

fn reports(config: &RunConfig) -> (Vec<Report>, Option<String>) {
    let mut reports = Vec::new();
    let left_out = run(config, |report| reports.push(report)).unwrap();
    (reports, left_out)
}

#[test]
fn all_measures_every_workload_and_says_that_fixtures_are_missing() {
    let folder = tempfile::tempdir().unwrap();
    let config = RunConfig {
        fixtures: Some(folder.path().to_owned()),
        ..config("all")
    };
    let (reports, left_out) = reports(&config);
    let names: Vec<&str> = reports.iter().map(|report| &*report.workload).collect();
    assert_eq!(names, Workload::ALL.map(Workload::name));
    for report in &reports {
        assert_eq!((report.txs, report.threads), (150, 2), "{report:?}");
        assert_eq!((report.seed, report.runs), (Some(5), 1), "{report:?}");
        for ms in [report.plain_ms, report.oracle_ms, report.engine_ms] {
            assert!(ms > 0.0, "{report:?}");
        }
        assert_eq!(report.ratio, report.plain_ms / report.engine_ms);
        // With one run the median is the minimum.
        assert_eq!(report.engine_ms, report.engine_min_ms);
    }
    let left_out = left_out.unwrap();
    let folder = folder.path().to_str().unwrap();
    assert!(left_out.contains(folder), "{left_out}");
}

#[test]
fn crafted_blocks_are_measured_on_their_own() {
    let config = RunConfig {
        transactions: NonZeroUsize::new(60),
        ..config("crafted")
    };
    let (reports, left_out) = reports(&config);
    let names: Vec<&str> = reports.iter().map(|report| &*report.workload).collect();
    assert_eq!(names, Crafted::ALL.map(Crafted::name));
    assert_eq!(left_out, None);
    for name in names {
        assert!(name.parse::<Selection>().is_ok(), "{name}");
    }
}

#[test]
fn fixtures_alone_must_be_there() {
    let none = run(&config("fixtures"), |_| {});
    assert!(
        matches!(none, Err(BenchError::NoFixturesFolder)),
        "{none:?}"
    );

    let folder = tempfile::tempdir().unwrap();
    let config = RunConfig {
        fixtures: Some(folder.path().to_owned()),
        ..config("fixtures")
    };
    let empty = run(&config, |_| {});
    assert!(matches!(empty, Err(BenchError::NoFixtures(_))), "{empty:?}");

    fs::write(folder.path().join("1.json.gz"), b"not gzip").unwrap();
    let broken = run(&config, |_| {});
    assert!(
        matches!(broken, Err(BenchError::Fixture { .. })),
        "{broken:?}"
    );
}

#[test]
fn fixtures_are_measured_block_by_block() {
    let given = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures/mainnet");
    if !given.is_dir() {
        eprintln!("NOT RUN: the fixtures are not at {}", given.display());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // 83 and 9 transactions.
    for name in ["116525.json.gz", "1150000.json.gz"].map(PathBuf::from) {
        fs::copy(given.join(&name), folder.path().join(&name)).unwrap();
    }
    let config = RunConfig {
        fixtures: Some(folder.path().to_owned()),
        ..config("fixtures")
    };
    let (reports, left_out) = reports(&config);
    assert_eq!((reports.len(), left_out), (1, None));
    let report = &reports[0];
    assert_eq!((&*report.workload, report.txs), ("fixtures", 92));
    let blocks: Vec<_> = report.blocks.iter().map(|b| (b.number, b.txs)).collect();
    assert_eq!(blocks, [(116_525, 83), (1_150_000, 9)]);
    assert_eq!(report.min_ratio_block.unwrap().number, 116_525);
}

#[test]
fn unknown_workloads_are_named() {
    let error = "erc21".parse::<Selection>().unwrap_err().to_string();
    assert!(
        error.contains("\"erc21\"") && error.contains("amm-100"),
        "{error}"
    );
}
