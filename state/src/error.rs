use std::{io, path::PathBuf};

use alloy_primitives::{B256, hex};

/// Why the store could not answer, could not write or was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The operating system refused a file operation.
    #[error("data folder: cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The folder holds something, but no weft chain.
    #[error(
        "data folder {0}: expected an empty folder or one with a weft.json, found other files; choose another folder"
    )]
    ForeignFolder(PathBuf),
    /// A state can only be imported into a new folder.
    #[error("data folder {0}: expected an empty folder, found a chain; choose another folder")]
    NotEmpty(PathBuf),
    /// `weft.json` is not what weft writes.
    #[error(
        "data folder {path}: weft.json cannot be read: {reason}; restore it, or rebuild the chain from L1 into an empty folder with `weft follow`"
    )]
    Identity {
        /// The data folder.
        path: PathBuf,
        /// What is wrong with the file.
        reason: String,
    },
    /// The folder was written by a weft with another on-disk format.
    #[error(
        "data folder {path}: expected on-disk format {expected}, found {found}; use the weft version that wrote it, or rebuild the chain from L1 into an empty folder with `weft follow`"
    )]
    FormatVersion {
        /// The data folder.
        path: PathBuf,
        /// The format that this weft reads and writes.
        expected: u32,
        /// The format in `weft.json`.
        found: u32,
    },
    /// The folder holds another chain.
    #[error(
        "data folder {path}: expected chain {expected_chain_id} with genesis file hash {expected_spec}, found chain {found_chain_id} with genesis file hash {found_spec}; choose that chain's data folder or an empty one; when this one is that chain's and damaged, rebuild it from L1 into an empty folder with `weft follow`"
    )]
    OtherChain {
        /// The data folder.
        path: PathBuf,
        /// Chain id that was asked for.
        expected_chain_id: u64,
        /// keccak-256 of the chain spec that was asked for.
        expected_spec: B256,
        /// Chain id in `weft.json`.
        found_chain_id: u64,
        /// keccak-256 of the chain spec in `weft.json`.
        found_spec: B256,
    },
    /// Another process has the folder open.
    #[error(
        "data folder {0}: expected to be its only user, found it locked by another process; stop that process or choose another folder"
    )]
    Locked(PathBuf),
    /// The folder is weft's, but what it holds is not a whole chain.
    #[error(
        "data folder {path} is damaged: {reason}; restore it from a backup, or rebuild the chain from L1 into an empty folder with `weft follow`"
    )]
    Damaged {
        /// The data folder.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },
    /// A stored value is not what its table holds.
    #[error(
        "store: table {table}, key 0x{}: {reason}; the data folder is damaged: restore it from a backup, or rebuild the chain from L1 into an empty folder with `weft follow`",
        hex::encode(.key)
    )]
    Corrupt {
        /// Name of the table.
        table: &'static str,
        /// The key.
        key: Vec<u8>,
        /// What was expected and what was found.
        reason: String,
    },
    /// The database could not read a value.
    #[error(
        "store: table {table}, key 0x{}: cannot be read: {source}; when the data folder is damaged, restore it from a backup, or rebuild the chain from L1 into an empty folder with `weft follow`",
        hex::encode(.key)
    )]
    Read {
        /// Name of the table.
        table: &'static str,
        /// The key, or the one at which a scan began.
        key: Vec<u8>,
        /// The database's answer.
        source: fjall::Error,
    },
    /// The database could not make a block durable.
    #[error("store: block {number} could not be written: {source}")]
    Write {
        /// Number of the block.
        number: u64,
        /// The database's answer.
        source: fjall::Error,
    },
    /// An earlier write failed, so that nothing more may be written (invariant I6).
    #[error("store: an earlier write failed, nothing more is written; restart the node")]
    Poisoned,
    /// The database could not write its tables in the background: it writes nothing more.
    #[error("store: the database cannot write: {0}; the log has what failed first")]
    Unwritable(fjall::Error),
    /// The block is not the child of the last durable block.
    #[error(
        "commit: expected block {expected_number} with parent {expected_parent}, found block {found_number} with parent {found_parent}"
    )]
    NotChild {
        /// Number of the head's child.
        expected_number: u64,
        /// Hash of the head.
        expected_parent: B256,
        /// Number of the block that was given.
        found_number: u64,
        /// Parent hash of the block that was given.
        found_parent: B256,
    },
    /// The block's hash is not its header's.
    #[error("commit: expected block hash {expected}, found {found}")]
    BlockHash {
        /// Hash of the header.
        expected: B256,
        /// Hash that came with it.
        found: B256,
    },
    /// The header's state root is not that of the trie nodes.
    #[error("commit: expected state root {expected} in the header, found {found}")]
    StateRoot {
        /// Root of the trie nodes.
        expected: B256,
        /// Root in the header.
        found: B256,
    },
    /// Trie nodes were computed on top of another state.
    #[error(
        "trie: expected changes on top of state root {expected}, found changes on top of {found}"
    )]
    TrieBase {
        /// State root that the changes must start from.
        expected: B256,
        /// State root that they start from.
        found: B256,
    },
    /// A [`Sealer`](crate::Sealer) could not read the trie before, and lost its place in it.
    #[error("trie: an earlier block could not be applied, nothing more is; restart the node")]
    SealerFailed,
    /// The chain was unwound after a [`Sealer`](crate::Sealer) had begun on it.
    #[error("trie: the chain was unwound since state roots were begun on it; begin anew")]
    SealerUnwound,
    /// The chain cannot go back to a block whose state is not kept.
    #[error(
        "unwind: expected a block from {oldest} on, the oldest whose state is kept, found {number}; rebuild the chain from L1 into an empty folder with `weft follow`"
    )]
    UnwindTooFar {
        /// Number of the block to go back to.
        number: u64,
        /// The oldest block that the chain can go back to.
        oldest: u64,
    },
    /// The chain cannot go back to a block that it does not have.
    #[error("unwind: expected a block up to {head}, the last one, found {number}")]
    UnwindAboveHead {
        /// Number of the block to go back to.
        number: u64,
        /// Number of the last block.
        head: u64,
    },
    /// A proof would take more work than the caller allows.
    #[error(
        "proof: later blocks changed more than {most} accounts and slots of the state of block {number}; ask for a later block"
    )]
    TooManyChanges {
        /// Number of the block.
        number: u64,
        /// Most changed accounts and slots, together, that the caller allows.
        most: usize,
    },
    /// Senders or receipts do not belong to the block's transactions.
    #[error(
        "commit: expected {transactions} senders and receipts, one for each transaction, found {senders} and {receipts}"
    )]
    Lengths {
        /// Number of transactions.
        transactions: usize,
        /// Number of senders.
        senders: usize,
        /// Number of receipts.
        receipts: usize,
    },
}
