//! The encoding of a batch. `docs/batch-format.md` says what every byte means.
//!
//! Decoding is total: any bytes give blocks or an error. Memory is bounded by the limits below, and
//! nothing is allocated for a count before the bytes that could hold so many things are there.

mod blocks;
mod budget;
mod bytes;
mod parts;
mod version1;
mod version2;

use crate::BatchBlock;

/// First byte of a batch that is written; batches of version 1 are read as well.
pub const BATCH_VERSION: u8 = 2;

/// First byte of a batch of the encoding before.
const VERSION_1: u8 = 1;

/// Largest batch that is decoded, in bytes as posted.
pub const MAX_ENCODED_BYTES: usize = 1 << 20;

/// Most bytes of inputs, access lists and authorizations in a batch of version 2, as they lie in
/// memory.
pub const MAX_INPUT_BYTES: usize = 8 << 20;

/// Largest payload of a batch of version 1 after decompression, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 32 << 20;

/// Most blocks in a batch.
pub const MAX_BATCH_BLOCKS: usize = 1 << 16;

/// Most transactions in a batch.
pub const MAX_BATCH_TRANSACTIONS: usize = 1 << 18;

/// Largest window that a zstd frame may ask for, as a power of two in bytes (8 MiB).
const WINDOW_LOG: u32 = 23;

/// Why blocks cannot be encoded as a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchEncodeError {
    /// A batch holds at least one block.
    #[error("batch: expected at least one block")]
    Empty,
    /// Above [`MAX_BATCH_BLOCKS`].
    #[error("batch: expected at most {MAX_BATCH_BLOCKS} blocks, found {0}")]
    Blocks(usize),
    /// Above [`MAX_BATCH_TRANSACTIONS`].
    #[error("batch: expected at most {MAX_BATCH_TRANSACTIONS} transactions, found {0}")]
    Transactions(usize),
    /// A batch carries signed transactions of the types 0, 1, 2 and 4 only: deposits are read from
    /// L1, and blob transactions do not exist on the chain.
    #[error("batch: transactions of type {0:#04x} cannot be encoded")]
    TransactionType(u8),
    /// Timestamps never decrease from block to block.
    #[error("batch: block {index} has timestamp {found}, below its predecessor's {previous}")]
    Timestamp {
        /// Index of the block in the batch.
        index: usize,
        /// Timestamp of the block before, in seconds.
        previous: u64,
        /// Timestamp of the block, in seconds.
        found: u64,
    },
    /// L1 origins increase within a batch, and the first L1 block is never one.
    #[error("batch: block {index} moves to L1 origin {found}, not above {previous}")]
    Origin {
        /// Index of the block in the batch.
        index: usize,
        /// Number of the last origin in the batch, or 0.
        previous: u64,
        /// Number of the block's origin.
        found: u64,
    },
    /// Above [`MAX_INPUT_BYTES`].
    #[error("batch: expected at most {MAX_INPUT_BYTES} bytes of inputs and lists")]
    Inputs,
    /// Above [`MAX_ENCODED_BYTES`] after compression.
    #[error("batch: expected at most {MAX_ENCODED_BYTES} encoded bytes, found {0}")]
    Encoded(usize),
    /// The compressor failed.
    #[error("batch: zstd: {0}")]
    Compression(String),
}

/// Why bytes are not a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchDecodeError {
    /// There is not even a version.
    #[error("batch: no bytes")]
    Empty,
    /// The bytes are of another version of the encoding.
    #[error("batch: expected version {VERSION_1} or {BATCH_VERSION}, found {0}")]
    Version(u8),
    /// Above [`MAX_ENCODED_BYTES`].
    #[error("batch: expected at most {MAX_ENCODED_BYTES} encoded bytes, found {0}")]
    Encoded(usize),
    /// Above [`MAX_PAYLOAD_BYTES`].
    #[error("batch: more than {MAX_PAYLOAD_BYTES} bytes after decompression")]
    Payload,
    /// Above [`MAX_INPUT_BYTES`].
    #[error("batch: more than {MAX_INPUT_BYTES} bytes of inputs and lists")]
    Inputs,
    /// The bytes after the version are not one whole zstd frame.
    #[error("batch: zstd: {0}")]
    Compression(String),
    /// The payload ends within a column.
    #[error("batch: {column}: the payload ends too early")]
    Truncated {
        /// The column.
        column: &'static str,
    },
    /// A column holds a value that it cannot have.
    #[error("batch: {column}: {reason}")]
    Invalid {
        /// The column.
        column: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// Bytes follow the last column.
    #[error("batch: {0} bytes after the last column")]
    TrailingBytes(usize),
}

/// Encodes consecutive blocks.
///
/// `level` is the effort, from 1 (fast) to 19 (small); others are brought into this range.
///
/// # Errors
/// When the blocks break a limit of the encoding or hold a deposit or a blob transaction.
pub fn encode_batch(blocks: &[BatchBlock], level: i32) -> Result<Vec<u8>, BatchEncodeError> {
    if blocks.is_empty() {
        return Err(BatchEncodeError::Empty);
    }
    if blocks.len() > MAX_BATCH_BLOCKS {
        return Err(BatchEncodeError::Blocks(blocks.len()));
    }
    let count = blocks.iter().map(|block| block.transactions.len()).sum();
    if count > MAX_BATCH_TRANSACTIONS {
        return Err(BatchEncodeError::Transactions(count));
    }
    let encoded = version2::encode(blocks, level.clamp(1, 19))?;
    if encoded.len() > MAX_ENCODED_BYTES {
        return Err(BatchEncodeError::Encoded(encoded.len()));
    }
    Ok(encoded)
}

/// Decodes what [`encode_batch`] made, and batches of version 1.
///
/// # Errors
/// For any other bytes.
pub fn decode_batch(encoded: &[u8]) -> Result<Vec<BatchBlock>, BatchDecodeError> {
    if encoded.len() > MAX_ENCODED_BYTES {
        return Err(BatchDecodeError::Encoded(encoded.len()));
    }
    match encoded.split_first() {
        None => Err(BatchDecodeError::Empty),
        Some((&VERSION_1, frame)) => version1::decode(frame),
        Some((&BATCH_VERSION, rest)) => version2::decode(rest),
        Some((&version, _)) => Err(BatchDecodeError::Version(version)),
    }
}

#[cfg(test)]
mod tests;
