use std::{ops::RangeInclusive, path::Path};

use fjall::{
    Database, KeyspaceCreateOptions, OwnedWriteBatch, Readable, Snapshot, UserKey, UserValue,
};

use crate::{StateError, StoreOptions, encoding, options::MIN_JOURNAL_BYTES};

/// Present in every keyspace, with the number of the last block as its value. All keyspaces must
/// agree: one that lags behind or ran ahead has lost a part of an atomic batch. No other key has
/// this length, so that no scan meets it.
const MARKER: &[u8] = b"head";

/// One keyspace.
pub(crate) struct Table {
    name: &'static str,
    keyspace: fjall::Keyspace,
}

impl Table {
    pub(crate) fn get(
        &self,
        snapshot: &Snapshot,
        key: &[u8],
    ) -> Result<Option<UserValue>, StateError> {
        snapshot
            .get(&self.keyspace, key)
            .map_err(|source| self.unreadable(key, source))
    }

    /// The value decoded; bytes that do not decode are [`StateError::Corrupt`].
    pub(crate) fn read<T>(
        &self,
        snapshot: &Snapshot,
        key: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<T, alloy_rlp::Error>,
    ) -> Result<Option<T>, StateError> {
        self.get(snapshot, key)?
            .map(|value| decode(&value).map_err(|error| self.corrupt(key, error)))
            .transpose()
    }

    /// The first entry of a range of keys.
    pub(crate) fn first_in(
        &self,
        snapshot: &Snapshot,
        keys: RangeInclusive<&[u8]>,
    ) -> Result<Option<(UserKey, UserValue)>, StateError> {
        let start = *keys.start();
        snapshot
            .range(&self.keyspace, keys)
            .next()
            .map(fjall::Guard::into_inner)
            .transpose()
            .map_err(|source| self.unreadable(start, source))
    }

    /// Every entry whose key starts with `prefix`, in key order.
    pub(crate) fn prefix<'a>(
        &'a self,
        snapshot: &Snapshot,
        prefix: &'a [u8],
    ) -> impl Iterator<Item = Result<(UserKey, UserValue), StateError>> + 'a {
        snapshot.prefix(&self.keyspace, prefix).map(|entry| {
            entry
                .into_inner()
                .map_err(|source| self.unreadable(prefix, source))
        })
    }

    pub(crate) fn corrupt(&self, key: &[u8], reason: impl ToString) -> StateError {
        StateError::Corrupt {
            keyspace: self.name,
            key: key.to_vec(),
            reason: reason.to_string(),
        }
    }

    fn unreadable(&self, key: &[u8], source: fjall::Error) -> StateError {
        StateError::Read {
            keyspace: self.name,
            key: key.to_vec(),
            source,
        }
    }

    pub(crate) fn put(
        &self,
        batch: &mut OwnedWriteBatch,
        key: impl Into<UserKey>,
        value: impl Into<UserValue>,
    ) {
        batch.insert(&self.keyspace, key, value);
    }

    pub(crate) fn delete(&self, batch: &mut OwnedWriteBatch, key: impl Into<UserKey>) {
        batch.remove(&self.keyspace, key);
    }
}

macro_rules! tables {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// The database and its keyspaces. `docs/state.md` describes keys and values.
        pub(crate) struct Tables {
            pub(crate) database: Database,
            $($(#[doc = $doc])* pub(crate) $name: Table,)*
        }

        impl Tables {
            #[cfg(test)]
            pub(crate) const NAMES: &[&str] = &[$(stringify!($name)),*];

            fn new(database: Database, options: &StoreOptions) -> fjall::Result<Self> {
                $(let $name = Table {
                    name: stringify!($name),
                    keyspace: database.keyspace(stringify!($name), || {
                        KeyspaceCreateOptions::default().max_memtable_size(options.memtable_bytes)
                    })?,
                };)*
                Ok(Self { database, $($name,)* })
            }

            fn all(&self) -> impl Iterator<Item = &Table> {
                [$(&self.$name),*].into_iter()
            }
        }
    };
}

tables! {
    /// Accounts that exist.
    accounts,
    /// Slots that are not zero.
    storage,
    /// Code by its hash.
    code,
    /// Accounts before the blocks that changed them.
    account_history,
    /// Slots before the blocks that changed them.
    storage_history,
    /// Nodes of the account trie.
    account_trie,
    /// Nodes of the storage tries.
    storage_trie,
    /// Headers with their hashes.
    headers,
    /// Transactions of a block.
    bodies,
    /// Senders of a block's transactions.
    senders,
    /// Receipts of a block.
    receipts,
    /// Block numbers by block hash.
    block_numbers,
    /// Transaction locations by transaction hash.
    transactions,
    /// L1 origin and number of deposits after a block.
    l1_progress,
}

impl Tables {
    /// Opens the database in `path`, or creates it.
    pub(crate) fn open(path: &Path, options: &StoreOptions) -> fjall::Result<Self> {
        let database = Database::builder(path)
            .cache_size(options.cache_bytes)
            .max_journaling_size(options.journal_bytes.max(MIN_JOURNAL_BYTES))
            .worker_threads(options.worker_threads.max(1))
            .open()?;
        Self::new(database, options)
    }

    /// Writes the number of the last block into every keyspace.
    pub(crate) fn mark(&self, batch: &mut OwnedWriteBatch, number: u64) {
        for table in self.all() {
            table.put(batch, MARKER, encoding::number_key(number));
        }
    }

    /// Number of the last block, after checking that all keyspaces hold it. `Err` has a sentence
    /// that says which does not.
    pub(crate) fn marked(&self, snapshot: &Snapshot) -> Result<u64, String> {
        let mut marks = self.all().map(|table| {
            let number = table
                .read(snapshot, MARKER, encoding::decode_number)
                .map_err(|error| error.to_string())?
                .ok_or_else(|| {
                    format!(
                        "expected keyspace {} to name its last block, found no such entry",
                        table.name
                    )
                })?;
            Ok::<_, String>((table.name, number))
        });
        let Some(first) = marks.next() else {
            return Err("expected keyspaces, found none".to_owned());
        };
        let (first_name, number) = first?;
        for mark in marks {
            let (name, other) = mark?;
            if other != number {
                return Err(format!(
                    "expected all keyspaces to hold the same last block, found {number} in {first_name} and {other} in {name}"
                ));
            }
        }
        Ok(number)
    }
}
