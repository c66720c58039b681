use std::error::Error;

use alloy_primitives::{Address, B256};
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use weft_primitives::{L1Origin, SealedBlock};

use crate::{BatchHeader, L1Market, Placement, SubmitterStatus};

/// The chain cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("chain: {0}")]
pub struct ChainSourceError(#[from] pub Box<dyn Error + Send + Sync>);

/// The chain whose blocks are posted. Only durable blocks may be shown through it.
pub trait ChainSource: Send + Sync + 'static {
    /// Number of the last durable block.
    fn head(&self) -> u64;

    /// The block of this number; `None` above the head. May read the disk: called outside of tokio's
    /// threads.
    ///
    /// # Errors
    /// When the chain cannot be read.
    fn block(&self, number: u64) -> Result<Option<SealedBlock>, ChainSourceError>;

    /// Number of user deposits that the chain has taken in up to and including this block. May read
    /// the disk.
    ///
    /// # Errors
    /// When the chain cannot be read or has no such block.
    fn deposit_count(&self, number: u64) -> Result<u64, ChainSourceError>;

    /// Root of the tree of withdrawals after this block; zero before the first withdrawal. May read
    /// the disk.
    ///
    /// # Errors
    /// When the chain cannot be read or has no such block.
    fn withdrawals_root(&self, number: u64) -> Result<B256, ChainSourceError>;

    /// The L1 origin of this block; `None` while the chain has taken in none. May read the disk.
    ///
    /// # Errors
    /// When the chain cannot be read.
    fn l1_origin(&self, number: u64) -> Result<Option<L1Origin>, ChainSourceError>;

    /// Returns once the head is at this number or above. Must be safe to drop at any time.
    fn wait_for(&self, number: u64) -> impl Future<Output = ()> + Send;
}

/// How far the contract on L1 has taken the chain in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LastBatch {
    /// Number of batches.
    pub count: u64,
    /// Hash of the last batch; zero before the first.
    pub hash: B256,
    /// Number of the last block of the last batch; 0 before the first.
    pub last_block: u64,
    /// Hash of that block; the genesis block's before the first batch.
    pub last_block_hash: B256,
}

/// A batch that is in an L1 block with the configured confirmations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posted {
    /// Hash of the L1 transaction.
    pub tx_hash: B256,
    /// Number of the L1 block.
    pub l1_block: u64,
    /// Hash of the L1 block.
    pub l1_block_hash: B256,
    /// Gas that the transaction used on L1, in gas.
    pub gas_used: u64,
    /// What a unit of gas cost, in wei.
    pub gas_price: u128,
    /// Gas that its blobs used on L1, in blob gas; zero without blobs.
    pub blob_gas_used: u64,
    /// What a unit of blob gas cost, in wei; zero without blobs.
    pub blob_gas_price: u128,
}

/// An encoded batch, put into the form in which it is posted.
#[derive(Debug, Clone)]
pub struct Prepared<D> {
    /// Where the data will lie.
    pub placement: Placement,
    /// Number of blobs that hold it; zero when it is calldata.
    pub blob_count: u8,
    /// What the header says about it, see [`BatchHeader::data_hash`].
    pub data_hash: B256,
    /// Size of the encoded batch, in bytes.
    pub bytes: usize,
    /// The data itself, as the poster wants it.
    pub data: D,
}

/// Why a poster could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// Another try may succeed: L1 is down, answers nonsense, or the contract's state has moved.
    #[error(transparent)]
    Retry(Box<dyn Error + Send + Sync>),
    /// No other try will: the account may not post, or the contract is not the expected one.
    #[error(transparent)]
    Fatal(Box<dyn Error + Send + Sync>),
}

