//! EIP-2930 access lists.

use alloy_eips::eip2930::{AccessList, AccessListItem};

use crate::encoding::{BatchDecodeError, bytes::Reader, parts::TransactionParts};

/// Least bytes of an entry: an address and its count of keys.
const ITEM_BYTES: usize = 21;

/// For each transaction whose type has one: a varint with the number of entries, and for each entry
/// the address, a varint with the number of keys, and the keys.
pub(super) fn access_lists(
    reader: &mut Reader<'_>,
    transactions: &mut [TransactionParts],
) -> Result<(), BatchDecodeError> {
    for tx in transactions.iter_mut().filter(|tx| tx.has_access_list()) {
        let items = reader.count(ITEM_BYTES)?;
        let list = (0..items).map(|_| {
            let address = reader.address()?;
            let keys = reader.count(32)?;
            let storage_keys = (0..keys).map(|_| reader.word()).collect::<Result<_, _>>()?;
            Ok(AccessListItem {
                address,
                storage_keys,
            })
        });
        tx.access_list = AccessList(list.collect::<Result<_, _>>()?);
    }
    Ok(())
}
