//! Logs of the contract, read in bounded pieces and checked to be what was asked for.

use alloy_primitives::{Address, B256, Log as LogContent};
use alloy_sol_types::SolEvent;
use weft_primitives::{TxDeposit, user_deposit_from_log};

use crate::{L1Client, L1Error, contract::Rollup};

/// Most logs that one answer may hold.
const MAX_LOGS: usize = 100_000;

/// A log with its place on L1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlacedLog {
    pub(crate) content: LogContent,
    pub(crate) block_number: u64,
    pub(crate) block_hash: B256,
    pub(crate) tx_hash: B256,
    pub(crate) log_index: u64,
}

/// A user deposit with its place on L1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedDeposit {
    /// Number of the L1 block.
    pub l1_block: u64,
    /// Hash of the L1 block.
    pub l1_block_hash: B256,
    /// Hash of the L1 transaction.
    pub tx_hash: B256,
    /// Index of its log in the L1 block.
    pub log_index: u64,
    /// The transaction that it stands for on L2.
    pub deposit: TxDeposit,
}

impl L1Client {
    /// Logs of these events of a contract in L1 blocks `from ..= to`, asked for in pieces of at most
    /// [`crate::L1ClientConfig::max_log_range`] blocks. A piece that L1 refuses is halved.
    pub(crate) async fn logs(
        &self,
        contract: Address,
        topics: &[B256],
        from: u64,
        to: u64,
    ) -> Result<Vec<PlacedLog>, L1Error> {
        let mut logs = Vec::new();
        let mut next = from;
        let mut span = self.config().max_log_range.max(1);
        while next <= to {
            let end = next.saturating_add(span - 1).min(to);
            match self.raw_logs(contract, topics, next, end).await {
                Ok(found) => {
                    logs.extend(checked(found, contract, topics, next, end)?);
                    if logs.len() > MAX_LOGS {
                        return Err(L1Error::answer(
                            format!("eth_getLogs({contract}, blocks {from} to {to})"),
                            format!("at most {MAX_LOGS} logs"),
                            format!("{} logs", logs.len()),
                        ));
                    }
                    let Some(following) = end.checked_add(1) else {
                        break;
                    };
                    next = following;
                }
                Err(L1Error::Refused { .. } | L1Error::TooLarge { .. }) if end > next => {
                    span = (end - next).div_ceil(2);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(logs)
    }

    /// User deposits in L1 blocks `after + 1 ..= to`, in order.
    ///
    /// # Errors
    /// When L1 does not answer properly.
    pub async fn deposits(
        &self,
        contract: Address,
        after: u64,
        to: u64,
    ) -> Result<Vec<PlacedDeposit>, L1Error> {
        let topic = Rollup::TransactionDeposited::SIGNATURE_HASH;
        self.logs(contract, &[topic], after.saturating_add(1), to)
            .await?
            .into_iter()
            .map(|log| {
                let deposit = user_deposit_from_log(&log.content, log.block_hash, log.log_index)
                    .map_err(|error| {
                        L1Error::answer(
                            format!("deposit {} in L1 block {}", log.log_index, log.block_number),
                            "a deposit event of the contract",
                            error.to_string(),
                        )
                    })?;
                Ok(PlacedDeposit {
                    l1_block: log.block_number,
                    l1_block_hash: log.block_hash,
                    tx_hash: log.tx_hash,
                    log_index: log.log_index,
                    deposit,
                })
            })
            .collect()
    }
}

/// What L1 says about a withdrawal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithdrawalEvent {
    /// It was proven.
    Proven {
        /// Index of the batch that it was proven with.
        batch: u64,
    },
    /// It was paid.
    Finalized,
}

/// A withdrawal's event with its place on L1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacedWithdrawalEvent {
    /// Hash of the withdrawal.
    pub withdrawal_hash: B256,
    /// What happened.
    pub event: WithdrawalEvent,
    /// Number of the L1 block.
    pub l1_block: u64,
    /// Index of its log in the L1 block.
    pub log_index: u64,
    /// Hash of the L1 transaction.
    pub tx_hash: B256,
}

impl L1Client {
    /// What happened to withdrawals in L1 blocks `from ..= to`: first all that were proven, then all
    /// that were paid, each in order.
    ///
    /// # Errors
    /// When L1 does not answer properly.
    pub async fn withdrawal_events(
        &self,
        contract: Address,
        from: u64,
        to: u64,
    ) -> Result<Vec<PlacedWithdrawalEvent>, L1Error> {
        let mut events = Vec::new();
        for topic in [
            Rollup::WithdrawalProven::SIGNATURE_HASH,
            Rollup::WithdrawalFinalized::SIGNATURE_HASH,
        ] {
            for log in self.logs(contract, &[topic], from, to).await? {
                let not_one = |error: String| {
                    L1Error::answer(
                        format!("log {} in L1 block {}", log.log_index, log.block_number),
                        "a withdrawal event of the contract",
                        error,
                    )
                };
                let (withdrawal_hash, event) = if topic == Rollup::WithdrawalProven::SIGNATURE_HASH
                {
                    let event = Rollup::WithdrawalProven::decode_log(&log.content)
                        .map_err(|error| not_one(error.to_string()))?;
                    let batch = u64::try_from(event.batchIndex)
                        .map_err(|_| not_one(format!("batch {}", event.batchIndex)))?;
                    (event.withdrawalHash, WithdrawalEvent::Proven { batch })
                } else {
                    let event = Rollup::WithdrawalFinalized::decode_log(&log.content)
                        .map_err(|error| not_one(error.to_string()))?;
                    (event.withdrawalHash, WithdrawalEvent::Finalized)
                };
                events.push(PlacedWithdrawalEvent {
                    withdrawal_hash,
                    event,
                    l1_block: log.block_number,
                    log_index: log.log_index,
                    tx_hash: log.tx_hash,
                });
            }
        }
        Ok(events)
    }
}

/// Refuses logs that were not asked for, that are pending or removed, or that are out of order.
fn checked(
    logs: Vec<alloy_rpc_types_eth::Log>,
    contract: Address,
    topics: &[B256],
    from: u64,
    to: u64,
) -> Result<Vec<PlacedLog>, L1Error> {
    let asked = || format!("eth_getLogs({contract}, blocks {from} to {to})");
    let mut last: Option<(u64, u64, B256)> = None;
    let mut placed = Vec::with_capacity(logs.len());
    for log in logs {
        let (Some(block_number), Some(block_hash), Some(tx_hash), Some(log_index), false) = (
            log.block_number,
            log.block_hash,
            log.transaction_hash,
            log.log_index,
            log.removed,
        ) else {
            return Err(L1Error::answer(
                asked(),
                "logs that are in a block",
                "a log that is pending or removed",
            ));
        };
        let topic = log.inner.topics().first();
        if log.inner.address != contract || topic.is_none_or(|topic| !topics.contains(topic)) {
            return Err(L1Error::answer(
                asked(),
                format!("logs of events {topics:?}"),
                format!(
                    "a log of {} with topics {:?}",
                    log.inner.address,
                    log.inner.topics()
                ),
            ));
        }
        if !(from..=to).contains(&block_number) {
            return Err(L1Error::answer(
                asked(),
                "logs of these blocks",
                format!("a log of block {block_number}"),
            ));
        }
        if let Some((previous_block, previous_index, previous_hash)) = last {
            let same_block = previous_block == block_number;
            if (block_number, log_index) <= (previous_block, previous_index)
                || same_block != (previous_hash == block_hash)
            {
                return Err(L1Error::answer(
                    asked(),
                    "logs in the order of one chain",
                    format!(
                        "log {log_index} of block {block_number} ({block_hash}) after log {previous_index} of block {previous_block} ({previous_hash})"
                    ),
                ));
            }
        }
        last = Some((block_number, log_index, block_hash));
        placed.push(PlacedLog {
            content: log.inner,
            block_number,
            block_hash,
            tx_hash,
            log_index,
        });
    }
    Ok(placed)
}
