//! A failure to write tables in the background is seen without writing another block: an idle node
//! would not notice.
//!
//! The store runs in a process of its own, this test binary again, on the faulty disk of
//! `tests/faults/inject.c`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at what it did not expect"
)]

mod common;

use std::{
    env, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use alloy_primitives::{Bytes, keccak256};
use common::{bundle_on, options, spec};
use weft_executor_core::ChangeSet;
use weft_state::{Store, StoreOptions};

const FOLDER: &str = "WEFT_TEST_FOLDER";
const CONTROL: &str = "WEFT_FAULTS_CONTROL";

/// They are soon full.
fn small_memtables() -> StoreOptions {
    StoreOptions {
        memtable_bytes: 64 << 10,
        ..options()
    }
}

/// The compiled layer, or `None` after saying that there is no compiler.
fn layer(folder: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/faults/inject.c");
    let library = folder.join("inject.so");
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-O2", "-o"])
        .args([&library, &source])
        .args(["-ldl", "-lpthread"]);
    match compiler.status() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("SKIPPED: no C compiler (cc): the faulty disk cannot be made");
            None
        }
        status => {
            assert!(status.unwrap().success());
            Some(library)
        }
    }
}

#[test]
fn a_failure_in_the_background_is_seen_without_another_block() {
    let folder = tempfile::tempdir().unwrap();
    let Some(layer) = layer(folder.path()) else {
        return;
    };
    let (path, control) = (folder.path().join("data"), folder.path().join("control"));
    fs::create_dir(&control).unwrap();
    let output = Command::new(env::current_exe().unwrap())
        .args(["child_writes_until_tables_fail", "--exact", "--ignored"])
        .arg("--nocapture")
        .env(FOLDER, &path)
        .env("LD_PRELOAD", layer)
        .env("WEFT_FAULTS_BELOW", &path)
        .env(CONTROL, &control)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("unwritable"), "{text}");
    let hits = fs::read_to_string(control.join("hits")).unwrap();
    assert!(hits.contains("ENOSPC"), "{hits}");
    let committed: u64 = text
        .lines()
        .filter_map(|line| line.strip_prefix("committed ")?.parse().ok())
        .next_back()
        .unwrap();
    let store = Store::open_with(&path, &spec(), &small_memtables()).unwrap();
    assert!(store.head().unwrap().number >= committed);
    store.check_writable().unwrap();
}

#[test]
#[ignore = "the child of a_failure_in_the_background_is_seen_without_another_block"]
fn child_writes_until_tables_fail() {
    let Some(path) = env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let store = Store::open_with(&path, &spec(), &small_memtables()).unwrap();
    store.check_writable().unwrap();
    // A table can be made, the list that names it cannot.
    let control = PathBuf::from(env::var_os(CONTROL).unwrap());
    fs::write(control.join("new"), "open /keyspaces/ 1 -1 ENOSPC").unwrap();
    fs::rename(control.join("new"), control.join("plan")).unwrap();
    for number in 1..=4u64 {
        let mut code = vec![7; 100 << 10];
        code[..8].copy_from_slice(&number.to_be_bytes());
        let mut changes = ChangeSet::default();
        changes.code.insert(keccak256(&code), Bytes::from(code));
        // The failure may come before the last one.
        if store
            .commit(&bundle_on(&store, changes, Vec::new()))
            .is_ok()
        {
            println!("committed {number}");
        }
    }
    let started = Instant::now();
    while store.check_writable().is_ok() {
        assert!(started.elapsed() < Duration::from_secs(60), "no failure");
        thread::yield_now();
    }
    println!("unwritable");
}
