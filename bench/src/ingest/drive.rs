//! One load on a node, and all that is measured meanwhile.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{
    IngestError, IngestReport, LatencyReport, NodeReport, OverloadReport, Transport,
    account::Signed,
    follower::{Signal, follow},
    histogram::Histogram,
    lanes::Lanes,
    limit::{Usage, limit},
    load::{Counts, Load, Moment, Rhythm},
    metrics::Metrics,
    probe::Probe,
    process::{ProcessWatch, disk_bytes},
    rpc::Rpc,
    session::Session,
};

/// How often the process and its queues are looked at.
const SAMPLE: Duration = Duration::from_secs(1);
/// How often a node without a new block is asked for one in a throughput run.
const POLL: Duration = Duration::from_millis(4);
/// Seconds of an overload that do not count.
const WARM_UP: usize = 3;

/// What was seen once a second.
#[derive(Debug, Default)]
struct Samples {
    moments: Vec<Moment>,
    rss: Vec<u64>,
    queues: BTreeMap<String, f64>,
    /// From the end of an overload to the block with a transaction that was sent then.
    recovery: Duration,
}

impl Session<'_> {
    /// Funds the senders, signs, and runs the load.
    pub(super) async fn drive(
        &mut self,
        phase: &'static str,
        count: usize,
        rhythm: Rhythm,
    ) -> Result<IngestReport, IngestError> {
        let config = self.config;
        let rounds = count.div_ceil(self.plan.senders.len().max(1));
        self.treasury
            .fund(&self.plan, rounds, &mut self.rpc)
            .await?;
        let folder: PathBuf = self
            .own
            .map_or_else(std::env::temp_dir, |node| node.folder().to_owned());
        let supply = self.plan.supply(count, &folder)?;
        // Signing takes longer than a node keeps a connection on which nothing comes.
        self.rpc = Rpc::open(&self.endpoint).await?;
        let endpoint = match config.transport {
            Transport::WebSocket => &self.websocket,
            _ => &self.endpoint,
        };
        let (connections, depth) = (config.connections(), config.depth());
        let mut lanes = Lanes::open(config.transport, endpoint, connections, depth).await?;
        let mut signal = match rhythm {
            Rhythm::Window(_) => Signal::Every(POLL),
            Rhythm::Rate { .. } => Signal::heads(&self.websocket).await,
        };
        let mut sampling = Rpc::open(&self.endpoint).await?;
        let mut recovery = match rhythm {
            Rhythm::Rate {
                stop_after: Some(_),
                ..
            } => Some(Recovery {
                probe: Probe::open(config.transport, endpoint).await?,
                transaction: self.treasury.sign()?,
            }),
            _ => None,
        };
        let metrics_before = read_metrics(&mut sampling).await?;
        let head = self.rpc.block_number().await?;
        let generator = ProcessWatch::own();
        let node_before = self.process.as_ref().map(ProcessWatch::cpu);
        let generator_before = generator.cpu();
        let started = Instant::now();
        let load = Load::new(supply, self.plan.senders.len(), rhythm);
        let samples = {
            let work = async {
                let (.., recovery) = tokio::try_join!(
                    lanes.run(&load),
                    follow(&mut self.rpc, head, &load, &mut signal),
                    async {
                        load.pace().await;
                        Ok(())
                    },
                    recover(&load, recovery.as_mut()),
                )?;
                Ok::<_, IngestError>(recovery)
            };
            let process = self.process.as_ref();
            let mut samples = Samples::default();
            tokio::select! {
                done = work => samples.recovery = done?,
                failed = sample(&load, process, &mut sampling, &mut samples) => failed?,
            }
            samples
        };
        let elapsed = started.elapsed();
        let generator_cpu_s = generator.cpu().since(&generator_before).total;
        let node_cpu = self
            .process
            .as_ref()
            .zip(node_before)
            .map(|(process, before)| process.cpu().since(&before));
        let metrics = read_metrics(&mut sampling).await?;
        self.plan.advance(&load.taken());
        let counts = load.counts();
        let foreign = counts.foreign.saturating_sub(u64::from(recovery.is_some()));
        if self.own.is_some() && foreign > 0 {
            return Err(IngestError::Foreign(foreign));
        }
        let stages = metrics.stages_since(&metrics_before, elapsed, &samples.queues);
        let seconds = match (counts.first_sent, counts.last_included) {
            (Some(first), Some(last)) => last.saturating_duration_since(first).as_secs_f64(),
            _ => 0.0,
        };
        let (limited_by, evidence) = match rhythm {
            Rhythm::Window(_) => {
                let usage = Usage {
                    seconds: elapsed.as_secs_f64(),
                    cores: std::thread::available_parallelism()
                        .map_or(1.0, |cores| cores.get() as f64),
                    generator_cpu_s,
                    node_cpu_s: node_cpu.as_ref().map(|cpu| cpu.total),
                    stages: &stages,
                };
                let (by, evidence) = limit(&usage);
                (Some(by), Some(evidence))
            }
            Rhythm::Rate { .. } => (None, None),
        };
        let node = self.process.as_ref().map(|process| {
            let (rss_bytes, peak_rss_bytes) = process.memory();
            let cpu = node_cpu.unwrap_or_default();
            let quarter = samples.rss.len().div_ceil(4);
            let most = |samples: &[u64]| samples.iter().copied().max().unwrap_or(rss_bytes);
            let (first, _) = samples.rss.split_at(quarter);
            let (_, last) = samples.rss.split_at(samples.rss.len() - quarter);
            NodeReport {
                cpu_s: cpu.total,
                threads_cpu_s: cpu.threads,
                rss_bytes,
                peak_rss_bytes,
                rss_first_quarter_bytes: most(first),
                rss_last_quarter_bytes: most(last),
                disk_bytes: self.own.map(|node| disk_bytes(&node.data_dir())),
            }
        });
        let overload = counts.stopped.map(|stopped| {
            let load_s = stopped.saturating_duration_since(started).as_secs_f64();
            overload(&counts, &samples, load_s)
        });
        Ok(IngestReport {
            method: "eth_sendRawTransaction",
            connections,
            txs: counts.included,
            seconds,
            tps: counts.included as f64 / seconds,
            offered_tps: match rhythm {
                Rhythm::Window(_) => None,
                Rhythm::Rate { per_second, .. } => Some(per_second),
            },
            blocks: counts.blocks,
            gas: counts.gas,
            refused: counts.refused,
            refusals: counts.refusals,
            latency: LatencyReport::of(&load.latency()),
            generator_cpu_s,
            generator_peak_rss_bytes: generator.memory().1,
            node,
            stages,
            states: metrics.states_since(&metrics_before),
            limited_by,
            evidence,
            overload,
            ..IngestReport::new(phase, config.kind, config.transport)
        })
    }
}

