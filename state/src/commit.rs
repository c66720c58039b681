use std::sync::Arc;

use alloy_consensus::{Header, Sealed};
use alloy_primitives::{
    Address, B256, U256,
    map::{HashSet, U256Map},
};
use fjall::{OwnedWriteBatch, PersistMode, Snapshot};
use weft_executor_core::{AccountChange, ChangeSet};
use weft_primitives::{ChainSpec, Receipt, SealedBlock};

use crate::{
    StateError, Store, TransactionLocation, TrieUpdates,
    cache::Held,
    data_folder::Acknowledged,
    encoding::{self, L1Progress},
    genesis::genesis_changes,
    history::{ChangedKeys, stage_left_lists, stage_oldest_state, stage_pruning},
    log_index::stage_logs,
    store::{Head, read_l1_progress},
    tables::Tables,
    trie::{
        self, AccountNodes, NodeChanges, StorageTrieUpdates, UnwrittenTrie, wipes_storage,
        written_slots,
    },
};

/// A block that is ready to be made durable, with all that belongs to it.
#[derive(Debug, Clone)]
pub struct BlockBundle {
    /// The block.
    pub block: SealedBlock,
    /// Senders of the transactions, in order.
    pub senders: Vec<Address>,
    /// Receipts of the transactions, in order.
    pub receipts: Vec<Receipt>,
    /// What the block changed.
    pub changes: Arc<ChangeSet>,
    /// Trie nodes of `changes`, from [`Sealer::apply`](crate::Sealer::apply).
    pub trie: Arc<TrieUpdates>,
}

/// Key of the only entry of `trie_block`.
pub(crate) const TRIE_BLOCK: &[u8] = &[];

/// Most blocks whose trie nodes are not written yet: a start has to compute them again.
const UNWRITTEN_BLOCKS: usize = 64;

/// What only the one committer touches.
pub(crate) struct Writer {
    pub(crate) acknowledged: Acknowledged,
    /// Set while a write is under way, and for good when one fails (invariant I6): after a failed
    /// fsync nobody knows what is on disk.
    pub(crate) poisoned: bool,
}

impl Writer {
    pub(crate) const fn new(acknowledged: Acknowledged) -> Self {
        Self {
            acknowledged,
            poisoned: false,
        }
    }
}

impl Store {
    /// Whether the database could still make a block durable: it may have failed in the background,
    /// where it writes tables. Waits while a block is being written.
    ///
    /// # Errors
    /// [`StateError::Unwritable`] once it has failed, with no way back.
    pub fn check_writable(&self) -> Result<(), StateError> {
        let database = &self.inner.tables.database;
        database
            .persist(PersistMode::Buffer)
            .map_err(StateError::Unwritable)
    }

    /// Makes one block durable: one atomic batch, on disk (fdatasync) before this returns. The
    /// block must be the child of the head.
    ///
    /// # Errors
    /// When the bundle does not follow on the head or does not fit together, in which case nothing
    /// is written; when the store cannot be read or written. After a failed write every later
    /// commit fails with [`StateError::Poisoned`].
    pub fn commit(&self, bundle: &BlockBundle) -> Result<(), StateError> {
        let mut writer = self.inner.writer.lock();
        if writer.poisoned {
            return Err(StateError::Poisoned);
        }
        let head = self.head_state();
        check(&head.header, bundle)?;

        let tables = &self.inner.tables;
        let number = bundle.block.number();
        let mut batch = durable_batch(tables);
        let before = read_l1_progress(tables, &head.snapshot, head.header.number)?;
        let progress = after_block(before, &bundle.block);
        stage_block(tables, &mut batch, bundle, progress);
        let mut trie = head.trie.with(bundle.trie.clone());
        if trie.bytes() >= self.inner.unwritten_trie_bytes || trie.len() >= UNWRITTEN_BLOCKS {
            let (accounts, storage) = trie.merged();
            stage_trie(tables, &head.snapshot, &mut batch, &accounts, &storage)?;
            stage_trie_block(tables, &mut batch, number);
            trie = UnwrittenTrie::none(number);
        }
        let mut held = Vec::with_capacity(bundle.changes.accounts.len());
        let changed = stage_changes(
            tables,
            &head.snapshot,
            &mut batch,
            &bundle.changes,
            Some(number),
            &mut held,
        )?;
        let oldest = stage_pruning(
            tables,
            &head.snapshot,
            &mut batch,
            self.inner.history,
            head.trie.written(),
            number,
            &changed,
        )?;
        if trie.written() == number {
            stage_left_lists(tables, &mut batch, head.trie.written(), oldest);
        }
        tables.changes.put(
            &mut batch,
            encoding::number_key(number),
            changed.into_bytes(),
        );

        writer.poisoned = true;
        batch
            .commit()
            .map_err(|source| StateError::Write { number, source })?;
        writer.acknowledged.write(number)?;
        writer.poisoned = false;

        head.hot.advance(number, held);
        *self.inner.head.write() = Arc::new(Head {
            header: bundle.block.header.clone(),
            snapshot: tables.database.snapshot(),
            trie,
            hot: Arc::clone(&head.hot),
            unwindings: head.unwindings,
        });
        Ok(())
    }
}

