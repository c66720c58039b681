//! Between the chain and its L1: contracts, client, watcher, derivation.
//!
//! Nothing that an L1 node answers is trusted: answers are bounded in size and time, and checked
//! before they are used (I7).

mod blobs;
pub mod bridge;
mod client;
mod contract;
mod derivation;
mod dispute;
mod error;
pub mod genesis;
mod labels;
mod logs;
mod origin;
mod poster;
mod rollup;
mod transport;
mod tx_manager;

pub use blobs::{
    BLOB_ENCODING_VERSION, BeaconClient, BlobArchive, BlobDecodeError, BlobEncodeError, BlobPlace,
    BlobReader, BlobSourceError, KzgError, MAX_BATCH_BLOBS, blob_capacity, blob_commitment,
    blobs_data_hash, blobs_needed, decode_blobs, encode_blobs, versioned_hash,
};
pub use client::{L1Block, L1Client, L1ClientConfig};
pub use contract::{Revert, Severity};
pub use derivation::{
    BatchEvent, BatchFault, Derivation, DerivationConfig, DerivationError, DerivedBatch,
    DerivedBlock, PlacedBatchEvent, PostedBatch, ReadAheadConfig, ResumePoint, batch_events,
    posted_batches,
};
pub use dispute::{BatchStanding, Disputes};
pub use error::L1Error;
pub use labels::{L1LabelSource, PostedLabels};
pub use logs::{PlacedDeposit, PlacedWithdrawalEvent, WithdrawalEvent};
pub use origin::{MAX_DEPOSIT_GAS, OriginAdvance, OriginConfig, OriginError, OriginSource};
pub use poster::{ContractPoster, PostableData};
pub use rollup::{
    DeployParameters, Deployment, DeploymentPlan, PostedBlock, RollupError, RollupInfo, deploy,
};
pub use tx_manager::{
    Alarm, BlobError, BlobPayload, CapReached, FeeCaps, FeeKind, Fees, L1Signer, LaneStatus,
    Market, Payload, RemoteSigner, SendError, SentTransaction, SidecarForm, SignerError, Slot,
    TransactionManager, TxManagerConfig,
};
