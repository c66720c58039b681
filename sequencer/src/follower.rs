//! `weft follow`: the chain rebuilt from L1 alone.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use weft_l1_bridge::RollupInfo;
use weft_primitives::ChainSpec;
use weft_state::{History, Store, StoreOptions};

use crate::{
    chain::{
        AccessListSource, ChainHandle, ChainWriter, ExecutionMode, LabelSource, Layers, PROGRAMS,
        Predictions, Replayer, VerifiedBatch,
    },
    error::NodeError,
    l1::{L1Config, L1Link},
    metrics::BlockSource,
    ops::Ops,
    rpc::{RpcConfig, RpcContext, RpcServer},
    store_check::watch_store,
    tasks::Tasks,
    trouble::Trouble,
    verify::{Comparer, Event, Verifier, chain_spec},
};

/// What a follower is made from.
#[derive(Debug)]
pub struct FollowerConfig {
    /// The L1 and the contract on it.
    pub l1: L1Config,
    /// Folder of this follower alone.
    pub data_dir: PathBuf,
    /// How far back states are kept.
    pub history: History,
    /// The chain, when it is too large to have been posted to L1 with the contract.
    pub spec: Option<ChainSpec>,
    /// Which layers the chain runs.
    pub execution: ExecutionMode,
    /// Threads that execute blocks; 0 takes one for each core.
    pub threads: usize,
    /// Where read-only JSON-RPC is served; `None` serves none.
    pub rpc: Option<RpcConfig>,
    /// RPC URL of a node that is asked for access lists, to be faster; it need not be trusted.
    pub access_lists: Option<String>,
    /// RPC URL of a node with the posted chain, which is asked for its blocks to find the first
    /// difference when a batch is wrong; the one of `access_lists` when left out.
    pub compare: Option<String>,
    /// What `/metrics` renders; `None` turns it off.
    pub metrics: Option<PrometheusHandle>,
}

/// A running follower.
#[derive(Debug)]
pub struct Follower {
    address: Option<SocketAddr>,
    chain: ChainHandle,
    predictions: Arc<Predictions>,
    progress: watch::Receiver<Progress>,
    tasks: Tasks,
}

/// How far a follower is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Batches derived and checked.
    pub batches: u64,
    /// Batches that L1 held when the follower started, or that were found since.
    pub posted_batches: u64,
}

impl Follower {
    /// Reads the chain's spec from L1, opens or creates the chain and starts following.
    ///
    /// # Errors
    /// When the data folder, the port or L1 cannot be used.
    pub async fn start(config: FollowerConfig, stop: CancellationToken) -> Result<Self, NodeError> {
        let mut tasks = Tasks::new(stop);
        let client = config.l1.client()?;
        let info = RollupInfo::load(&client, config.l1.contract).await?;
        let spec = Arc::new(chain_spec(config.spec, &info)?);
        let options = StoreOptions {
            history: config.history,
            ..StoreOptions::default()
        };
        let store = Store::open_with(&config.data_dir.join("state"), &spec, &options)?;
        let poll_interval = config.l1.poll_interval;
        let link = L1Link::connect(config.l1, &config.data_dir, &store).await?;
        let access_lists = config
            .access_lists
            .as_deref()
            .map(AccessListSource::new)
            .transpose()?;
        // Who gives access lists, gives the rest as well.
        let compare = config.compare.as_deref().or(config.access_lists.as_deref());
        let comparer = compare.map(Comparer::new).transpose()?;
        let layers = Arc::new(Layers::new(
            config.execution,
            Some(&config.data_dir.join(PROGRAMS)),
        )?);
        let labels = LabelSource::L1(link.labels());
        let predictions = Predictions::open(
            &config.data_dir,
            config.threads,
            spec.chain_id(),
            BlockSource::Derived,
        )?;
        let (writer, chain) = ChainWriter::new(
            spec,
            store,
            layers,
            predictions.engine(),
            labels,
            BlockSource::Derived,
        )?;

        if config.metrics.is_some() {
            crate::metrics::watch_parallelism(&mut tasks, &chain);
            crate::metrics::watch_history(&mut tasks, &chain);
        }
        let ops = Ops::new(chain.clone(), config.metrics);
        let mut address = None;
        if let Some(rpc) = config.rpc {
            let context = RpcContext {
                chain: chain.clone(),
                mempool: None,
                preloader: None,
                l1: link.info(chain.clone()),
            };
            let server = RpcServer::start(rpc, context, ops.router()).await?;
            address = Some(server.local_addr());
            let (stopping, serving) = (tasks.stop().clone(), ops.clone());
            tasks.spawn("rpc", async move {
                stopping.cancelled().await;
                serving.set_ready(false);
                server.stop().await;
                Ok(())
            });
        }
        link.spawn(&chain, &mut tasks);

        let (progress_sender, progress) = watch::channel(Progress::default());
        let follow = Follow {
            chain: chain.clone(),
            verifier: Verifier::new(
                client,
                info,
                chain.clone(),
                Replayer::new(writer, chain.clone(), access_lists)?,
                comparer,
                poll_interval,
            ),
            progress: progress_sender,
            ops,
            stop: tasks.stop().clone(),
        };
        tasks.spawn("derivation", follow.run());
        predictions.spawn(&chain, &mut tasks);
        watch_store(&mut tasks, chain.store().clone());
        Ok(Self {
            address,
            chain,
            predictions,
            progress,
            tasks,
        })
    }