/// The way to the contract on L1.
pub trait BatchPoster: Send + Sync + 'static {
    /// The data of a batch as it is posted.
    type Data: Send + Sync;

    /// Reads how far the contract is. A poster with an own transaction still pending waits for it
    /// first, so that a batch is never sent twice after a restart.
    fn last_batch(&self) -> impl Future<Output = Result<LastBatch, PostError>> + Send;

    /// Checks that L1 holds this block. A batch whose blocks have taken in an L1 block that L1 has
    /// dropped since can never be derived (I3), and a posted batch cannot be taken back.
    fn check_origin(&self, origin: &L1Origin)
    -> impl Future<Output = Result<(), PostError>> + Send;

    /// What L1 asks for now, and whether blobs may be posted: only where L1 takes them, and somebody
    /// here can read them back.
    fn market(&self) -> impl Future<Output = Result<L1Market, PostError>> + Send;

    /// Puts an encoded batch into the form in which it is posted. Nothing is sent yet.
    fn prepare(
        &self,
        placement: Placement,
        data: Vec<u8>,
    ) -> impl Future<Output = Result<Prepared<Self::Data>, PostError>> + Send;

    /// Posts the batch with this index and waits until it is included with the configured
    /// confirmations. Reports each transaction that it sends as [`SubmitterEvent::Attempt`], and
    /// what keeps one waiting as [`SubmitterEvent::Alarm`].
    fn post(
        &self,
        index: u64,
        header: &BatchHeader,
        prepared: &Prepared<Self::Data>,
        events: &EventSink,
    ) -> impl Future<Output = Result<Posted, PostError>> + Send;
}

/// What happened to a batch, for whoever keeps record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubmitterEvent {
    /// A transaction with the batch was sent to L1.
    Attempt {
        /// Index of the batch.
        index: u64,
        /// Hash of the batch.
        batch_hash: B256,
        /// Header of the batch.
        header: BatchHeader,
        /// Where its data lies.
        placement: Placement,
        /// Size of the encoded batch, in bytes.
        data_bytes: usize,
        /// Account that signed the L1 transaction.
        sender: Address,
        /// Hash of the L1 transaction.
        tx_hash: B256,
        /// Nonce of the L1 transaction.
        nonce: u64,
        /// Gas limit of the L1 transaction, in gas.
        gas_limit: u64,
        /// Fee cap of the L1 transaction, in wei per gas.
        max_fee_per_gas: u128,
        /// Tip of the L1 transaction, in wei per gas.
        max_priority_fee_per_gas: u128,
        /// Fee cap of its blobs, in wei per blob gas; `None` without blobs.
        max_fee_per_blob_gas: Option<u128>,
    },
    /// What keeps the transaction waiting has changed.
    Alarm {
        /// What somebody should look at; `None` when it has passed.
        alarm: Option<String>,
    },
    /// The batch is in an L1 block with the configured confirmations.
    Included {
        /// Hash of the batch.
        batch_hash: B256,
        /// Header of the batch.
        header: BatchHeader,
        /// Where it is.
        posted: Posted,
    },
    /// Posting the batch failed; it is tried again unless the submitter stops.
    Failed {
        /// Hash of the batch.
        batch_hash: B256,
        /// Header of the batch.
        header: BatchHeader,
        /// What went wrong.
        error: String,
    },
}

/// Where [`SubmitterEvent`]s go: into the submitter's status, and to a receiver. Without one they are
/// not recorded: they say what L1 holds anyway.
#[derive(Debug, Clone, Default)]
pub struct EventSink {
    record: Option<mpsc::Sender<SubmitterEvent>>,
    status: Option<watch::Sender<SubmitterStatus>>,
}

impl EventSink {
    /// Sends events into a channel. A full channel holds the submitter back.
    pub const fn new(sender: mpsc::Sender<SubmitterEvent>) -> Self {
        Self {
            record: Some(sender),
            status: None,
        }
    }

    /// Shows events in a status too.
    pub(crate) fn showing(self, status: watch::Sender<SubmitterStatus>) -> Self {
        Self {
            status: Some(status),
            ..self
        }
    }

    /// Reports an event.
    pub async fn send(&self, event: SubmitterEvent) {
        if let Some(status) = &self.status {
            status.send_modify(|status| status.apply(&event));
        }
        if let Some(record) = &self.record {
            // A closed channel means that nobody keeps record any more.
            let _ = record.send(event).await;
        }
    }
}
