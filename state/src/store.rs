use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

use alloy_consensus::{Header, Sealed};
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};
use fjall::Snapshot;
use parking_lot::{Mutex, RwLock};
use weft_executor_core::ChangeSet;
use weft_primitives::{ChainSpec, L1Origin, Receipt, SealedBlock};

use crate::{
    AccountProof, StateError, StateReader, StoreOptions, TrieUpdates,
    commit::Writer,
    data_folder::DataFolder,
    encoding::{self, L1Progress},
    proof,
    tables::Tables,
    trie::{self, AccountNodes},
};

/// Handle to the store; clones share it. All methods may be called from any thread.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

/// Fields are dropped in order: the folder is unlocked last.
pub(crate) struct Inner {
    pub(crate) tables: Tables,
    pub(crate) head: RwLock<Arc<Head>>,
    pub(crate) writer: Mutex<Writer>,
    _folder: DataFolder,
}

/// The last durable block, and the database as it was when that block had just been written.
pub(crate) struct Head {
    pub(crate) header: Sealed<Header>,
    pub(crate) snapshot: Snapshot,
}

/// Where a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionLocation {
    /// Number of the block.
    pub block_number: u64,
    /// Index in the block.
    pub index: u64,
}

/// A stored block with what RPC needs to answer about its transactions.
#[derive(Debug, Clone)]
pub struct BlockWithReceipts {
    /// The block.
    pub block: SealedBlock,
    /// Senders of the transactions, in order.
    pub senders: Vec<Address>,
    /// Receipts of the transactions, in order.
    pub receipts: Vec<Receipt>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("head", &self.head_state().header.number)
            .finish_non_exhaustive()
    }
}

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
        let tables = open_tables(&folder, options)?;
        let writer = Writer::new(folder.acknowledged(true)?);
        let header = crate::commit::write_genesis(&tables, spec)?;
        folder.finish(spec, header.hash())?;
        tracing::info!(chain_id = spec.chain_id(), genesis = %header.hash(), "created the store");
        Ok(Self::assemble(folder, tables, writer, header))
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
        let tables = open_tables(&folder, options)?;
        let header = last_header(&tables, genesis_hash, at_least)
            .map_err(|reason| folder.damaged(reason))?;
        tracing::info!(number = header.number, hash = %header.hash(), "opened the store");
        Ok(Self::assemble(
            folder,
            tables,
            Writer::new(acknowledged),
            header,
        ))
    }

    fn assemble(
        folder: DataFolder,
        tables: Tables,
        writer: Writer,
        header: Sealed<Header>,
    ) -> Self {
        let snapshot = tables.database.snapshot();
        Self {
            inner: Arc::new(Inner {
                tables,
                head: RwLock::new(Arc::new(Head { header, snapshot })),
                writer: Mutex::new(writer),
                _folder: folder,
            }),
        }
    }

    pub(crate) fn head_state(&self) -> Arc<Head> {
        self.inner.head.read().clone()
    }

    /// Header of the last durable block.
    ///
    /// # Errors
    /// None at present: the header is in memory.
    pub fn head(&self) -> Result<Sealed<Header>, StateError> {
        Ok(self.head_state().header.clone())
    }

    /// State after the last durable block.
    ///
    /// # Errors
    /// None at present: making a reader reads nothing.
    pub fn latest_state(&self) -> Result<StateReader, StateError> {
        let head = self.head_state();
        let number = head.header.number;
        Ok(StateReader::new(self.inner.clone(), head, number))
    }

    /// State after block `number`; `None` when there is no such block.
    ///
    /// # Errors
    /// None at present: making a reader reads nothing.
    pub fn state_at(&self, number: u64) -> Result<Option<StateReader>, StateError> {
        let head = self.head_state();
        Ok((number <= head.header.number)
            .then(|| StateReader::new(self.inner.clone(), head, number)))
    }

    /// State root after `changes` on top of the last durable block, and the trie nodes to commit.
    ///
    /// # Errors
    /// When the trie cannot be read.
    pub fn state_root(&self, changes: &ChangeSet) -> Result<(B256, TrieUpdates), StateError> {
        self.state_root_on(&[], changes)
    }

    /// State root after `changes` on top of blocks that are not durable yet, whose trie nodes are
    /// `parents`, oldest first. The first of them stands on the last durable block, or is durable
    /// by now itself.
    ///
    /// # Errors
    /// [`StateError::TrieBase`] when the parents do not follow on the last durable block or on each
    /// other, and when the trie cannot be read.
    pub fn state_root_on(
        &self,
        parents: &[&TrieUpdates],
        changes: &ChangeSet,
    ) -> Result<(B256, TrieUpdates), StateError> {
        let head = self.head_state();
        let base = head.header.state_root;
        for pair in parents.windows(2) {
            if let [below, above] = pair
                && below.root() != above.parent_root()
            {
                return Err(StateError::TrieBase {
                    expected: below.root(),
                    found: above.parent_root(),
                });
            }
        }
        // A block becomes durable while its child's root is computed: nodes that are on disk and
        // in a layer are the same.
        if let Some(first) = parents.first()
            && first.parent_root() != base
            && parents.iter().all(|layer| layer.root() != base)
        {
            return Err(StateError::TrieBase {
                expected: base,
                found: first.parent_root(),
            });
        }
        let nodes = AccountNodes {
            tables: &self.inner.tables,
            snapshot: &head.snapshot,
            layers: parents,
        };
        let parent_root = parents.last().map_or(base, |layer| layer.root());
        let updates = trie::state_root(&nodes, parent_root, changes)?;
        Ok((updates.root(), updates))
    }

    /// Header of block `number`; `None` when there is no such block.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn header(&self, number: u64) -> Result<Option<Sealed<Header>>, StateError> {
        read_header(&self.inner.tables, &self.head_state().snapshot, number)
    }

    /// Number of the block with this hash; `None` when the chain has no such block.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn block_number(&self, hash: B256) -> Result<Option<u64>, StateError> {
        self.inner.tables.block_numbers.read(
            &self.head_state().snapshot,
            hash.as_slice(),
            encoding::decode_number,
        )
    }

    /// Block `number`; `None` when there is no such block.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn block(&self, number: u64) -> Result<Option<SealedBlock>, StateError> {
        read_block(&self.inner.tables, &self.head_state().snapshot, number)
    }

    /// Block `number` with senders and receipts; `None` when there is no such block.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn block_with_receipts(
        &self,
        number: u64,
    ) -> Result<Option<BlockWithReceipts>, StateError> {
        let (tables, head) = (&self.inner.tables, self.head_state());
        let Some(block) = read_block(tables, &head.snapshot, number)? else {
            return Ok(None);
        };
        let key = encoding::number_key(number);
        let senders = tables
            .senders
            .read(&head.snapshot, &key, encoding::decode_senders)?
            .ok_or_else(|| tables.senders.corrupt(&key, NO_ENTRY_OF_BLOCK))?;
        let receipts: Vec<Receipt> = tables
            .receipts
            .read(&head.snapshot, &key, |bytes| alloy_rlp::decode_exact(bytes))?
            .ok_or_else(|| tables.receipts.corrupt(&key, NO_ENTRY_OF_BLOCK))?;
        let transactions = block.transactions.len();
        for (table, count) in [
            (&tables.senders, senders.len()),
            (&tables.receipts, receipts.len()),
        ] {
            if count != transactions {
                return Err(table.corrupt(
                    &key,
                    format!(
                        "expected {transactions} entries, one for each transaction, found {count}"
                    ),
                ));
            }
        }
        Ok(Some(BlockWithReceipts {
            block,
            senders,
            receipts,
        }))
    }

    /// Where the transaction with this hash is; `None` when the chain has no such transaction.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn transaction_location(
        &self,
        hash: B256,
    ) -> Result<Option<TransactionLocation>, StateError> {
        self.inner.tables.transactions.read(
            &self.head_state().snapshot,
            hash.as_slice(),
            encoding::decode_location,
        )
    }

    /// L1 origin that was in force after block `number`, or after the last block when that is
    /// lower; `None` when the chain had none yet.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn l1_origin(&self, number: u64) -> Result<Option<L1Origin>, StateError> {
        Ok(self.l1_progress(number)?.origin)
    }

    /// Number of user deposits executed up to and including block `number`, or the last block when
    /// that is lower.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn deposit_count(&self, number: u64) -> Result<u64, StateError> {
        Ok(self.l1_progress(number)?.deposits)
    }

    fn l1_progress(&self, number: u64) -> Result<L1Progress, StateError> {
        let head = self.head_state();
        read_l1_progress(
            &self.inner.tables,
            &head.snapshot,
            number.min(head.header.number),
        )
    }

    /// Proof against the state root of the last durable block, and that block's header.
    ///
    /// # Errors
    /// When the trie cannot be read.
    pub fn proof(
        &self,
        address: Address,
        slots: &[U256],
    ) -> Result<(Sealed<Header>, AccountProof), StateError> {
        let head = self.head_state();
        let nodes = AccountNodes {
            tables: &self.inner.tables,
            snapshot: &head.snapshot,
            layers: &[],
        };
        let proof = proof::account_proof(&nodes, head.header.state_root, address, slots)?;
        Ok((head.header.clone(), proof))
    }
}

