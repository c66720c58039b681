//! Batches: when they close, their encoding and their submission.
//!
//! Nothing here knows how an L1 is spoken to: [`BatchPoster`] is the port to it, and
//! [`ChainSource`] the port to the chain whose blocks are posted.

mod block;
mod builder;
mod control;
mod encoding;
mod header;
mod placement;
mod ports;
mod status;
mod submitter;

pub use block::BatchBlock;
pub use builder::{BatchBuilder, BatchPolicy, ClosedBatch, Offer};
pub use control::{FlushError, SubmitterControl};
pub use encoding::{
    BATCH_VERSION, BatchDecodeError, BatchEncodeError, MAX_BATCH_BLOCKS, MAX_BATCH_TRANSACTIONS,
    MAX_ENCODED_BYTES, MAX_INPUT_BYTES, MAX_PAYLOAD_BYTES, decode_batch, encode_batch,
};
pub use header::BatchHeader;
pub use placement::{BlobMarket, BlobSpace, L1Market, Placement, PlacementPolicy};
pub use ports::{
    BatchPoster, ChainSource, ChainSourceError, EventSink, LastBatch, PostError, Posted, Prepared,
    SubmitterEvent,
};
pub use status::{NextBatch, PendingBatch, PendingTransaction, SubmitterStatus};
pub use submitter::{RetryPolicy, Submitter, SubmitterError};

/// Most calldata that one batch may bring to L1, in bytes: go-ethereum's transaction pool refuses
/// transactions above 128 KiB, and the header and the envelope need their part.
pub const MAX_POSTED_BYTES: usize = 126_000;

/// Most bytes of transactions (sum of their EIP-2718 encodings, deposits left out) that a block may
/// hold so that a batch of this block alone stays below [`MAX_POSTED_BYTES`] even when nothing in
/// it compresses. A producer must not exceed it, or its block could never be posted.
pub const MAX_BLOCK_TRANSACTION_BYTES: usize = 115_000;