impl LatencyReport {
    pub(super) fn of(histogram: &Histogram) -> Self {
        Self {
            p50_ms: histogram.quantile_ms(0.5),
            p90_ms: histogram.quantile_ms(0.9),
            p99_ms: histogram.quantile_ms(0.99),
            max_ms: histogram.max_ms(),
        }
    }
}

/// Looks once a second, for ever.
async fn sample(
    load: &Load,
    process: Option<&ProcessWatch>,
    rpc: &mut Rpc,
    samples: &mut Samples,
) -> Result<(), IngestError> {
    let mut tick = tokio::time::interval(SAMPLE);
    // The first tick is now.
    tick.tick().await;
    loop {
        tick.tick().await;
        samples.moments.push(load.moment());
        if let Some(process) = process {
            samples.rss.push(process.memory().0);
        }
        for (stage, depth) in read_metrics(rpc).await?.queues() {
            let most = samples.queues.entry(stage).or_insert(depth);
            *most = most.max(depth);
        }
    }
}

/// The node's metrics; none where it has none.
async fn read_metrics(rpc: &mut Rpc) -> Result<Metrics, IngestError> {
    let text = rpc.get("/metrics").await?;
    Ok(Metrics::parse(&text.unwrap_or_default()))
}

/// What shows that a node is itself again.
#[derive(Debug)]
struct Recovery {
    probe: Probe,
    transaction: Signed,
}

/// After an overload, sends one more transaction until it is taken and in a block, and returns how
/// long that took.
async fn recover(load: &Load, recovery: Option<&mut Recovery>) -> Result<Duration, IngestError> {
    let Some(Recovery { probe, transaction }) = recovery else {
        return Ok(Duration::ZERO);
    };
    let stopped = load.stopped().await;
    probe.insist(transaction.hash, &transaction.raw).await?;
    Ok(stopped.elapsed())
}

/// What an overload of so many seconds came to.
fn overload(counts: &Counts, samples: &Samples, load_s: f64) -> OverloadReport {
    let mut before = Moment::default();
    let mut each_second = Vec::new();
    let mut included = Vec::new();
    for moment in samples
        .moments
        .iter()
        .filter(|moment| moment.seconds <= load_s)
    {
        each_second.push([
            moment.requests - before.requests,
            moment.accepted - before.accepted,
            moment.refused - before.refused,
            moment.included - before.included,
        ]);
        let seconds = moment.seconds - before.seconds;
        included.push((moment.included - before.included) as f64 / seconds);
        before = *moment;
    }
    let mut counted: Vec<f64> = included.into_iter().skip(WARM_UP).collect();
    counted.sort_by(f64::total_cmp);
    let drain = match (counts.stopped, counts.last_included) {
        (Some(stopped), Some(last)) => last.saturating_duration_since(stopped),
        _ => Duration::ZERO,
    };
    OverloadReport {
        requests: counts.requests,
        included_min_tps: counted.first().copied().unwrap_or_default(),
        included_median_tps: counted.get(counted.len() / 2).copied().unwrap_or_default(),
        drain_s: drain.as_secs_f64(),
        recovery_s: samples.recovery.as_secs_f64(),
        each_second,
    }
}
