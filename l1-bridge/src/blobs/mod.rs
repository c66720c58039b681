//! Batches in blobs: how data lies in them, where they are read, and where they are kept.
//!
//! L1 holds the versioned hashes of blobs for ever, and the blobs for some weeks. A consensus node
//! (Beacon API) serves them meanwhile; an archive keeps them. A blob is checked against its hash
//! wherever it comes from.

mod archive;
mod beacon;
mod codec;
mod http;
mod kzg;
mod reader;

use alloy_primitives::B256;

pub use archive::BlobArchive;
pub use beacon::BeaconClient;
pub use codec::{
    BLOB_ENCODING_VERSION, BlobDecodeError, BlobEncodeError, MAX_BATCH_BLOBS, blob_capacity,
    blobs_needed, decode_blobs, encode_blobs,
};
pub(crate) use codec::{HEADER_BYTES as BLOB_OVERHEAD_BYTES, STREAM_BYTES_PER_BLOB as BLOB_BYTES};
pub use kzg::{KzgError, blob_commitment, blobs_data_hash, versioned_hash};
pub use reader::{BlobPlace, BlobReader};

/// Why blobs could not be read or kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobSourceError {
    /// The URL of a source cannot be used.
    #[error("blobs: not an HTTP URL: {0}")]
    Source(String),
    /// There is nowhere to read blobs.
    #[error(
        "the batch in L1 block {l1_block} is in blobs: expected a beacon node's URL or an archive of blobs to read them from, found neither"
    )]
    NoSource {
        /// Number of the L1 block.
        l1_block: u64,
    },
    /// No source has it now: it may have expired, or the source that has it does not answer.
    #[error("blob {versioned_hash} of L1 block {l1_block} is not to be had: {reason}")]
    Missing {
        /// The blob's versioned hash.
        versioned_hash: B256,
        /// Number of the L1 block.
        l1_block: u64,
        /// What each source said.
        reason: String,
    },
    /// The archive did not take it.
    #[error("blob {versioned_hash} cannot be archived: {reason}")]
    Archive {
        /// The blob's versioned hash.
        versioned_hash: B256,
        /// What the archive said.
        reason: String,
    },
}

impl BlobSourceError {
    /// Whether another try may succeed, in contrast to sources that cannot be used at all.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Source(_) | Self::NoSource { .. } => false,
            Self::Missing { .. } | Self::Archive { .. } => true,
        }
    }
}
