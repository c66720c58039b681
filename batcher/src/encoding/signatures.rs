//! The signatures, which do not compress: kept apart from what does.

use alloy_primitives::{B256, Signature};

use super::{Column, bytes::put_bits};

/// One bit a transaction.
pub(super) const PARITIES: Column = Column {
    encode: |out, transactions| put_bits(out, transactions.iter().map(|tx| tx.signature.v())),
    decode: |reader, transactions| {
        let bits = reader.bits(transactions.len())?;
        for (tx, parity) in transactions.iter_mut().zip(bits) {
            tx.signature = tx.signature.with_parity(parity);
        }
        Ok(())
    },
};

/// `r` and `s`, 32 bytes each.
pub(super) const SCALARS: Column = Column {
    encode: |out, transactions| {
        for tx in transactions {
            out.extend_from_slice(&tx.signature.r().to_be_bytes::<32>());
            out.extend_from_slice(&tx.signature.s().to_be_bytes::<32>());
        }
    },
    decode: |reader, transactions| {
        for tx in transactions {
            let scalar = |word: B256| word.into();
            tx.signature = Signature::new(
                scalar(reader.word()?),
                scalar(reader.word()?),
                tx.signature.v(),
            );
        }
        Ok(())
    },
};
