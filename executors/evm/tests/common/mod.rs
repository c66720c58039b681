//! What the tests over the shared fixtures have in common.
#![allow(dead_code, reason = "each test program uses a part")]

pub(crate) mod blocks;
pub(crate) mod chain;
pub(crate) mod code;
pub(crate) mod plain;
pub(crate) mod programs;

use std::path::PathBuf;

/// A folder of the fixtures beside the repository; `None`, said aloud, when it is not there.
pub(crate) fn fixtures(name: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/fixtures")
        .join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!(
        "NOT RUN: the fixtures are not at {}; nothing was checked",
        folder.display()
    );
    None
}

/// All files below a folder whose names end like this, sorted.
pub(crate) fn files(folder: &std::path::Path, suffix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(suffix) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