    /// Where JSON-RPC is served.
    pub const fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The chain as far as it is rebuilt.
    pub const fn chain(&self) -> &ChainHandle {
        &self.chain
    }

    /// How far the follower is; always holds the newest.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Waits until the follower has stopped: by its token, or because a part failed. Then what its
    /// engine has learned is written down.
    ///
    /// # Errors
    /// The failure that stopped it; [`NodeError::Wrong`] when what was posted is wrong and can no longer be
    /// removed.
    pub async fn join(mut self) -> Result<(), NodeError> {
        let result = self.tasks.join().await;
        self.predictions.save().await;
        result
    }
}

struct Follow {
    chain: ChainHandle,
    verifier: Verifier,
    progress: watch::Sender<Progress>,
    ops: Ops,
    stop: CancellationToken,
}

impl Follow {
    async fn run(mut self) -> Result<(), NodeError> {
        let mut trouble = Trouble::default();
        let mut wrong = None;
        while let Some(event) = self.verifier.next(&self.stop).await? {
            if let Event::Unreadable { error, .. } = &event {
                if trouble.is_news(error) {
                    tracing::warn!(%error, "L1 cannot be read; trying again");
                }
                continue;
            }
            trouble.over();
            match event {
                Event::Resumed { batches, posted } => {
                    self.progress.send_replace(Progress {
                        batches,
                        posted_batches: posted,
                    });
                }
                Event::Verified(batch) => self.verified(&batch),
                Event::CaughtUp => self.ops.set_ready(true),
                Event::Changed(error) => {
                    tracing::warn!(%error, "starting again from the last batch that L1 still has");
                }
                Event::Wrong { difference, .. } => {
                    tracing::error!(
                        batch = difference.batch,
                        served_up_to = self.chain.verified(),
                        "waiting for L1 to remove the wrong batch"
                    );
                    self.ops.set_ready(false);
                    wrong = Some(difference);
                }
                Event::StillWrong { is_settled: true } => {
                    if let Some(difference) = wrong {
                        return Err(NodeError::Wrong(difference));
                    }
                }
                Event::StillWrong { is_settled: false } | Event::Unreadable { .. } => {}
            }
        }
        Ok(())
    }

    fn verified(&self, batch: &VerifiedBatch) {
        let (index, last_block) = (batch.posted.index, batch.posted.header.last_block);
        tracing::info!(batch = index, last_block, "batch verified");
        self.progress.send_modify(|progress| {
            progress.batches = index.saturating_add(1);
            progress.posted_batches = progress.posted_batches.max(progress.batches);
        });
    }
}
