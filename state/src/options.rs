use crate::History;

/// What the store keeps, and how much memory and how many threads it may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreOptions {
    /// Cache of blocks read from disk, in bytes.
    pub cache_bytes: u64,
    /// Size in bytes at which a keyspace's memtable is written to disk. Set when the folder is
    /// created; a later value has no effect.
    pub memtable_bytes: u64,
    /// Size in bytes of all journals at which the keyspaces that hold back the oldest one are
    /// written to disk: it bounds what all memtables hold together. At least 64 MiB.
    pub journal_bytes: u64,
    /// Background threads that write memtables and compact; at least 1.
    pub worker_threads: usize,
    /// Accounts and slots that readers keep in memory, in bytes.
    pub hot_state_bytes: u64,
    /// Code that readers keep in memory, in bytes.
    pub hot_code_bytes: u64,
    /// Trie nodes that a [`Sealer`](crate::Sealer) keeps from block to block, in bytes. It holds
    /// more while the blocks that changed them are not durable.
    pub trie_bytes: u64,
    /// Trie nodes that are written in one go for several blocks, in bytes: the larger, the less is
    /// written, and the more has to be computed again after a crash.
    pub unwritten_trie_bytes: usize,
    /// How far back states are kept.
    pub history: History,
}

const MIB: u64 = 1024 * 1024;

/// Journals are this large from the start.
pub(crate) const MIN_JOURNAL_BYTES: u64 = 64 * MIB;

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 256 * MIB,
            memtable_bytes: 32 * MIB,
            journal_bytes: 256 * MIB,
            worker_threads: 2,
            hot_state_bytes: 128 * MIB,
            hot_code_bytes: 32 * MIB,
            trie_bytes: 256 * MIB,
            unwritten_trie_bytes: 4 << 20,
            history: History::All,
        }
    }
}