/// Writes block 0 and the genesis state into an empty database.
pub(crate) fn write_genesis(
    tables: &Tables,
    spec: &ChainSpec,
) -> Result<Sealed<Header>, StateError> {
    let snapshot = tables.database.snapshot();
    let changes = genesis_changes(spec);
    let nodes = AccountNodes {
        tables,
        snapshot: &snapshot,
        layers: &[],
    };
    let trie = trie::state_root(&nodes, TrieUpdates::default().root(), &changes)?;
    write_genesis_block(tables, spec, changes, trie)
}

/// Writes block 0, whose state root is that of `trie`, with the accounts of `changes` and the nodes
/// of `trie`.
pub(crate) fn write_genesis_block(
    tables: &Tables,
    spec: &ChainSpec,
    changes: ChangeSet,
    trie: TrieUpdates,
) -> Result<Sealed<Header>, StateError> {
    let snapshot = tables.database.snapshot();
    let header = spec.genesis_header(trie.root());
    let mut batch = durable_batch(tables);
    stage_changes(
        tables,
        &snapshot,
        &mut batch,
        &changes,
        None,
        &mut Vec::new(),
    )?;
    stage_oldest_state(tables, &mut batch, 0);
    stage_trie(tables, &snapshot, &mut batch, &trie.accounts, &trie.storage)?;
    stage_trie_block(tables, &mut batch, 0);
    let bundle = BlockBundle {
        block: SealedBlock {
            header: header.clone(),
            transactions: Vec::new(),
        },
        senders: Vec::new(),
        receipts: Vec::new(),
        changes: Arc::new(changes),
        trie: Arc::new(trie),
    };
    stage_block(tables, &mut batch, &bundle, L1Progress::default());
    batch
        .commit()
        .map_err(|source| StateError::Write { number: 0, source })?;
    Ok(header)
}

pub(crate) fn durable_batch(tables: &Tables) -> OwnedWriteBatch {
    tables
        .database
        .batch()
        .durability(Some(PersistMode::SyncData))
}

fn check(head: &Sealed<Header>, bundle: &BlockBundle) -> Result<(), StateError> {
    let header = &bundle.block.header;
    let expected_number = head.number.saturating_add(1);
    if (header.number, header.parent_hash) != (expected_number, head.hash()) {
        return Err(StateError::NotChild {
            expected_number,
            expected_parent: head.hash(),
            found_number: header.number,
            found_parent: header.parent_hash,
        });
    }
    let expected = header.inner().hash_slow();
    if expected != header.hash() {
        return Err(StateError::BlockHash {
            expected,
            found: header.hash(),
        });
    }
    if bundle.trie.parent_root() != head.state_root {
        return Err(StateError::TrieBase {
            expected: head.state_root,
            found: bundle.trie.parent_root(),
        });
    }
    if bundle.trie.root() != header.state_root {
        return Err(StateError::StateRoot {
            expected: bundle.trie.root(),
            found: header.state_root,
        });
    }
    let transactions = bundle.block.transactions.len();
    let (senders, receipts) = (bundle.senders.len(), bundle.receipts.len());
    if (senders, receipts) != (transactions, transactions) {
        return Err(StateError::Lengths {
            transactions,
            senders,
            receipts,
        });
    }
    Ok(())
}

/// The attributes deposit, which moves the L1 origin, is nobody's deposit.
fn after_block(before: L1Progress, block: &SealedBlock) -> L1Progress {
    let origin = block.new_l1_origin();
    let deposits = block
        .transactions
        .iter()
        .filter(|transaction| transaction.is_deposit())
        .count()
        .saturating_sub(usize::from(origin.is_some()));
    L1Progress {
        deposits: before.deposits.saturating_add(deposits as u64),
        origin: origin.or(before.origin),
    }
}

fn stage_block(
    tables: &Tables,
    batch: &mut OwnedWriteBatch,
    bundle: &BlockBundle,
    progress: L1Progress,
) {
    let BlockBundle {
        block,
        senders,
        receipts,
        ..
    } = bundle;
    let number = block.number();
    let key = encoding::number_key(number);
    tables
        .headers
        .put(batch, key, encoding::encode_header(&block.header));
    tables
        .bodies
        .put(batch, key, alloy_rlp::encode(&block.transactions));
    tables
        .senders
        .put(batch, key, encoding::encode_senders(senders));
    tables.receipts.put(batch, key, alloy_rlp::encode(receipts));
    tables
        .l1_progress
        .put(batch, key, alloy_rlp::encode(progress));
    tables
        .block_numbers
        .put(batch, block.hash().as_slice(), key);
    // In the order of their keys, so that the database finds each one's place next to the last.
    let mut hashes: Vec<(B256, u64)> = block
        .transactions
        .iter()
        .map(|transaction| transaction.hash())
        .zip(0..)
        .collect();
    hashes.sort_unstable();
    for (hash, index) in hashes {
        let location = TransactionLocation {
            block_number: number,
            index,
        };
        tables
            .transactions
            .put(batch, hash.as_slice(), encoding::encode_location(location));
    }
    stage_logs(tables, batch, number, receipts);
    tables.mark(batch, number);
}

