//! The encoding of a batch, version 1. `docs/batch-format.md` says what every byte means.
//!
//! Decoding is total: any bytes give blocks or an error. Memory is bounded by the limits below, and
//! nothing is allocated for a count before the bytes that could hold so many things are there.

mod access_lists;
mod authorizations;
mod blocks;
mod bytes;
mod fields;
mod parts;
mod recipients;
mod signatures;

use std::io::Read;

use crate::BatchBlock;
use bytes::Reader;
use parts::TransactionParts;

/// First byte of a batch of this encoding.
pub const BATCH_VERSION: u8 = 1;

/// Largest batch that is decoded, in bytes as posted.
pub const MAX_ENCODED_BYTES: usize = 1 << 20;

/// Largest payload of a batch after decompression, in bytes.
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
    /// Above [`MAX_PAYLOAD_BYTES`] before compression.
    #[error("batch: expected at most {MAX_PAYLOAD_BYTES} bytes before compression, found {0}")]
    Payload(usize),
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
    #[error("batch: expected version {BATCH_VERSION}, found {0}")]
    Version(u8),
    /// Above [`MAX_ENCODED_BYTES`].
    #[error("batch: expected at most {MAX_ENCODED_BYTES} encoded bytes, found {0}")]
    Encoded(usize),
    /// Above [`MAX_PAYLOAD_BYTES`].
    #[error("batch: more than {MAX_PAYLOAD_BYTES} bytes after decompression")]
    Payload,
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
/// `level` is zstd's, from 1 (fast) to 19 (small); others are brought into this range.
///
/// # Errors
/// When the blocks break a limit of the encoding or hold a deposit or a blob transaction.
pub fn encode_batch(blocks: &[BatchBlock], level: i32) -> Result<Vec<u8>, BatchEncodeError> {
    let payload = encode_payload(blocks)?;
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(BatchEncodeError::Payload(payload.len()));
    }
    // Levels up to 19 keep to windows of 8 MiB.
    let frame = zstd::bulk::compress(&payload, level.clamp(1, 19))
        .map_err(|error| BatchEncodeError::Compression(error.to_string()))?;
    let mut encoded = Vec::with_capacity(1 + frame.len());
    encoded.push(BATCH_VERSION);
    encoded.extend_from_slice(&frame);
    if encoded.len() > MAX_ENCODED_BYTES {
        return Err(BatchEncodeError::Encoded(encoded.len()));
    }
    Ok(encoded)
}

/// Decodes what [`encode_batch`] made.
///
/// # Errors
/// For any other bytes.
pub fn decode_batch(encoded: &[u8]) -> Result<Vec<BatchBlock>, BatchDecodeError> {
    if encoded.len() > MAX_ENCODED_BYTES {
        return Err(BatchDecodeError::Encoded(encoded.len()));
    }
    match encoded.split_first() {
        None => Err(BatchDecodeError::Empty),
        Some((&BATCH_VERSION, frame)) => decode_payload(&decompress(frame)?),
        Some((&version, _)) => Err(BatchDecodeError::Version(version)),
    }
}

fn decompress(frame: &[u8]) -> Result<Vec<u8>, BatchDecodeError> {
    let broken = |error: std::io::Error| BatchDecodeError::Compression(error.to_string());
    let mut decoder = zstd::stream::read::Decoder::with_buffer(frame)
        .map_err(broken)?
        .single_frame();
    decoder.window_log_max(WINDOW_LOG).map_err(broken)?;
    let mut payload = Vec::new();
    // One byte above the limit tells a payload at the limit from one beyond it.
    decoder
        .by_ref()
        .take(MAX_PAYLOAD_BYTES as u64 + 1)
        .read_to_end(&mut payload)
        .map_err(broken)?;
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(BatchDecodeError::Payload);
    }
    let rest = decoder.finish();
    if rest.is_empty() {
        Ok(payload)
    } else {
        Err(BatchDecodeError::TrailingBytes(rest.len()))
    }
}

fn encode_payload(blocks: &[BatchBlock]) -> Result<Vec<u8>, BatchEncodeError> {
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
    let transactions = blocks
        .iter()
        .flat_map(|block| &block.transactions)
        .map(TransactionParts::of)
        .collect::<Result<Vec<_>, _>>()?;

    let mut out = Vec::new();
    blocks::encode(&mut out, blocks)?;
    for (_, column) in COLUMNS {
        (column.encode)(&mut out, &transactions);
    }
    Ok(out)
}

fn decode_payload(payload: &[u8]) -> Result<Vec<BatchBlock>, BatchDecodeError> {
    let mut reader = Reader::new(payload);
    let (mut blocks, counts) = blocks::decode(&mut reader)?;
    let count = counts.iter().sum();
    let mut transactions = Vec::with_capacity(count);
    transactions.resize_with(count, TransactionParts::default);
    for (name, column) in COLUMNS {
        reader.enter(name);
        (column.decode)(&mut reader, &mut transactions)?;
    }
    reader.end()?;

    let mut transactions = transactions.into_iter();
    for (block, count) in blocks.iter_mut().zip(counts) {
        block.transactions = transactions
            .by_ref()
            .take(count)
            .map(TransactionParts::into_transaction)
            .collect::<Result<_, _>>()?;
    }
    Ok(blocks)
}

/// One column of the transactions.
struct Column {
    encode: fn(&mut Vec<u8>, &[TransactionParts]),
    decode: fn(&mut Reader<'_>, &mut [TransactionParts]) -> Result<(), BatchDecodeError>,
}

/// The transactions' columns in the order in which they are written, with their names. Types come
/// first because later columns leave out what a type does not have.
const COLUMNS: [(&str, Column); 12] = [
    ("transaction types", fields::TYPES),
    ("y parities", signatures::PARITIES),
    ("signatures", signatures::SCALARS),
    ("chain ids", fields::CHAIN_IDS),
    ("nonces", fields::NONCES),
    ("gas limits", fields::GAS_LIMITS),
    ("fees", fields::FEES),
    ("recipients", recipients::RECIPIENTS),
    ("values", fields::VALUES),
    ("inputs", fields::INPUTS),
    ("access lists", access_lists::ACCESS_LISTS),
    ("authorizations", authorizations::AUTHORIZATIONS),
];

#[cfg(test)]
mod tests;
