//! Prometheus metrics of the node. `docs/operations.md` lists them; names carry their units.

mod l1;
mod table;
mod watch;

use std::time::{Duration, Instant};

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tokio::time;
use weft_state::BlockBundle;

pub(crate) use l1::{batch_verified, blocks_unwound, l1_error, l1_lane, origin_dropped, submitter};
use table::{Kind, METRICS};
pub(crate) use watch::{watch_history, watch_mempool, watch_parallelism, watch_state};

/// Buckets of durations, in seconds: from 50 microseconds to 10 seconds.
const DURATION_BUCKETS: [f64; 16] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 10.0,
];

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

fn describe() {
    for &(kind, name, unit, help) in METRICS {
        match kind {
            Kind::Counter => describe_counter!(name, unit, help),
            Kind::Gauge => describe_gauge!(name, unit, help),
            Kind::Histogram => describe_histogram!(name, unit, help),
        }
    }
}

/// How a process came to a block.
#[derive(Debug, Clone, Copy)]
pub enum BlockSource {
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

/// A stage that works on blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Execution of a block.
    Execute,
    /// State root and header.
    Seal,
    /// Writing and fsync.
    Commit,
}

impl Stage {
    /// Its place among the metrics of stages.
    const fn index(self) -> usize {
        match self {
            Self::Execute => 0,
            Self::Seal => 1,
            Self::Commit => 2,
        }
    }
}

/// Where the controller of one chain's blocks reports.
pub(crate) struct ElasticMetrics {
    gas_limit: Gauge,
    interval: Gauge,
    pressure: Gauge,
    blocks: Gauge,
    bytes: Gauge,
    age: Gauge,
}

impl ElasticMetrics {
    pub(crate) fn new(chain_id: u64) -> Self {
        let chain = [("chain_id", chain_id.to_string())];
        Self {
            gas_limit: gauge!("weft_block_gas_limit", &chain),
            interval: gauge!("weft_block_interval_seconds", &chain),
            pressure: gauge!("weft_pressure_ratio", &chain),
            blocks: gauge!("weft_l1_backlog_blocks", &chain),
            bytes: gauge!("weft_l1_backlog_bytes", &chain),
            age: gauge!("weft_l1_backlog_age_seconds", &chain),
        }
    }

    /// Records what the next block may be; `pressure` in thousandths.
    pub(crate) fn decided(&self, gas_limit: u64, interval: Duration, pressure: u32) {
        self.gas_limit.set(gas_limit as f64);
        self.interval.set(interval);
        self.pressure.set(f64::from(pressure) / 1000.0);
    }

    /// Records what is not safe yet; `age` in seconds.
    pub(crate) fn backlog(&self, blocks: u64, bytes: u64, age: u64) {
        self.blocks.set(blocks as f64);
        self.bytes.set(bytes as f64);
        self.age.set(age as f64);
    }
}

/// Why a message or a transaction was answered with an error before any work on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Its client has made too many requests.
    Requests,
    /// Its client has sent too many transactions.
    Sends,
    /// Too many messages are in work.
    Busy,
}

/// Records a refusal.
pub(crate) fn refused(reason: Refused) {
    let reason = match reason {
        Refused::Requests => "requests",
        Refused::Sends => "sends",
        Refused::Busy => "busy",
    };
    counter!("weft_rpc_refused_total", "reason" => reason).increment(1);
}

/// What has become of a sent transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransactionState {
    /// It is in a block, which is not durable yet.
    Executed,
    /// Its block is durable.
    Durable,
}

/// Where the blocks of one chain are recorded; handles to the metrics are looked up once.
#[derive(Clone)]
pub(crate) struct BlockMetrics {
    blocks: Counter,
    transactions: Counter,
    gas: Counter,
    reexecutions: Counter,
    dropped: Counter,
    head: Gauge,
    base_fee: Gauge,
    l1_origin: Gauge,
    queues: [Gauge; 3],
    busy: [Histogram; 3],
    waiting: [Histogram; 3],
    executed: Histogram,
    durable: Histogram,
}

impl BlockMetrics {
    pub(crate) fn new(source: BlockSource, chain_id: u64) -> Self {
        let chain = source.labels(chain_id);
        let labels = |key: &'static str, value: &'static str| {
            let [chain_id, source] = chain.clone();
            [chain_id, source, (key, value.to_owned())]
        };
        let stages = ["execute", "seal", "commit"].map(|stage| labels("stage", stage));
        Self {
            blocks: counter!("weft_blocks_total", &chain),
            transactions: counter!("weft_transactions_total", &chain),
            gas: counter!("weft_gas_used_total", &chain),
            reexecutions: counter!("weft_reexecutions_total", &chain),
            dropped: counter!("weft_transactions_dropped_total", &chain),
            head: gauge!("weft_head_block_number", &chain),
            base_fee: gauge!("weft_base_fee_wei", &chain),
            l1_origin: gauge!("weft_l1_origin_number", &chain),
            queues: stages
                .each_ref()
                .map(|labels| gauge!("weft_stage_queue_depth", labels)),
            busy: stages
                .each_ref()
                .map(|labels| histogram!("weft_stage_seconds", labels)),
            waiting: stages
                .each_ref()
                .map(|labels| histogram!("weft_stage_wait_seconds", labels)),
            executed: histogram!("weft_transaction_seconds", &labels("state", "executed")),
            durable: histogram!("weft_transaction_seconds", &labels("state", "durable")),
        }
    }

