//! Columns of plain numbers and byte strings.

use alloy_primitives::Bytes;

use crate::encoding::{
    BatchDecodeError,
    bytes::Reader,
    parts::{EIP1559, EIP2930, EIP7702, LEGACY, TransactionParts},
};

/// One byte a transaction: its EIP-2718 type.
pub(super) fn types(
    reader: &mut Reader<'_>,
    transactions: &mut [TransactionParts],
) -> Result<(), BatchDecodeError> {
    for tx in transactions {
        tx.ty = reader.byte()?;
        if !matches!(tx.ty, LEGACY | EIP2930 | EIP1559 | EIP7702) {
            return Err(reader.invalid("expected one of the types 0, 1, 2 and 4"));
        }
    }
    Ok(())
}

/// Runs of the chain id plus one, or of 0 for a transaction that is not bound to a chain.
pub(super) fn chain_ids(
    reader: &mut Reader<'_>,
    transactions: &mut [TransactionParts],
) -> Result<(), BatchDecodeError> {
    reader.runs(
        transactions,
        |reader| {
            let id = reader.varint_u128()?;
            id.checked_sub(1)
                .map(u64::try_from)
                .transpose()
                .map_err(|_| reader.invalid("chain id above 64 bits"))
        },
        |tx, id| tx.chain_id = id,
    )
}

/// One varint a transaction.
pub(super) fn nonces(
    reader: &mut Reader<'_>,
    transactions: &mut [TransactionParts],
) -> Result<(), BatchDecodeError> {
    for tx in transactions {
        tx.nonce = reader.varint()?;
    }
    Ok(())
}

/// One varint a transaction.
pub(super) fn gas_limits(
    reader: &mut Reader<'_>,
    transactions: &mut [TransactionParts],
) -> Result<(), BatchDecodeError> {
    for tx in transactions {
        tx.gas_limit = reader.varint()?;
    }
    Ok(())
}

/// One varint a transaction with its gas price or fee cap, then one varint with the tip for each
/// transaction whose type has one.
pub(super) fn fees(
    reader: &mut Reader<'_>,
    transactions: &mut [TransactionParts],
) -> Result<(), BatchDecodeError> {
    for tx in &mut *transactions {
        tx.max_fee = reader.varint_u128()?;
    }
    for tx in transactions.iter_mut().filter(|tx| tx.has_priority_fee()) {
        tx.max_priority_fee = reader.varint_u128()?;
    }
    Ok(())
}

/// One 256-bit number a transaction.
pub(super) fn values(
    reader: &mut Reader<'_>,
    transactions: &mut [TransactionParts],
) -> Result<(), BatchDecodeError> {
    for tx in transactions {
        tx.value = reader.uint()?;
    }
    Ok(())
}

/// One varint a transaction with the length of its input, then all inputs.
pub(super) fn inputs(
    reader: &mut Reader<'_>,
    transactions: &mut [TransactionParts],
) -> Result<(), BatchDecodeError> {
    let lengths = transactions
        .iter()
        .map(|_| reader.count(1))
        .collect::<Result<Vec<_>, _>>()?;
    for (tx, length) in transactions.iter_mut().zip(lengths) {
        tx.input = Bytes::copy_from_slice(reader.take(length)?);
    }
    Ok(())
}
