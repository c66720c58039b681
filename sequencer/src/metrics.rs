//! Prometheus metrics of the node. `docs/operations.md` lists them; names carry their units.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tokio::time;
use weft_batcher::SubmitterStatus;
use weft_state::BlockBundle;

use crate::{chain::ChainHandle, error::NodeError, mempool::Mempool, tasks::Tasks};

/// Buckets of durations, in seconds: from 50 microseconds to 10 seconds.
const DURATION_BUCKETS: [f64; 16] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 10.0,
];

/// How often the mempool's size is reported.
const MEMPOOL_PERIOD: Duration = Duration::from_secs(1);

/// How often the independence of a block's transactions is computed, at most.
const PARALLELISM_PERIOD: Duration = Duration::from_secs(1);

/// How often what histograms have taken in is folded into their buckets; until then it takes memory.
const UPKEEP_PERIOD: Duration = Duration::from_secs(5);

/// Installs the recorder of this process and describes every metric. In a process with two chains
/// (`weft dev`) both report into it, told apart by the label `chain_id`. To be called on a tokio
/// runtime.
///
/// # Errors
/// When a recorder is installed already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets(&DURATION_BUCKETS)?
        .install_recorder()?;
    describe();
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            time::sleep(UPKEEP_PERIOD).await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Every metric: kind, name, unit, help text. The base fee's unit (wei) is one that the exporter
/// does not know.
const METRICS: [(Kind, &str, Unit, &str); 24] = [
    (
        Kind::Counter,
        "weft_blocks_total",
        Unit::Count,
        "Blocks made durable",
    ),
    (
        Kind::Counter,
        "weft_transactions_total",
        Unit::Count,
        "Transactions made durable, deposits included",
    ),
    (
        Kind::Counter,
        "weft_gas_used_total",
        Unit::Count,
        "Gas used by durable blocks, in gas",
    ),
    (
        Kind::Counter,
        "weft_transactions_dropped_total",
        Unit::Count,
        "Transactions that were invalid at their turn in a block and left out",
    ),
    (
        Kind::Gauge,
        "weft_head_block_number",
        Unit::Count,
        "Number of the last durable block",
    ),
    (
        Kind::Gauge,
        "weft_safe_block_number",
        Unit::Count,
        "Number of the last safe block",
    ),
    (
        Kind::Gauge,
        "weft_finalized_block_number",
        Unit::Count,
        "Number of the last finalized block",
    ),
    (
        Kind::Gauge,
        "weft_base_fee_wei",
        Unit::Count,
        "Base fee of the last block, in wei per gas",
    ),
    (
        Kind::Gauge,
        "weft_l1_origin_number",
        Unit::Count,
        "Number of the L1 origin block",
    ),
    (
        Kind::Histogram,
        "weft_block_execution_seconds",
        Unit::Seconds,
        "Time to execute a block, compute its state root and seal it",
    ),
    (
        Kind::Histogram,
        "weft_block_commit_seconds",
        Unit::Seconds,
        "Time to write a block and fsync it",
    ),
    (
        Kind::Counter,
        "weft_reexecutions_total",
        Unit::Count,
        "Executions ahead of their turn that did not hold and were done again",
    ),
    (
        Kind::Gauge,
        "weft_predictions_bytes",
        Unit::Bytes,
        "Size of what the engine has learned, when it was written last",
    ),
    (
        Kind::Counter,
        "weft_access_lists_total",
        Unit::Count,
        "Access lists that this node was given and has checked, by outcome",
    ),
    (
        Kind::Gauge,
        "weft_block_lanes",
        Unit::Count,
        "Groups of transactions that share nothing, in the block looked at last",
    ),
    (
        Kind::Gauge,
        "weft_block_speed_up_bound",
        Unit::Count,
        "Gas over the gas of the longest chain of waiting transactions, in the block looked at last",
    ),
    (
        Kind::Gauge,
        "weft_mempool_pending_transactions",
        Unit::Count,
        "Waiting transactions that are executable",
    ),
    (
        Kind::Gauge,
        "weft_mempool_queued_transactions",
        Unit::Count,
        "Waiting transactions behind a nonce gap",
    ),
    (
        Kind::Gauge,
        "weft_batches_posted",
        Unit::Count,
        "Batches that the contract on L1 has taken",
    ),
    (
        Kind::Gauge,
        "weft_batch_failures",
        Unit::Count,
        "Attempts to post a batch that failed since the last one that did not",
    ),
    (
        Kind::Counter,
        "weft_l1_errors_total",
        Unit::Count,
        "Requests to L1 that failed or were answered with nonsense",
    ),
    (
        Kind::Counter,
        "weft_batches_verified_total",
        Unit::Count,
        "Batches that this process derived from L1 and found right",
    ),
    (
        Kind::Counter,
        "weft_rpc_requests_total",
        Unit::Count,
        "JSON-RPC requests to known methods, by method and outcome",
    ),
    (
        Kind::Histogram,
        "weft_rpc_request_duration_seconds",
        Unit::Seconds,
        "Time to answer a JSON-RPC request, by method",
    ),
];

