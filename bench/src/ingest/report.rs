use std::{collections::BTreeMap, fmt};

use serde::Serialize;

/// What one run came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IngestReport {
    /// `throughput`.
    pub phase: &'static str,
    /// What the transactions were.
    pub workload: &'static str,
    /// How they were sent.
    pub transport: &'static str,
    /// Transactions in blocks.
    pub txs: u64,
    /// From the first byte sent to the block with the last transaction seen, in seconds.
    pub seconds: f64,
    /// `txs / seconds`.
    pub tps: f64,
    /// Blocks seen meanwhile.
    pub blocks: u64,
    /// Gas that they used.
    pub gas: u64,
    /// Requests that the node answered with an error.
    pub refused: u64,
    /// The same by message.
    pub refusals: BTreeMap<String, u64>,
    /// From when a transaction was to be sent to when its block was seen, in milliseconds.
    pub p50_ms: f64,
    /// 90th percentile.
    pub p90_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// CPU time of the generator, in seconds.
    pub generator_cpu_s: f64,
    /// CPU time of the node, in seconds; `None` for a node that this did not start.
    pub node_cpu_s: Option<f64>,
    /// The same by the names of its threads.
    pub node_threads_cpu_s: BTreeMap<String, f64>,
    /// Memory of the node at the end, in bytes.
    pub node_rss_bytes: Option<u64>,
    /// Most memory of the node so far, in bytes.
    pub node_peak_rss_bytes: Option<u64>,
    /// Size of the node's data folder at the end, in bytes.
    pub node_disk_bytes: Option<u64>,
}

impl IngestReport {
    /// The head of the table that reports are the rows of.
    pub const TABLE_HEAD: &str = "phase        workload   via       txs  seconds     tx/s  blocks   p50 ms   p99 ms  node cpu  gen cpu  peak MiB";
}

impl fmt::Display for IngestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<12} {:<10} {:<5} {:>7} {:>8.3} {:>8.0} {:>7} {:>8.2} {:>8.2} {:>8.2}s {:>7.2}s {:>9}",
            self.phase,
            self.workload,
            self.transport,
            self.txs,
            self.seconds,
            self.tps,
            self.blocks,
            self.p50_ms,
            self.p99_ms,
            self.node_cpu_s.unwrap_or_default(),
            self.generator_cpu_s,
            self.node_peak_rss_bytes.unwrap_or_default() >> 20,
        )?;
        for (name, seconds) in &self.node_threads_cpu_s {
            write!(f, "\n    node thread {name:<20} {seconds:>6.2}s cpu")?;
        }
        for (text, count) in &self.refusals {
            write!(f, "\n    refused {count}: {text}")?;
        }
        Ok(())
    }
}
