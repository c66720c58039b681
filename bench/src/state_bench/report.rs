use std::{fmt, time::Duration};

use serde::Serialize;

use super::{StateBenchConfig, blocks::Measured};

/// What reading one account costs: medians, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ReadReport {
    /// For the first time after the store was opened.
    pub cold_us: f64,
    /// For the second time.
    pub warm_us: f64,
}

/// The state's costs: one JSON object. Times are medians over all blocks of all runs, in microseconds
/// for each transfer, unless they say otherwise.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StateReport {
    /// Accounts of the state.
    pub accounts: u32,
    /// Seconds that it took to build the state; `None` when it was there.
    pub build_s: Option<f64>,
    /// Its size on disk, in bytes.
    pub state_bytes: u64,
    /// Memory of all caches together, in bytes.
    pub cache_bytes: u64,
    /// Whether the system could be made to forget the files before each run.
    pub cold: bool,
    /// Threads of the engine.
    pub threads: usize,
    /// Threads that preload.
    pub preload_threads: usize,
    /// Transfers in a block.
    pub txs: usize,
    /// Blocks in a run.
    pub blocks: usize,
    /// Runs with preloading, and as many without.
    pub runs: usize,
    /// Reading accounts.
    pub reads: ReadReport,
    /// Execution without preloading.
    pub execute_us: f64,
    /// Execution with preloading.
    pub execute_preloaded_us: f64,
    /// `execute_us / execute_preloaded_us`.
    pub execute_ratio: f64,
    /// The state root without preloading.
    pub root_us: f64,
    /// The state root with preloading.
    pub root_preloaded_us: f64,
    /// Making a block durable, without preloading.
    pub commit_us: f64,
    /// Slowest commit of a block, in milliseconds, of all runs.
    pub commit_max_ms: f64,
    /// All of a run without preloading: transfers a second.
    pub tps: f64,
    /// All of a run with preloading: transfers a second.
    pub preloaded_tps: f64,
    /// Part of the keys that were given to be preloaded and were dropped.
    pub preload_dropped: f64,
    /// Part of the reads of accounts in the runs with preloading that found them in memory.
    pub preloaded_hits: f64,
}

/// The middle of the values; 0 of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

impl StateReport {
    #[expect(clippy::too_many_arguments, reason = "all that was measured")]
    pub(super) fn new(
        config: &StateBenchConfig,
        build: Option<Duration>,
        state_bytes: u64,
        cache_bytes: u64,
        cold: bool,
        reads: ReadReport,
        without: &[Measured],
        with: &[Measured],
    ) -> Self {
        let txs = config.transactions.get();
        let each = |runs: &[Measured], part: fn(&Measured) -> &Vec<Duration>| {
            let times = runs.iter().flat_map(part).map(Duration::as_secs_f64);
            median(times.collect()) * 1e6 / txs as f64
        };
        let tps = |runs: &[Measured]| {
            median(
                runs.iter()
                    .map(|run| (txs * config.blocks.get()) as f64 / run.all.as_secs_f64())
                    .collect(),
            )
        };
        let part = |some: u64, rest: u64| some as f64 / (some + rest).max(1) as f64;
        let sum = |value: fn(&Measured) -> u64| with.iter().map(value).sum::<u64>();
        let dropped = sum(|run| run.preload.dropped);
        let slowest = without.iter().chain(with).flat_map(|run| &run.commit).max();
        let execute_us = each(without, |run| &run.execute);
        let execute_preloaded_us = each(with, |run| &run.execute);
        Self {
            accounts: config.accounts.get(),
            build_s: build.map(|build| build.as_secs_f64()),
            state_bytes,
            cache_bytes,
            cold,
            threads: config.threads.get(),
            preload_threads: config.preload_threads.get(),
            txs,
            blocks: config.blocks.get(),
            runs: config.runs.get(),
            reads,
            execute_us,
            execute_preloaded_us,
            execute_ratio: execute_us / execute_preloaded_us,
            root_us: each(without, |run| &run.root),
            root_preloaded_us: each(with, |run| &run.root),
            commit_us: each(without, |run| &run.commit),
            commit_max_ms: slowest.map_or(0.0, |time| time.as_secs_f64() * 1e3),
            tps: tps(without),
            preloaded_tps: tps(with),
            preload_dropped: part(
                dropped,
                sum(|run| run.preload.cached) + sum(|run| run.preload.loaded),
            ),
            preloaded_hits: part(sum(|run| run.hits), sum(|run| run.misses)),
        }
    }
}

impl fmt::Display for StateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes / (1 << 20);
        writeln!(
            f,
            "{} accounts, {} MiB on disk, {} MiB of caches",
            self.accounts,
            mib(self.state_bytes),
            mib(self.cache_bytes)
        )?;
        if let Some(seconds) = self.build_s {
            writeln!(f, "built in {seconds:.1} s")?;
        }
        if !self.cold {
            writeln!(
                f,
                "the system did not forget the files: what is called cold may come from its memory"
            )?;
        }
        writeln!(
            f,
            "read an account     {:8.2} us cold {:8.2} us warm",
            self.reads.cold_us, self.reads.warm_us
        )?;
        writeln!(f, "a transfer          {:>11} {:>11}", "", "preloaded")?;
        for (name, without, with) in [
            ("execute", self.execute_us, self.execute_preloaded_us),
            ("state root", self.root_us, self.root_preloaded_us),
        ] {
            writeln!(f, "{name:<19} {without:8.2} us {with:8.2} us")?;
        }
        writeln!(
            f,
            "commit              {:8.2} us, slowest block {:.1} ms",
            self.commit_us, self.commit_max_ms
        )?;
        writeln!(
            f,
            "all                 {:8.0} /s {:8.0} /s",
            self.tps, self.preloaded_tps
        )?;
        write!(
            f,
            "preloading makes execution {:.2} times as fast; {:.1}% of reads found in memory, {:.1}% of keys dropped",
            self.execute_ratio,
            self.preloaded_hits * 100.0,
            self.preload_dropped * 100.0
        )
    }
}
