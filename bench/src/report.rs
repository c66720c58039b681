use std::fmt;

use serde::Serialize;

use crate::measure::BlockMeasurement;

/// Blocks of at most so many transactions do not count for [`Report::min_ratio_block`].
const SMALL_BLOCK: usize = 50;

/// One workload, measured: one JSON object. Times are in milliseconds for the whole block, or summed
/// over all blocks of the fixtures; ratios are speed-ups over plain revm, of medians.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The workload's name, or `fixtures`.
    pub workload: String,
    /// Threads that the engine may use.
    pub threads: usize,
    /// Transactions, in all blocks.
    pub txs: usize,
    /// Gas used, in all blocks.
    pub gas: u64,
    /// What the workload was generated from; `None` for fixtures.
    pub seed: Option<u64>,
    /// Runs of each contestant that were counted.
    pub runs: usize,
    /// Median of the plain loop over revm.
    pub plain_ms: f64,
    /// Median of the sequential oracle.
    pub oracle_ms: f64,
    /// Median of the engine.
    pub engine_ms: f64,
    /// Fastest run of the plain loop.
    pub plain_min_ms: f64,
    /// Fastest run of the oracle.
    pub oracle_min_ms: f64,
    /// Fastest run of the engine.
    pub engine_min_ms: f64,
    /// `plain_ms / engine_ms`.
    pub ratio: f64,
    /// `plain_ms / oracle_ms`.
    pub oracle_ratio: f64,
    /// Transactions a second of the plain loop, by its median.
    pub plain_tps: f64,
    /// Of the fixtures' blocks with more than 50 transactions, the one with the least ratio.
    pub min_ratio_block: Option<BlockRatio>,
    /// Transactions that the engine executed again in its last run.
    pub reexecutions: usize,
    /// Groups of transactions that share nothing; of several blocks, the most.
    pub lanes: usize,
    /// How many times faster than one thread any number of threads can be, by gas: gas divided by
    /// that of the longest chain of transactions that wait for each other. Blocks wait for each other.
    pub speed_up_bound: f64,
    /// The fixtures one by one; empty for a generated workload.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<BlockReport>,
}

/// A block and the engine's speed-up on it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BlockRatio {
    /// Number of the block.
    pub number: u64,
    /// `plain_ms / engine_ms` of medians.
    pub ratio: f64,
}

/// One block of the fixtures, measured. Medians, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the fields are those of `Report`")]
pub struct BlockReport {
    pub number: u64,
    pub txs: usize,
    pub gas: u64,
    pub plain_ms: f64,
    pub oracle_ms: f64,
    pub engine_ms: f64,
    pub ratio: f64,
    pub reexecutions: usize,
    pub lanes: usize,
    pub speed_up_bound: f64,
}

/// Without gas there is nothing to do faster.
fn speed_up_bound(gas: u64, critical_path_gas: u64) -> f64 {
    if critical_path_gas == 0 {
        1.0
    } else {
        gas as f64 / critical_path_gas as f64
    }
}

impl BlockReport {
    fn new(number: u64, block: &BlockMeasurement) -> Self {
        let plain_ms = block.plain.median_ms().unwrap_or_default();
        let engine_ms = block.engine.median_ms().unwrap_or_default();
        Self {
            number,
            txs: block.transactions,
            gas: block.gas,
            plain_ms,
            oracle_ms: block.oracle.median_ms().unwrap_or_default(),
            engine_ms,
            ratio: plain_ms / engine_ms,
            reexecutions: block.stats.reexecutions,
            lanes: block.lanes,
            speed_up_bound: speed_up_bound(block.gas, block.critical_path_gas),
        }
    }
}

impl Report {
    /// A report of one generated block.
    pub(crate) fn of_workload(
        workload: &str,
        threads: usize,
        seed: u64,
        runs: usize,
        block: &BlockMeasurement,
    ) -> Self {
        Self {
            seed: Some(seed),
            ..Self::of_blocks(workload, threads, runs, [block])
        }
    }

    /// A report of real blocks, with their numbers.
    pub(crate) fn of_fixtures(
        threads: usize,
        runs: usize,
        blocks: &[(u64, BlockMeasurement)],
    ) -> Self {
        let total = Self::of_blocks(
            "fixtures",
            threads,
            runs,
            blocks.iter().map(|(_, block)| block),
        );
        let blocks: Vec<BlockReport> = blocks
            .iter()
            .map(|(number, block)| BlockReport::new(*number, block))
            .collect();
        let min_ratio_block = blocks
            .iter()
            .filter(|block| block.txs > SMALL_BLOCK)
            .map(|block| BlockRatio {
                number: block.number,
                ratio: block.ratio,
            })
            .min_by(|a, b| a.ratio.total_cmp(&b.ratio));
        Self {
            min_ratio_block,
            blocks,
            ..total
        }
    }

