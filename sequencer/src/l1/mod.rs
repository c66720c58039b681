//! What ties a chain to its L1: deposits come down, batches go up, labels follow, and the ledger
//! keeps record.

mod binding;
mod deep_reorg;
mod info;
mod labels;
mod origins;
mod recorder;
mod source;
mod withdrawals;

use std::{path::Path, sync::Arc, time::Duration};

use alloy_primitives::Address;
use tokio::sync::{mpsc, watch};
use weft_batcher::{
    BatchPolicy, EventSink, RetryPolicy, Submitter, SubmitterControl, SubmitterEvent,
};
use weft_l1_bridge::{
    BlobReader, ContractPoster, L1Client, L1ClientConfig, L1LabelSource, L1Signer, OriginConfig,
    OriginSource, RollupInfo, TransactionManager, TxManagerConfig,
};
use weft_state::Store;

pub use deep_reorg::{DeepReorg, OnDeepReorg};

use crate::{
    chain::{ChainHandle, L1Labels, OriginUpdate},
    error::NodeError,
    ledger::Ledger,
    rpc::L1Info,
    tasks::Tasks,
};

/// The L1 above a chain.
#[derive(Debug, Clone)]
pub struct L1Config {
    /// RPC URL.
    pub url: String,
    /// The rollup's contract.
    pub contract: Address,
    /// How long a request may take.
    pub timeout: Duration,
    /// How often L1 is asked for news.
    pub poll_interval: Duration,
    /// Blocks on top of an L1 block before its deposits are taken in; 0 takes the newest.
    pub deposit_confirmations: u64,
    /// Confirmations after which a batch counts as safe; 1 is to be in a block.
    pub safe_confirmations: u64,
    /// Where batches in blobs are read. Without a source none are posted.
    pub blobs: BlobReader,
    /// URL of the ledger; `None` is a file in the data folder.
    pub ledger: Option<String>,
    /// Posts batches; `None` on a follower.
    pub batcher: Option<BatcherConfig>,
}

impl L1Config {
    /// A client of this L1.
    pub(crate) fn client(&self) -> Result<L1Client, NodeError> {
        Ok(client(&self.url, self.timeout)?.with_blobs(self.blobs.clone()))
    }
}

/// A client of the L1 at `url`, which waits `timeout` for an answer. It reads no blobs.
pub(crate) fn client(url: &str, timeout: Duration) -> Result<L1Client, NodeError> {
    let config = L1ClientConfig {
        timeout,
        ..L1ClientConfig::default()
    };
    Ok(L1Client::new(url, config)?)
}

/// How batches are posted.
#[derive(Debug, Clone)]
pub struct BatcherConfig {
    /// Whoever signs for the batcher's account on L1.
    pub signer: L1Signer,
    /// How its transactions are brought into L1.
    pub transactions: TxManagerConfig,
    /// When a batch closes.
    pub policy: BatchPolicy,
    /// Most blobs that one batch may take; 0 posts everything as calldata.
    pub max_blobs: usize,
    /// What is done when L1 drops the block that the chain has as its origin.
    pub on_deep_reorg: OnDeepReorg,
}

/// A checked connection to the L1 of a chain, before its parts run.
#[derive(Debug)]
pub(crate) struct L1Link {
    config: L1Config,
    client: L1Client,
    info: RollupInfo,
    ledger: Ledger,
    labels: watch::Sender<L1Labels>,
    origins: watch::Sender<Option<Arc<OriginUpdate>>>,
    /// `None` until the submitter runs, and on a follower.
    submitter: watch::Sender<Option<SubmitterControl>>,
    origin_problem: watch::Sender<Option<String>>,
}

/// Submitter events that may wait for the ledger.
const EVENT_CAPACITY: usize = 256;

