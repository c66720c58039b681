use super::{
    L1Cursor, Ledger, LedgerCounts, LedgerError,
    columns::{hash, number, read_hash, read_number},
};

impl Ledger {
    /// Says that everything up to and in this L1 block is recorded.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_cursor(&self, cursor: L1Cursor) -> Result<(), LedgerError> {
        sqlx::query(
            "INSERT INTO l1_cursor (id, block_number, block_hash) VALUES (1, $1, $2) \
             ON CONFLICT (id) DO UPDATE \
             SET block_number = excluded.block_number, block_hash = excluded.block_hash",
        )
        .bind(number("L1 block number", cursor.number)?)
        .bind(hash(cursor.hash))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The last L1 block that is recorded in full; `None` when scanning has to start over.
    ///
    /// # Errors
    /// When the database fails or holds what weft never writes.
    pub async fn cursor(&self) -> Result<Option<L1Cursor>, LedgerError> {
        sqlx::query("SELECT block_number, block_hash FROM l1_cursor")
            .fetch_optional(&self.pool)
            .await?
            .map(|row| {
                Ok(L1Cursor {
                    number: read_number(&row, "block_number")?,
                    hash: read_hash(&row, "block_hash")?,
                })
            })
            .transpose()
    }

    /// Forgets what was recorded from L1 blocks above `block`: L1 has reorganised there.
    ///
    /// Attempts that stood in those blocks count as sent again. A cursor above `block` is removed,
    /// since the ledger does not know the hash of an older one: the caller sets the new one.
    ///
    /// # Errors
    /// When the database fails; then nothing was removed.
    pub async fn remove_after_l1_block(&self, block: u64) -> Result<(), LedgerError> {
        let block = number("L1 block number", block)?;
        let mut transaction = self.pool.begin().await?;
        for statement in [
            "DELETE FROM batches WHERE l1_block_number > $1",
            "DELETE FROM deposits WHERE l1_block_number > $1",
            "DELETE FROM withdrawal_events WHERE l1_block_number > $1",
            "UPDATE l1_attempts SET state = 'sent', error = NULL, l1_block_number = NULL \
             WHERE l1_block_number > $1",
            "DELETE FROM l1_cursor WHERE block_number > $1",
        ] {
            sqlx::query(statement)
                .bind(block)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// How many rows of each kind there are.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn counts(&self) -> Result<LedgerCounts, LedgerError> {
        let row = sqlx::query(
            "SELECT (SELECT COUNT(*) FROM batches) AS batches, \
             (SELECT COUNT(*) FROM l1_transactions) AS l1_transactions, \
             (SELECT COUNT(*) FROM l1_attempts) AS l1_attempts, \
             (SELECT COUNT(*) FROM deposits) AS deposits, \
             (SELECT COUNT(*) FROM withdrawals) AS withdrawals",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(LedgerCounts {
            batches: read_number(&row, "batches")?,
            l1_transactions: read_number(&row, "l1_transactions")?,
            l1_attempts: read_number(&row, "l1_attempts")?,
            deposits: read_number(&row, "deposits")?,
            withdrawals: read_number(&row, "withdrawals")?,
        })
    }
}
