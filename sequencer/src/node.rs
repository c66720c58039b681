//! A sequencing node: the parts of one chain, wired.

use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{runtime::Handle, sync::watch, task::spawn_blocking};
use tokio_util::sync::CancellationToken;
use weft_primitives::ChainSpec;
use weft_state::{History, Store};

use crate::{
    admin::{AdminConfig, AdminServer},
    chain::{
        ChainHandle, ChainWriter, ExecutionMode, LabelSource, Layers, PROGRAMS, Predictions,
        Preloader, Producer, ProducerConfig, admission_rules,
    },
    config::StateSection,
    error::NodeError,
    l1::{L1Config, L1Link},
    mempool::{Mempool, MempoolLimits},
    metrics::BlockSource,
    ops::Ops,
    returned,
    rpc::{NoL1, RpcConfig, RpcContext, RpcServer},
    store_check::watch_store,
    tasks::Tasks,
};

/// What a sequencing node is made from.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// The chain.
    pub spec: Arc<ChainSpec>,
    /// Folder of this node alone.
    pub data_dir: PathBuf,
    /// How far back states are kept.
    pub history: History,
    /// Which layers run.
    pub execution: ExecutionMode,
    /// Threads that execute blocks; 0 takes one for each core.
    pub threads: usize,
    /// Memory of the state, and what is read ahead.
    pub state: StateSection,
    /// Where and how JSON-RPC is served.
    pub rpc: RpcConfig,
    /// Bounds of the mempool.
    pub mempool: MempoolLimits,
    /// When blocks are made.
    pub producer: ProducerConfig,
    /// The L1 above; `None` for a chain that has none.
    pub l1: Option<L1Config>,
    /// Where the operator's JSON-RPC is served; `None` serves none.
    pub admin: Option<AdminConfig>,
    /// What `/metrics` renders; `None` turns it off.
    pub metrics: Option<PrometheusHandle>,
}

/// How long a node that cannot read L1 waits before it tries to start again.
const START_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A running sequencing node.
#[derive(Debug)]
pub struct Node {
    address: SocketAddr,
    /// What a node is made from that takes this one's place, at the same address.
    config: NodeConfig,
    chain: ChainHandle,
    mempool: Mempool,
    predictions: Arc<Predictions>,
    tasks: Tasks,
}

impl Node {
    /// Opens or creates the chain in the data folder and starts every part. When this returns, the
    /// node answers.
    ///
    /// # Errors
    /// When the data folder, the port, L1 or the ledger cannot be used.
    pub async fn start(config: NodeConfig, stop: CancellationToken) -> Result<Self, NodeError> {
        let store = Store::open_with(
            &config.data_dir.join("state"),
            &config.spec,
            &config.state.store_options(config.history),
        )?;
        Self::start_on(config, store, stop).await
    }