const NO_ENTRY_OF_BLOCK: &str = "the chain has this block, found no entry";

pub(crate) fn read_header(
    tables: &Tables,
    snapshot: &Snapshot,
    number: u64,
) -> Result<Option<Sealed<Header>>, StateError> {
    tables.headers.read(
        snapshot,
        &encoding::number_key(number),
        encoding::decode_header,
    )
}

fn read_block(
    tables: &Tables,
    snapshot: &Snapshot,
    number: u64,
) -> Result<Option<SealedBlock>, StateError> {
    let Some(header) = read_header(tables, snapshot, number)? else {
        return Ok(None);
    };
    let key = encoding::number_key(number);
    let transactions = tables
        .bodies
        .read(snapshot, &key, |bytes| alloy_rlp::decode_exact(bytes))?
        .ok_or_else(|| tables.bodies.corrupt(&key, NO_ENTRY_OF_BLOCK))?;
    Ok(Some(SealedBlock {
        header,
        transactions,
    }))
}

pub(crate) fn read_l1_progress(
    tables: &Tables,
    snapshot: &Snapshot,
    number: u64,
) -> Result<L1Progress, StateError> {
    let key = encoding::number_key(number);
    tables
        .l1_progress
        .read(snapshot, &key, |bytes| alloy_rlp::decode_exact(bytes))?
        .ok_or_else(|| tables.l1_progress.corrupt(&key, NO_ENTRY_OF_BLOCK))
}

