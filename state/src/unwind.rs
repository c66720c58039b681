//! The chain made shorter: the last blocks and all that they changed are taken back.
//!
//! It goes down step by step. A step takes back a few blocks in one atomic batch, after which the
//! chain is whole and ends at a lower block: a process that ends in between leaves a chain that can
//! be opened, and unwound further. `acknowledged` is lowered first.
//!
//! Entries of the history are removed by plain removals here. A block that is added later may write
//! such an entry again and pruning then removes it weakly, which may leave the first value of the
//! entry on disk: nobody reads below the oldest block whose state is kept.

use std::{collections::BTreeMap, sync::Arc};

use alloy_consensus::{Header, Sealed};
use alloy_primitives::{Address, U256};
use fjall::{OwnedWriteBatch, Snapshot};
use weft_executor_core::{AccountChange, ChangeSet, SortedMap};
use weft_primitives::{Receipt, Transaction};

use crate::{
    StateError, Store,
    cache::HotState,
    commit::{durable_batch, stage_trie, stage_trie_block},
    encoding,
    history::{self, decode_changed_keys},
    log_index::stage_logs_removal,
    store::{Head, read_header},
    tables::{Table, Tables},
    trie::{self, AccountNodes, UnwrittenTrie},
    trie_recovery::unwritten_nodes,
};

/// Most blocks that one step takes back.
const STEP_BLOCKS: u64 = 64;

/// Accounts and slots after which a step takes no further block.
const STEP_KEYS: usize = 8192;

const NO_ENTRY_OF_BLOCK: &str = "the chain has this block, found no entry";

/// What a chain was before and after it was unwound.
#[derive(Debug, Clone)]
pub struct Unwound {
    /// Header of the last block before.
    pub from: Sealed<Header>,
    /// Header of the last block after.
    pub to: Sealed<Header>,
}

impl Store {
    /// Takes back every block above `number`, with all that they changed: afterwards the store is as
    /// if it had never had them, but for code, which is kept by its hash. What is taken back is gone;
    /// who wants it reads it before.
    ///
    /// Readers that were made before go on with the state that they have. A
    /// [`Sealer`](crate::Sealer) is of no use any more. Waits for a commit that is under way. A process
    /// that ends meanwhile leaves a whole chain that ends at `number` or above.
    ///
    /// # Errors
    /// [`StateError::UnwindAboveHead`] and [`StateError::UnwindTooFar`], after which the store is as
    /// it was; when the store cannot be read or written, after which every later commit fails with
    /// [`StateError::Poisoned`].
    pub fn unwind_to(&self, number: u64) -> Result<Unwound, StateError> {
        let mut writer = self.inner.writer.lock();
        if writer.poisoned {
            return Err(StateError::Poisoned);
        }
        let (tables, head) = (&self.inner.tables, self.head_state());
        let from = head.header.clone();
        if number > from.number {
            return Err(StateError::UnwindAboveHead {
                number,
                head: from.number,
            });
        }
        let oldest = history::oldest_state(tables, &head.snapshot)?;
        if number < oldest && number < from.number {
            return Err(StateError::UnwindTooFar { number, oldest });
        }
        if number == from.number {
            let to = from.clone();
            return Ok(Unwound { from, to });
        }

        writer.poisoned = true;
        writer.acknowledged.lower(number)?;
        let (mut end, mut written) = (from.clone(), head.trie.written());
        while end.number > number {
            end = step(tables, &end, number, written)?;
            written = written.min(end.number);
        }
        let snapshot = tables.database.snapshot();
        let mut trie = UnwrittenTrie::none(written);
        if written < number {
            let base = header_of(tables, &snapshot, written)?;
            let updates = unwritten_nodes(tables, &snapshot, &base, &end).map_err(|reason| {
                tables
                    .changes
                    .corrupt(&encoding::number_key(number), reason)
            })?;
            trie = trie.with(Arc::new(updates));
        }
        writer.poisoned = false;

        tracing::warn!(
            from = from.number,
            to = number,
            hash = %end.hash(),
            "unwound the chain"
        );
        *self.inner.head.write() = Arc::new(Head {
            header: end.clone(),
            snapshot,
            trie,
            hot: Arc::new(HotState::new(
                number,
                self.inner.hot_state_bytes,
                self.inner.hot_code_bytes,
            )),
            unwindings: head.unwindings.saturating_add(1),
        });
        Ok(Unwound { from, to: end })
    }
}

fn header_of(
    tables: &Tables,
    snapshot: &Snapshot,
    number: u64,
) -> Result<Sealed<Header>, StateError> {
    read_header(tables, snapshot, number)?.ok_or_else(|| {
        tables
            .headers
            .corrupt(&encoding::number_key(number), NO_ENTRY_OF_BLOCK)
    })
}

