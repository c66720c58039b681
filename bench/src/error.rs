use std::path::PathBuf;

use weft_executor_core::InvalidTransaction;

/// Why there is no number.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A contestant gave another result than the oracle: a fault of weft, and no number is worth
    /// anything.
    #[error("wrong result in {workload}, {contestant} against oracle: {mismatch}")]
    WrongResult {
        /// Workload, or the block's number.
        workload: String,
        /// Who differs.
        contestant: &'static str,
        /// Where.
        mismatch: Mismatch,
    },
    /// The plain loop could not execute a transaction.
    #[error("plain revm cannot execute transaction {index}: {reason}")]
    Plain {
        /// Position in the block.
        index: usize,
        /// revm's words.
        reason: String,
    },
    /// weft could not execute the block.
    #[error("{contestant} cannot execute the block: {reason}")]
    Engine {
        /// Which of weft's executors.
        contestant: &'static str,
        /// Its words.
        reason: String,
    },
    /// A layer cannot be made on this machine.
    #[error("execution layer: {0}")]
    Layer(String),
    /// A program could not be compressed.
    #[error("a program cannot be compressed: {0}")]
    Compression(std::io::Error),
    /// A call of a contract in a measured block failed.
    #[error("{workload}: transaction {index} failed")]
    CallFailed {
        /// The contract.
        workload: String,
        /// Position in the block.
        index: usize,
    },
    /// A transaction that brings contracts and balances into the base state was left out.
    #[error("base state: transaction {index} was left out: {reason}")]
    SetupInvalid {
        /// Position among the transactions that make the base state.
        index: usize,
        /// Why.
        reason: InvalidTransaction,
    },
    /// A transaction that brings contracts and balances into the base state failed.
    #[error("base state: transaction {index} failed")]
    SetupFailed {
        /// Position among the transactions that make the base state.
        index: usize,
    },
    /// The fixtures cannot be found.
    #[error("no fixtures (*.json.gz) in {0}")]
    NoFixtures(PathBuf),
    /// `fixtures` was asked for without a folder.
    #[error("fixtures are asked for, but not where they are: give --fixtures DIR")]
    NoFixturesFolder,
    /// Blocks cannot be encoded as a batch, or a batch is not what was encoded.
    #[error("batch: {0}")]
    Batch(String),
    /// A fixture cannot be read.
    #[error("fixture {path}: {reason}")]
    Fixture {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// How a result differs from the oracle's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Another number of transactions is in the block.
    #[error("{found} transactions included, expected {expected}")]
    Included {
        /// The oracle's.
        expected: usize,
        /// The contestant's.
        found: usize,
    },
    /// Gas used in the block.
    #[error("{found} gas used, expected {expected}")]
    Gas {
        /// The oracle's.
        expected: u64,
        /// The contestant's.
        found: u64,
    },
    /// A receipt: success, gas or logs.
    #[error("the receipt of transaction {index} differs: found {found}, expected {expected}")]
    Receipt {
        /// Position in the block.
        index: usize,
        /// The oracle's.
        expected: String,
        /// The contestant's.
        found: String,
    },
    /// The state after the block.
    #[error("the state after the block differs: {0}")]
    State(String),
}