/// Says up to which block the tables have the trie's nodes.
pub(crate) fn stage_trie_block(tables: &Tables, batch: &mut OwnedWriteBatch, number: u64) {
    tables
        .trie_block
        .put(batch, TRIE_BLOCK, encoding::number_key(number));
}

pub(crate) fn stage_trie(
    tables: &Tables,
    snapshot: &Snapshot,
    batch: &mut OwnedWriteBatch,
    accounts: &NodeChanges,
    storage: &[(B256, StorageTrieUpdates)],
) -> Result<(), StateError> {
    for (path, node) in accounts {
        let key = encoding::account_node_key(path);
        match node {
            Some(node) => tables.account_trie.put(batch, key, node.clone()),
            None => tables.account_trie.delete(batch, key),
        }
    }
    let table = &tables.storage_trie;
    for (address_hash, updates) in storage {
        let nodes = updates
            .nodes
            .iter()
            .map(|(path, node)| (encoding::storage_node_key(*address_hash, path), node));
        if updates.wiped {
            // A batch must not hold a key twice.
            let kept: HashSet<Vec<u8>> = nodes
                .clone()
                .filter(|(_, node)| node.is_some())
                .map(|(key, _)| key.as_ref().to_vec())
                .collect();
            for entry in table.prefix(snapshot, address_hash.as_slice()) {
                let (key, _) = entry?;
                if !kept.contains(&key) {
                    table.delete(batch, key);
                }
            }
        }
        for (key, node) in nodes {
            match node {
                Some(node) => table.put(batch, key, node.clone()),
                None if updates.wiped => {}
                None => table.delete(batch, key),
            }
        }
    }
    Ok(())
}

/// Flat state and code, and with a block's number the values that it found. Genesis found nothing.
/// Returns the keys that were changed; `held` is what readers will find.
fn stage_changes(
    tables: &Tables,
    snapshot: &Snapshot,
    batch: &mut OwnedWriteBatch,
    changes: &ChangeSet,
    block: Option<u64>,
    held: &mut Vec<Held>,
) -> Result<ChangedKeys, StateError> {
    let mut changed = ChangedKeys::default();
    for (hash, code) in &changes.code {
        tables.code.put(batch, hash.as_slice(), code.as_ref());
    }
    for (address, change) in &changes.accounts {
        if change.before != change.after {
            held.push(Held::account(*address, change.after));
            if let Some(block) = block {
                tables.account_history.put(
                    batch,
                    encoding::account_history_key(*address, block),
                    encoding::encode_past_account(change.before.as_ref()),
                );
            }
            match &change.after {
                Some(account) => {
                    tables.accounts.put(
                        batch,
                        address.as_slice(),
                        encoding::encode_account(account),
                    );
                }
                None => tables.accounts.delete(batch, address.as_slice()),
            }
        }
        let slots = slot_changes(tables, snapshot, *address, change)?;
        changed.push(
            *address,
            change.before != change.after,
            slots.len(),
            slots.keys(),
        );
        for (slot, (before, after)) in slots {
            held.push(Held::Slot {
                address: *address,
                slot,
                value: after,
            });
            if let Some(block) = block {
                tables.storage_history.put(
                    batch,
                    encoding::storage_history_key(*address, slot, block),
                    encoding::encode_word(before),
                );
            }
            let key = encoding::storage_key(*address, slot);
            if after.is_zero() {
                tables.storage.delete(batch, key);
            } else {
                tables.storage.put(batch, key, encoding::encode_word(after));
            }
        }
    }
    Ok(changed)
}

/// Slots that the block changed, with the values before and after. Those that went with a wiped
/// storage are looked up.
fn slot_changes(
    tables: &Tables,
    snapshot: &Snapshot,
    address: Address,
    change: &AccountChange,
) -> Result<U256Map<(U256, U256)>, StateError> {
    let before = |slot: &U256| change.storage.get(slot).map(|(before, _)| *before);
    if !wipes_storage(change) {
        return Ok(written_slots(change)
            .map(|(slot, after)| (slot, (before(&slot).unwrap_or_default(), after)))
            .collect());
    }
    let storage = &tables.storage;
    let mut slots = U256Map::default();
    for entry in storage.prefix(snapshot, address.as_slice()) {
        let (key, value) = entry?;
        let slot = key
            .get(Address::len_bytes()..)
            .map(encoding::decode_word)
            .ok_or_else(|| storage.corrupt(&key, "expected an address and a slot"))?
            .map_err(|error| storage.corrupt(&key, error))?;
        let value = encoding::decode_word(&value).map_err(|error| storage.corrupt(&key, error))?;
        slots.insert(slot, (value, U256::ZERO));
    }
    for (slot, after) in written_slots(change) {
        slots.entry(slot).or_insert((U256::ZERO, U256::ZERO)).1 = after;
    }
    slots.retain(|_, (before, after)| before != after);
    Ok(slots)
}
