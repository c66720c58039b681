use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256};
use serde::Serialize;

use crate::{LastBatch, Placement, SubmitterEvent};

/// What the submitter is doing, for status calls and metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SubmitterStatus {
    /// Whether it was told to begin no further batch.
    pub paused: bool,
    /// The contract's state when it was last read; `None` before the first reading.
    pub last_batch: Option<LastBatch>,
    /// The batch that is on its way to L1.
    pub pending: Option<PendingBatch>,
    /// The batch that is being filled; `None` while one is on its way or L1 is being read.
    pub next: Option<NextBatch>,
    /// Blocks of the chain that the contract did not have when it was last read.
    pub backlog_blocks: u64,
    /// Where the last batch went; `None` before the first one of this process.
    pub placement: Option<Placement>,
    /// What somebody should look at: fees above what may be paid, or a transaction that L1 does not
    /// take. It is waited out meanwhile.
    pub alarm: Option<String>,
    /// The error that is being waited out.
    pub last_error: Option<String>,
    /// Failures since the last success.
    pub failures: u32,
}

/// A batch that is closed and not yet confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PendingBatch {
    /// Its index.
    pub index: u64,
    /// Its first block.
    pub first_block: u64,
    /// Its last block.
    pub last_block: u64,
    /// Where its data lies.
    pub placement: Placement,
    /// Size of the encoded batch, in bytes.
    pub data_bytes: usize,
    /// The L1 transaction that carries it; `None` until one was sent.
    pub transaction: Option<PendingTransaction>,
}

/// The last attempt to bring a batch into L1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PendingTransaction {
    /// Account that signed it.
    pub sender: Address,
    /// Its hash.
    pub tx_hash: B256,
    /// Its nonce.
    pub nonce: u64,
    /// Its gas limit, in gas.
    pub gas_limit: u64,
    /// Its fee cap, in wei per gas.
    pub max_fee_per_gas: u128,
    /// Its tip, in wei per gas.
    pub max_priority_fee_per_gas: u128,
    /// Fee cap of its blobs, in wei per blob gas; `None` without blobs.
    pub max_fee_per_blob_gas: Option<u128>,
    /// Attempts for this batch, this one included.
    pub attempts: u32,
    /// When the first of them was sent, in seconds since the Unix epoch.
    pub first_sent_at: u64,
    /// When this one was sent, in seconds since the Unix epoch.
    pub sent_at: u64,
}

/// A batch that is being filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NextBatch {
    /// Its first block.
    pub first_block: u64,
    /// Blocks in it so far.
    pub blocks: u64,
    /// Size that it will not exceed when it is encoded, by an estimate before compression, in bytes.
    pub bytes_at_most: usize,
    /// Where it goes at the fees of when it was opened. It is decided anew when it closes.
    pub placement: Placement,
}

impl SubmitterStatus {
    pub(crate) fn apply(&mut self, event: &SubmitterEvent) {
        match event {
            SubmitterEvent::Attempt {
                sender,
                tx_hash,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                max_fee_per_blob_gas,
                ..
            } => {
                let Some(pending) = &mut self.pending else {
                    return;
                };
                let now = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(0, |elapsed| elapsed.as_secs());
                let before = pending.transaction;
                pending.transaction = Some(PendingTransaction {
                    sender: *sender,
                    tx_hash: *tx_hash,
                    nonce: *nonce,
                    gas_limit: *gas_limit,
                    max_fee_per_gas: *max_fee_per_gas,
                    max_priority_fee_per_gas: *max_priority_fee_per_gas,
                    max_fee_per_blob_gas: *max_fee_per_blob_gas,
                    attempts: before.map_or(0, |before| before.attempts).saturating_add(1),
                    first_sent_at: before.map_or(now, |before| before.first_sent_at),
                    sent_at: now,
                });
            }
            SubmitterEvent::Alarm { alarm } => self.alarm.clone_from(alarm),
            SubmitterEvent::Included { .. } => {
                self.pending = None;
                self.alarm = None;
            }
            // The run loop says what becomes of it.
            SubmitterEvent::Failed { .. } => {}
        }
    }
}
