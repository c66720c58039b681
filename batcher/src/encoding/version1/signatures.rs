//! The signatures, which do not compress: kept apart from what does.

use alloy_primitives::{B256, Signature};

use crate::encoding::{BatchDecodeError, bytes::Reader, parts::TransactionParts};

/// One bit a transaction.
pub(super) fn parities(
    reader: &mut Reader<'_>,
    transactions: &mut [TransactionParts],
) -> Result<(), BatchDecodeError> {
    let bits = reader.bits(transactions.len())?;
    for (tx, parity) in transactions.iter_mut().zip(bits) {
        tx.signature = tx.signature.with_parity(parity);
    }
    Ok(())
}

/// `r` and `s`, 32 bytes each.
pub(super) fn scalars(
    reader: &mut Reader<'_>,
    transactions: &mut [TransactionParts],
) -> Result<(), BatchDecodeError> {
    for tx in transactions {
        let scalar = |word: B256| word.into();
        tx.signature = Signature::new(
            scalar(reader.word()?),
            scalar(reader.word()?),
            tx.signature.v(),
        );
    }
    Ok(())
}
