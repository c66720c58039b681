//! `weft watch`: prints every batch that is posted and checks it by rebuilding the chain.

use std::{fmt, sync::Arc, time::Duration};

use alloy_primitives::{Address, B256};
use serde::Serialize;
use tempfile::TempDir;
use tokio::time;
use tokio_util::sync::CancellationToken;
use weft_l1_bridge::{Derivation, DerivationError, DerivedBatch, L1Client, RollupInfo};
use weft_primitives::ChainSpec;
use weft_state::Store;

use crate::{
    chain::{ChainHandle, ChainWriter, ExecutionMode, LabelSource, Layers, Replayer, engine},
    error::NodeError,
    follower::{chain_spec, resume, resume_again},
    l1,
    metrics::BlockSource,
    trouble::Trouble,
};

/// What to watch.
#[derive(Debug)]
pub struct WatchConfig {
    /// RPC URL of L1.
    pub l1_url: String,
    /// The rollup's contract.
    pub contract: Address,
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
}

/// A batch that was checked and is right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WatchEvent {
    /// Index of the batch.
    pub batch: u64,
    /// Hash of the batch header.
    pub batch_hash: B256,
    /// First block of the batch.
    pub first_block: u64,
    /// Last block of the batch.
    pub last_block: u64,
    /// Hash of the last block.
    pub last_block_hash: B256,
    /// Transactions in the batch's blocks, deposits included.
    pub transactions: usize,
    /// Deposits from L1 up to and including the batch.
    pub deposits: u64,
    /// L1 block that holds the batch.
    pub l1_block: u64,
    /// L1 transaction that posted it.
    pub l1_transaction: B256,
}

impl fmt::Display for WatchEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "batch {}: blocks {}..={}, {} transactions, L1 block {} transaction {}: verified, head {}",
            self.batch,
            self.first_block,
            self.last_block,
            self.transactions,
            self.l1_block,
            self.l1_transaction,
            self.last_block_hash,
        )
    }
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
    derivation: Derivation,
    replayer: Arc<Replayer>,
    chain: ChainHandle,
    /// The rebuilt chain; removed at the end.
    _folder: TempDir,
}

impl Watcher {
    /// Finds the contract and prepares an empty chain in a temporary folder.
    ///
    /// # Errors
    /// When L1 or the contract cannot be read.
    pub async fn new(mut config: WatchConfig) -> Result<Self, NodeError> {
        let client = l1::client(&config.l1_url, config.timeout)?;
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
        let derivation = resume(&client, &info, &chain, &[])?;
        Ok(Self {
            config,
            client,
            info,
            derivation,
            replayer: Arc::new(Replayer::new(writer, chain.clone(), None)),
            chain,
            _folder: folder,
        })
    }

    /// Checks batch after batch. Ends when all that is posted has been checked (`once`), when
    /// something posted is wrong, or when `stop` is cancelled.
    ///
    /// # Errors
    /// When L1 cannot be read (`once`) or this machine fails: nothing is said about the chain then.
    pub async fn run(
        mut self,
        stop: &CancellationToken,
        mut on_batch: impl FnMut(&WatchEvent),
    ) -> Result<WatchReport, NodeError> {
        let mut report = WatchReport {
            verified: true,
            batches: 0,
            last_l2_block: 0,
            last_l2_block_hash: self.chain.head().hash(),
            deposits: 0,
            contract: self.config.contract,
            error: None,
        };
        let mut trouble = Trouble::default();
        loop {
            let next = tokio::select! {
                () = stop.cancelled() => return Ok(report),
                next = self.derivation.next_batch() => next,
            };
            match next {
                Ok(Some(batch)) => match self.check(batch).await {
                    Ok(event) => {
                        report.batches = event.batch.saturating_add(1);
                        report.last_l2_block = event.last_block;
                        report.last_l2_block_hash = event.last_block_hash;
                        report.deposits = event.deposits;
                        on_batch(&event);
                    }
                    Err(NodeError::Mismatch(mismatch)) => {
                        return Ok(failed(report, mismatch.to_string()));
                    }
                    Err(error) => return Err(error),
                },
                Ok(None) if self.config.once => return Ok(report),
                Ok(None) => {
                    trouble.over();
                    self.pause(stop).await;
                }
                Err(error) if error.is_retryable() && !self.config.once => {
                    if trouble.is_news(&error) {
                        tracing::warn!(%error, "L1 cannot be read; trying again");
                    }
                    self.pause(stop).await;
                }
                Err(error) if error.is_retryable() => return Err(error.into()),
                Err(error @ DerivationError::Reorg { .. }) if !self.config.once => {
                    tracing::warn!(%error, "starting again from the last batch that L1 still has");
                    let again = resume_again(&self.client, &self.info, &self.chain);
                    let Some(again) = stop.run_until_cancelled(again).await else {
                        return Ok(report);
                    };
                    if let Some(derivation) = again? {
                        self.derivation = derivation;
                    }
                    self.pause(stop).await;
                }
                Err(error @ DerivationError::Batch { .. }) => {
                    return Ok(failed(report, error.to_string()));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn pause(&self, stop: &CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = time::sleep(self.config.poll_interval) => {}
        }
    }

    async fn check(&self, batch: DerivedBatch) -> Result<WatchEvent, NodeError> {
        let event = WatchEvent {
            batch: batch.posted.index,
            batch_hash: batch.posted.batch_hash,
            first_block: batch.header().first_block,
            last_block: batch.header().last_block,
            last_block_hash: batch.header().last_block_hash,
            transactions: batch
                .blocks
                .iter()
                .map(|block| block.transactions.len())
                .sum(),
            deposits: batch.header().deposits_consumed,
            l1_block: batch.posted.l1_block,
            l1_transaction: batch.posted.tx_hash,
        };
        let replayer = self.replayer.clone();
        tokio::task::spawn_blocking(move || replayer.apply(batch))
            .await
            .map_err(|error| NodeError::Setup(format!("replay panicked: {error}")))??;
        Ok(event)
    }
}

fn failed(report: WatchReport, error: String) -> WatchReport {
    WatchReport {
        verified: false,
        error: Some(error),
        ..report
    }
}
