use std::{io, ops::RangeInclusive, path::Path};

use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, Readable, Snapshot, UserKey,
    UserValue,
};

use crate::{StateError, StoreOptions, encoding, options::MIN_JOURNAL_BYTES};

/// Present in every keyspace, with the number of the last block as its value. All keyspaces must
/// agree: one that lags behind or ran ahead has lost a part of an atomic batch. No table has this
/// tag, so that no scan meets it.
pub(crate) const MARKER: &[u8] = b"\0head";

/// A part of a keyspace: the entries whose keys start with `tag`.
///
/// Tables that are written and read alike share a keyspace, because each keyspace costs 16 fsyncs
/// when it is made and a memtable for as long as it is open.
pub(crate) struct Table {
    name: &'static str,
    keyspace: Keyspace,
    tag: u8,
}

impl Table {
    pub(crate) fn get(
        &self,
        snapshot: &Snapshot,
        key: impl AsRef<[u8]>,
    ) -> Result<Option<UserValue>, StateError> {
        let key = key.as_ref();
        snapshot
            .get(&self.keyspace, self.tagged(key))
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
    ) -> Result<Option<Entry>, StateError> {
        self.range(snapshot, keys).next().transpose()
    }

    /// Every entry of a range of keys, in key order.
    pub(crate) fn range(
        &self,
        snapshot: &Snapshot,
        keys: RangeInclusive<&[u8]>,
    ) -> impl Iterator<Item = Result<Entry, StateError>> {
        let (start, end) = keys.into_inner();
        snapshot
            .range(&self.keyspace, self.tagged(start)..=self.tagged(end))
            .map(move |entry| self.entry(start, entry))
    }

    /// Every entry whose key starts with `prefix`, in key order.
    pub(crate) fn prefix(
        &self,
        snapshot: &Snapshot,
        prefix: &[u8],
    ) -> impl Iterator<Item = Result<Entry, StateError>> {
        snapshot
            .prefix(&self.keyspace, self.tagged(prefix))
            .map(move |entry| self.entry(prefix, entry))
    }

    fn entry(&self, start: &[u8], entry: fjall::Guard) -> Result<Entry, StateError> {
        let (key, value) = entry
            .into_inner()
            .map_err(|source| self.unreadable(start, source))?;
        let key = key.get(1..).unwrap_or_default().to_vec();
        Ok((key, value))
    }

    fn tagged(&self, key: &[u8]) -> Tagged {
        Tagged::new(self.tag, key)
    }

    pub(crate) fn corrupt(&self, key: &[u8], reason: impl ToString) -> StateError {
        StateError::Corrupt {
            table: self.name,
            key: key.to_vec(),
            reason: reason.to_string(),
        }
    }

    fn unreadable(&self, key: &[u8], source: fjall::Error) -> StateError {
        StateError::Read {
            table: self.name,
            key: key.to_vec(),
            source,
        }
    }

    /// Writes the keyspace's first entries, in the order of their keys, without the detour over
    /// journal and memtable.
    pub(crate) fn ingest<K: AsRef<[u8]>>(
        &self,
        entries: impl Iterator<Item = io::Result<(K, Vec<u8>)>>,
    ) -> fjall::Result<()> {
        let mut ingestion = self.keyspace.start_ingestion()?;
        for entry in entries {
            let (key, value) = entry?;
            ingestion.write(self.tagged(key.as_ref()), value)?;
        }
        ingestion.finish()
    }

    pub(crate) fn put(
        &self,
        batch: &mut OwnedWriteBatch,
        key: impl AsRef<[u8]>,
        value: impl Into<UserValue>,
    ) {
        batch.insert(&self.keyspace, self.tagged(key.as_ref()), value);
    }

    pub(crate) fn delete(&self, batch: &mut OwnedWriteBatch, key: impl AsRef<[u8]>) {
        batch.remove(&self.keyspace, self.tagged(key.as_ref()));
    }

    /// Removes an entry that is written once and, when it is removed, never read or written again:
    /// entry and removal vanish where a compaction brings them together, while a plain removal stays
    /// until it has reached the last level.
    pub(crate) fn delete_once(&self, batch: &mut OwnedWriteBatch, key: impl AsRef<[u8]>) {
        batch.remove_weak(&self.keyspace, self.tagged(key.as_ref()));
    }
}

/// Longer than any table's key with its tag: a hash, a path of 64 nibbles with its length, a tag.
const MAX_TAGGED: usize = 72;

/// A key with its tag, without a piece of memory of its own as long as it is no longer than keys are.
enum Tagged {
    Short([u8; MAX_TAGGED], usize),
    Long(Vec<u8>),
}

impl Tagged {
    fn new(tag: u8, key: &[u8]) -> Self {
        let mut bytes = [0; MAX_TAGGED];
        let length = key.len().saturating_add(1);
        match bytes.get_mut(..length).and_then(<[u8]>::split_first_mut) {
            Some((first, rest)) => {
                *first = tag;
                rest.copy_from_slice(key);
                Self::Short(bytes, length)
            }
            None => Self::Long([&[tag], key].concat()),
        }
    }
}

impl AsRef<[u8]> for Tagged {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Short(bytes, length) => bytes.get(..*length).unwrap_or_default(),
            Self::Long(bytes) => bytes,
        }
    }
}

