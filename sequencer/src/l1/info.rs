use alloy_primitives::{Address, B256};
use futures::future::BoxFuture;
use tokio::sync::watch;
use weft_batcher::{SubmitterControl, SubmitterStatus};
use weft_l1_bridge::bridge::BatchHeaderJson;

use crate::{
    chain::ChainHandle,
    ledger::{AttemptState, BatchRecord, L1Attempt, Ledger, LedgerError, WithdrawalEventKind},
    rpc::{
        AttemptInfo, AttemptStatus, BatchInfo, BatchStatus, L1Info, L1InfoError, L1Status,
        WithdrawalOnL1,
    },
};

/// Answers from the ledger.
#[derive(Debug)]
pub(super) struct LedgerInfo {
    chain: ChainHandle,
    ledger: Ledger,
    contract: Address,
    submitter: watch::Receiver<Option<SubmitterControl>>,
    origin_problem: watch::Receiver<Option<String>>,
}

impl LedgerInfo {
    pub(super) const fn new(
        chain: ChainHandle,
        ledger: Ledger,
        contract: Address,
        submitter: watch::Receiver<Option<SubmitterControl>>,
        origin_problem: watch::Receiver<Option<String>>,
    ) -> Self {
        Self {
            chain,
            ledger,
            contract,
            submitter,
            origin_problem,
        }
    }

    fn describe(&self, batch: BatchRecord) -> BatchInfo {
        let labels = self.chain.labels();
        let status = if batch.last_block <= labels.finalized {
            BatchStatus::Finalized
        } else if batch.last_block <= labels.safe {
            BatchStatus::Safe
        } else {
            BatchStatus::Posted
        };
        BatchInfo {
            index: batch.index,
            hash: batch.hash,
            first_block: batch.first_block,
            last_block: batch.last_block,
            last_block_hash: batch.last_block_hash,
            header: BatchHeaderJson::from(&batch.header()),
            l1_transaction_hash: batch.l1_tx_hash,
            l1_block_number: batch.l1_block_number,
            status,
        }
    }

    /// What keeps batches from being posted.
    fn problem(&self) -> Option<String> {
        let control = self.submitter.borrow().clone()?;
        let status = control.status();
        let SubmitterStatus {
            alarm,
            last_error,
            paused,
            ..
        } = &*status.borrow();
        let paused = paused.then(|| "the batcher is paused".to_owned());
        alarm.clone().or_else(|| last_error.clone()).or(paused)
    }

    fn answer(
        &self,
        found: Result<Option<BatchRecord>, LedgerError>,
    ) -> Result<Option<BatchInfo>, L1InfoError> {
        Ok(found.map_err(unreadable)?.map(|batch| self.describe(batch)))
    }
}

fn describe_attempt(attempt: L1Attempt) -> AttemptInfo {
    let (status, l1_block_number, error) = match attempt.state {
        AttemptState::Sent => (AttemptStatus::Sent, None, None),
        AttemptState::Included { l1_block_number } => {
            (AttemptStatus::Included, Some(l1_block_number), None)
        }
        AttemptState::Failed {
            error,
            l1_block_number,
        } => (AttemptStatus::Failed, l1_block_number, Some(error)),
        AttemptState::Replaced => (AttemptStatus::Replaced, None, None),
    };
    AttemptInfo {
        transaction_hash: attempt.tx_hash,
        sender: attempt.sender,
        nonce: attempt.nonce,
        gas_limit: attempt.gas_limit,
        max_fee_per_gas: attempt.max_fee_per_gas,
        max_priority_fee_per_gas: attempt.max_priority_fee_per_gas,
        max_fee_per_blob_gas: attempt.max_fee_per_blob_gas,
        sent_at: attempt.sent_at,
        status,
        l1_block_number,
        error,
    }
}

fn unreadable(error: LedgerError) -> L1InfoError {
    L1InfoError(Box::new(error))
}

impl L1Info for LedgerInfo {
    fn batch(&self, index: u64) -> BoxFuture<'_, Result<Option<BatchInfo>, L1InfoError>> {
        Box::pin(async move { self.answer(self.ledger.batch(index).await) })
    }

    fn batch_of_block(&self, number: u64) -> BoxFuture<'_, Result<Option<BatchInfo>, L1InfoError>> {
        Box::pin(async move { self.answer(self.ledger.batch_of_block(number).await) })
    }

    fn attempts(&self, index: u64) -> BoxFuture<'_, Result<Vec<AttemptInfo>, L1InfoError>> {
        Box::pin(async move {
            let attempts = self.ledger.attempts_of_batch(index).await;
            Ok(attempts
                .map_err(unreadable)?
                .into_iter()
                .map(describe_attempt)
                .collect())
        })
    }

    fn withdrawal(&self, hash: B256) -> BoxFuture<'_, Result<WithdrawalOnL1, L1InfoError>> {
        Box::pin(async move {
            let events = self.ledger.withdrawal_events(hash).await;
            let mut found = WithdrawalOnL1::default();
            for event in events.map_err(unreadable)? {
                match event.kind {
                    WithdrawalEventKind::Proven { .. } => found.proven_by = Some(event.l1_tx_hash),
                    WithdrawalEventKind::Finalized => found.finalized_by = Some(event.l1_tx_hash),
                }
            }
            Ok(found)
        })
    }

    fn status(&self) -> BoxFuture<'_, Result<L1Status, L1InfoError>> {
        Box::pin(async move {
            let cursor = self.ledger.cursor().await.map_err(unreadable)?;
            let counts = self.ledger.counts().await.map_err(unreadable)?;
            Ok(L1Status {
                contract: Some(self.contract),
                head: cursor.map(|cursor| cursor.number),
                batches: Some(counts.batches),
                problem: self.problem(),
                origin_problem: self.origin_problem.borrow().clone(),
            })
        })
    }
}