    /// Records that a stage is done with a block: how long that waited, if it did, and how long it
    /// took.
    pub(crate) fn stage(&self, stage: Stage, waited: Option<Duration>, busy: Duration) {
        let index = stage.index();
        if let Some(histogram) = self.busy.get(index) {
            histogram.record(busy);
        }
        if let (Some(histogram), Some(waited)) = (self.waiting.get(index), waited) {
            histogram.record(waited);
        }
    }

    /// Records that a block waits for a stage, or that it does no longer.
    pub(crate) fn queue(&self, stage: Stage, waits: bool) {
        let Some(queue) = self.queues.get(stage.index()) else {
            return;
        };
        if waits {
            queue.increment(1.0);
        } else {
            queue.decrement(1.0);
        }
    }

    /// Records that transactions, which were received at these moments, have got to a state now.
    pub(crate) fn transactions(&self, state: TransactionState, received: &[Instant]) {
        let histogram = match state {
            TransactionState::Executed => &self.executed,
            TransactionState::Durable => &self.durable,
        };
        let now = Instant::now();
        for received in received {
            histogram.record(now.saturating_duration_since(*received));
        }
    }

    /// Records a durable block, from which `dropped` transactions were left out.
    pub(crate) fn block(&self, bundle: &BlockBundle, reexecutions: usize, dropped: usize) {
        let header = &bundle.block.header;
        self.blocks.increment(1);
        self.transactions
            .increment(bundle.block.transactions.len() as u64);
        self.gas.increment(header.gas_used);
        self.reexecutions.increment(reexecutions as u64);
        self.dropped.increment(dropped as u64);
        self.head.set(header.number as f64);
        self.base_fee
            .set(header.base_fee_per_gas.unwrap_or(0) as f64);
        if let Some(origin) = bundle.block.new_l1_origin() {
            self.l1_origin.set(origin.number as f64);
        }
    }
}

/// Where the requests to one method are recorded.
#[derive(Debug)]
pub(crate) struct MethodMetrics {
    succeeded: Counter,
    failed: Counter,
    duration: Histogram,
}

impl MethodMetrics {
    pub(crate) fn new(chain_id: u64, method: &'static str) -> Self {
        let chain = chain_id.to_string();
        let requests = |outcome: &'static str| counter!("weft_rpc_requests_total", "chain_id" => chain.clone(), "method" => method, "outcome" => outcome);
        Self {
            succeeded: requests("ok"),
            failed: requests("error"),
            duration: histogram!("weft_rpc_request_duration_seconds", "chain_id" => chain.clone(), "method" => method),
        }
    }

    /// Records an answer that took so long.
    pub(crate) fn answered(&self, success: bool, after: Duration) {
        if success {
            self.succeeded.increment(1);
        } else {
            self.failed.increment(1);
        }
        self.duration.record(after);
    }
}

/// Where sent transactions of one chain are recorded.
#[derive(Debug, Clone)]
pub(crate) struct AdmissionMetrics {
    queue: Gauge,
    busy: Histogram,
    waiting: Histogram,
    admitted: Histogram,
    answered: Histogram,
}

impl AdmissionMetrics {
    pub(crate) fn new(chain_id: u64) -> Self {
        let chain = chain_id.to_string();
        Self {
            queue: gauge!("weft_stage_queue_depth", "chain_id" => chain.clone(), "source" => "produced", "stage" => "admit"),
            busy: histogram!("weft_stage_seconds", "chain_id" => chain.clone(), "source" => "produced", "stage" => "admit"),
            waiting: histogram!("weft_stage_wait_seconds", "chain_id" => chain.clone(), "source" => "produced", "stage" => "admit"),
            admitted: histogram!("weft_transaction_seconds", "chain_id" => chain.clone(), "source" => "produced", "state" => "admitted"),
            answered: histogram!("weft_transaction_seconds", "chain_id" => chain, "source" => "produced", "state" => "answered"),
        }
    }

    /// Records a batch of transactions that were worked on together for `busy`, and how many wait.
    pub(crate) fn batch(&self, busy: Duration, waiting: usize) {
        self.busy.record(busy);
        self.queue.set(waiting as f64);
    }

    /// Records that a transaction, received at this moment, was taken up for admission now.
    pub(crate) fn taken_up(&self, received: Instant) {
        self.waiting.record(received.elapsed());
    }

    /// Records that a transaction, received at this moment, is in the mempool now.
    pub(crate) fn admitted(&self, received: Instant) {
        self.admitted.record(received.elapsed());
    }

    /// Records that who sent a transaction, received at this moment, is answered now.
    pub(crate) fn answered(&self, received: Instant) {
        self.answered.record(received.elapsed());
    }
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
