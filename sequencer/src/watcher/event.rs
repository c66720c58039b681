use std::fmt;

use alloy_primitives::{Address, B256, U256};
use serde::Serialize;

use crate::{
    chain::VerifiedBatch,
    verify::{Difference, DisputeEvent},
};

/// What a watcher tells while it goes on.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum WatchEvent {
    /// A batch was checked and is right.
    Verified(VerifiedEvent),
    /// A batch is wrong.
    Wrong(Box<Difference>),
    /// The data of a batch cannot be had for so long that it counts as wrong.
    Unavailable {
        /// Index of the batch.
        batch: u64,
        /// Hash of the batch.
        batch_hash: B256,
        /// Why its data cannot be had.
        reason: String,
    },
    /// Somebody disputes a batch.
    Challenged {
        /// Number of the dispute.
        dispute: u64,
        /// Index of the batch.
        batch: u64,
        /// Hash of the batch.
        batch_hash: B256,
        /// Who disputes it.
        challenger: Address,
        /// Whether that is this watcher.
        own: bool,
        /// The L1 transaction.
        l1_transaction: B256,
    },
    /// A batch that is wrong can no longer be disputed.
    TooLate {
        /// Index of the batch.
        batch: u64,
        /// Hash of the batch.
        batch_hash: B256,
    },
    /// The resolver says that a disputed batch is right.
    Upheld {
        /// Number of the dispute.
        dispute: u64,
        /// Index of the batch.
        batch: u64,
    },
    /// Batches were removed.
    Rejected {
        /// Number of the dispute.
        dispute: u64,
        /// Index of the first batch that was removed.
        from_batch: u64,
    },
    /// Batches can no longer be removed.
    Settled {
        /// How many, counted from the first.
        batches: u64,
    },
    /// This watcher has the bond of a dispute back.
    BondClaimed {
        /// Number of the dispute.
        dispute: u64,
        /// The bond, in wei.
        amount: U256,
        /// The L1 transaction.
        l1_transaction: B256,
    },
}

/// A batch that was checked and is right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifiedEvent {
    /// Index of the batch.
    pub batch: u64,
    /// Hash of the batch header.
    pub batch_hash: B256,
    /// First block of the batch.
    pub first_block: u64,
    /// Last block of the batch.
    pub last_block: u64,
    /// Hash of the last block.
    pub last_block_hash: B256,
    /// Transactions in the batch's blocks, deposits included.
    pub transactions: usize,
    /// Deposits from L1 up to and including the batch.
    pub deposits: u64,
    /// L1 block that holds the batch.
    pub l1_block: u64,
    /// L1 transaction that posted it.
    pub l1_transaction: B256,
}

impl fmt::Display for VerifiedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "batch {}: blocks {}..={}, {} transactions, L1 block {} transaction {}: verified, head {}",
            self.batch,
            self.first_block,
            self.last_block,
            self.transactions,
            self.l1_block,
            self.l1_transaction,
            self.last_block_hash,
        )
    }
}

impl fmt::Display for WatchEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verified(event) => event.fmt(f),
            Self::Wrong(difference) => write!(f, "WRONG: {difference}"),
            Self::Unavailable { batch, reason, .. } => {
                write!(f, "batch {batch}: its data cannot be had: {reason}")
            }
            Self::Challenged {
                dispute,
                batch,
                challenger,
                own,
                l1_transaction,
                ..
            } => {
                let who = if *own {
                    "this watcher"
                } else {
                    "somebody else"
                };
                write!(
                    f,
                    "batch {batch}: dispute {dispute}, opened by {who} ({challenger}), L1 transaction {l1_transaction}"
                )
            }
            Self::TooLate { batch, .. } => {
                write!(f, "batch {batch}: too late to dispute it")
            }
            Self::Upheld { dispute, batch } => {
                write!(
                    f,
                    "batch {batch}: dispute {dispute} lost: the batch was upheld"
                )
            }
            Self::Rejected {
                dispute,
                from_batch,
            } => write!(
                f,
                "batch {from_batch}: dispute {dispute} won: the batch and all after it were removed"
            ),
            Self::Settled { batches } => write!(f, "{batches} batches are settled"),
            Self::BondClaimed {
                dispute,
                amount,
                l1_transaction,
            } => write!(
                f,
                "dispute {dispute}: bond of {amount} wei came back, L1 transaction {l1_transaction}"
            ),
        }
    }
}

impl WatchEvent {
    /// What happened on L1; `own` is the account that this watcher disputes with.
    pub(super) fn of_dispute(event: DisputeEvent, own: Option<Address>) -> Self {
        match event {
            DisputeEvent::Challenged {
                dispute,
                batch,
                batch_hash,
                challenger,
                l1_transaction,
            } => Self::Challenged {
                dispute,
                batch,
                batch_hash,
                challenger,
                own: own == Some(challenger),
                l1_transaction,
            },
            DisputeEvent::TooLate { batch, batch_hash } => Self::TooLate { batch, batch_hash },
            DisputeEvent::Upheld { dispute, batch } => Self::Upheld { dispute, batch },
            DisputeEvent::Rejected {
                dispute,
                from_batch,
            } => Self::Rejected {
                dispute,
                from_batch,
            },
            DisputeEvent::Settled { batches } => Self::Settled { batches },
            DisputeEvent::BondClaimed {
                dispute,
                amount,
                l1_transaction,
            } => Self::BondClaimed {
                dispute,
                amount,
                l1_transaction,
            },
        }
    }
}

impl From<&VerifiedBatch> for VerifiedEvent {
    fn from(batch: &VerifiedBatch) -> Self {
        let VerifiedBatch {
            posted,
            transactions,
        } = batch;
        Self {
            batch: posted.index,
            batch_hash: posted.batch_hash,
            first_block: posted.header.first_block,
            last_block: posted.header.last_block,
            last_block_hash: posted.header.last_block_hash,
            transactions: *transactions,
            deposits: posted.header.deposits_consumed,
            l1_block: posted.l1_block,
            l1_transaction: posted.tx_hash,
        }
    }
}
