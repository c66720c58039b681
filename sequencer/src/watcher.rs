//! `weft watch`: prints every batch that is posted and checks it by rebuilding the chain.

use std::{fmt, sync::Arc, time::Duration};

use alloy_primitives::{Address, B256};
use serde::Serialize;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use weft_l1_bridge::{BlobReader, RollupInfo};
use weft_primitives::ChainSpec;
use weft_state::Store;

use crate::{
    chain::{
        ChainHandle, ChainWriter, ExecutionMode, LabelSource, Layers, Replayer, VerifiedBatch,
        engine,
    },
    error::NodeError,
    l1,
    metrics::BlockSource,
    trouble::Trouble,
    verify::{Comparer, Difference, Event, Verifier, chain_spec},
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
    verifier: Verifier,
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
        let verifier = Verifier::new(
            client,
            info,
            chain.clone(),
            Replayer::new(writer, chain.clone(), None)?,
            comparer,
            config.poll_interval,
        );
        Ok(Self {
            config,
            verifier,
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
            difference: None,
        };
        let mut trouble = Trouble::default();
        while let Some(event) = self.verifier.next(stop).await? {
            if let Event::Unreadable(error) = event {
                if self.config.once {
                    return Err(error.into());
                }
                if trouble.is_news(&error) {
                    tracing::warn!(%error, "L1 cannot be read; trying again");
                }
                continue;
            }
            trouble.over();
            match event {
                Event::Verified(batch) => {
                    let event = WatchEvent::from(&*batch);
                    report.batches = event.batch.saturating_add(1);
                    report.last_l2_block = event.last_block;
                    report.last_l2_block_hash = event.last_block_hash;
                    report.deposits = event.deposits;
                    on_batch(&event);
                }
                Event::CaughtUp if self.config.once => return Ok(report),
                Event::Changed(error) if self.config.once => return Err(error.into()),
                Event::Changed(error) => {
                    tracing::warn!(%error, "starting again from the last batch that L1 still has");
                }
                Event::Wrong(difference) => return Ok(failed(report, *difference)),
                Event::Resumed { .. }
                | Event::CaughtUp
                | Event::StillWrong
                | Event::Unreadable(_) => {}
            }
        }
        Ok(report)
    }
}

impl From<&VerifiedBatch> for WatchEvent {
    fn from(batch: &VerifiedBatch) -> Self {
        let VerifiedBatch {
            posted,
            transactions,
        } = batch;
        Self {
            batch: posted.index,
            batch_hash: posted.batch_hash,
            first_block: posted.header.first_block,
            last_block: posted.header.last_block,
            last_block_hash: posted.header.last_block_hash,
            transactions: *transactions,
            deposits: posted.header.deposits_consumed,
            l1_block: posted.l1_block,
            l1_transaction: posted.tx_hash,
        }
    }
}

fn failed(report: WatchReport, difference: Difference) -> WatchReport {
    WatchReport {
        verified: false,
        error: Some(difference.to_string()),
        difference: Some(difference),
        ..report
    }
}
