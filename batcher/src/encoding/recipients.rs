//! Whom the transactions go to.

use std::collections::HashMap;

use alloy_primitives::{Address, TxKind};

use super::{
    Column,
    bytes::{put_length, put_varint},
};

/// The addresses once each, in the order in which they first appear, then one varint a
/// transaction: 0 creates a contract, `n` goes to the `n`th address.
pub(super) const RECIPIENTS: Column = Column {
    encode: |out, transactions| {
        let mut table: Vec<Address> = Vec::new();
        let mut positions: HashMap<Address, u64> = HashMap::new();
        let references: Vec<u64> = transactions
            .iter()
            .map(|tx| match tx.to {
                TxKind::Create => 0,
                TxKind::Call(to) => *positions.entry(to).or_insert_with(|| {
                    table.push(to);
                    table.len() as u64
                }),
            })
            .collect();
        put_length(out, table.len());
        for address in table {
            out.extend_from_slice(address.as_slice());
        }
        for reference in references {
            put_varint(out, reference);
        }
    },
    decode: |reader, transactions| {
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
    },
};