/// Takes back some of the blocks from `head` down to the one above `number`: the header of the last
/// block then. `written` is the block up to which the tables have the trie's nodes.
pub(crate) fn step(
    tables: &Tables,
    head: &Sealed<Header>,
    number: u64,
    written: u64,
) -> Result<Sealed<Header>, StateError> {
    let snapshot = &tables.database.snapshot();
    let mut batch = durable_batch(tables);
    // Above `written` the trie has nothing to take back: a step ends there at the latest.
    let has_nodes = head.number <= written;
    let lowest = match has_nodes {
        true => number,
        false => number.max(written),
    };
    let mut changed = Changed::default();
    let mut end = head.number;
    while end > lowest && head.number.saturating_sub(end) < STEP_BLOCKS && changed.keys < STEP_KEYS
    {
        stage_block_removal(tables, snapshot, &mut batch, end)?;
        changed.add(tables, snapshot, &mut batch, end)?;
        end = end.saturating_sub(1);
    }
    let changes = changed.stage(tables, snapshot, &mut batch)?;
    let end = header_of(tables, snapshot, end)?;
    if has_nodes {
        let nodes = AccountNodes {
            tables,
            snapshot,
            layers: &[],
        };
        let updates = trie::state_root(&nodes, head.state_root, &changes)?;
        if updates.root() != end.state_root {
            return Err(tables.changes.corrupt(
                &encoding::number_key(end.number),
                format!(
                    "expected the changes since to lead back to state root {}, found {}",
                    end.state_root,
                    updates.root()
                ),
            ));
        }
        stage_trie(
            tables,
            snapshot,
            &mut batch,
            &updates.accounts,
            &updates.storage,
        )?;
        stage_trie_block(tables, &mut batch, end.number);
    }
    tables.mark(&mut batch, end.number);
    batch.commit().map_err(|source| StateError::Write {
        number: end.number,
        source,
    })?;
    Ok(end)
}

/// Removes a block, its receipts and its places in the indexes.
fn stage_block_removal(
    tables: &Tables,
    snapshot: &Snapshot,
    batch: &mut OwnedWriteBatch,
    number: u64,
) -> Result<(), StateError> {
    let key = encoding::number_key(number);
    let header = header_of(tables, snapshot, number)?;
    let transactions: Vec<Transaction> = required(&tables.bodies, snapshot, &key, |bytes| {
        alloy_rlp::decode_exact(bytes)
    })?;
    let receipts: Vec<Receipt> = required(&tables.receipts, snapshot, &key, |bytes| {
        alloy_rlp::decode_exact(bytes)
    })?;
    for table in [
        &tables.headers,
        &tables.bodies,
        &tables.senders,
        &tables.receipts,
        &tables.l1_progress,
    ] {
        table.delete(batch, key);
    }
    tables.block_numbers.delete(batch, header.hash().as_slice());
    for transaction in &transactions {
        tables
            .transactions
            .delete(batch, transaction.hash().as_slice());
    }
    stage_logs_removal(tables, batch, number, &receipts);
    Ok(())
}

/// An entry that must be there.
fn required<T>(
    table: &Table,
    snapshot: &Snapshot,
    key: &[u8],
    decode: impl FnOnce(&[u8]) -> Result<T, alloy_rlp::Error>,
) -> Result<T, StateError> {
    table
        .read(snapshot, key, decode)?
        .ok_or_else(|| table.corrupt(key, NO_ENTRY_OF_BLOCK))
}

/// Accounts and slots that some blocks changed, each with the lowest of these blocks: what it found
/// is what comes back.
#[derive(Default)]
struct Changed {
    accounts: BTreeMap<Address, ChangedAccount>,
    keys: usize,
}

#[derive(Default)]
struct ChangedAccount {
    account: Option<u64>,
    slots: BTreeMap<U256, u64>,
}

impl Changed {
    /// Adds the keys of a block, which is below those added before, and removes its history.
    fn add(
        &mut self,
        tables: &Tables,
        snapshot: &Snapshot,
        batch: &mut OwnedWriteBatch,
        block: u64,
    ) -> Result<(), StateError> {
        let key = encoding::number_key(block);
        for account in required(&tables.changes, snapshot, &key, decode_changed_keys)? {
            let address = account.address;
            let changed = self.accounts.entry(address).or_default();
            if account.account {
                self.keys += usize::from(changed.account.replace(block).is_none());
                let key = encoding::account_history_key(address, block);
                tables.account_history.delete(batch, key);
            }
            for slot in account.slots {
                self.keys += usize::from(changed.slots.insert(slot, block).is_none());
                let key = encoding::storage_history_key(address, slot, block);
                tables.storage_history.delete(batch, key);
            }
        }
        tables.changes.delete(batch, key);
        Ok(())
    }

    /// Gives every account and slot its old value back: what that changes.
    fn stage(
        self,
        tables: &Tables,
        snapshot: &Snapshot,
        batch: &mut OwnedWriteBatch,
    ) -> Result<ChangeSet, StateError> {
        let mut changes = ChangeSet::default();
        for (address, changed) in self.accounts {
            let before =
                tables
                    .accounts
                    .read(snapshot, address.as_slice(), encoding::decode_account)?;
            let mut after = before;
            if let Some(block) = changed.account {
                after = required(
                    &tables.account_history,
                    snapshot,
                    &encoding::account_history_key(address, block),
                    encoding::decode_past_account,
                )?;
                match &after {
                    Some(account) => tables.accounts.put(
                        batch,
                        address.as_slice(),
                        encoding::encode_account(account),
                    ),
                    None => tables.accounts.delete(batch, address.as_slice()),
                }
            }
            let mut slots = Vec::with_capacity(changed.slots.len());
            for (slot, block) in changed.slots {
                let key = encoding::storage_key(address, slot);
                let now = tables
                    .storage
                    .read(snapshot, &key, encoding::decode_word)?
                    .unwrap_or_default();
                let then = required(
                    &tables.storage_history,
                    snapshot,
                    &encoding::storage_history_key(address, slot, block),
                    encoding::decode_word,
                )?;
                if then.is_zero() {
                    tables.storage.delete(batch, key);
                } else {
                    tables.storage.put(batch, key, encoding::encode_word(then));
                }
                slots.push((slot, (now, then)));
            }
            let change = AccountChange {
                before,
                after,
                storage_wiped: false,
                storage: SortedMap::from_sorted(slots),
            };
            changes.accounts.insert(address, change);
        }
        Ok(changes)
    }
}
