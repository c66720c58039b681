//! `weft watch`: prints every batch that is posted, checks it by rebuilding the chain, and disputes
//! what is wrong.

mod event;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256};
use alloy_signer_local::PrivateKeySigner;
use serde::Serialize;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use weft_l1_bridge::{
    BlobReader, BlobSourceError, DerivationError, L1Client, PostedBatch, RollupInfo,
    TransactionManager, TxManagerConfig,
};
use weft_primitives::ChainSpec;
use weft_state::Store;

pub use event::{VerifiedEvent, WatchEvent};

use crate::{
    chain::{ChainWriter, ExecutionMode, LabelSource, Layers, Replayer, engine},
    deploy::key_from_env,
    error::NodeError,
    l1,
    metrics::BlockSource,
    trouble::Trouble,
    verify::{Comparer, Difference, Disputant, DisputeEvent, Event, Order, Verifier, chain_spec},
};

/// What to watch.
#[derive(Debug)]
pub struct WatchConfig {
    /// RPC URL of L1.
    pub l1_url: String,
    /// The rollup's contract.
    pub contract: Address,
    /// Where batches in blobs are read.
    pub blobs: BlobReader,
    /// How long a request to L1 may take.
    pub timeout: Duration,
    /// How often L1 is asked for news.
    pub poll_interval: Duration,
    /// The chain, when it is too large to have been posted to L1.
    pub spec: Option<ChainSpec>,
    /// Which layers the chain runs.
    pub execution: ExecutionMode,
    /// Threads that execute blocks; 0 takes one for each core.
    pub threads: usize,
    /// End when everything that is posted now has been checked.
    pub once: bool,
    /// RPC URL of a node with the posted chain, which is asked for its blocks to find the first
    /// difference when a batch is wrong.
    pub compare: Option<String>,
    /// Environment variable with the private key that disputes what is wrong; `None` disputes
    /// nothing.
    pub challenger_key_env: Option<String>,
    /// How long the data of a batch may not be to be had before the batch is disputed for that.
    pub unavailable_after: Duration,
}

/// What was found in all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WatchReport {
    /// Whether everything that was posted is right.
    pub verified: bool,
    /// Batches that were checked and are right.
    pub batches: u64,
    /// Last block of the last right batch.
    pub last_l2_block: u64,
    /// Its hash.
    pub last_l2_block_hash: B256,
    /// Deposits that the right batches took in.
    pub deposits: u64,
    /// The contract.
    pub contract: Address,
    /// What is wrong with the first batch that is not right.
    pub error: Option<String>,
    /// The same, in parts.
    pub difference: Option<Difference>,
}

impl fmt::Display for WatchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (batches, block) = (self.batches, self.last_l2_block);
        match &self.error {
            None => write!(f, "verified: {batches} batches up to block {block}"),
            Some(error) => write!(
                f,
                "NOT VERIFIED after {batches} batches, at block {block}: {error}"
            ),
        }
    }
}

/// A watcher that has found its chain.
#[derive(Debug)]
pub struct Watcher {
    config: WatchConfig,
    client: L1Client,
    info: RollupInfo,
    /// Who disputes.
    challenger: Option<PrivateKeySigner>,
    verifier: Verifier,
    report: WatchReport,
    trouble: Trouble,
    /// A batch that was found wrong once.
    suspected: Option<PostedBatch>,
    /// A batch whose data cannot be had, and since when.
    unavailable: Option<(PostedBatch, Instant)>,
    /// The rebuilt chain; removed at the end.
    _folder: TempDir,
}

impl Watcher {
    /// Finds the contract and prepares an empty chain in a temporary folder.
    ///
    /// # Errors
    /// When L1 or the contract cannot be read.
    pub async fn new(mut config: WatchConfig) -> Result<Self, NodeError> {
        let key_env = config.challenger_key_env.as_deref();
        let challenger = key_env.map(key_from_env).transpose()?;
        let client = l1::client(&config.l1_url, config.timeout)?.with_blobs(config.blobs.clone());
        let info = RollupInfo::load(&client, config.contract).await?;
        let spec = Arc::new(chain_spec(config.spec.take(), &info)?);
        let folder =
            TempDir::with_prefix("weft-watch-").map_err(NodeError::file(std::env::temp_dir()))?;
        let store = Store::open(&folder.path().join("chain"), &spec)?;
        let layers = Arc::new(Layers::new(config.execution, None)?);
        let (writer, chain) = ChainWriter::new(
            spec,
            store,
            layers,
            engine(config.threads)?,
            LabelSource::Durable,
            BlockSource::Derived,
        )?;
        let comparer = config.compare.as_deref().map(Comparer::new).transpose()?;
        let report = WatchReport {
            verified: true,
            batches: 0,
            last_l2_block: 0,
            last_l2_block_hash: chain.head().hash(),
            deposits: 0,
            contract: config.contract,
            error: None,
            difference: None,
        };
        let verifier = Verifier::new(
            client.clone(),
            info.clone(),
            chain.clone(),
            Replayer::new(writer, chain.clone(), None)?,
            comparer,
            config.poll_interval,
        );
        Ok(Self {
            config,
            client,
            info,
            challenger,
            verifier,
            report,
            trouble: Trouble::default(),
            suspected: None,
            unavailable: None,
            _folder: folder,
        })
    }

