//! The blocks' columns: count, timestamps, transaction counts, gas limits, beneficiaries, origins.

use alloy_primitives::Address;

use super::{
    BatchDecodeError, BatchEncodeError, MAX_BATCH_BLOCKS, MAX_BATCH_TRANSACTIONS,
    bytes::{Reader, put_length, put_runs, put_varint},
};
use crate::BatchBlock;

/// Least bytes that one block takes: its timestamp and its count of transactions.
const BLOCK_BYTES: usize = 2;

pub(super) fn encode(out: &mut Vec<u8>, blocks: &[BatchBlock]) -> Result<(), BatchEncodeError> {
    put_length(out, blocks.len());
    let mut previous = 0;
    for (index, block) in blocks.iter().enumerate() {
        let found = block.timestamp;
        let delta = found
            .checked_sub(previous)
            .ok_or(BatchEncodeError::Timestamp {
                index,
                previous,
                found,
            })?;
        put_varint(out, delta);
        previous = found;
    }
    for block in blocks {
        put_length(out, block.transactions.len());
    }
    put_runs(out, blocks.iter().map(|block| block.gas_limit), put_varint);
    put_runs(
        out,
        blocks.iter().map(|block| block.beneficiary),
        |out, address: Address| out.extend_from_slice(address.as_slice()),
    );
    let mut previous = 0;
    for (index, block) in blocks.iter().enumerate() {
        let delta = match block.l1_origin {
            None => 0,
            Some(found) if found > previous => {
                let delta = found - previous;
                previous = found;
                delta
            }
            Some(found) => {
                return Err(BatchEncodeError::Origin {
                    index,
                    previous,
                    found,
                });
            }
        };
        put_varint(out, delta);
    }
    Ok(())
}

/// The blocks, still without transactions, and how many transactions each has. A transaction takes
/// at least `transaction_bytes` of what follows.
pub(super) fn decode(
    reader: &mut Reader<'_>,
    transaction_bytes: usize,
) -> Result<(Vec<BatchBlock>, Vec<usize>), BatchDecodeError> {
    let count = reader.count(BLOCK_BYTES)?;
    if count == 0 {
        return Err(reader.invalid("no blocks"));
    }
    if count > MAX_BATCH_BLOCKS {
        return Err(reader.invalid("too many blocks"));
    }
    let mut blocks = Vec::with_capacity(count);

    reader.enter("timestamps");
    let mut timestamp = 0u64;
    for _ in 0..count {
        timestamp = timestamp
            .checked_add(reader.varint()?)
            .ok_or_else(|| reader.invalid("timestamp above 64 bits"))?;
        blocks.push(BatchBlock {
            timestamp,
            gas_limit: 0,
            beneficiary: Address::ZERO,
            l1_origin: None,
            transactions: Vec::new(),
        });
    }

    reader.enter("transaction counts");
    let mut total = 0usize;
    let mut counts = Vec::with_capacity(count);
    for _ in 0..count {
        let transactions = reader.count(transaction_bytes)?;
        total = total.saturating_add(transactions);
        if total > MAX_BATCH_TRANSACTIONS {
            return Err(reader.invalid("too many transactions"));
        }
        counts.push(transactions);
    }
    reader.has_room_for(total, transaction_bytes)?;

    reader.enter("block gas limits");
    reader.runs(&mut blocks, Reader::varint, |block, limit| {
        block.gas_limit = limit;
    })?;

    reader.enter("beneficiaries");
    reader.runs(&mut blocks, Reader::address, |block, beneficiary| {
        block.beneficiary = beneficiary;
    })?;

    reader.enter("L1 origins");
    let mut origin = 0u64;
    for block in &mut blocks {
        let delta = reader.varint()?;
        if delta > 0 {
            origin = origin
                .checked_add(delta)
                .ok_or_else(|| reader.invalid("L1 origin above 64 bits"))?;
            block.l1_origin = Some(origin);
        }
    }
    Ok((blocks, counts))
}
