//! A batch beside the chain before it: what must fit, and the blocks that come of it.

use weft_primitives::{
    BlockAttributes, RecoveredTransaction, Transaction, TxDeposit, attributes_deposit,
};

use super::{
    BatchFault, DerivedBlock, PostedBatch, ResumePoint,
    ahead::{ReadBatch, ReadBlock},
};
use crate::{PlacedDeposit, RollupInfo};

/// Checks that a batch follows what is before it.
pub(super) fn check_header(at: &ResumePoint, posted: &PostedBatch) -> Result<(), BatchFault> {
    let header = &posted.header;
    if header.hash() != posted.batch_hash {
        return Err(BatchFault::HeaderHash {
            expected: posted.batch_hash,
            found: header.hash(),
        });
    }
    if header.previous_batch_hash != at.last_batch_hash {
        return Err(BatchFault::PreviousBatch {
            expected: at.last_batch_hash,
            found: header.previous_batch_hash,
        });
    }
    let expected = at.last_block.saturating_add(1);
    if header.first_block != expected || header.last_block < expected {
        return Err(BatchFault::BlockRange {
            expected,
            first: header.first_block,
            last: header.last_block,
        });
    }
    Ok(())
}

/// Checks blocks as far as can be told without executing them.
pub(super) fn check_blocks(
    at: &ResumePoint,
    info: &RollupInfo,
    posted: &PostedBatch,
    blocks: &[ReadBlock],
) -> Result<(), BatchFault> {
    let header = &posted.header;
    let expected = header.last_block - header.first_block;
    let found = blocks.len() as u64;
    if expected.checked_add(1) != Some(found) {
        return Err(BatchFault::BlockCount {
            expected: expected.saturating_add(1),
            found,
        });
    }
    let mut parent = at.last_timestamp;
    let mut origin = match &at.l1_origin {
        Some(origin) => origin.number,
        None => info.deployment_block.saturating_sub(1),
    };
    for (block, number) in blocks.iter().zip(header.first_block..) {
        if block.timestamp < parent {
            return Err(BatchFault::Timestamp {
                block: number,
                parent,
                found: block.timestamp,
            });
        }
        parent = block.timestamp;
        if let Some(found) = block.l1_origin {
            if found <= origin || found >= posted.l1_block {
                return Err(BatchFault::Origin {
                    block: number,
                    after: origin,
                    before: posted.l1_block,
                    found,
                });
            }
            origin = found;
        }
    }
    Ok(())
}

/// Puts the deposits in front of the blocks that move to a new origin.
pub(super) fn assemble(
    first_block: u64,
    read: ReadBatch,
    deposits: &[PlacedDeposit],
) -> Vec<DerivedBlock> {
    let mut origins = read.origins.into_iter();
    let mut deposits = deposits.iter().peekable();
    read.blocks
        .into_iter()
        .zip(first_block..)
        .map(|(block, number)| {
            let new_l1_origin = block.l1_origin.and_then(|_| origins.next());
            let mut transactions = block.transactions;
            if let Some(origin) = &new_l1_origin {
                let mut from_l1 = vec![Ok(recovered(attributes_deposit(origin)))];
                while let Some(placed) = deposits.next_if(|placed| placed.l1_block <= origin.number)
                {
                    from_l1.push(Ok(recovered(placed.deposit.clone())));
                }
                transactions.splice(0..0, from_l1);
            }
            DerivedBlock {
                number,
                attributes: BlockAttributes {
                    timestamp: block.timestamp,
                    gas_limit: block.gas_limit,
                    beneficiary: block.beneficiary,
                    new_l1_origin,
                },
                transactions,
            }
        })
        .collect()
}

fn recovered(deposit: TxDeposit) -> RecoveredTransaction {
    let from = deposit.from;
    RecoveredTransaction::new_unchecked(Transaction::from(deposit), from)
}
