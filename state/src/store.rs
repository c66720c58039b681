use std::{
    cmp::Ordering,
    fmt,
    sync::{Arc, atomic::AtomicU64},
};

use alloy_consensus::{Header, Sealed};
use alloy_primitives::{Address, B256, U256};
use fjall::Snapshot;
use parking_lot::{Mutex, RwLock};
use weft_executor_core::ChangeSet;
use weft_primitives::{L1Origin, Receipt, SealedBlock};

use crate::{
    AccountProof, CacheCounters, StateError, StateReader, TrieUpdates,
    cache::HotState,
    commit::Writer,
    data_folder::DataFolder,
    encoding::{self, L1Progress},
    history::{self, History},
    proof,
    tables::Tables,
    trie::{self, AccountNodes, UnwrittenTrie},
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
    pub(crate) hot_state_bytes: u64,
    pub(crate) hot_code_bytes: u64,
    pub(crate) trie_bytes: u64,
    /// Bytes of trie nodes from which on they are written.
    pub(crate) unwritten_trie_bytes: usize,
    /// The depths in the account trie at which the last root had to read nodes, a bit each.
    pub(crate) trie_depths: AtomicU64,
    pub(crate) history: History,
    pub(crate) _folder: DataFolder,
}

/// The last durable block, and the database as it was when that block had just been written.
pub(crate) struct Head {
    pub(crate) header: Sealed<Header>,
    pub(crate) snapshot: Snapshot,
    /// Trie nodes that the snapshot lacks.
    pub(crate) trie: UnwrittenTrie,
    /// What readers of this chain have looked at. An unwound chain starts a new one: numbers of
    /// blocks, by which its entries are told, stand for other blocks from then on.
    pub(crate) hot: Arc<HotState>,
    /// How often the chain was unwound since the store was opened.
    pub(crate) unwindings: u64,
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

    /// How often reads of accounts and slots were answered from memory, since the store was opened or
    /// unwound.
    pub fn cache_counters(&self) -> CacheCounters {
        self.head_state().hot.counters()
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

    /// State after block `number`; `None` when there is no such block or its state is not kept.
    ///
    /// # Errors
    /// When it cannot be read how far back states are kept.
    pub fn state_at(&self, number: u64) -> Result<Option<StateReader>, StateError> {
        let head = self.head_state();
        Ok(self
            .keeps_state(&head, number)?
            .then(|| StateReader::new(self.inner.clone(), head, number)))
    }

    pub(crate) fn keeps_state(&self, head: &Head, number: u64) -> Result<bool, StateError> {
        Ok(match number.cmp(&head.header.number) {
            Ordering::Less => number >= history::oldest_state(&self.inner.tables, &head.snapshot)?,
            Ordering::Equal => true,
            Ordering::Greater => false,
        })
    }

    /// The oldest block whose state is kept: [`Store::state_at`] has it and all later ones.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn oldest_state(&self) -> Result<u64, StateError> {
        history::oldest_state(&self.inner.tables, &self.head_state().snapshot)
    }

    /// State root after `changes` on top of the last durable block, and the trie nodes to commit.
    /// It is computed from what is on disk alone; whoever computes one root after another is better
    /// off with [`Store::sealer`].
    ///
    /// # Errors
    /// When the trie cannot be read.
    pub fn state_root(&self, changes: &ChangeSet) -> Result<(B256, TrieUpdates), StateError> {
        let head = self.head_state();
        let nodes = AccountNodes {
            tables: &self.inner.tables,
            snapshot: &head.snapshot,
            layers: &head.trie.layers(),
        };
        let updates = trie::state_root(&nodes, head.header.state_root, changes)?;
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
            layers: &head.trie.layers(),
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
