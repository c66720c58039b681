//! The SQL ledger: what people query about L1.
//!
//! SQLite by default, Postgres by URL, the same migrations on both. It is rebuilt from L1 and the
//! store and never needed to answer a user's transaction, so losing it costs a rescan and nothing
//! else. Recording is idempotent: a node that restarts from an older cursor records the same rows
//! again without harm, and anything that contradicts a recorded row is an error until
//! [`Ledger::remove_after_l1_block`] says that L1 has reorganised.

mod attempts;
mod batches;
mod columns;
mod deposits;
mod error;
mod l1;
mod open;
mod records;
mod withdrawals;

#[cfg(test)]
mod tests;

pub use error::LedgerError;
pub use open::Ledger;
pub use records::{
    AttemptState, BatchRecord, DepositRecord, L1Attempt, L1Cursor, LedgerCounts, MAX_ERROR_CHARS,
};
pub use withdrawals::{WithdrawalEventKind, WithdrawalEventRecord, WithdrawalRecord};

/// Most rows that one query returns.
pub const MAX_ROWS: u64 = 10_000;