    /// As [`Node::start`], on a store that is open: no other node may be running on it.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub async fn start_on(
        config: NodeConfig,
        store: Store,
        stop: CancellationToken,
    ) -> Result<Self, NodeError> {
        let mut tasks = Tasks::new(stop);
        let mut again = config.clone();
        let spec = config.spec;
        let link = match config.l1 {
            Some(l1) => Some(L1Link::connect(l1, &config.data_dir, &store).await?),
            None => None,
        };
        let (labels, origins) = match &link {
            Some(link) => (LabelSource::L1(link.labels()), link.origins()),
            None => (LabelSource::Durable, watch::channel(None).1),
        };
        let layers = Arc::new(Layers::new(
            config.execution,
            Some(&config.data_dir.join(PROGRAMS)),
        )?);
        let predictions = Predictions::open(
            &config.data_dir,
            config.threads,
            spec.chain_id(),
            BlockSource::Produced,
        )?;
        let engine = predictions.engine();
        let preloader = match NonZeroUsize::new(config.state.preload_threads) {
            Some(threads) => Some(
                Preloader::start(
                    &store,
                    engine.clone(),
                    Arc::clone(&layers),
                    threads,
                    config.state.preload_queue,
                )
                .map_err(|error| NodeError::Setup(format!("cannot start threads: {error}")))?,
            ),
            None => None,
        };
        let (writer, chain) =
            ChainWriter::new(spec, store, layers, engine, labels, BlockSource::Produced)?;
        let mempool = Mempool::new(
            config.mempool,
            admission_rules(&chain, config.producer.least_gas_limit()),
        );

        let reports = config.metrics.is_some();
        let ops = Ops::new(chain.clone(), config.metrics);
        let context = RpcContext {
            chain: chain.clone(),
            mempool: Some(mempool.clone()),
            preloader: preloader.clone(),
            l1: match &link {
                Some(link) => link.info(chain.clone()),
                None => Arc::new(NoL1),
            },
        };
        let server = RpcServer::start(config.rpc, context, ops.router()).await?;
        let address = server.local_addr();
        again.rpc.port = address.port();

        let producer = Producer::new(writer, &chain, mempool.clone(), origins, config.producer)?;
        producer.spawn_controller(&mut tasks);
        let (runtime, stopping) = (Handle::current(), tasks.stop().clone());
        tasks.spawn_thread("producer", move || producer.run(&runtime, &stopping))?;
        if let Some(admin) = &config.admin {
            let batcher = match &link {
                Some(link) => link.submitter(),
                None => watch::channel(None).1,
            };
            let server = AdminServer::bind(admin, batcher).await?;
            tracing::info!(address = %server.address(), "admin RPC");
            let stopping = tasks.stop().clone();
            tasks.spawn("admin", async move {
                server.run(stopping).await.map_err(NodeError::from)
            });
        }
        if let Some(link) = link {
            link.spawn(&chain, &mut tasks);
        }
        if reports {
            crate::metrics::watch_parallelism(&mut tasks, &chain);
            crate::metrics::watch_state(&mut tasks, &chain, preloader);
            crate::metrics::watch_history(&mut tasks, &chain);
        }
        crate::metrics::watch_mempool(&mut tasks, &chain, mempool.clone());
        follow_head(&mut tasks, &chain, mempool.clone());
        let returning = returned::put_back(config.data_dir.clone(), chain.clone(), mempool.clone());
        tasks.spawn_droppable("returned transactions", async move {
            returning.await?;
            std::future::pending().await
        });
        predictions.spawn(&chain, &mut tasks);
        watch_store(&mut tasks, chain.store().clone());
        let stopping = tasks.stop().clone();
        ops.set_ready(true);
        tasks.spawn("rpc", async move {
            stopping.cancelled().await;
            ops.set_ready(false);
            server.stop().await;
            Ok(())
        });
        Ok(Self {
            address,
            config: again,
            chain,
            mempool,
            predictions,
            tasks,
        })
    }

    /// Where JSON-RPC is served.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The node's chain.
    pub const fn chain(&self) -> &ChainHandle {
        &self.chain
    }

    /// Runs until the node is stopped, by `stop` or its own token, or a part fails. After the chain has gone
    /// back because of a deep reorganisation of L1 the node starts again on what is left.
    ///
    /// # Errors
    /// As [`Node::start`] and [`Node::join`].
    pub async fn run(mut self, stop: &CancellationToken) -> Result<(), NodeError> {
        loop {
            let (config, store) = (self.config.clone(), self.chain.store().clone());
            match self.join().await {
                Err(NodeError::DeepReorg(reorg)) if !stop.is_cancelled() => {
                    tracing::warn!(block = reorg.target, "the chain went back; starting again");
                }
                other => return other,
            }
            let start = Self::start_again(config, store, stop);
            let Some(next) = stop.run_until_cancelled(start).await.transpose()? else {
                return Ok(());
            };
            tracing::info!(address = %next.address, "JSON-RPC");
            self = next;
        }
    }

    /// A node whose L1 reorganises may not be able to read it right then: it is waited for.
    async fn start_again(
        config: NodeConfig,
        store: Store,
        stop: &CancellationToken,
    ) -> Result<Self, NodeError> {
        loop {
            // What has stopped the node before does not stop this one.
            let stop = stop.child_token();
            match Self::start_on(config.clone(), store.clone(), stop).await {
                Err(error) if error.is_trouble_of_l1() => {
                    tracing::warn!(%error, "the node cannot start again yet");
                    tokio::time::sleep(START_AGAIN_AFTER).await;
                }
                started => return started,
            }
        }
    }

    /// Waits until the node has stopped: by its token, or because a part failed. Then what its engine
    /// has learned is written down. When it stopped because the chain has to go back, the chain has
    /// gone back then, and the next start puts the transactions of its users into the mempool.
    ///
    /// # Errors
    /// The failure that stopped it; [`NodeError::DeepReorg`] when the node can be started again.
    pub async fn join(mut self) -> Result<(), NodeError> {
        let result = self.tasks.join().await;
        self.predictions.save().await;
        match result {
            Err(NodeError::DeepReorg(reorg)) => {
                let unwound = spawn_blocking(move || self.unwind_to(reorg.target)).await;
                unwound
                    .map_err(|error| NodeError::Setup(format!("unwinding the chain: {error}")))??;
                Err(reorg.into())
            }
            other => other,
        }
    }

    /// Takes back the blocks above `number`, after all parts have ended. Their transactions are on disk
    /// before they are gone from the chain.
    fn unwind_to(&self, number: u64) -> Result<(), NodeError> {
        let store = self.chain.store();
        let (pending, queued) = self.mempool.content();
        let waiting = pending.iter().chain(&queued).map(|pooled| &**pooled);
        returned::write_down(&self.config.data_dir, store, number, waiting)?;
        let unwound = store.unwind_to(number)?;
        let blocks = unwound.from.number.saturating_sub(unwound.to.number);
        crate::metrics::blocks_unwound(self.chain.spec().chain_id(), blocks);
        Ok(())
    }
}

/// Tells the mempool which blocks are durable.
fn follow_head(tasks: &mut Tasks, chain: &ChainHandle, mempool: Mempool) {
    let mut head = chain.watch_head();
    tasks.spawn_droppable("mempool", async move {
        while head.changed().await.is_ok() {
            let number = head.borrow_and_update().header.number;
            mempool.on_durable(number);
        }
        // The chain has ended, and whoever made it says why.
        std::future::pending().await
    });
}
