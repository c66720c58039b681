//! Columns of plain numbers and byte strings.

use alloy_primitives::Bytes;

use super::{
    Column,
    bytes::{put_length, put_runs, put_uint, put_varint},
    parts::{EIP1559, EIP2930, EIP7702, LEGACY},
};

/// One byte a transaction: its EIP-2718 type.
pub(super) const TYPES: Column = Column {
    encode: |out, transactions| out.extend(transactions.iter().map(|tx| tx.ty)),
    decode: |reader, transactions| {
        for tx in transactions {
            tx.ty = reader.byte()?;
            if !matches!(tx.ty, LEGACY | EIP2930 | EIP1559 | EIP7702) {
                return Err(reader.invalid("expected one of the types 0, 1, 2 and 4"));
            }
        }
        Ok(())
    },
};

/// Runs of the chain id plus one, or of 0 for a transaction that is not bound to a chain.
pub(super) const CHAIN_IDS: Column = Column {
    encode: |out, transactions| {
        put_runs(
            out,
            transactions
                .iter()
                .map(|tx| tx.chain_id.map_or(0, |id| u128::from(id) + 1)),
            put_varint,
        );
    },
    decode: |reader, transactions| {
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
    },
};

/// One varint a transaction.
pub(super) const NONCES: Column = Column {
    encode: |out, transactions| {
        for tx in transactions {
            put_varint(out, tx.nonce);
        }
    },
    decode: |reader, transactions| {
        for tx in transactions {
            tx.nonce = reader.varint()?;
        }
        Ok(())
    },
};

/// One varint a transaction.
pub(super) const GAS_LIMITS: Column = Column {
    encode: |out, transactions| {
        for tx in transactions {
            put_varint(out, tx.gas_limit);
        }
    },
    decode: |reader, transactions| {
        for tx in transactions {
            tx.gas_limit = reader.varint()?;
        }
        Ok(())
    },
};

/// One varint a transaction with its gas price or fee cap, then one varint with the tip for each
/// transaction whose type has one.
pub(super) const FEES: Column = Column {
    encode: |out, transactions| {
        for tx in transactions {
            put_varint(out, tx.max_fee);
        }
        for tx in transactions.iter().filter(|tx| tx.has_priority_fee()) {
            put_varint(out, tx.max_priority_fee);
        }
    },
    decode: |reader, transactions| {
        for tx in &mut *transactions {
            tx.max_fee = reader.varint_u128()?;
        }
        for tx in transactions.iter_mut().filter(|tx| tx.has_priority_fee()) {
            tx.max_priority_fee = reader.varint_u128()?;
        }
        Ok(())
    },
};

/// One 256-bit number a transaction.
pub(super) const VALUES: Column = Column {
    encode: |out, transactions| {
        for tx in transactions {
            put_uint(out, tx.value);
        }
    },
    decode: |reader, transactions| {
        for tx in transactions {
            tx.value = reader.uint()?;
        }
        Ok(())
    },
};

/// One varint a transaction with the length of its input, then all inputs.
pub(super) const INPUTS: Column = Column {
    encode: |out, transactions| {
        for tx in transactions {
            put_length(out, tx.input.len());
        }
        for tx in transactions {
            out.extend_from_slice(&tx.input);
        }
    },
    decode: |reader, transactions| {
        let lengths = transactions
            .iter()
            .map(|_| reader.count(1))
            .collect::<Result<Vec<_>, _>>()?;
        for (tx, length) in transactions.iter_mut().zip(lengths) {
            tx.input = Bytes::copy_from_slice(reader.take(length)?);
        }
        Ok(())
    },
};