    /// Checks batch after batch. Ends when all that is posted has been checked (`once`), when
    /// something posted is wrong, or when `stop` is cancelled. With a challenger's key it goes on
    /// after something wrong, as long as that can be removed.
    ///
    /// # Errors
    /// When L1 cannot be read (`once`) or this machine fails: nothing is said about the chain then.
    pub async fn run(
        mut self,
        stop: &CancellationToken,
        mut on_event: impl FnMut(&WatchEvent),
    ) -> Result<WatchReport, NodeError> {
        let (disputant, order, mut told) = self.disputant();
        let own = disputant.as_ref().and_then(Disputant::address);
        // It ends with this function.
        let _disputant =
            disputant.map(|disputant| AbortOnDropHandle::new(tokio::spawn(disputant.run())));
        loop {
            let event = {
                let next = self.verifier.next(stop);
                tokio::pin!(next);
                loop {
                    tokio::select! {
                        event = &mut next => break event?,
                        Some(event) = told.recv() => on_event(&WatchEvent::of_dispute(event, own)),
                    }
                }
            };
            let Some(event) = event else {
                return Ok(self.report);
            };
            if let Some(report) = self.on_event(event, &order, &mut on_event)? {
                return Ok(report);
            }
        }
    }

    /// What follows disputes: not for a look at what is there now.
    fn disputant(&self) -> (Option<Disputant>, Order, mpsc::Receiver<DisputeEvent>) {
        let manager = self.challenger.clone().map(|signer| {
            let config = TxManagerConfig {
                poll_interval: self.config.poll_interval,
                ..TxManagerConfig::default()
            };
            TransactionManager::new(self.client.clone(), signer, config)
        });
        let (disputant, order, told) = Disputant::new(
            self.client.clone(),
            self.info.clone(),
            manager,
            self.config.poll_interval,
        );
        ((!self.config.once).then_some(disputant), order, told)
    }

    /// Takes note of an event: the report when it is the last one.
    fn on_event(
        &mut self,
        event: Event,
        order: &Order,
        on_event: &mut impl FnMut(&WatchEvent),
    ) -> Result<Option<WatchReport>, NodeError> {
        let once = self.config.once;
        let challenges = self.challenger.is_some() && !once;
        if let Event::Unreadable { waiting, error } = event {
            if once {
                return Err(error.into());
            }
            if self.trouble.is_news(&error) {
                tracing::warn!(%error, "L1 cannot be read; trying again");
            }
            if let Some(posted) = waiting.filter(|_| challenges && is_unavailable(&error)) {
                self.unavailable(&posted, &error, order, on_event);
            }
            return Ok(None);
        }
        self.trouble.over();
        match event {
            Event::Verified(batch) => {
                let event = VerifiedEvent::from(&*batch);
                self.unavailable = None;
                self.report = WatchReport {
                    verified: true,
                    batches: event.batch.saturating_add(1),
                    last_l2_block: event.last_block,
                    last_l2_block_hash: event.last_block_hash,
                    deposits: event.deposits,
                    contract: self.config.contract,
                    error: None,
                    difference: None,
                };
                on_event(&WatchEvent::Verified(event));
            }
            Event::CaughtUp if once => return Ok(Some(self.report.clone())),
            Event::Changed(error) if once => return Err(error.into()),
            Event::Changed(error) => {
                tracing::warn!(%error, "starting again from the last batch that L1 still has");
                order.send_replace(None);
                self.unavailable = None;
                self.report.verified = true;
                self.report.error = None;
                self.report.difference = None;
            }
            Event::Wrong { posted, difference } => {
                self.report.verified = false;
                self.report.error = Some(difference.to_string());
                self.report.difference = Some((*difference).clone());
                if !challenges {
                    return Ok(Some(self.report.clone()));
                }
                // What an L1 node says once may be nonsense: a bond is at stake only when the same
                // comes out of reading everything again.
                if self.suspected == Some(*posted) {
                    on_event(&WatchEvent::Wrong(difference));
                    order.send_replace(Some(*posted));
                } else {
                    self.suspected = Some(*posted);
                    self.verifier.start_again();
                }
            }
            Event::StillWrong { is_settled: true } => return Ok(Some(self.report.clone())),
            Event::Resumed { .. }
            | Event::CaughtUp
            | Event::StillWrong { is_settled: false }
            | Event::Unreadable { .. } => {}
        }
        Ok(None)
    }

    /// Has a batch disputed whose data cannot be had for too long.
    fn unavailable(
        &mut self,
        posted: &PostedBatch,
        error: &DerivationError,
        order: &Order,
        on_event: &mut impl FnMut(&WatchEvent),
    ) {
        let since = match self.unavailable {
            Some((batch, since)) if batch == *posted => since,
            _ => {
                let now = Instant::now();
                self.unavailable = Some((*posted, now));
                now
            }
        };
        let is_ordered = order.borrow().is_some_and(|ordered| ordered == *posted);
        if since.elapsed() >= self.config.unavailable_after && !is_ordered {
            let (batch, batch_hash) = (posted.index, posted.batch_hash);
            let reason = error.to_string();
            self.report.verified = false;
            self.report.error = Some(format!("batch {batch}: its data cannot be had: {reason}"));
            on_event(&WatchEvent::Unavailable {
                batch,
                batch_hash,
                reason,
            });
            order.send_replace(Some(*posted));
        }
    }
}

/// Whether the data of a batch is to be had nowhere, in contrast to an L1 that cannot be read.
const fn is_unavailable(error: &DerivationError) -> bool {
    matches!(
        error,
        DerivationError::Blobs(BlobSourceError::Missing { .. })
    )
}
