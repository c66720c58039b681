use std::time::{Duration, Instant};

use super::{
    IngestConfig, IngestError, IngestReport, LatencyReport, Pace, Transport,
    histogram::Histogram,
    http::Endpoint,
    load::Rhythm,
    node::OwnNode,
    probe::Probe,
    process::ProcessWatch,
    rpc::Rpc,
    setup::{Treasury, prepare},
    supply::Plan,
};

/// Transactions that are signed for an overload, as a multiple of what the node was seen to take in
/// the same time.
const OVERLOAD_SUPPLY: f64 = 1.5;

/// Measures what the configuration asks for, and hands each report over as it is there.
///
/// # Errors
/// When the node cannot be reached or prepared, refuses everything, or a transaction that it took
/// is in no block.
pub fn run_ingest(
    config: &IngestConfig,
    mut on_report: impl FnMut(IngestReport),
) -> Result<(), IngestError> {
    // One thread: what it does not use, the node has.
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
    let (own, url) = match &config.url {
        Some(url) => (None, url.clone()),
        None => {
            let node = OwnNode::start(config).await?;
            let url = node.url.clone();
            (Some(node), url)
        }
    };
    let measured = async {
        let mut session = Session::open(config, own.as_ref(), &url).await?;
        session.run(on_report).await
    };
    let result = measured.await;
    match own {
        Some(node) if result.is_ok() => node.stop().await,
        // What it printed says more than a broken connection.
        Some(node) => result.map_err(|error| node.explain(error)),
        None => result,
    }
}

/// A node that is ready to be driven.
pub(super) struct Session<'a> {
    pub(super) config: &'a IngestConfig,
    pub(super) own: Option<&'a OwnNode>,
    /// The node's process, where it is known.
    pub(super) process: Option<ProcessWatch>,
    pub(super) endpoint: Endpoint,
    pub(super) websocket: Endpoint,
    pub(super) rpc: Rpc,
    pub(super) treasury: Treasury,
    pub(super) plan: Plan,
}

impl<'a> Session<'a> {
    async fn open(
        config: &'a IngestConfig,
        own: Option<&'a OwnNode>,
        url: &str,
    ) -> Result<Self, IngestError> {
        let endpoint = Endpoint::parse(url)?;
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
            process: own
                .map(|node| node.pid)
                .or(config.pid)
                .map(ProcessWatch::of),
            endpoint,
            websocket,
            rpc,
            treasury,
            plan,
        })
    }

    async fn run(&mut self, on_report: &mut dyn FnMut(IngestReport)) -> Result<(), IngestError> {
        let config = self.config;
        if config.idle > 0 {
            for transport in [Transport::Http, Transport::WebSocket] {
                on_report(self.idle(transport).await?);
            }
        }
        let mut most: f64 = 0.0;
        for _ in 0..config.runs {
            let rhythm = Rhythm::Window(config.window.get());
            let report = self
                .drive("throughput", config.transactions.get(), rhythm)
                .await?;
            most = most.max(report.tps);
            on_report(report);
        }
        let seconds = config.seconds.get() as f64;
        for pace in &config.paces {
            let per_second = match pace {
                Pace::Rate(rate) => *rate,
                Pace::Fraction(fraction) => most * fraction,
            };
            let count = (per_second * seconds) as usize;
            let rhythm = Rhythm::Rate {
                per_second,
                stop_after: None,
            };
            on_report(self.drive("rate", count.max(1), rhythm).await?);
        }
        if let Some(factor) = config.overload {
            let rhythm = Rhythm::Rate {
                per_second: most * factor,
                stop_after: Some(Duration::from_secs_f64(seconds)),
            };
            let count = (most * seconds * OVERLOAD_SUPPLY) as usize;
            on_report(self.drive("overload", count.max(1), rhythm).await?);
        }
        Ok(())
    }

    /// Latency of one transaction after the other.
    async fn idle(&mut self, transport: Transport) -> Result<IngestReport, IngestError> {
        let config = self.config;
        let senders = self.plan.senders.len().max(1);
        let rounds = config.idle.div_ceil(senders);
        self.treasury
            .fund(&self.plan, rounds, &mut self.rpc)
            .await?;
        let supply = self.plan.supply(config.idle, &std::env::temp_dir())?;
        self.rpc = Rpc::open(&self.endpoint).await?;
        let endpoint = match transport {
            Transport::WebSocket => &self.websocket,
            Transport::Http | Transport::Batch => &self.endpoint,
        };
        let mut probe = Probe::open(transport, endpoint).await?;
        let head = self.rpc.block_number().await?;
        let mut taken = vec![0; senders];
        let mut latency = Histogram::default();
        let started = Instant::now();
        for number in 0..supply.len() {
            let ready = supply.get(number)?;
            tokio::time::sleep(config.idle_pause).await;
            let sent = Instant::now();
            probe.send(ready.hash(), ready.raw()).await?;
            latency.record(sent.elapsed());
            if let Some(taken) = taken.get_mut(number % senders) {
                *taken += 1;
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        self.plan.advance(&taken);
        let txs = supply.len() as u64;
        Ok(IngestReport {
            method: probe.method(),
            connections: 1,
            txs,
            seconds,
            tps: txs as f64 / seconds,
            blocks: self.rpc.block_number().await?.saturating_sub(head),
            latency: LatencyReport::of(&latency),
            ..IngestReport::new("idle", config.kind, transport)
        })
    }
}
