use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_consensus::Transaction as _;
use alloy_eips::eip4844::BYTES_PER_BLOB;
use alloy_primitives::B256;
use tokio::{sync::mpsc, time};
use tokio_util::sync::CancellationToken;
use weft_batcher::SubmitterEvent;
use weft_l1_bridge::{
    BatchEvent, L1Client, L1Error, PlacedDeposit, PostedBatch, RollupInfo, batch_events,
};
use weft_primitives::Transaction;
use weft_state::StateError;

use super::withdrawals;
use crate::{
    chain::{ChainHandle, WithdrawalIndexError},
    error::NodeError,
    ledger::{AttemptState, BatchRecord, DepositRecord, L1Attempt, L1Cursor, Ledger, LedgerError},
    metrics::l1_error,
    trouble::Trouble,
};

/// L1 blocks that are recorded in one step.
const STEP: u64 = 1_000;
/// Deposits that are looked up on L2 in one step.
const LOOK_UP: u64 = 1_000;

/// Writes into the ledger what L1 holds and what the submitter does. The ledger is a record: when it
/// cannot be written the chain goes on, and what is missing is read from L1 again.
#[derive(Debug)]
pub(super) struct Recorder {
    client: L1Client,
    info: RollupInfo,
    ledger: Ledger,
    chain: ChainHandle,
    poll: Duration,
    /// Deposits below this index are recorded with their L2 block.
    executed_deposits: u64,
    /// The attempt that is waited for, with its nonce.
    attempt: Option<(u64, B256)>,
}

