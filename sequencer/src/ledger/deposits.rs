use std::ops::Range;

use sqlx::any::AnyRow;

use super::{
    DepositRecord, Ledger, LedgerError, MAX_ROWS,
    columns::{
        address, hash, number, optional_number, read_address, read_hash, read_number,
        read_optional_address, read_optional_number, read_wei,
    },
};

impl Ledger {
    /// Records a deposit. Recording it again may add or change only the L2 block that has executed
    /// it; `None` leaves a known one as it is.
    ///
    /// # Errors
    /// [`LedgerError::DepositDiffers`] when another deposit has this index, or when the database
    /// fails.
    pub async fn record_deposit(&self, deposit: &DepositRecord) -> Result<(), LedgerError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query(
            "INSERT INTO deposits (deposit_index, source_hash, l1_block_number, l1_block_hash, \
             l1_tx_hash, l1_log_index, from_address, to_address, mint, value, l2_tx_hash, l2_block) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
             ON CONFLICT (deposit_index) DO UPDATE \
             SET l2_block = COALESCE(excluded.l2_block, deposits.l2_block)",
        )
        .bind(number("deposit index", deposit.index)?)
        .bind(hash(deposit.source_hash))
        .bind(number("L1 block number", deposit.l1_block_number)?)
        .bind(hash(deposit.l1_block_hash))
        .bind(hash(deposit.l1_tx_hash))
        .bind(number("L1 log index", deposit.l1_log_index)?)
        .bind(address(deposit.from))
        .bind(deposit.to.map(address))
        .bind(deposit.mint.to_string())
        .bind(deposit.value.to_string())
        .bind(hash(deposit.l2_tx_hash))
        .bind(optional_number("L2 block", deposit.l2_block)?)
        .execute(&mut *transaction)
        .await?;
        let row = sqlx::query("SELECT * FROM deposits WHERE deposit_index = $1")
            .bind(number("deposit index", deposit.index)?)
            .fetch_one(&mut *transaction)
            .await?;
        let recorded = read_deposit(&row)?;
        let offered = DepositRecord {
            l2_block: recorded.l2_block,
            ..deposit.clone()
        };
        if recorded != offered {
            return Err(LedgerError::DepositDiffers {
                index: deposit.index,
                recorded: recorded.source_hash,
                offered: deposit.source_hash,
            });
        }
        transaction.commit().await?;
        Ok(())
    }

    /// The deposits with indices in `range`, in order; at most the first [`MAX_ROWS`].
    ///
    /// # Errors
    /// When the database fails or holds what weft never writes.
    pub async fn deposits(&self, range: Range<u64>) -> Result<Vec<DepositRecord>, LedgerError> {
        let end = range.end.min(range.start.saturating_add(MAX_ROWS));
        let (Ok(start), Ok(end)) = (i64::try_from(range.start), i64::try_from(end)) else {
            return Ok(Vec::new());
        };
        sqlx::query(
            "SELECT * FROM deposits WHERE deposit_index >= $1 AND deposit_index < $2 \
             ORDER BY deposit_index",
        )
        .bind(start)
        .bind(end)
        .fetch_all(&self.pool)
        .await?
        .iter()
        .map(read_deposit)
        .collect()
    }
}

fn read_deposit(row: &AnyRow) -> Result<DepositRecord, LedgerError> {
    Ok(DepositRecord {
        index: read_number(row, "deposit_index")?,
        source_hash: read_hash(row, "source_hash")?,
        l1_block_number: read_number(row, "l1_block_number")?,
        l1_block_hash: read_hash(row, "l1_block_hash")?,
        l1_tx_hash: read_hash(row, "l1_tx_hash")?,
        l1_log_index: read_number(row, "l1_log_index")?,
        from: read_address(row, "from_address")?,
        to: read_optional_address(row, "to_address")?,
        mint: read_wei(row, "mint")?,
        value: read_wei(row, "value")?,
        l2_tx_hash: read_hash(row, "l2_tx_hash")?,
        l2_block: read_optional_number(row, "l2_block")?,
    })
}
