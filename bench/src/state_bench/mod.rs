//! What the state costs: a chain with many accounts on disk, read cold and warm, and blocks of random
//! transfers executed on it with preloading and without, sealed and committed.

mod accounts;
mod blocks;
mod error;
mod page_cache;
mod reads;
mod report;

use std::{
    fs,
    num::{NonZeroU32, NonZeroUsize},
    path::{Path, PathBuf},
    time::Instant,
};

use weft_primitives::ChainSpec;
use weft_state::{Store, StoreOptions};

pub use error::StateBenchError;
pub use report::{ReadReport, StateReport};

use accounts::Accounts;
use blocks::Contestant;

/// What [`run_state`] measures.
#[derive(Debug, Clone)]
pub struct StateBenchConfig {
    /// Accounts of the state.
    pub accounts: NonZeroU32,
    /// Memory for caches, as a part of the state's size on disk.
    pub cache_fraction: f64,
    /// Transfers in a block.
    pub transactions: NonZeroUsize,
    /// Blocks in a run.
    pub blocks: NonZeroUsize,
    /// Threads of the engine.
    pub threads: NonZeroUsize,
    /// Threads that preload.
    pub preload_threads: NonZeroUsize,
    /// Runs with preloading, and as many without.
    pub runs: NonZeroUsize,
    /// What transfers are generated from.
    pub seed: u64,
    /// Folder for the state; a temporary one when left out. A state of as many accounts that an
    /// earlier run has left there is used again.
    pub data_dir: Option<PathBuf>,
}

/// Least cache, in bytes.
const MIN_CACHE: u64 = 4 << 20;

/// Builds the state and measures.
///
/// # Errors
/// When the store or the engine fails, or the system gives no threads.
pub fn run_state(config: &StateBenchConfig) -> Result<StateReport, StateBenchError> {
    let temporary = tempfile::tempdir()?;
    let folder = match &config.data_dir {
        Some(folder) => folder.join(format!("state-{}", config.accounts)),
        None => temporary.path().join("state"),
    };
    let spec = ChainSpec::from_json(blocks::SPEC.as_bytes())?;
    let accounts = Accounts(config.accounts.get());
    let mut build = None;
    if !folder.exists() {
        let started = Instant::now();
        let store = Store::import(&folder, &spec, &StoreOptions::default(), &accounts)?;
        drop(store);
        build = Some(started.elapsed());
    }
    let state_bytes = size_of_folder(&folder)?;
    let cache_bytes = ((state_bytes as f64 * config.cache_fraction) as u64).max(MIN_CACHE);
    let options = StoreOptions {
        // What a read costs is a block of a file; what it leaves is one entry.
        cache_bytes: cache_bytes / 2,
        hot_state_bytes: cache_bytes / 4,
        trie_bytes: cache_bytes / 4,
        ..StoreOptions::default()
    };
    let open = || -> Result<(Store, bool), StateBenchError> {
        let dropped = page_cache::drop_files(&folder)?;
        Ok((Store::open_with(&folder, &spec, &options)?, dropped))
    };
    let (store, cold) = open()?;
    let reads = reads::measure(&store, &accounts, config)?;
    drop(store);

    let (mut with, mut without) = (Vec::new(), Vec::new());
    for run in 0..config.runs.get() as u64 {
        for preload in [false, true] {
            let (store, _) = open()?;
            let contestant = Contestant {
                config,
                accounts: &accounts,
                // No account comes twice in all runs, as long as there are enough.
                seed: config.seed.wrapping_add(2 * run + u64::from(preload)),
                preload,
            };
            let measured = contestant.run(&store)?;
            if preload { &mut with } else { &mut without }.push(measured);
        }
    }
    Ok(StateReport::new(
        config,
        build,
        state_bytes,
        cache_bytes,
        cold,
        reads,
        &without,
        &with,
    ))
}

fn size_of_folder(path: &Path) -> std::io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        sum += if metadata.is_dir() {
            size_of_folder(&entry.path())?
        } else {
            metadata.len()
        };
    }
    Ok(sum)
}
