use std::{io, path::PathBuf};

use alloy_primitives::B256;

/// Why there is no number.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The URL is not one that is understood.
    #[error("URL {0:?}: expected http://HOST:PORT[/PATH] or ws://HOST:PORT[/PATH]")]
    Url(String),
    /// The node cannot be reached.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Host and port.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A connection broke.
    #[error("connection to {address}: {reason}")]
    Connection {
        /// Host and port.
        address: String,
        /// What happened.
        reason: String,
    },
    /// The node's answer is not what the method answers.
    #[error("{method}: expected {expected}, found {found}")]
    Answer {
        /// The method that was called.
        method: String,
        /// What was expected.
        expected: &'static str,
        /// The beginning of what came.
        found: String,
    },
    /// The node answered a request of the preparation with an error.
    #[error("{method}: {message} (code {code})")]
    Method {
        /// The method that was called.
        method: String,
        /// JSON-RPC error code.
        code: i64,
        /// The node's words.
        message: String,
    },
    /// A transaction of the preparation failed.
    #[error("preparation: {what}: {reason}")]
    Setup {
        /// What it was to do.
        what: &'static str,
        /// Why it did not.
        reason: String,
    },
    /// The node takes no transaction.
    #[error("the node refused {refused} requests and took {accepted}; last: {message}")]
    Refused {
        /// Requests answered with an error.
        refused: u64,
        /// Transactions taken.
        accepted: u64,
        /// The node's last words.
        message: String,
    },
    /// Transactions that the node took are in no block.
    #[error(
        "{missing} of {accepted} transactions that the node took are in no block after {waited_s} s without one; one of them is {example}"
    )]
    Missing {
        /// Transactions in no block.
        missing: u64,
        /// Transactions taken.
        accepted: u64,
        /// How long no block with one of them came, in seconds.
        waited_s: u64,
        /// One of them.
        example: B256,
    },
    /// Blocks of the node that was started for this hold transactions that were not sent, or one
    /// twice.
    #[error("the node's blocks hold {0} transactions that were not sent, or hold them twice")]
    Foreign(u64),
    /// The node that was started for this did not start, or ended.
    #[error("the node: {0}")]
    Node(String),
    /// A file cannot be used.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key or a signature cannot be made.
    #[error("signing: {0}")]
    Signing(#[from] SigningError),
    /// The run was interrupted.
    #[error("interrupted")]
    Interrupted,
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The mnemonic is none, or a key is not one.
    #[error(transparent)]
    Key(#[from] alloy_signer_local::LocalSignerError),
    /// The key does not sign.
    #[error(transparent)]
    Signer(#[from] alloy_signer::Error),
    /// A transaction was asked for that is not there.
    #[error("no such transaction")]
    NotThere,
    /// An encoding is longer than what was reckoned with, in bytes.
    #[error("a transaction of {found} bytes, at most {limit} are stored")]
    TooLarge {
        /// Bytes of the encoding.
        found: usize,
        /// Most bytes.
        limit: usize,
    },
    /// Signed transactions cannot be put away.
    #[error("signed transactions cannot be stored: {0}")]
    Store(io::Error),
}

impl IngestError {
    pub(super) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::File { path, source }
    }

    pub(super) fn connection(address: &str, reason: impl ToString) -> Self {
        Self::Connection {
            address: address.to_owned(),
            reason: reason.to_string(),
        }
    }
}