fn open_tables(folder: &DataFolder, options: &StoreOptions) -> Result<Tables, StateError> {
    let path = folder.database();
    // fjall asserts some of what it expects of its own files. The value is dropped on a panic, so
    // nothing half-made is seen afterwards.
    let opened = catch_unwind(AssertUnwindSafe(|| Tables::open(&path, options)))
        .map_err(|_| folder.damaged("the database panicked when it was opened"))?;
    opened.map_err(|error| match error {
        fjall::Error::Locked => folder.locked(),
        fjall::Error::Io(source)
            if matches!(
                source.kind(),
                io::ErrorKind::PermissionDenied
                    | io::ErrorKind::StorageFull
                    | io::ErrorKind::ReadOnlyFilesystem
                    | io::ErrorKind::QuotaExceeded
            ) =>
        {
            StateError::Io {
                action: "open the database in",
                path: path.clone(),
                source,
            }
        }
        other => folder.damaged(format!("the database cannot be opened: {other}")),
    })
}

/// Header of the last block, after checking that the chain around it is whole. `Err` says what is
/// not.
fn last_header(
    tables: &Tables,
    genesis_hash: B256,
    at_least: u64,
) -> Result<Sealed<Header>, String> {
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
        .get(&snapshot, &encoding::account_node_key(&Nibbles::new()))
        .map_err(|error| error.to_string())?
        .map_or(EMPTY_ROOT_HASH, |node| keccak256(&node));
    if root != header.state_root {
        return Err(format!(
            "expected state root {} of block {number}, found {root}",
            header.state_root
        ));
    }
    Ok(header)
}
