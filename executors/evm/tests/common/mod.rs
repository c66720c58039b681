//! What the tests over the shared fixtures have in common.
#![allow(dead_code, reason = "each test program uses a part")]

pub(crate) mod blocks;
pub(crate) mod chain;
pub(crate) mod code;
pub(crate) mod hooks;
pub(crate) mod machine;
pub(crate) mod plain;
pub(crate) mod programs;

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

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
pub(crate) fn files(folder: &Path, suffix: &str) -> Vec<PathBuf> {
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

/// What `work` makes of each file, in order, on all cores.
///
/// Not on rayon's threads: one that waits for an engine would start on another file meanwhile, and
/// so on until its stack is full.
pub(crate) fn on_all_cores<T: Send>(
    files: &[PathBuf],
    work: impl Fn(&Path) -> T + Sync,
) -> Vec<(&PathBuf, T)> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut results = Vec::new();
                    while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                        results.push((path, work(path)));
                    }
                    results
                })
            })
            .collect();
        let results = workers.into_iter().map(|worker| worker.join().unwrap());
        let mut results: Vec<_> = results.flatten().collect();
        results.sort_by_key(|(path, _)| *path);
        results
    })
}
