use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use alloy_consensus::{Header, Sealed};
use alloy_primitives::{B256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};
use parking_lot::{Mutex, RwLock};
use weft_primitives::ChainSpec;

use crate::{
    StateError, Store, StoreOptions,
    cache::HotState,
    commit::{TRIE_BLOCK, Writer, write_genesis},
    data_folder::DataFolder,
    encoding, files,
    store::{Head, Inner, read_header},
    tables::Tables,
    trie::UnwrittenTrie,
    trie_recovery::unwritten_nodes,
};

impl Store {
    /// Opens the store in `path`, or creates it with the genesis of `spec` when the folder is
    /// absent or empty. Options have their defaults.
    ///
    /// # Errors
    /// When the folder belongs to another chain or program, to another on-disk format or to a
    /// process that runs, when it is damaged, or when it cannot be read or written.
    pub fn open(path: &Path, spec: &ChainSpec) -> Result<Self, StateError> {
        Self::open_with(path, spec, &StoreOptions::default())
    }

    /// As [`Store::open`].
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(
        path: &Path,
        spec: &ChainSpec,
        options: &StoreOptions,
    ) -> Result<Self, StateError> {
        let folder = DataFolder::open(path)?;
        match folder.genesis_hash(spec)? {
            Some(genesis_hash) => Self::recover(folder, genesis_hash, options),
            None => Self::create(folder, spec, options),
        }
    }

    fn create(
        folder: DataFolder,
        spec: &ChainSpec,
        options: &StoreOptions,
    ) -> Result<Self, StateError> {
        folder.begin(spec)?;
        let tables = open_tables(&folder, options, || Ok(()))?;
        let writer = Writer::new(folder.acknowledged(true)?);
        let header = write_genesis(&tables, spec)?;
        folder.sync_keyspaces()?;
        folder.finish(spec, header.hash())?;
        tracing::info!(chain_id = spec.chain_id(), genesis = %header.hash(), "created the store");
        let trie = UnwrittenTrie::none(header.number);
        Ok(Self::assemble(
            folder, tables, writer, header, trie, options,
        ))
    }

    fn recover(
        folder: DataFolder,
        genesis_hash: B256,
        options: &StoreOptions,
    ) -> Result<Self, StateError> {
        let database = folder.database();
        if !database.is_dir() {
            return Err(folder.damaged(format!(
                "expected the database in {}, found no such folder",
                database.display()
            )));
        }
        let acknowledged = folder
            .acknowledged(false)
            .map_err(|error| folder.damaged(error))?;
        let at_least = acknowledged.read()?.ok_or_else(|| {
            folder.damaged("expected the number of the last acknowledged block, found other bytes")
        })?;
        let tables = open_tables(&folder, options, || files::check(&folder, at_least))?;
        let (header, trie) =
            last_block(&tables, genesis_hash, at_least).map_err(|reason| folder.damaged(reason))?;
        tracing::info!(number = header.number, hash = %header.hash(), "opened the store");
        Ok(Self::assemble(
            folder,
            tables,
            Writer::new(acknowledged),
            header,
            trie,
            options,
        ))
    }

    pub(crate) fn assemble(
        folder: DataFolder,
        tables: Tables,
        writer: Writer,
        header: Sealed<Header>,
        trie: UnwrittenTrie,
        options: &StoreOptions,
    ) -> Self {
        let snapshot = tables.database.snapshot();
        let hot = HotState::new(
            header.number,
            options.hot_state_bytes,
            options.hot_code_bytes,
        );
        Self {
            inner: Arc::new(Inner {
                tables,
                head: RwLock::new(Arc::new(Head {
                    header,
                    snapshot,
                    trie,
                    hot: Arc::new(hot),
                    unwindings: 0,
                })),
                unwritten_trie_bytes: options.unwritten_trie_bytes,
                writer: Mutex::new(writer),
                hot_state_bytes: options.hot_state_bytes,
                hot_code_bytes: options.hot_code_bytes,
                trie_bytes: options.trie_bytes,
                trie_depths: AtomicU64::new(0),
                history: options.history,
                _folder: folder,
            }),
        }
    }
}

pub(crate) fn open_tables(
    folder: &DataFolder,
    options: &StoreOptions,
    check: impl FnOnce() -> Result<(), StateError>,
) -> Result<Tables, StateError> {
    let path = folder.database();
    // fjall asserts some of what it expects of its own files. The value is dropped on a panic, so
    // nothing half-made is seen afterwards.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        check()?;
        Tables::open(&path, options).map_err(|error| match error {
            fjall::Error::Locked => folder.locked(),
            fjall::Error::Io(source) => folder.unreadable(&path, source),
            other => folder.damaged(format!("the database cannot be opened: {other}")),
        })
    }));
    opened
        .map_err(|_| folder.damaged("the database panicked when it was opened"))
        .flatten()
}

/// Header of the last block and the trie nodes that no table has yet, after checking that the chain
/// around it is whole. `Err` says what is not.
fn last_block(
    tables: &Tables,
    genesis_hash: B256,
    at_least: u64,
) -> Result<(Sealed<Header>, UnwrittenTrie), String> {
    let snapshot = tables.database.snapshot();
    let number = tables.marked(&snapshot)?;
    if number < at_least {
        return Err(format!(
            "expected block {at_least}, which was acknowledged, found the chain ending at block {number}"
        ));
    }
    let header_of = |number: u64| {
        let header = read_header(tables, &snapshot, number)
            .map_err(|error| error.to_string())?
            .ok_or_else(|| format!("expected a header of block {number}, found none"))?;
        if header.inner().hash_slow() == header.hash() && header.number == number {
            Ok(header)
        } else {
            Err(format!(
                "expected block {number} with hash {}, found another header",
                header.hash()
            ))
        }
    };
    let header = header_of(number)?;
    let genesis = header_of(0)?;
    if genesis.hash() != genesis_hash {
        return Err(format!(
            "expected genesis block {genesis_hash}, found {}",
            genesis.hash()
        ));
    }
    if let Some(parent) = number.checked_sub(1) {
        let parent = header_of(parent)?;
        if parent.hash() != header.parent_hash {
            return Err(format!(
                "expected block {number} to be the child of {}, found parent {}",
                parent.hash(),
                header.parent_hash
            ));
        }
    }
    let indexed = tables
        .block_numbers
        .read(&snapshot, header.hash().as_slice(), encoding::decode_number)
        .map_err(|error| error.to_string())?;
    if indexed != Some(number) {
        return Err(format!(
            "expected block {} to be indexed as number {number}, found {indexed:?}",
            header.hash()
        ));
    }
    let root = tables
        .account_trie
        .get(&snapshot, encoding::account_node_key(&Nibbles::new()))
        .map_err(|error| error.to_string())?
        .map_or(EMPTY_ROOT_HASH, |node| keccak256(&node));
    let trie_block = tables
        .trie_block
        .read(&snapshot, TRIE_BLOCK, encoding::decode_number)
        .map_err(|error| error.to_string())?
        .filter(|trie_block| *trie_block <= number)
        .ok_or_else(|| {
            format!("expected the trie to be that of block {number} or below, found another")
        })?;
    let written = header_of(trie_block)?;
    if root != written.state_root {
        return Err(format!(
            "expected state root {} of block {trie_block}, found {root}",
            written.state_root
        ));
    }
    let mut trie = UnwrittenTrie::none(trie_block);
    if trie_block < number {
        let updates = unwritten_nodes(tables, &snapshot, &written, &header)?;
        trie = trie.with(Arc::new(updates));
    }
    Ok((header, trie))
}
