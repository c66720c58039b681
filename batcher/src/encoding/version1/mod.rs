//! Version 1, which is read and no longer written: plain columns in one zstd frame.

mod access_lists;
mod authorizations;
mod fields;
mod recipients;
mod signatures;

use std::io::Read;

use super::{
    BatchDecodeError, MAX_PAYLOAD_BYTES, WINDOW_LOG, blocks, bytes::Reader, parts::TransactionParts,
};
use crate::BatchBlock;

/// Least bytes that one transaction takes: its signature's scalars.
const TRANSACTION_BYTES: usize = 64;

/// Decodes what follows the version.
pub(super) fn decode(frame: &[u8]) -> Result<Vec<BatchBlock>, BatchDecodeError> {
    decode_payload(&decompress(frame)?)
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

fn decode_payload(payload: &[u8]) -> Result<Vec<BatchBlock>, BatchDecodeError> {
    let mut reader = Reader::new(payload);
    let (mut blocks, counts) = blocks::decode(&mut reader, TRANSACTION_BYTES)?;
    let count = counts.iter().sum();
    let mut transactions = Vec::with_capacity(count);
    transactions.resize_with(count, TransactionParts::default);
    for (name, column) in COLUMNS {
        reader.enter(name);
        column(&mut reader, &mut transactions)?;
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

/// Reads one column of the transactions.
type Column = fn(&mut Reader<'_>, &mut [TransactionParts]) -> Result<(), BatchDecodeError>;

/// The transactions' columns in the order in which they are written, with their names. Types come
/// first because later columns leave out what a type does not have.
const COLUMNS: [(&str, Column); 12] = [
    ("transaction types", fields::types),
    ("y parities", signatures::parities),
    ("signatures", signatures::scalars),
    ("chain ids", fields::chain_ids),
    ("nonces", fields::nonces),
    ("gas limits", fields::gas_limits),
    ("fees", fields::fees),
    ("recipients", recipients::recipients),
    ("values", fields::values),
    ("inputs", fields::inputs),
    ("access lists", access_lists::access_lists),
    ("authorizations", authorizations::authorizations),
];
