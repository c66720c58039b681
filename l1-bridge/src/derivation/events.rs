use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent;
use weft_batcher::BatchHeader;

use super::PostedBatch;
use crate::{L1Client, L1Error, RollupInfo, contract::Rollup, logs::PlacedLog};

/// What the contract says about batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchEvent {
    /// A batch was taken.
    Posted(Box<PostedBatch>),
    /// Somebody says that a batch is wrong.
    Challenged {
        /// Number of the dispute.
        dispute: u64,
        /// Index of the batch.
        index: u64,
        /// Hash of the batch.
        batch_hash: B256,
        /// Who says so.
        challenger: Address,
    },
    /// The resolver says that a batch is right.
    Upheld {
        /// Number of the dispute.
        dispute: u64,
        /// Index of the batch.
        index: u64,
    },
    /// Batches were removed: this one and all later ones.
    Rejected {
        /// Number of the dispute.
        dispute: u64,
        /// Index of the first batch that was removed.
        from_index: u64,
    },
    /// Batches can no longer be removed.
    Settled {
        /// How many, counted from the first.
        batches: u64,
    },
}

/// An event with its place on L1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedBatchEvent {
    /// Number of the L1 block.
    pub l1_block: u64,
    /// Index of its log in the L1 block.
    pub log_index: u64,
    /// Hash of the L1 transaction.
    pub tx_hash: B256,
    /// The event.
    pub event: BatchEvent,
}

/// What the contract says about batches in L1 blocks `from ..= to`, in order.
///
/// # Errors
/// When L1 does not answer properly.
pub async fn batch_events(
    client: &L1Client,
    info: &RollupInfo,
    from: u64,
    to: u64,
) -> Result<Vec<PlacedBatchEvent>, L1Error> {
    let topics = [
        Rollup::BatchPosted::SIGNATURE_HASH,
        Rollup::BatchChallenged::SIGNATURE_HASH,
        Rollup::BatchUpheld::SIGNATURE_HASH,
        Rollup::BatchesRejected::SIGNATURE_HASH,
        Rollup::BatchesSettled::SIGNATURE_HASH,
    ];
    client
        .logs(info.contract, &topics, from, to)
        .await?
        .iter()
        .map(placed_event)
        .collect()
}

/// The batches that were posted in L1 blocks `from ..= to` and not removed there, in order. Their data
/// is not read.
///
/// # Errors
/// When L1 does not answer properly.
pub async fn posted_batches(
    client: &L1Client,
    info: &RollupInfo,
    from: u64,
    to: u64,
) -> Result<Vec<PostedBatch>, L1Error> {
    let mut batches: Vec<PostedBatch> = Vec::new();
    for placed in batch_events(client, info, from, to).await? {
        match placed.event {
            BatchEvent::Posted(batch) => batches.push(*batch),
            BatchEvent::Rejected { from_index, .. } => {
                batches.retain(|batch| batch.index < from_index);
            }
            _ => {}
        }
    }
    Ok(batches)
}

fn placed_event(log: &PlacedLog) -> Result<PlacedBatchEvent, L1Error> {
    let asked = || format!("event {} in L1 transaction {}", log.log_index, log.tx_hash);
    let number = |number: U256| {
        u64::try_from(number)
            .map_err(|_| L1Error::answer(asked(), "a number below 2^64", number.to_string()))
    };
    let malformed = |error: alloy_sol_types::Error| {
        L1Error::answer(asked(), "an event of the contract", error.to_string())
    };
    let content = &log.content;
    let topic = content.topics().first().copied().unwrap_or_default();
    let event = match topic {
        Rollup::BatchChallenged::SIGNATURE_HASH => {
            let event = Rollup::BatchChallenged::decode_log(content).map_err(malformed)?;
            BatchEvent::Challenged {
                dispute: number(event.disputeId)?,
                index: number(event.index)?,
                batch_hash: event.batchHash,
                challenger: event.challenger,
            }
        }
        Rollup::BatchUpheld::SIGNATURE_HASH => {
            let event = Rollup::BatchUpheld::decode_log(content).map_err(malformed)?;
            BatchEvent::Upheld {
                dispute: number(event.disputeId)?,
                index: number(event.index)?,
            }
        }
        Rollup::BatchesRejected::SIGNATURE_HASH => {
            let event = Rollup::BatchesRejected::decode_log(content).map_err(malformed)?;
            BatchEvent::Rejected {
                dispute: number(event.disputeId)?,
                from_index: number(event.fromIndex)?,
            }
        }
        Rollup::BatchesSettled::SIGNATURE_HASH => {
            let event = Rollup::BatchesSettled::decode_log(content).map_err(malformed)?;
            BatchEvent::Settled {
                batches: number(event.settledBatches)?,
            }
        }
        _ => {
            let event = Rollup::BatchPosted::decode_log(content).map_err(malformed)?;
            BatchEvent::Posted(Box::new(PostedBatch {
                index: number(event.index)?,
                batch_hash: event.batchHash,
                header: BatchHeader::from(&event.header),
                l1_block: log.block_number,
                l1_block_hash: log.block_hash,
                log_index: log.log_index,
                tx_hash: log.tx_hash,
            }))
        }
    };
    Ok(PlacedBatchEvent {
        l1_block: log.block_number,
        log_index: log.log_index,
        tx_hash: log.tx_hash,
        event,
    })
}
