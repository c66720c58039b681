use alloy_eips::BlockNumHash;
use sqlx::{Any, Transaction, any::AnyRow};

use super::{
    BatchRecord, Ledger, LedgerError,
    columns::{hash, number, read_hash, read_number, read_small},
};

impl Ledger {
    /// Records a batch that the L1 contract has accepted.
    ///
    /// Recording the same batch again does nothing. The first batch of an empty ledger may have any
    /// index; after that batches come in order without gap (I4).
    ///
    /// # Errors
    /// [`LedgerError::BatchDiffers`] when another batch has this index, [`LedgerError::BatchGap`]
    /// when it does not continue the batch before it, or when the database fails.
    pub async fn record_batch(&self, batch: &BatchRecord) -> Result<(), LedgerError> {
        let mut transaction = self.pool.begin().await?;
        let inserted = sqlx::query(
            "INSERT INTO batches (batch_index, batch_hash, previous_batch_hash, first_block, \
             last_block, last_block_hash, state_root, withdrawals_root, l1_origin_number, \
             l1_origin_hash, deposits_consumed, blob_count, data_hash, posted_bytes, \
             l1_block_number, l1_block_hash, l1_tx_hash) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) \
             ON CONFLICT (batch_index) DO NOTHING",
        )
        .bind(number("batch index", batch.index)?)
        .bind(hash(batch.hash))
        .bind(hash(batch.previous_hash))
        .bind(number("first block", batch.first_block)?)
        .bind(number("last block", batch.last_block)?)
        .bind(hash(batch.last_block_hash))
        .bind(hash(batch.state_root))
        .bind(hash(batch.withdrawals_root))
        .bind(number("L1 origin number", batch.l1_origin.number)?)
        .bind(hash(batch.l1_origin.hash))
        .bind(number("deposits consumed", batch.deposits_consumed)?)
        .bind(i64::from(batch.blob_count))
        .bind(hash(batch.data_hash))
        .bind(number("posted bytes", batch.posted_bytes)?)
        .bind(number("L1 block number", batch.l1_block_number)?)
        .bind(hash(batch.l1_block_hash))
        .bind(hash(batch.l1_tx_hash))
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        if inserted == 0 {
            return check_same_batch(&mut transaction, batch).await;
        }
        check_continues(&mut transaction, batch).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Forgets batches that L1 has removed: this one and all after it. Deposits that were executed in
    /// their blocks count as not executed, until they are found again.
    ///
    /// # Errors
    /// When the database fails; then nothing was removed.
    pub async fn remove_batches_from(&self, index: u64) -> Result<(), LedgerError> {
        let index = number("batch index", index)?;
        let mut transaction = self.pool.begin().await?;
        for statement in [
            "UPDATE deposits SET l2_block = NULL WHERE l2_block >= \
             (SELECT MIN(first_block) FROM batches WHERE batch_index >= $1)",
            "DELETE FROM batches WHERE batch_index >= $1",
        ] {
            sqlx::query(statement)
                .bind(index)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// The batch with this index.
    ///
    /// # Errors
    /// When the database fails or holds what weft never writes.
    pub async fn batch(&self, index: u64) -> Result<Option<BatchRecord>, LedgerError> {
        let Ok(index) = i64::try_from(index) else {
            return Ok(None);
        };
        sqlx::query("SELECT * FROM batches WHERE batch_index = $1")
            .bind(index)
            .fetch_optional(&self.pool)
            .await?
            .map(|row| read_batch(&row))
            .transpose()
    }

    /// The batch that holds this L2 block.
    ///
    /// # Errors
    /// When the database fails or holds what weft never writes.
    pub async fn batch_of_block(&self, block: u64) -> Result<Option<BatchRecord>, LedgerError> {
        let Ok(bound) = i64::try_from(block) else {
            return Ok(None);
        };
        let batch =
            sqlx::query("SELECT * FROM batches WHERE last_block >= $1 ORDER BY last_block LIMIT 1")
                .bind(bound)
                .fetch_optional(&self.pool)
                .await?
                .map(|row| read_batch(&row))
                .transpose()?;
        Ok(batch.filter(|batch| batch.first_block <= block))
    }

    /// The batch with the highest index.
    ///
    /// # Errors
    /// When the database fails or holds what weft never writes.
    pub async fn last_batch(&self) -> Result<Option<BatchRecord>, LedgerError> {
        sqlx::query("SELECT * FROM batches ORDER BY batch_index DESC LIMIT 1")
            .fetch_optional(&self.pool)
            .await?
            .map(|row| read_batch(&row))
            .transpose()
    }
}

/// What stands at the index of `batch` in the same transaction that could not insert it.
async fn check_same_batch(
    transaction: &mut Transaction<'_, Any>,
    batch: &BatchRecord,
) -> Result<(), LedgerError> {
    let row = sqlx::query("SELECT * FROM batches WHERE batch_index = $1")
        .bind(number("batch index", batch.index)?)
        .fetch_one(&mut **transaction)
        .await?;
    let recorded = read_batch(&row)?;
    if recorded == *batch {
        return Ok(());
    }
    Err(LedgerError::BatchDiffers {
        index: batch.index,
        recorded: recorded.hash,
        offered: batch.hash,
    })
}

/// Checks an inserted batch against its neighbours; the caller commits only when it fits.
async fn check_continues(
    transaction: &mut Transaction<'_, Any>,
    batch: &BatchRecord,
) -> Result<(), LedgerError> {
    let index = number("batch index", batch.index)?;
    let gap = |expected: String, found: String| LedgerError::BatchGap {
        index: batch.index,
        expected,
        found,
    };
    let last = sqlx::query(
        "SELECT * FROM batches WHERE batch_index <> $1 ORDER BY batch_index DESC LIMIT 1",
    )
    .bind(index)
    .fetch_optional(&mut **transaction)
    .await?;
    let Some(last) = last.map(|row| read_batch(&row)).transpose()? else {
        return Ok(());
    };
    if last.index.checked_add(1) != Some(batch.index) {
        return Err(gap(
            format!("the index after {}", last.index),
            format!("index {}", batch.index),
        ));
    }
    if last.hash != batch.previous_hash {
        return Err(gap(
            format!("previous batch {}", last.hash),
            batch.previous_hash.to_string(),
        ));
    }
    if last.last_block.checked_add(1) != Some(batch.first_block) {
        return Err(gap(
            format!("the block after {} to come first", last.last_block),
            format!("block {}", batch.first_block),
        ));
    }
    Ok(())
}

fn read_batch(row: &AnyRow) -> Result<BatchRecord, LedgerError> {
    Ok(BatchRecord {
        index: read_number(row, "batch_index")?,
        hash: read_hash(row, "batch_hash")?,
        previous_hash: read_hash(row, "previous_batch_hash")?,
        first_block: read_number(row, "first_block")?,
        last_block: read_number(row, "last_block")?,
        last_block_hash: read_hash(row, "last_block_hash")?,
        state_root: read_hash(row, "state_root")?,
        withdrawals_root: read_hash(row, "withdrawals_root")?,
        l1_origin: BlockNumHash::new(
            read_number(row, "l1_origin_number")?,
            read_hash(row, "l1_origin_hash")?,
        ),
        deposits_consumed: read_number(row, "deposits_consumed")?,
        blob_count: read_small(row, "blob_count")?,
        data_hash: read_hash(row, "data_hash")?,
        posted_bytes: read_number(row, "posted_bytes")?,
        l1_block_number: read_number(row, "l1_block_number")?,
        l1_block_hash: read_hash(row, "l1_block_hash")?,
        l1_tx_hash: read_hash(row, "l1_tx_hash")?,
    })
}
