//! Transactions as they are: their EIP-2718 encodings, one after the other. Nothing is larger than
//! this by more than the blocks' columns, whatever the transactions are.

use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use weft_primitives::Transaction;

use crate::{
    BatchBlock,
    encoding::{BatchDecodeError, bytes::Reader},
};

/// Least bytes that a transaction takes: a list of nine empty items.
pub(super) const TRANSACTION_BYTES: usize = 10;

pub(super) fn size(blocks: &[BatchBlock]) -> usize {
    let transactions = blocks.iter().flat_map(|block| &block.transactions);
    transactions.map(Encodable2718::encode_2718_len).sum()
}

pub(super) fn encode(out: &mut Vec<u8>, blocks: &[BatchBlock]) {
    for transaction in blocks.iter().flat_map(|block| &block.transactions) {
        transaction.encode_2718(out);
    }
}

pub(super) fn decode(
    mut reader: Reader<'_>,
    mut blocks: Vec<BatchBlock>,
    counts: &[usize],
) -> Result<Vec<BatchBlock>, BatchDecodeError> {
    reader.enter("plain transactions");
    let mut rest = reader.rest();
    for (block, count) in blocks.iter_mut().zip(counts) {
        for _ in 0..*count {
            if !matches!(rest.first(), Some(0x01 | 0x02 | 0x04 | 0xc0..)) {
                return Err(reader.invalid("expected a transaction of type 0, 1, 2 or 4"));
            }
            let transaction = Transaction::decode_2718(&mut rest)
                .map_err(|_| reader.invalid("expected an EIP-2718 encoding"))?;
            block.transactions.push(transaction);
        }
    }
    if rest.is_empty() {
        Ok(blocks)
    } else {
        Err(BatchDecodeError::TrailingBytes(rest.len()))
    }
}
