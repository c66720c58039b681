use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use super::{
    TransactionKind, Transport,
    metrics::{StageReport, StateReport},
};

/// What one run came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct IngestReport {
    /// `throughput`, `idle`, `rate` or `overload`.
    pub phase: &'static str,
    /// What the transactions were.
    pub workload: &'static str,
    /// How they were sent.
    pub transport: &'static str,
    /// Method that they were sent by.
    pub method: &'static str,
    /// Connections used.
    pub connections: usize,
    /// Transactions in blocks.
    pub txs: u64,
    /// From the first byte sent to the block with the last transaction seen, in seconds.
    pub seconds: f64,
    /// `txs / seconds`.
    pub tps: f64,
    /// Requests a second that were to be made; `None` where the node's answers decide.
    pub offered_tps: Option<f64>,
    /// Blocks seen meanwhile.
    pub blocks: u64,
    /// Gas that they used.
    pub gas: u64,
    /// Requests that the node answered with an error.
    pub refused: u64,
    /// The same by message.
    pub refusals: BTreeMap<String, u64>,
    /// From when a transaction was to be sent to when its block was seen.
    pub latency: LatencyReport,
    /// CPU time of the generator, in seconds.
    pub generator_cpu_s: f64,
    /// Most memory of the generator so far, in bytes.
    pub generator_peak_rss_bytes: u64,
    /// The node's process; `None` when it is not known which one it is.
    pub node: Option<NodeReport>,
    /// The stages of the node's pipeline, the busiest first; empty when the node does not say.
    pub stages: Vec<StageReport>,
    /// What transactions passed through in the node; empty when the node does not say.
    pub states: Vec<StateReport>,
    /// `cpu`, `generator`, `stage NAME` or `unknown`; only of throughput runs.
    pub limited_by: Option<String>,
    /// Why.
    pub evidence: Option<String>,
    /// Only of an overload.
    pub overload: Option<OverloadReport>,
}

/// How long things took, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct LatencyReport {
    /// Median.
    pub p50_ms: f64,
    /// 90th percentile.
    pub p90_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// What the node's process used.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct NodeReport {
    /// CPU time, in seconds.
    pub cpu_s: f64,
    /// CPU time by the names of its threads without their numbers, in seconds.
    pub threads_cpu_s: BTreeMap<String, f64>,
    /// Memory at the end, in bytes.
    pub rss_bytes: u64,
    /// Most memory so far, in bytes.
    pub peak_rss_bytes: u64,
    /// Most memory in the first quarter of the run, of samples once a second, in bytes.
    pub rss_first_quarter_bytes: u64,
    /// Most memory in the last quarter of the run.
    pub rss_last_quarter_bytes: u64,
    /// Size of its data folder on disk at the end, in bytes; `None` for a node that was running
    /// already.
    pub disk_bytes: Option<u64>,
}

/// What the node did with more than it can take.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct OverloadReport {
    /// Requests made.
    pub requests: u64,
    /// Least transactions in blocks in one second, from the fourth second to the end of the load.
    pub included_min_tps: f64,
    /// Median of the same.
    pub included_median_tps: f64,
    /// From the end of the load until all that was taken was in a block, in seconds.
    pub drain_s: f64,
    /// From the end of the load until a transaction that was sent then was in a block, in seconds.
    pub recovery_s: f64,
    /// Second by second: requests, transactions taken, refused, and in blocks.
    pub each_second: Vec<[u64; 4]>,
}

impl IngestReport {
    /// A report in which nothing is measured yet.
    pub(super) fn new(phase: &'static str, kind: TransactionKind, transport: Transport) -> Self {
        Self {
            phase,
            workload: kind.name(),
            transport: transport.name(),
            ..Self::default()
        }
    }

    /// The head of the table that reports are the rows of.
    pub const TABLE_HEAD: &str = "phase      workload  via       txs   offered    tx/s   blocks    p50 ms    p90 ms    p99 ms    max ms";
}

const MIB: u64 = 1 << 20;

/// A row, and lines about where time and memory went.
impl fmt::Display for IngestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offered = self
            .offered_tps
            .map_or_else(|| "-".to_owned(), |offered| format!("{offered:.0}"));
        write!(
            f,
            "{:<10} {:<9} {:<5} {:>7} {:>9} {:>7.0} {:>8} {:>9.2} {:>9.2} {:>9.2} {:>9.2}",
            self.phase,
            self.workload,
            self.transport,
            self.txs,
            offered,
            self.tps,
            self.blocks,
            self.latency.p50_ms,
            self.latency.p90_ms,
            self.latency.p99_ms,
            self.latency.max_ms,
        )?;
        if self.phase == "idle" {
            write!(f, "  {}", self.method)?;
            return Ok(());
        }
        write!(
            f,
            "\n    {:.2} s; generator {:.2} s of CPU, at most {} MiB",
            self.seconds,
            self.generator_cpu_s,
            self.generator_peak_rss_bytes / MIB
        )?;
        if let Some(node) = &self.node {
            write!(
                f,
                "\n    node {:.2} s of CPU, {} MiB (at most {}; first quarter {}, last {})",
                node.cpu_s,
                node.rss_bytes / MIB,
                node.peak_rss_bytes / MIB,
                node.rss_first_quarter_bytes / MIB,
                node.rss_last_quarter_bytes / MIB,
            )?;
            if let Some(disk) = node.disk_bytes {
                write!(f, ", {} MiB on disk", disk / MIB)?;
            }
            let mut threads: Vec<(&String, &f64)> = node.threads_cpu_s.iter().collect();
            threads.sort_by(|a, b| b.1.total_cmp(a.1));
            let threads: Vec<String> = threads
                .into_iter()
                .map(|(name, seconds)| format!("{name} {seconds:.2} s"))
                .collect();
            write!(f, "\n    threads of the node: {}", threads.join(", "))?;
        }
        for state in &self.states {
            write!(f, "\n    {}: mean {:.2} ms", state.state, state.mean_ms)?;
            if let Some(p99) = state.p99_ms {
                write!(f, ", 99 % within {p99} ms")?;
            }
        }
        if let (Some(by), Some(evidence)) = (&self.limited_by, &self.evidence) {
            write!(f, "\n    limited by: {by} ({evidence})")?;
        }
        if let Some(overload) = &self.overload {
            write!(
                f,
                "\n    {} requests; in blocks each second: least {:.0}, median {:.0}; all in blocks {:.2} s after the end, a new one after {:.3} s",
                overload.requests,
                overload.included_min_tps,
                overload.included_median_tps,
                overload.drain_s,
                overload.recovery_s,
            )?;
        }
        for (text, count) in &self.refusals {
            write!(f, "\n    refused {count}: {text}")?;
        }
        Ok(())
    }
}