impl L1Link {
    /// Connects and checks that the contract is this chain's.
    ///
    /// # Errors
    /// When L1 or the ledger cannot be used, or the contract belongs to another chain.
    pub(crate) async fn connect(
        config: L1Config,
        data_dir: &Path,
        store: &Store,
    ) -> Result<Self, NodeError> {
        let client = config.client()?;
        let info = RollupInfo::load(&client, config.contract).await?;
        let ours = store.header(0)?.map(|header| header.hash());
        if ours != Some(info.genesis_block_hash) {
            return Err(NodeError::Setup(format!(
                "contract {} belongs to another chain: expected genesis block {}, found {} in the contract",
                config.contract,
                ours.unwrap_or_default(),
                info.genesis_block_hash,
            )));
        }
        if let Some(batcher) = &config.batcher {
            let account = batcher.signer.address();
            if !info.takes_batches_from(&client, account).await? {
                return Err(NodeError::Setup(format!(
                    "{account}, the batcher's account, may not post: contract {} has not given it the batcher role",
                    config.contract,
                )));
            }
        }
        let binding = binding::Binding {
            l1_chain_id: client.chain_id().await?,
            contract: config.contract,
        };
        binding.check(data_dir)?;
        let ledger = Ledger::open(config.ledger.as_deref(), data_dir).await?;
        // What is safe is known from the start: without it the whole chain would count as backlog.
        let label_source = L1LabelSource::new(client.clone(), &info, config.safe_confirmations);
        let labels = labels::up_to(store.head()?.number, &label_source.labels().await?);
        Ok(Self {
            config,
            client,
            info,
            ledger,
            labels: watch::Sender::new(labels),
            origins: watch::Sender::default(),
            submitter: watch::Sender::default(),
            origin_problem: watch::Sender::default(),
        })
    }

    /// Follows the labels.
    pub(crate) fn labels(&self) -> watch::Receiver<L1Labels> {
        self.labels.subscribe()
    }

    /// Follows the L1 origins that the next block may move to.
    pub(crate) fn origins(&self) -> watch::Receiver<Option<Arc<OriginUpdate>>> {
        self.origins.subscribe()
    }

    /// A handle of the submitter, once it runs; `None` on a follower.
    pub(crate) fn submitter(&self) -> watch::Receiver<Option<SubmitterControl>> {
        self.submitter.subscribe()
    }

    /// What RPC says about L1.
    pub(crate) fn info(&self, chain: ChainHandle) -> Arc<dyn L1Info> {
        Arc::new(info::LedgerInfo::new(
            chain,
            self.ledger.clone(),
            self.config.contract,
            self.submitter(),
            self.origin_problem.subscribe(),
        ))
    }

    /// Starts the parts.
    pub(crate) fn spawn(self, chain: &ChainHandle, tasks: &mut Tasks) {
        let poll = self.config.poll_interval;
        let label_source = L1LabelSource::new(
            self.client.clone(),
            &self.info,
            self.config.safe_confirmations,
        );
        tasks.spawn_droppable(
            "labels",
            labels::follow(label_source, chain.clone(), self.labels, poll),
        );
        let (events, event_receiver) = mpsc::channel::<SubmitterEvent>(EVENT_CAPACITY);
        if let Some(batcher) = self.config.batcher {
            let source = OriginSource::new(
                self.client.clone(),
                &self.info,
                OriginConfig {
                    confirmations: self.config.deposit_confirmations,
                    ..OriginConfig::default()
                },
            );
            let alarm = origins::Alarm {
                problem: self.origin_problem,
                reorgs: match batcher.on_deep_reorg {
                    OnDeepReorg::Stop => None,
                    OnDeepReorg::Unwind => Some(deep_reorg::ReorgWatch::new(
                        self.client.clone(),
                        self.info.clone(),
                        self.config.deposit_confirmations,
                    )),
                },
            };
            tasks.spawn_droppable(
                "origins",
                origins::follow(source, chain.clone(), self.origins, alarm, poll),
            );
            let manager =
                TransactionManager::new(self.client.clone(), batcher.signer, batcher.transactions);
            let mut lane = manager.status();
            tasks.spawn_droppable("L1 transactions", async move {
                loop {
                    crate::metrics::l1_lane(&lane.borrow_and_update());
                    if lane.changed().await.is_err() {
                        return Ok(());
                    }
                }
            });
            let poster = ContractPoster::new(
                self.client.clone(),
                manager,
                self.config.contract,
                batcher.max_blobs,
            );
            let submitter = Submitter::new(
                Arc::new(source::DurableBlocks(chain.clone())),
                poster,
                batcher.policy,
                RetryPolicy::default(),
                EventSink::new(events),
            );
            let mut status = submitter.status();
            self.submitter.send_replace(Some(submitter.control()));
            tasks.spawn_droppable("submitter", async move {
                match submitter.run().await {
                    Ok(never) => match never {},
                    Err(error) => Err(error.into()),
                }
            });
            tasks.spawn_droppable("submitter status", async move {
                loop {
                    crate::metrics::submitter(&status.borrow_and_update());
                    if status.changed().await.is_err() {
                        return Ok(());
                    }
                }
            });
        }
        tasks.spawn(
            "recorder",
            recorder::Recorder::new(self.client, self.info, self.ledger, chain.clone(), poll)
                .run(event_receiver, tasks.stop().clone()),
        );
    }
}