fn describe() {
    for (kind, name, unit, help) in METRICS {
        match kind {
            Kind::Counter => describe_counter!(name, unit, help),
            Kind::Gauge => describe_gauge!(name, unit, help),
            Kind::Histogram => describe_histogram!(name, unit, help),
        }
    }
}

/// How a process came to a block.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BlockSource {
    /// It made it.
    Produced,
    /// It rebuilt it from L1.
    Derived,
}

impl BlockSource {
    /// The labels of what has to do with the blocks of the chain with this id.
    fn labels(self, chain_id: u64) -> [(&'static str, String); 2] {
        let source = match self {
            Self::Produced => "produced",
            Self::Derived => "derived",
        };
        [
            ("chain_id", chain_id.to_string()),
            ("source", source.to_owned()),
        ]
    }
}

/// Records a durable block of the chain with this id.
pub(crate) fn block_made(
    source: BlockSource,
    chain_id: u64,
    bundle: &BlockBundle,
    execution: Duration,
    commit: Duration,
    reexecutions: usize,
    dropped: usize,
) {
    let header = &bundle.block.header;
    let chain = source.labels(chain_id);
    counter!("weft_blocks_total", &chain).increment(1);
    counter!("weft_transactions_total", &chain).increment(bundle.block.transactions.len() as u64);
    counter!("weft_gas_used_total", &chain).increment(header.gas_used);
    counter!("weft_reexecutions_total", &chain).increment(reexecutions as u64);
    counter!("weft_transactions_dropped_total", &chain).increment(dropped as u64);
    gauge!("weft_head_block_number", &chain).set(header.number as f64);
    gauge!("weft_base_fee_wei", &chain).set(header.base_fee_per_gas.unwrap_or(0) as f64);
    histogram!("weft_block_execution_seconds", &chain).record(execution);
    histogram!("weft_block_commit_seconds", &chain).record(commit);
    if let Some(origin) = bundle.block.new_l1_origin() {
        gauge!("weft_l1_origin_number", &chain).set(origin.number as f64);
    }
}

/// Records a batch that was derived from L1 and found right.
pub(crate) fn batch_verified(chain_id: u64) {
    counter!("weft_batches_verified_total", "chain_id" => chain_id.to_string()).increment(1);
}

/// Records that what the engine has learned was written, in so many bytes.
pub(crate) fn predictions_kept(source: BlockSource, chain_id: u64, bytes: usize) {
    gauge!("weft_predictions_bytes", &source.labels(chain_id)).set(bytes as f64);
}

/// Records an access list that was checked.
pub(crate) fn access_list(chain_id: u64, right: bool) {
    let outcome = if right { "true" } else { "false" };
    counter!("weft_access_lists_total", "chain_id" => chain_id.to_string(), "outcome" => outcome)
        .increment(1);
}

/// Records a request to L1 that failed.
pub(crate) fn l1_error() {
    counter!("weft_l1_errors_total").increment(1);
}

/// Records what the submitter is doing.
pub(crate) fn submitter(status: &SubmitterStatus) {
    if let Some(last) = status.last_batch {
        gauge!("weft_batches_posted").set(last.count as f64);
    }
    gauge!("weft_batch_failures").set(f64::from(status.failures));
}

/// Reports the mempool's size at regular intervals.
pub(crate) fn watch_mempool(tasks: &mut Tasks, chain: &ChainHandle, mempool: Mempool) {
    let chain_id = chain.spec().chain_id().to_string();
    let stop = tasks.stop().clone();
    tasks.spawn("mempool metrics", async move {
        loop {
            let (pending, queued) = mempool.status();
            gauge!("weft_mempool_pending_transactions", "chain_id" => chain_id.clone())
                .set(pending as f64);
            gauge!("weft_mempool_queued_transactions", "chain_id" => chain_id.clone())
                .set(queued as f64);
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = time::sleep(MEMPOOL_PERIOD) => {}
            }
        }
    });
}

