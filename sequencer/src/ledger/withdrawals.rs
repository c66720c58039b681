use alloy_primitives::{Address, B256, U256};
use sqlx::any::AnyRow;

use super::{
    Ledger, LedgerError,
    columns::{
        address, hash, number, optional_number, read_address, read_hash, read_number,
        read_optional_number, read_wei,
    },
};

/// A withdrawal that L2 has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithdrawalRecord {
    /// Position among all withdrawals of the chain.
    pub index: u64,
    /// Its hash.
    pub hash: B256,
    /// Account that started it on L2.
    pub sender: Address,
    /// Account that is called on L1.
    pub target: Address,
    /// Ether that it gets, in wei.
    pub value: U256,
    /// L2 block that holds it.
    pub l2_block: u64,
    /// L2 transaction that started it.
    pub l2_tx_hash: B256,
}

/// What happened to a withdrawal on L1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithdrawalEventRecord {
    /// Hash of the withdrawal.
    pub withdrawal_hash: B256,
    /// What happened.
    pub kind: WithdrawalEventKind,
    /// L1 block where it did.
    pub l1_block_number: u64,
    /// Index of the log in the L1 block.
    pub l1_log_index: u64,
    /// L1 transaction that did it.
    pub l1_tx_hash: B256,
}

/// See [`WithdrawalEventRecord`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithdrawalEventKind {
    /// It was proven.
    Proven {
        /// Index of the batch that it was proven with.
        batch: u64,
    },
    /// It was paid.
    Finalized,
}

impl Ledger {
    /// Records a withdrawal that L2 has started. Recording it again does nothing.
    ///
    /// # Errors
    /// [`LedgerError::WithdrawalDiffers`] when another one has this index, or when the database
    /// fails.
    pub async fn record_withdrawal(&self, record: &WithdrawalRecord) -> Result<(), LedgerError> {
        let inserted = sqlx::query(
            "INSERT INTO withdrawals (withdrawal_index, withdrawal_hash, sender, target, value, \
             l2_block, l2_tx_hash) VALUES ($1, $2, $3, $4, $5, $6, $7) \
             ON CONFLICT (withdrawal_index) DO NOTHING",
        )
        .bind(number("withdrawal index", record.index)?)
        .bind(hash(record.hash))
        .bind(address(record.sender))
        .bind(address(record.target))
        .bind(record.value.to_string())
        .bind(number("L2 block", record.l2_block)?)
        .bind(hash(record.l2_tx_hash))
        .execute(&self.pool)
        .await?
        .rows_affected();
        if inserted == 1 {
            return Ok(());
        }
        match self.withdrawal(record.index).await? {
            Some(recorded) if recorded == *record => Ok(()),
            recorded => Err(LedgerError::WithdrawalDiffers {
                index: record.index,
                recorded: recorded.map(|recorded| recorded.hash).unwrap_or_default(),
                offered: record.hash,
            }),
        }
    }

    /// The withdrawal with this index.
    ///
    /// # Errors
    /// When the database fails or holds what weft never writes.
    pub async fn withdrawal(&self, index: u64) -> Result<Option<WithdrawalRecord>, LedgerError> {
        let Ok(index) = i64::try_from(index) else {
            return Ok(None);
        };
        sqlx::query("SELECT * FROM withdrawals WHERE withdrawal_index = $1")
            .bind(index)
            .fetch_optional(&self.pool)
            .await?
            .map(|row| {
                Ok(WithdrawalRecord {
                    index: read_number(&row, "withdrawal_index")?,
                    hash: read_hash(&row, "withdrawal_hash")?,
                    sender: read_address(&row, "sender")?,
                    target: read_address(&row, "target")?,
                    value: read_wei(&row, "value")?,
                    l2_block: read_number(&row, "l2_block")?,
                    l2_tx_hash: read_hash(&row, "l2_tx_hash")?,
                })
            })
            .transpose()
    }

    /// Forgets the withdrawals from this index on: L2 has gone back behind them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_withdrawals_from(&self, index: u64) -> Result<(), LedgerError> {
        sqlx::query("DELETE FROM withdrawals WHERE withdrawal_index >= $1")
            .bind(number("withdrawal index", index)?)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Records what happened to a withdrawal on L1. Recording it again does nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_withdrawal_event(
        &self,
        event: &WithdrawalEventRecord,
    ) -> Result<(), LedgerError> {
        let (kind, batch) = match event.kind {
            WithdrawalEventKind::Proven { batch } => ("proven", Some(batch)),
            WithdrawalEventKind::Finalized => ("finalized", None),
        };
        sqlx::query(
            "INSERT INTO withdrawal_events (withdrawal_hash, kind, batch_index, l1_block_number, \
             l1_log_index, l1_tx_hash) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (l1_block_number, l1_log_index) DO NOTHING",
        )
        .bind(hash(event.withdrawal_hash))
        .bind(kind)
        .bind(optional_number("batch index", batch)?)
        .bind(number("L1 block number", event.l1_block_number)?)
        .bind(number("L1 log index", event.l1_log_index)?)
        .bind(hash(event.l1_tx_hash))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// What happened to a withdrawal on L1, in order.
    ///
    /// # Errors
    /// When the database fails or holds what weft never writes.
    pub async fn withdrawal_events(
        &self,
        withdrawal_hash: B256,
    ) -> Result<Vec<WithdrawalEventRecord>, LedgerError> {
        sqlx::query(
            "SELECT * FROM withdrawal_events WHERE withdrawal_hash = $1 \
             ORDER BY l1_block_number, l1_log_index",
        )
        .bind(hash(withdrawal_hash))
        .fetch_all(&self.pool)
        .await?
        .iter()
        .map(read_event)
        .collect()
    }
}

fn read_event(row: &AnyRow) -> Result<WithdrawalEventRecord, LedgerError> {
    Ok(WithdrawalEventRecord {
        withdrawal_hash: read_hash(row, "withdrawal_hash")?,
        kind: match read_optional_number(row, "batch_index")? {
            Some(batch) => WithdrawalEventKind::Proven { batch },
            None => WithdrawalEventKind::Finalized,
        },
        l1_block_number: read_number(row, "l1_block_number")?,
        l1_log_index: read_number(row, "l1_log_index")?,
        l1_tx_hash: read_hash(row, "l1_tx_hash")?,
    })
}