    fn of_blocks<'a>(
        workload: &str,
        threads: usize,
        runs: usize,
        blocks: impl IntoIterator<Item = &'a BlockMeasurement> + Clone,
    ) -> Self {
        let blocks = || blocks.clone().into_iter();
        // Every contestant has run on every block.
        let sum =
            |time: fn(&BlockMeasurement) -> Option<f64>| -> f64 { blocks().filter_map(time).sum() };
        let plain_ms = sum(|block| block.plain.median_ms());
        let oracle_ms = sum(|block| block.oracle.median_ms());
        let engine_ms = sum(|block| block.engine.median_ms());
        let txs: usize = blocks().map(|block| block.transactions).sum();
        let gas = blocks().map(|block| block.gas).sum();
        let critical_path_gas = blocks().map(|block| block.critical_path_gas).sum();
        Self {
            workload: workload.to_owned(),
            threads,
            txs,
            gas,
            seed: None,
            runs,
            plain_ms,
            oracle_ms,
            engine_ms,
            plain_min_ms: sum(|block| block.plain.min_ms()),
            oracle_min_ms: sum(|block| block.oracle.min_ms()),
            engine_min_ms: sum(|block| block.engine.min_ms()),
            ratio: plain_ms / engine_ms,
            oracle_ratio: plain_ms / oracle_ms,
            plain_tps: 1000.0 * txs as f64 / plain_ms,
            min_ratio_block: None,
            reexecutions: blocks().map(|block| block.stats.reexecutions).sum(),
            lanes: blocks().map(|block| block.lanes).max().unwrap_or_default(),
            speed_up_bound: speed_up_bound(gas, critical_path_gas),
            blocks: Vec::new(),
        }
    }

    /// The head of the table that reports are the rows of.
    pub const TABLE_HEAD: &str = "workload            txs   plain ms  oracle ms  engine ms   ratio  (oracle)  re-executed   lanes   bound";
}

/// A row, and for fixtures a row for each block.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for block in &self.blocks {
            let row = Row {
                name: &block.number.to_string(),
                txs: block.txs,
                plain_ms: block.plain_ms,
                oracle_ms: block.oracle_ms,
                engine_ms: block.engine_ms,
                reexecutions: block.reexecutions,
                lanes: block.lanes,
                speed_up_bound: block.speed_up_bound,
            };
            writeln!(f, "{row}")?;
        }
        let row = Row {
            name: &self.workload,
            txs: self.txs,
            plain_ms: self.plain_ms,
            oracle_ms: self.oracle_ms,
            engine_ms: self.engine_ms,
            reexecutions: self.reexecutions,
            lanes: self.lanes,
            speed_up_bound: self.speed_up_bound,
        };
        write!(f, "{row}")?;
        if let Some(BlockRatio { number, ratio }) = self.min_ratio_block {
            write!(
                f,
                "\nleast ratio of a block of more than {SMALL_BLOCK} transactions: {ratio:.2} (block {number})"
            )?;
        }
        Ok(())
    }
}

struct Row<'a> {
    name: &'a str,
    txs: usize,
    plain_ms: f64,
    oracle_ms: f64,
    engine_ms: f64,
    reexecutions: usize,
    lanes: usize,
    speed_up_bound: f64,
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<16} {:>6} {:>10.3} {:>10.3} {:>10.3} {:>7.2} {:>9.2} {:>12} {:>7} {:>7.1}",
            self.name,
            self.txs,
            self.plain_ms,
            self.oracle_ms,
            self.engine_ms,
            self.plain_ms / self.engine_ms,
            self.plain_ms / self.oracle_ms,
            self.reexecutions,
            self.lanes,
            self.speed_up_bound,
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::measure::Laps;

    fn block(transactions: usize, plain: u64, oracle: u64, engine: u64) -> BlockMeasurement {
        let laps = |ms| {
            let mut laps = Laps::default();
            laps.push(Duration::from_millis(ms));
            laps
        };
        BlockMeasurement {
            transactions,
            gas: 100,
            plain: laps(plain),
            oracle: laps(oracle),
            engine: laps(engine),
            ..BlockMeasurement::default()
        }
    }

    #[test]
    fn fixtures_are_summed_and_the_slowest_large_block_is_named() {
        let blocks = [
            (10, block(50, 10, 20, 40)),
            (11, block(51, 10, 20, 8)),
            (12, block(60, 20, 20, 10)),
        ];
        let report = Report::of_fixtures(2, 1, &blocks);
        assert_eq!((report.txs, report.gas), (161, 300));
        assert_eq!(
            (report.plain_ms, report.oracle_ms, report.engine_ms),
            (40.0, 60.0, 58.0)
        );
        assert_eq!(report.ratio, 40.0 / 58.0);
        assert_eq!(report.plain_min_ms, 40.0);
        assert_eq!(report.plain_tps, 161_000.0 / 40.0);
        let least = BlockRatio {
            number: 11,
            ratio: 1.25,
        };
        assert_eq!(report.min_ratio_block, Some(least));
        assert_eq!(report.blocks.len(), 3);
        assert_eq!(report.blocks[0].ratio, 0.25);
        let lines = report.to_string();
        assert_eq!(lines.lines().count(), 3 + 1 + 1, "{lines}");
        let columns = Report::TABLE_HEAD.len();
        assert!(
            lines.lines().take(4).all(|line| line.len() == columns),
            "{lines}"
        );
    }

    #[test]
    fn small_blocks_alone_name_none() {
        let report = Report::of_fixtures(2, 1, &[(10, block(50, 10, 20, 40))]);
        assert_eq!(report.min_ratio_block, None);
    }
}
