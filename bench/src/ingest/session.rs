use std::{path::PathBuf, time::Duration};

use super::{
    IngestConfig, IngestError, IngestReport,
    follower::follow,
    http::Endpoint,
    lanes::Lanes,
    load::{Load, Rhythm},
    node::OwnNode,
    process::{ProcessWatch, disk_bytes},
    rpc::Rpc,
    setup::{Treasury, prepare},
    supply::Plan,
};

/// How often a node without a new block is asked for one.
const POLL: Duration = Duration::from_millis(4);

/// Measures what the configuration asks for, and hands each report over as it is there.
///
/// # Errors
/// When the node cannot be reached or prepared, refuses everything, or a transaction that it took
/// is in no block.
pub fn run_ingest(
    config: &IngestConfig,
    mut on_report: impl FnMut(IngestReport),
) -> Result<(), IngestError> {
    // One thread: what it uses less, the node has.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(IngestError::file("the system's events"))?;
    runtime.block_on(async {
        tokio::select! {
            result = measure(config, &mut on_report) => result,
            _ = tokio::signal::ctrl_c() => Err(IngestError::Interrupted),
        }
    })
}

async fn measure(
    config: &IngestConfig,
    on_report: &mut dyn FnMut(IngestReport),
) -> Result<(), IngestError> {
    let own = match &config.url {
        Some(_) => None,
        None => Some(OwnNode::start(config).await?),
    };
    let url = match (&config.url, &own) {
        (Some(url), _) => url.clone(),
        (None, Some(node)) => node.url.clone(),
        (None, None) => return Err(IngestError::Node("there is none".to_owned())),
    };
    let endpoint = Endpoint::parse(&url)?;
    let mut session = Session::open(config, own.as_ref(), endpoint).await?;
    for _ in 0..config.runs {
        on_report(session.throughput().await?);
    }
    match own {
        Some(node) => node.stop().await,
        None => Ok(()),
    }
}

struct Session<'a> {
    config: &'a IngestConfig,
    own: Option<&'a OwnNode>,
    endpoint: Endpoint,
    websocket: Endpoint,
    rpc: Rpc,
    treasury: Treasury,
    plan: Plan,
}

impl<'a> Session<'a> {
    async fn open(
        config: &'a IngestConfig,
        own: Option<&'a OwnNode>,
        endpoint: Endpoint,
    ) -> Result<Self, IngestError> {
        let websocket = match &config.websocket_url {
            Some(url) => Endpoint::parse(url)?,
            None => endpoint.clone(),
        };
        let mut rpc = Rpc::open(&endpoint).await?;
        let chain_id = rpc.chain_id().await?;
        let mut treasury = Treasury::new(&config.mnemonic, chain_id, &mut rpc).await?;
        let plan = prepare(config, chain_id, &mut treasury, &mut rpc).await?;
        Ok(Self {
            config,
            own,
            endpoint,
            websocket,
            rpc,
            treasury,
            plan,
        })
    }

    async fn throughput(&mut self) -> Result<IngestReport, IngestError> {
        let rhythm = Rhythm::Window(self.config.window.get());
        self.drive("throughput", self.config.transactions.get(), rhythm)
            .await
    }

    async fn drive(
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
        let endpoint = match config.transport {
            super::Transport::WebSocket => &self.websocket,
            _ => &self.endpoint,
        };
        let mut lanes = Lanes::open(
            config.transport,
            endpoint,
            config.connections(),
            config.depth(),
        )
        .await?;
        let head = self.rpc.block_number().await?;
        let node = self.own.map(|node| ProcessWatch::of(node.pid));
        let generator = ProcessWatch::own();
        let node_before = node.as_ref().map(ProcessWatch::cpu).unwrap_or_default();
        let generator_before = generator.cpu();
        let load = Load::new(supply, self.plan.senders.len(), rhythm);
        let sent = async {
            tokio::try_join!(
                lanes.run(&load),
                async {
                    follow(&mut self.rpc, head, &load, POLL).await?;
                    Ok(())
                },
                async {
                    load.pace().await;
                    Ok(())
                }
            )
        };
        sent.await?;
        let generator_cpu = generator.cpu().since(&generator_before);
        let node_cpu = node.as_ref().map(|node| node.cpu().since(&node_before));
        self.plan.advance(&load.taken());
        let counts = load.counts();
        if self.own.is_some() && counts.foreign > 0 {
            return Err(IngestError::Foreign(counts.foreign));
        }
        let seconds = match (counts.first_sent, counts.last_included) {
            (Some(first), Some(last)) => last.saturating_duration_since(first).as_secs_f64(),
            _ => 0.0,
        };
        let latency = load.latency();
        let memory = node.as_ref().map(ProcessWatch::memory);
        Ok(IngestReport {
            phase,
            workload: config.kind.name(),
            transport: config.transport.name(),
            txs: counts.included,
            seconds,
            tps: counts.included as f64 / seconds,
            blocks: counts.blocks,
            gas: counts.gas,
            refused: counts.refused,
            refusals: counts.refusals,
            p50_ms: latency.quantile_ms(0.5),
            p90_ms: latency.quantile_ms(0.9),
            p99_ms: latency.quantile_ms(0.99),
            max_ms: latency.max_ms(),
            generator_cpu_s: generator_cpu.total,
            node_cpu_s: node_cpu.as_ref().map(|cpu| cpu.total),
            node_threads_cpu_s: node_cpu.map(|cpu| cpu.threads).unwrap_or_default(),
            node_rss_bytes: memory.map(|(now, _)| now),
            node_peak_rss_bytes: memory.map(|(_, most)| most),
            node_disk_bytes: self.own.map(|node| disk_bytes(&node.data_dir())),
        })
    }
}
