use alloy_eips::BlockNumHash;
use alloy_primitives::B256;
use weft_batcher::BatchDecodeError;

use crate::{BlobDecodeError, BlobSourceError, L1Error};

/// What is wrong with a batch that is on L1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchFault {
    /// The transaction is not a call of `postBatch` or `postBatchBlobs` with the event's header.
    #[error("its transaction is no call that posts a batch with this header: {0}")]
    Call(String),
    /// The transaction has more or fewer blobs than the header says.
    #[error("expected {expected} blobs, found {found}")]
    BlobCount {
        /// Blobs by the header.
        expected: u8,
        /// Blobs of the transaction.
        found: usize,
    },
    /// The blobs hold no data.
    #[error(transparent)]
    Blobs(#[from] BlobDecodeError),
    /// The data is not what the header says.
    #[error("expected data with hash {expected}, found {found}")]
    DataHash {
        /// Hash in the header.
        expected: B256,
        /// Hash of the data.
        found: B256,
    },
    /// The header is not what the contract stored.
    #[error("expected a header with hash {expected}, found {found}")]
    HeaderHash {
        /// Hash in the event.
        expected: B256,
        /// Hash of the header.
        found: B256,
    },
    /// The batch does not follow the last one.
    #[error("expected previous batch {expected}, found {found}")]
    PreviousBatch {
        /// Hash of the last batch.
        expected: B256,
        /// Hash in the header.
        found: B256,
    },
    /// The batch does not start behind the last block.
    #[error("expected blocks from {expected} on, found {first} to {last}")]
    BlockRange {
        /// Number of the next block.
        expected: u64,
        /// First block in the header.
        first: u64,
        /// Last block in the header.
        last: u64,
    },
    /// The data does not decode.
    #[error(transparent)]
    Decode(#[from] BatchDecodeError),
    /// The data has more or fewer blocks than the header says.
    #[error("expected {expected} blocks in the data, found {found}")]
    BlockCount {
        /// Blocks by the header.
        expected: u64,
        /// Blocks in the data.
        found: u64,
    },
    /// A block is older than its parent.
    #[error(
        "block {block}: expected a timestamp of at least {parent}, its parent's, found {found}"
    )]
    Timestamp {
        /// Number of the block.
        block: u64,
        /// Timestamp of its parent, in seconds.
        parent: u64,
        /// Its timestamp, in seconds.
        found: u64,
    },
    /// A block moves to an L1 block that cannot be its origin.
    #[error(
        "block {block}: expected an L1 origin after {after}, the last one, and before {before}, the batch's L1 block, found {found}"
    )]
    Origin {
        /// Number of the block.
        block: u64,
        /// Number of the last origin.
        after: u64,
        /// Number of the L1 block that holds the batch.
        before: u64,
        /// Number of the origin.
        found: u64,
    },
    /// The header names another L1 origin than the last block has.
    #[error(
        "expected L1 origin {} ({}) in the header, found {} ({})",
        expected.number, expected.hash, found.number, found.hash
    )]
    HeaderOrigin {
        /// Origin of the last block.
        expected: BlockNumHash,
        /// Origin in the header.
        found: BlockNumHash,
    },
    /// The header counts other deposits than L1 holds up to the batch's last origin.
    #[error("expected {expected} deposits consumed, found {found}")]
    Deposits {
        /// Deposits on L1.
        expected: u64,
        /// Deposits by the header.
        found: u64,
    },
}

/// Why the next batch could not be derived.
#[derive(Debug, thiserror::Error)]
pub enum DerivationError {
    /// L1 did not answer properly; another try may succeed.
    #[error(transparent)]
    L1(#[from] L1Error),
    /// A blob cannot be read; another try, or another source, may succeed.
    #[error(transparent)]
    Blobs(#[from] BlobSourceError),
    /// L1 has reorganised below what was read already. Derivation must start again from a point
    /// that L1 still has.
    #[error("L1 reorganised: expected block {number} to be {expected}, found {found}")]
    Reorg {
        /// Number of the L1 block.
        number: u64,
        /// Its hash when it was read.
        expected: B256,
        /// Its hash now.
        found: B256,
    },
    /// Batches were removed that were read already. Derivation must start again before them.
    #[error("batch {from_index} and all after it were rejected in L1 block {l1_block}")]
    Rejected {
        /// Index of the first batch that was removed.
        from_index: u64,
        /// L1 block in which it was.
        l1_block: u64,
    },
    /// What was posted does not verify.
    #[error("batch {index} does not verify: {fault}")]
    Batch {
        /// Index of the batch, from zero.
        index: u64,
        /// What is wrong.
        fault: BatchFault,
    },
    /// The program is shutting down.
    #[error("interrupted")]
    Interrupted,
}

impl DerivationError {
    /// Whether another try may succeed, in contrast to a chain that does not verify.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::L1(error) => error.is_retryable(),
            Self::Blobs(error) => error.is_retryable(),
            Self::Reorg { .. } | Self::Rejected { .. } | Self::Batch { .. } | Self::Interrupted => {
                false
            }
        }
    }
}
