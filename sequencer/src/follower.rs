//! `weft follow`: the chain rebuilt from L1 alone.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;
use weft_l1_bridge::{
    Derivation, DerivationConfig, DerivationError, DerivedBatch, L1Client, L1Error, PostedBatch,
    ResumePoint, RollupInfo, posted_batches,
};
use weft_primitives::ChainSpec;
use weft_state::{History, Store, StoreOptions};

use crate::{
    chain::{
        AccessListSource, ChainHandle, ChainWriter, ExecutionMode, LabelSource, Layers, PROGRAMS,
        Predictions, Replayer,
    },
    error::NodeError,
    l1::{L1Config, L1Link},
    metrics::BlockSource,
    ops::Ops,
    rpc::{RpcConfig, RpcContext, RpcServer},
    store_check::watch_store,
    tasks::Tasks,
    trouble::Trouble,
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

        let posted = posted_until_now(&client, &info).await?;
        let derivation = resume(&client, &info, &chain, &posted)?;
        let (progress_sender, progress) = watch::channel(Progress {
            batches: derivation.resume_point().next_index,
            posted_batches: posted.len() as u64,
        });
        let follow = Follow {
            client,
            info,
            chain: chain.clone(),
            derivation,
            replayer: Arc::new(Replayer::new(writer, chain.clone(), access_lists)),
            progress: progress_sender,
            ops,
            poll_interval,
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
    /// The failure that stopped it; [`NodeError::Mismatch`] when what was posted is wrong.
    pub async fn join(mut self) -> Result<(), NodeError> {
        let result = self.tasks.join().await;
        self.predictions.save().await;
        result
    }
}

/// The spec that the contract was made with: from L1 or from the given file, which must then be
/// the one that the contract names.
pub(crate) fn chain_spec(
    given: Option<ChainSpec>,
    info: &RollupInfo,
) -> Result<ChainSpec, NodeError> {
    let spec = match (given, &info.chain_spec) {
        (Some(given), _) => given,
        (None, Some(posted)) => posted.clone(),
        (None, None) => {
            return Err(NodeError::Setup(
                "the chain's genesis was too large to be posted to L1: give it with --genesis"
                    .into(),
            ));
        }
    };
    let expected = info.genesis_block_hash;
    let found = weft_state::genesis_header(&spec).hash();
    if found == expected {
        Ok(spec)
    } else {
        Err(NodeError::Setup(format!(
            "genesis: expected block hash {expected} (the contract's), found {found}"
        )))
    }
}

/// Every batch that L1 has.
async fn posted_until_now(
    client: &L1Client,
    info: &RollupInfo,
) -> Result<Vec<PostedBatch>, L1Error> {
    let l1_head = client.block_number().await?;
    posted_batches(client, info, info.deployment_block, l1_head).await
}

/// Starts derivation behind the last batch in `posted` that the chain has in full: it must be the very same here and there. Blocks above it were replayed before a crash and are
/// compared again.
pub(crate) fn resume(
    client: &L1Client,
    info: &RollupInfo,
    chain: &ChainHandle,
    posted: &[PostedBatch],
) -> Result<Derivation, NodeError> {
    let store = chain.store();
    let head = chain.head();
    let genesis = store.header(0)?.map_or(0, |header| header.timestamp);
    let mut from = ResumePoint::start(info, genesis);
    let last = posted
        .iter()
        .rfind(|batch| batch.header.last_block <= head.number);
    if let Some(batch) = last {
        let number = batch.header.last_block;
        let ours = store.header(number)?;
        let hash = ours.as_ref().map(|header| header.hash());
        if hash != Some(batch.header.last_block_hash) {
            return Err(NodeError::Setup(format!(
                "L1 holds another chain than the data folder: block {number} is {} here, {} in batch {}; follow into an empty folder",
                hash.unwrap_or_default(),
                batch.header.last_block_hash,
                batch.index,
            )));
        }
        let timestamp = ours.map_or(0, |header| header.timestamp);
        from = ResumePoint::after(batch, timestamp, store.l1_origin(number)?);
    }
    Ok(Derivation::new(
        client.clone(),
        info.clone(),
        from,
        DerivationConfig::default(),
    ))
}

/// Starts derivation behind the last batch that L1 and the chain have, after L1 has reorganised;
/// `None` when L1 cannot be read now. The old derivation finds the reorganisation again then.
pub(crate) async fn resume_again(
    client: &L1Client,
    info: &RollupInfo,
    chain: &ChainHandle,
) -> Result<Option<Derivation>, NodeError> {
    match posted_until_now(client, info).await {
        Ok(posted) => resume(client, info, chain, &posted).map(Some),
        Err(error) if error.is_retryable() => {
            tracing::warn!(%error, "L1 cannot be read; trying again");
            crate::metrics::l1_error();
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

struct Follow {
    client: L1Client,
    info: RollupInfo,
    chain: ChainHandle,
    derivation: Derivation,
    replayer: Arc<Replayer>,
    progress: watch::Sender<Progress>,
    ops: Ops,
    poll_interval: std::time::Duration,
    stop: CancellationToken,
}

impl Follow {
    async fn run(mut self) -> Result<(), NodeError> {
        let mut trouble = Trouble::default();
        loop {
            let stop = self.stop.clone();
            let next = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                next = self.derivation.next_batch() => next,
            };
            let idle = match next {
                Ok(Some(batch)) => {
                    trouble.over();
                    self.apply(batch).await?;
                    false
                }
                Ok(None) => {
                    trouble.over();
                    self.ops.set_ready(true);
                    true
                }
                Err(error) if error.is_retryable() => {
                    if trouble.is_news(&error) {
                        tracing::warn!(%error, "L1 cannot be read; trying again");
                    }
                    crate::metrics::l1_error();
                    true
                }
                Err(error @ DerivationError::Reorg { .. }) => {
                    tracing::warn!(%error, "starting again from the last batch that L1 still has");
                    let again = resume_again(&self.client, &self.info, &self.chain);
                    let Some(again) = stop.run_until_cancelled(again).await else {
                        return Ok(());
                    };
                    if let Some(derivation) = again? {
                        self.derivation = derivation;
                    }
                    true
                }
                Err(error) => return Err(error.into()),
            };
            if idle {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = time::sleep(self.poll_interval) => {}
                }
            }
        }
    }

    async fn apply(&self, batch: DerivedBatch) -> Result<(), NodeError> {
        let (index, last_block) = (batch.posted.index, batch.header().last_block);
        let replayer = self.replayer.clone();
        tokio::task::spawn_blocking(move || replayer.apply(batch))
            .await
            .map_err(|error| NodeError::Setup(format!("replay panicked: {error}")))??;
        tracing::info!(batch = index, last_block, "batch verified");
        self.progress.send_modify(|progress| {
            progress.batches = index.saturating_add(1);
            progress.posted_batches = progress.posted_batches.max(progress.batches);
        });
        Ok(())
    }
}
