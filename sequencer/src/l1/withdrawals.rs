use weft_l1_bridge::{L1Client, RollupInfo, WithdrawalEvent};

use super::recorder::RecordError;
use crate::{
    chain::{ChainHandle, StartedWithdrawal},
    ledger::{Ledger, WithdrawalEventKind, WithdrawalEventRecord, WithdrawalRecord},
};

/// Withdrawals that one look records at most.
const LOOK_UP: usize = 1_000;

/// Records the withdrawals that L2 has started since, and forgets those that it has no more.
pub(super) async fn record_started(
    ledger: &Ledger,
    chain: &ChainHandle,
) -> Result<(), RecordError> {
    let mut next = ledger.counts().await?.withdrawals;
    while let Some(last) = next.checked_sub(1) {
        let ours = started(chain, last, 1).await?;
        let recorded = ledger.withdrawal(last).await?;
        if recorded == ours.first().map(record) {
            break;
        }
        ledger.remove_withdrawals_from(last).await?;
        next = last;
    }
    for withdrawal in started(chain, next, LOOK_UP).await? {
        ledger.record_withdrawal(&record(&withdrawal)).await?;
    }
    Ok(())
}

async fn started(
    chain: &ChainHandle,
    from: u64,
    most: usize,
) -> Result<Vec<StartedWithdrawal>, RecordError> {
    let chain = chain.clone();
    // Reads the disk.
    tokio::task::spawn_blocking(move || Ok(chain.withdrawals().range(chain.store(), from, most)?))
        .await
        .map_err(|_| RecordError::Interrupted)?
}

/// Records what happened to withdrawals in L1 blocks `from ..= to`.
pub(super) async fn record_events(
    ledger: &Ledger,
    client: &L1Client,
    info: &RollupInfo,
    from: u64,
    to: u64,
) -> Result<(), RecordError> {
    for placed in client.withdrawal_events(info.contract, from, to).await? {
        ledger
            .record_withdrawal_event(&WithdrawalEventRecord {
                withdrawal_hash: placed.withdrawal_hash,
                kind: match placed.event {
                    WithdrawalEvent::Proven { batch } => WithdrawalEventKind::Proven { batch },
                    WithdrawalEvent::Finalized => WithdrawalEventKind::Finalized,
                },
                l1_block_number: placed.l1_block,
                l1_log_index: placed.log_index,
                l1_tx_hash: placed.tx_hash,
            })
            .await?;
    }
    Ok(())
}

fn record(started: &StartedWithdrawal) -> WithdrawalRecord {
    let withdrawal = &started.withdrawal;
    WithdrawalRecord {
        index: withdrawal.index,
        hash: withdrawal.hash(),
        sender: withdrawal.sender,
        target: withdrawal.target,
        value: withdrawal.value,
        l2_block: started.block,
        l2_tx_hash: started.tx_hash,
    }
}
