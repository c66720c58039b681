//! Whom the transactions go to.

use alloy_primitives::{Address, TxKind};

use crate::encoding::{BatchDecodeError, bytes::Reader, parts::TransactionParts};

/// The addresses once each, in the order in which they first appear, then one varint a
/// transaction: 0 creates a contract, `n` goes to the `n`th address.
pub(super) fn recipients(
    reader: &mut Reader<'_>,
    transactions: &mut [TransactionParts],
) -> Result<(), BatchDecodeError> {
    let count = reader.count(Address::len_bytes())?;
    let table = (0..count)
        .map(|_| reader.address())
        .collect::<Result<Vec<_>, _>>()?;
    for tx in transactions {
        let reference = reader.varint()?;
        tx.to = match reference.checked_sub(1) {
            None => TxKind::Create,
            Some(index) => usize::try_from(index)
                .ok()
                .and_then(|index| table.get(index))
                .map(|address| TxKind::Call(*address))
                .ok_or_else(|| reader.invalid("reference beyond the table"))?,
        };
    }
    Ok(())
}