/// Reports how far the transactions of the newest block are independent, at most once in a period.
pub(crate) fn watch_parallelism(tasks: &mut Tasks, chain: &ChainHandle) {
    let chain = chain.clone();
    let chain_id = chain.spec().chain_id().to_string();
    let stop = tasks.stop().clone();
    tasks.spawn("parallelism metrics", async move {
        let mut head = chain.watch_head();
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = head.changed() => if changed.is_err() {
                    return Ok(());
                },
            }
            if let Some(record) = chain.recent_record() {
                let computed = tokio::task::spawn_blocking(move || {
                    let parallelism = record.parallelism();
                    (parallelism.lanes, parallelism.speed_up_bound)
                });
                let (lanes, bound) = computed.await.map_err(|error| {
                    NodeError::Setup(format!("parallelism metrics panicked: {error}"))
                })?;
                gauge!("weft_block_lanes", "chain_id" => chain_id.clone()).set(lanes as f64);
                gauge!("weft_block_speed_up_bound", "chain_id" => chain_id.clone()).set(bound);
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = time::sleep(PARALLELISM_PERIOD) => {}
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// Rows of the table of metrics in `docs/operations.md`: name, kind, meaning.
    fn documented() -> Vec<[String; 3]> {
        include_str!("../../docs/operations.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| `weft_")?.strip_suffix(" |"))
            .map(|row| {
                let mut cells = row.splitn(3, " | ");
                let mut cell = || cells.next().unwrap().to_owned();
                [
                    format!("weft_{}", cell().trim_end_matches('`')),
                    cell(),
                    cell(),
                ]
            })
            .collect()
    }

    #[test]
    fn the_operators_table_is_what_the_node_describes() {
        let described: Vec<[String; 3]> = METRICS
            .iter()
            .map(|(kind, name, _, help)| {
                let kind = format!("{kind:?}").to_lowercase();
                [(*name).to_owned(), kind, (*help).to_owned()]
            })
            .collect();
        assert_eq!(documented(), described);
    }

    fn names_in(folder: &Path, names: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                names_in(&path, names);
            } else {
                let text = fs::read_to_string(&path).unwrap();
                for recording in ["counter!(\"", "gauge!(\"", "histogram!(\""] {
                    for after in text.split(recording).skip(1) {
                        names.insert(after.split('"').next().unwrap().to_owned());
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_recorded_is_described() {
        let mut recorded = BTreeSet::new();
        names_in(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut recorded,
        );
        recorded.retain(|name| name.starts_with("weft_"));
        let described: BTreeSet<String> = METRICS
            .iter()
            .map(|(_, name, _, _)| (*name).to_owned())
            .collect();
        assert_eq!(recorded, described);
    }
}