impl From<Tagged> for UserKey {
    fn from(tagged: Tagged) -> Self {
        tagged.as_ref().into()
    }
}

/// Key, without the tag, and value.
pub(crate) type Entry = (Vec<u8>, UserValue);

macro_rules! tables {
    ($($keyspace:ident { $($(#[doc = $doc:literal])* $tag:literal $name:ident,)* })*) => {
        /// The database and its tables. `docs/state.md` describes keys and values.
        pub(crate) struct Tables {
            pub(crate) database: Database,
            keyspaces: Vec<(&'static str, Keyspace)>,
            $($($(#[doc = $doc])* pub(crate) $name: Table,)*)*
        }

        /// How many keyspaces there are. fjall numbers them from 1 in the order of their making.
        pub(crate) const KEYSPACES: u64 = [$(stringify!($keyspace)),*].len() as u64;

        impl Tables {
            /// Keyspace, tag and name of every table.
            #[cfg(test)]
            pub(crate) const ALL: &[(&str, u8, &str)] =
                &[$($((stringify!($keyspace), $tag, stringify!($name)),)*)*];

            fn new(database: Database, options: &StoreOptions) -> fjall::Result<Self> {
                let mut keyspaces = Vec::new();
                $(
                    let $keyspace = database.keyspace(stringify!($keyspace), || {
                        KeyspaceCreateOptions::default().max_memtable_size(options.memtable_bytes)
                    })?;
                    $(let $name = Table {
                        name: stringify!($name),
                        keyspace: $keyspace.clone(),
                        tag: $tag,
                    };)*
                    keyspaces.push((stringify!($keyspace), $keyspace));
                )*
                Ok(Self { database, keyspaces, $($($name,)*)* })
            }
        }
    };
}

tables! {
    state {
        /// Accounts that exist.
        b'a' accounts,
        /// Slots that are not zero.
        b's' storage,
        /// Code by its hash.
        b'c' code,
    }
    trie {
        /// Nodes of the account trie.
        b'a' account_trie,
        /// Nodes of the storage tries.
        b's' storage_trie,
        /// The block whose tries these are.
        b'n' trie_block,
    }
    history {
        /// Accounts before the blocks that changed them.
        b'a' account_history,
        /// Slots before the blocks that changed them.
        b's' storage_history,
        /// Keys that a block changed.
        b'c' changes,
        /// The oldest block whose state is kept.
        b'o' oldest_state,
    }
    blocks {
        /// Headers with their hashes.
        b'h' headers,
        /// Transactions of a block.
        b'b' bodies,
        /// Senders of a block's transactions.
        b's' senders,
        /// Receipts of a block.
        b'r' receipts,
        /// L1 origin and number of deposits after a block.
        b'l' l1_progress,
        /// Block numbers by block hash.
        b'n' block_numbers,
        /// Transaction locations by transaction hash.
        b't' transactions,
        /// Blocks by what their logs have.
        b'i' log_index,
    }
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

    /// Writes all memtables to disk and waits for it.
    pub(crate) fn flush(&self) -> fjall::Result<()> {
        for (_, keyspace) in &self.keyspaces {
            keyspace.rotate_memtable_and_wait()?;
        }
        Ok(())
    }

    /// Writes the number of the last block into every keyspace.
    pub(crate) fn mark(&self, batch: &mut OwnedWriteBatch, number: u64) {
        for (_, keyspace) in &self.keyspaces {
            batch.insert(keyspace, MARKER, encoding::number_key(number));
        }
    }

    /// Number of the last block, after checking that all keyspaces hold it. `Err` says which does
    /// not.
    pub(crate) fn marked(&self, snapshot: &Snapshot) -> Result<u64, String> {
        let mut last = None;
        for (name, keyspace) in &self.keyspaces {
            let mark = snapshot
                .get(keyspace, MARKER)
                .map_err(|error| format!("keyspace {name} cannot be read: {error}"))?;
            let number = mark
                .and_then(|mark| encoding::decode_number(&mark).ok())
                .ok_or_else(|| {
                    format!("expected keyspace {name} to name its last block, found no number")
                })?;
            match last {
                Some((other_name, other)) if other != number => {
                    return Err(format!(
                        "expected all keyspaces to end at the same block, found {other} in {other_name} and {number} in {name}"
                    ));
                }
                _ => last = Some((name, number)),
            }
        }
        last.map(|(_, number)| number)
            .ok_or_else(|| "expected keyspaces, found none".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyspaces_that_end_at_different_blocks_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let tables = Tables::open(folder.path(), &StoreOptions::default()).unwrap();
        let marked = || tables.marked(&tables.database.snapshot());
        assert!(marked().unwrap_err().contains("found no number"));
        let mut batch = tables.database.batch();
        tables.mark(&mut batch, 5);
        batch.commit().unwrap();
        assert_eq!(marked(), Ok(5));
        for (name, keyspace) in &tables.keyspaces {
            for number in [4, 6] {
                keyspace
                    .insert(MARKER, encoding::number_key(number))
                    .unwrap();
                let sentence = marked().unwrap_err();
                assert!(
                    sentence.contains(name) && sentence.contains("found"),
                    "{sentence}"
                );
            }
            keyspace.insert(MARKER, encoding::number_key(5)).unwrap();
        }
        assert_eq!(marked(), Ok(5));
    }
}