/// Why a step of recording failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error(transparent)]
    L1(#[from] L1Error),
    #[error("ledger: {0}")]
    Ledger(#[from] LedgerError),
    #[error("store: {0}")]
    Store(#[from] StateError),
    #[error("withdrawals: {0}")]
    Withdrawals(#[from] WithdrawalIndexError),
    #[error("reading the chain ended early")]
    Interrupted,
}

impl Recorder {
    pub(super) const fn new(
        client: L1Client,
        info: RollupInfo,
        ledger: Ledger,
        chain: ChainHandle,
        poll: Duration,
    ) -> Self {
        Self {
            client,
            info,
            ledger,
            chain,
            poll,
            executed_deposits: 0,
            attempt: None,
        }
    }

    pub(super) async fn run(
        mut self,
        mut events: mpsc::Receiver<SubmitterEvent>,
        stop: CancellationToken,
    ) -> Result<(), NodeError> {
        let mut next_look = time::Instant::now();
        let mut clean = false;
        let mut trouble = Trouble::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(event) = events.recv() => {
                    if let Err(error) = self.submitted(event).await {
                        tracing::warn!(%error, "the ledger lacks an event of the submitter");
                    }
                }
                () = time::sleep_until(next_look) => {
                    // What a look leaves half done, the next start removes.
                    let Some(looked) = stop.run_until_cancelled(self.look(clean)).await else {
                        break;
                    };
                    match looked {
                        Ok(()) => {
                            clean = true;
                            trouble.over();
                        }
                        Err(error) => {
                            clean = false;
                            if matches!(error, RecordError::L1(_)) {
                                l1_error();
                            }
                            if trouble.is_news(&error) {
                                tracing::warn!(%error, "the ledger is behind L1");
                            }
                        }
                    }
                    next_look = time::Instant::now() + self.poll;
                }
            }
        }
        self.ledger.close().await;
        Ok(())
    }

    /// Records everything that is new on L1. When the last look did not end well, what it left
    /// above the cursor is removed first.
    async fn look(&mut self, clean: bool) -> Result<(), RecordError> {
        let mut cursor = self.ledger.cursor().await?;
        if let Some(known) = cursor
            && self.client.block_number().await? >= known.number
            && self.client.existing_block(known.number).await?.hash != known.hash
        {
            cursor = self.go_back(known).await?;
            self.executed_deposits = 0;
        } else if cursor.is_none() {
            self.ledger.remove_after_l1_block(0).await?;
            self.executed_deposits = 0;
        } else if let (false, Some(known)) = (clean, cursor) {
            self.ledger.remove_after_l1_block(known.number).await?;
        }
        let mut next = match cursor {
            Some(known) => known.number.saturating_add(1),
            None => self.info.deployment_block,
        };
        let head = self.client.block_number().await?;
        while next <= head {
            let end = next.saturating_add(STEP - 1).min(head);
            self.record_blocks(next, end).await?;
            next = end.saturating_add(1);
        }
        self.look_up_deposits().await?;
        withdrawals::record_started(&self.ledger, &self.chain).await
    }

    /// Forgets what L1 has undone: all that was recorded above the last batch that it still has.
    async fn go_back(&self, known: L1Cursor) -> Result<Option<L1Cursor>, RecordError> {
        // What stands above the cursor may be half of a step.
        self.ledger.remove_after_l1_block(known.number).await?;
        let head = self.client.block_number().await?;
        let mut kept = None;
        while let Some(batch) = self.ledger.last_batch().await? {
            let number = batch.l1_block_number;
            if head >= number
                && self.client.existing_block(number).await?.hash == batch.l1_block_hash
            {
                kept = Some(L1Cursor {
                    number,
                    hash: batch.l1_block_hash,
                });
                break;
            }
            self.ledger
                .remove_after_l1_block(number.saturating_sub(1))
                .await?;
        }
        let from = kept.map_or(0, |cursor| cursor.number);
        tracing::warn!(from, "L1 reorganised: reading it again behind this block");
        self.ledger.remove_after_l1_block(from).await?;
        if let Some(cursor) = kept {
            self.ledger.set_cursor(cursor).await?;
        }
        Ok(kept)
    }

    async fn record_blocks(&mut self, from: u64, to: u64) -> Result<(), RecordError> {
        let pinned = self.client.existing_block(to).await?;
        for placed in batch_events(&self.client, &self.info, from, to).await? {
            match placed.event {
                BatchEvent::Posted(batch) => self.record_batch(&batch).await?,
                BatchEvent::Rejected { from_index, .. } => {
                    tracing::warn!(from_index, "L1 has removed this batch and all after it");
                    self.ledger.remove_batches_from(from_index).await?;
                    self.executed_deposits = 0;
                }
                BatchEvent::Challenged { .. }
                | BatchEvent::Upheld { .. }
                | BatchEvent::Settled { .. } => {}
            }
        }
        let first = self.ledger.counts().await?.deposits;
        let deposits = self
            .client
            .deposits(self.info.contract, from.saturating_sub(1), to)
            .await?;
        for (index, deposit) in (first..).zip(&deposits) {
            self.ledger
                .record_deposit(&deposit_record(index, deposit))
                .await?;
        }
        withdrawals::record_events(&self.ledger, &self.client, &self.info, from, to).await?;
        self.ledger
            .set_cursor(L1Cursor {
                number: to,
                hash: pinned.hash,
            })
            .await?;
        Ok(())
    }

    async fn record_batch(&self, batch: &PostedBatch) -> Result<(), RecordError> {
        let posted_bytes = self
            .client
            .transaction(batch.tx_hash)
            .await?
            .map_or(0, |transaction| {
                let blobs = u64::from(batch.header.blob_count) * BYTES_PER_BLOB as u64;
                blobs.saturating_add(transaction.inner.input().len() as u64)
            });
        self.ledger
            .record_batch(&BatchRecord {
                index: batch.index,
                hash: batch.batch_hash,
                previous_hash: batch.header.previous_batch_hash,
                first_block: batch.header.first_block,
                last_block: batch.header.last_block,
                last_block_hash: batch.header.last_block_hash,
                state_root: batch.header.state_root,
                withdrawals_root: batch.header.withdrawals_root,
                l1_origin: batch.header.l1_origin,
                deposits_consumed: batch.header.deposits_consumed,
                blob_count: batch.header.blob_count,
                data_hash: batch.header.data_hash,
                posted_bytes,
                l1_block_number: batch.l1_block,
                l1_block_hash: batch.l1_block_hash,
                l1_tx_hash: batch.tx_hash,
            })
            .await?;
        Ok(())
    }

    /// Adds the L2 block to deposits that have been executed since. They execute in order.
    async fn look_up_deposits(&mut self) -> Result<(), RecordError> {
        let start = self.executed_deposits;
        let waiting = self
            .ledger
            .deposits(start..start.saturating_add(LOOK_UP))
            .await?;
        for deposit in waiting {
            if deposit.l2_block.is_none() {
                let Some(place) = self
                    .chain
                    .store()
                    .transaction_location(deposit.l2_tx_hash)?
                else {
                    break;
                };
                self.ledger
                    .record_deposit(&DepositRecord {
                        l2_block: Some(place.block_number),
                        ..deposit.clone()
                    })
                    .await?;
            }
            self.executed_deposits = deposit.index.saturating_add(1);
        }
        Ok(())
    }

    async fn submitted(&mut self, event: SubmitterEvent) -> Result<(), LedgerError> {
        match event {
            SubmitterEvent::Attempt {
                index,
                sender,
                tx_hash,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                max_fee_per_blob_gas,
                ..
            } => {
                if let Some((last_nonce, last_hash)) = self.attempt
                    && last_nonce == nonce
                    && last_hash != tx_hash
                {
                    self.ledger
                        .update_attempt(last_hash, &AttemptState::Replaced)
                        .await?;
                }
                self.attempt = Some((nonce, tx_hash));
                self.ledger
                    .record_attempt(&L1Attempt {
                        sender,
                        nonce,
                        first_batch: index,
                        last_batch: index,
                        tx_hash,
                        gas_limit,
                        max_fee_per_gas,
                        max_priority_fee_per_gas,
                        max_fee_per_blob_gas,
                        sent_at: SystemTime::now()
                            .duration_since(UNIX_EPOCH)
                            .map_or(0, |elapsed| elapsed.as_secs()),
                        state: AttemptState::Sent,
                    })
                    .await
            }
            SubmitterEvent::Alarm { .. } => Ok(()),
            SubmitterEvent::Included { posted, .. } => {
                self.attempt = None;
                let state = AttemptState::Included {
                    l1_block_number: posted.l1_block,
                };
                self.ledger.update_attempt(posted.tx_hash, &state).await
            }
            SubmitterEvent::Failed { error, .. } => match self.attempt.take() {
                Some((_, tx_hash)) => {
                    let state = AttemptState::Failed {
                        error,
                        l1_block_number: None,
                    };
                    self.ledger.update_attempt(tx_hash, &state).await
                }
                // It failed before anything was sent.
                None => Ok(()),
            },
        }
    }
}

fn deposit_record(index: u64, placed: &PlacedDeposit) -> DepositRecord {
    let deposit = &placed.deposit;
    DepositRecord {
        index,
        source_hash: deposit.source_hash,
        l1_block_number: placed.l1_block,
        l1_block_hash: placed.l1_block_hash,
        l1_tx_hash: placed.tx_hash,
        l1_log_index: placed.log_index,
        from: deposit.from,
        to: deposit.to.to().copied(),
        mint: deposit.mint,
        value: deposit.value,
        l2_tx_hash: Transaction::from(deposit.clone()).hash(),
        l2_block: None,
    }
}
