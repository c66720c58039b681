use alloy_primitives::B256;

/// Why the ledger could not be opened, read or written. No message contains a password.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The URL names no database that weft can use.
    #[error(
        "ledger URL: expected sqlite://FILE or postgres://USER:PASSWORD@HOST:PORT/DATABASE, found scheme {0:?}"
    )]
    UnsupportedUrl(String),
    /// The URL has the right scheme but does not parse.
    #[error("ledger URL of scheme {scheme:?} cannot be read: {source}")]
    MalformedUrl {
        /// The part of the URL before `:`.
        scheme: String,
        /// What the driver says.
        source: sqlx::Error,
    },
    /// The database cannot be reached or is not one.
    #[error("ledger {database}: cannot open: {source}")]
    Open {
        /// The database without user and password.
        database: String,
        /// What the driver says.
        source: sqlx::Error,
    },
    /// The database did not answer in time.
    #[error("ledger {database}: expected a connection within {seconds} s, found no answer")]
    OpenTimeout {
        /// The database without user and password.
        database: String,
        /// The limit, in seconds.
        seconds: u64,
    },
    /// The tables could not be brought to this version's schema.
    #[error("ledger {database}: migrations failed: {source}")]
    Migrate {
        /// The database without user and password.
        database: String,
        /// What the migrator says.
        source: sqlx::migrate::MigrateError,
    },
    /// A statement failed.
    #[error("ledger: {0}")]
    Sql(#[from] sqlx::Error),
    /// A number does not fit the 64-bit signed integers of SQL.
    #[error("ledger: expected {field} to be at most 2^63 - 1, found {value}")]
    TooLarge {
        /// The field of the record.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// A stored value is not what this program writes.
    #[error("ledger: expected {column} to hold {expected}, found {found:?}")]
    Damaged {
        /// Column of the table.
        column: &'static str,
        /// What belongs there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// Another batch is recorded at this index, and nobody has said that L1 reorganised.
    #[error("ledger: expected batch {index} to be {recorded} as recorded, found {offered}")]
    BatchDiffers {
        /// Index of the batch.
        index: u64,
        /// Hash of the recorded batch.
        recorded: B256,
        /// Hash of the batch that was to be recorded. The same as `recorded` when the batch is the
        /// same but stands elsewhere on L1.
        offered: B256,
    },
    /// A batch does not continue the one before it (I4).
    #[error(
        "ledger: batch {index} does not continue the recorded batches: expected {expected}, found {found}"
    )]
    BatchGap {
        /// Index of the batch that was to be recorded.
        index: u64,
        /// What had to hold.
        expected: String,
        /// What held.
        found: String,
    },
    /// Another deposit is recorded at this index, and nobody has said that L1 reorganised.
    #[error("ledger: expected deposit {index} to be {recorded} as recorded, found {offered}")]
    DepositDiffers {
        /// Index of the deposit.
        index: u64,
        /// Source hash of the recorded deposit.
        recorded: B256,
        /// Source hash of the deposit that was to be recorded.
        offered: B256,
    },
    /// Another withdrawal is recorded at this index, and nobody has said that L2 went back.
    #[error("ledger: expected withdrawal {index} to be {recorded} as recorded, found {offered}")]
    WithdrawalDiffers {
        /// Index of the withdrawal.
        index: u64,
        /// Hash of the recorded withdrawal.
        recorded: B256,
        /// Hash of the withdrawal that was to be recorded.
        offered: B256,
    },
    /// An L1 transaction with this hash is recorded with other fields.
    #[error("ledger: L1 transaction {0} is recorded with another sender, nonce, gas limit or fee")]
    AttemptDiffers(B256),
    /// No L1 transaction with this hash is recorded.
    #[error("ledger: expected a recorded L1 transaction {0}, found none")]
    UnknownAttempt(B256),
}
