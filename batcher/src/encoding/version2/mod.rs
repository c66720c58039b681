//! Version 2: fields and words of inputs, each predicted from what came before and entropy coded.

mod coder;
mod decimals;
mod fields;
mod kinds;
mod lists;
mod logistic;
mod model;
mod modelled;
mod plain;
mod preset;
mod tables;
mod text;
mod words;

use super::{BatchDecodeError, BatchEncodeError, blocks, bytes::Reader};
use crate::BatchBlock;

/// The second byte of a batch: how its transactions are written.
mod form {
    /// As they are, one after the other.
    pub(super) const PLAIN: u8 = 0;
    /// By the models.
    pub(super) const MODELLED: u8 = 1;
}

/// Encodes blocks, version included.
pub(super) fn encode(blocks: &[BatchBlock], level: i32) -> Result<Vec<u8>, BatchEncodeError> {
    let mut encoded = vec![super::BATCH_VERSION, form::MODELLED];
    blocks::encode(&mut encoded, blocks)?;
    let head = encoded.len();
    modelled::encode(&mut encoded, blocks, level)?;
    // Models can be misled: then the transactions are written as they are.
    if plain::size(blocks) < encoded.len() - head {
        encoded.truncate(head);
        if let Some(form) = encoded.get_mut(1) {
            *form = form::PLAIN;
        }
        plain::encode(&mut encoded, blocks);
    }
    Ok(encoded)
}

/// Encodes blocks in the plain form, whatever the models would make of them.
#[cfg(test)]
pub(super) fn encode_plain(blocks: &[BatchBlock]) -> Result<Vec<u8>, BatchEncodeError> {
    let mut encoded = vec![super::BATCH_VERSION, form::PLAIN];
    blocks::encode(&mut encoded, blocks)?;
    plain::encode(&mut encoded, blocks);
    Ok(encoded)
}

/// Decodes what follows the version.
pub(super) fn decode(encoded: &[u8]) -> Result<Vec<BatchBlock>, BatchDecodeError> {
    let mut reader = Reader::new(encoded);
    reader.enter("form");
    match reader.byte()? {
        form::PLAIN => {
            let (blocks, counts) = blocks::decode(&mut reader, plain::TRANSACTION_BYTES)?;
            plain::decode(reader, blocks, &counts)
        }
        form::MODELLED => {
            let (blocks, counts) = blocks::decode(&mut reader, modelled::TRANSACTION_BYTES)?;
            modelled::decode(reader, blocks, &counts)
        }
        _ => Err(reader.invalid("expected 0 or 1")),
    }
}
