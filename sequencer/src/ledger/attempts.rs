use alloy_primitives::B256;
use sqlx::{Row, any::AnyRow};

use super::{
    AttemptState, L1Attempt, Ledger, LedgerError, MAX_ERROR_CHARS, MAX_ROWS,
    columns::{
        address, hash, number, optional_number, read_address, read_hash, read_number,
        read_optional_number, read_optional_wei, read_wei,
    },
};

/// An attempt with the batch range of its nonce.
const SELECT_BY_HASH: &str = "SELECT a.*, t.first_batch, t.last_batch FROM l1_attempts a \
     JOIN l1_transactions t ON t.sender = a.sender AND t.nonce = a.nonce WHERE a.tx_hash = $1";

impl Ledger {
    /// Records a signed L1 transaction before or after it is sent. The batch range of its nonce
    /// becomes this attempt's: after a reorg the same nonce may post something else. Recording a
    /// known attempt again leaves its state as it is.
    ///
    /// # Errors
    /// [`LedgerError::AttemptDiffers`] when the hash is recorded with other fields, or when the
    /// database fails.
    pub async fn record_attempt(&self, attempt: &L1Attempt) -> Result<(), LedgerError> {
        let state = StateColumns::of(&attempt.state)?;
        let mut transaction = self.pool.begin().await?;
        sqlx::query(
            "INSERT INTO l1_transactions (sender, nonce, first_batch, last_batch) \
             VALUES ($1, $2, $3, $4) ON CONFLICT (sender, nonce) DO UPDATE \
             SET first_batch = excluded.first_batch, last_batch = excluded.last_batch",
        )
        .bind(address(attempt.sender))
        .bind(number("nonce", attempt.nonce)?)
        .bind(number("first batch", attempt.first_batch)?)
        .bind(number("last batch", attempt.last_batch)?)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "INSERT INTO l1_attempts (tx_hash, sender, nonce, gas_limit, max_fee_per_gas, \
             max_priority_fee_per_gas, sent_at, state, error, l1_block_number, \
             max_fee_per_blob_gas) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (tx_hash) DO NOTHING",
        )
        .bind(hash(attempt.tx_hash))
        .bind(address(attempt.sender))
        .bind(number("nonce", attempt.nonce)?)
        .bind(number("gas limit", attempt.gas_limit)?)
        .bind(attempt.max_fee_per_gas.to_string())
        .bind(attempt.max_priority_fee_per_gas.to_string())
        .bind(number("time sent", attempt.sent_at)?)
        .bind(state.name)
        .bind(state.error)
        .bind(state.l1_block_number)
        .bind(attempt.max_fee_per_blob_gas.map(|fee| fee.to_string()))
        .execute(&mut *transaction)
        .await?;
        let row = sqlx::query(SELECT_BY_HASH)
            .bind(hash(attempt.tx_hash))
            .fetch_one(&mut *transaction)
            .await?;
        let recorded = read_attempt(&row)?;
        let offered = L1Attempt {
            state: recorded.state.clone(),
            sent_at: recorded.sent_at,
            ..attempt.clone()
        };
        if recorded != offered {
            return Err(LedgerError::AttemptDiffers(attempt.tx_hash));
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Sets what has become of a recorded attempt.
    ///
    /// # Errors
    /// [`LedgerError::UnknownAttempt`] when the hash is not recorded, or when the database fails.
    pub async fn update_attempt(
        &self,
        tx_hash: B256,
        state: &AttemptState,
    ) -> Result<(), LedgerError> {
        let state = StateColumns::of(state)?;
        let updated = sqlx::query(
            "UPDATE l1_attempts SET state = $2, error = $3, l1_block_number = $4 \
             WHERE tx_hash = $1",
        )
        .bind(hash(tx_hash))
        .bind(state.name)
        .bind(state.error)
        .bind(state.l1_block_number)
        .execute(&self.pool)
        .await?
        .rows_affected();
        if updated == 0 {
            return Err(LedgerError::UnknownAttempt(tx_hash));
        }
        Ok(())
    }

    /// The attempts to post the batch with this index, oldest first; at most [`MAX_ROWS`].
    ///
    /// # Errors
    /// When the database fails or holds what weft never writes.
    pub async fn attempts_of_batch(&self, index: u64) -> Result<Vec<L1Attempt>, LedgerError> {
        let Ok(index) = i64::try_from(index) else {
            return Ok(Vec::new());
        };
        sqlx::query(
            "SELECT a.*, t.first_batch, t.last_batch FROM l1_attempts a \
             JOIN l1_transactions t ON t.sender = a.sender AND t.nonce = a.nonce \
             WHERE t.first_batch <= $1 AND t.last_batch >= $1 \
             ORDER BY a.nonce, a.sent_at, a.tx_hash LIMIT $2",
        )
        .bind(index)
        .bind(number("row limit", MAX_ROWS)?)
        .fetch_all(&self.pool)
        .await?
        .iter()
        .map(read_attempt)
        .collect()
    }
}

struct StateColumns {
    name: &'static str,
    error: Option<String>,
    l1_block_number: Option<i64>,
}

impl StateColumns {
    fn of(state: &AttemptState) -> Result<Self, LedgerError> {
        let (name, error, l1_block_number) = match state {
            AttemptState::Sent => ("sent", None, None),
            AttemptState::Included { l1_block_number } => {
                ("included", None, Some(*l1_block_number))
            }
            AttemptState::Failed {
                error,
                l1_block_number,
            } => ("failed", Some(storable(error)), *l1_block_number),
            AttemptState::Replaced => ("replaced", None, None),
        };
        Ok(Self {
            name,
            error,
            l1_block_number: optional_number("L1 block number", l1_block_number)?,
        })
    }
}

/// The text comes from an L1 node: its length is not ours to trust, and Postgres stores no NUL.
fn storable(error: &str) -> String {
    error
        .chars()
        .filter(|character| *character != '\0')
        .take(MAX_ERROR_CHARS)
        .collect()
}

fn read_attempt(row: &AnyRow) -> Result<L1Attempt, LedgerError> {
    Ok(L1Attempt {
        sender: read_address(row, "sender")?,
        nonce: read_number(row, "nonce")?,
        first_batch: read_number(row, "first_batch")?,
        last_batch: read_number(row, "last_batch")?,
        tx_hash: read_hash(row, "tx_hash")?,
        gas_limit: read_number(row, "gas_limit")?,
        max_fee_per_gas: read_wei(row, "max_fee_per_gas")?,
        max_priority_fee_per_gas: read_wei(row, "max_priority_fee_per_gas")?,
        max_fee_per_blob_gas: read_optional_wei(row, "max_fee_per_blob_gas")?,
        sent_at: read_number(row, "sent_at")?,
        state: read_state(row)?,
    })
}

fn read_state(row: &AnyRow) -> Result<AttemptState, LedgerError> {
    let name: String = row.try_get("state")?;
    let l1_block_number = read_optional_number(row, "l1_block_number")?;
    match (name.as_str(), l1_block_number) {
        ("sent", None) => Ok(AttemptState::Sent),
        ("included", Some(l1_block_number)) => Ok(AttemptState::Included { l1_block_number }),
        ("failed", l1_block_number) => Ok(AttemptState::Failed {
            error: row
                .try_get::<Option<String>, _>("error")?
                .unwrap_or_default(),
            l1_block_number,
        }),
        ("replaced", None) => Ok(AttemptState::Replaced),
        _ => Err(LedgerError::Damaged {
            column: "state",
            expected: "sent, included with an L1 block, failed or replaced",
            found: name,
        }),
    }
}
