use fjall::{OwnedWriteBatch, Snapshot};

use super::{ChangedKeys, History, decode_changed_keys};
use crate::{StateError, encoding, tables::Tables};

/// Key of the only entry of `oldest_state`.
const OLDEST: &[u8] = &[];

/// Most blocks whose values one block's batch removes.
const MOST_BLOCKS: u64 = 64;

/// Keys after which a batch removes no further block's, unless the block itself changed half as many.
const MANY_KEYS: usize = 2048;

/// The oldest block whose state can be asked for: `history` holds every value that a later block
/// found.
pub(crate) fn oldest_state(tables: &Tables, snapshot: &Snapshot) -> Result<u64, StateError> {
    tables
        .oldest_state
        .read(snapshot, OLDEST, encoding::decode_number)?
        .ok_or_else(|| {
            tables
                .oldest_state
                .corrupt(OLDEST, "expected the number of a block, found no entry")
        })
}

pub(crate) fn stage_oldest_state(tables: &Tables, batch: &mut OwnedWriteBatch, number: u64) {
    tables
        .oldest_state
        .put(batch, OLDEST, encoding::number_key(number));
}

/// Removes what only states that are not kept any more need, as part of the batch of block `number`,
/// which changed `changed` keys.
///
/// A block that becomes too old takes one block's values with it. Where more are waiting, because the
/// setting was lowered, a batch removes a bounded number more than that: a backlog shrinks with
/// every block, and no block takes long. Returns the oldest block whose state is kept then. `written`
/// is the block up to which the trie's nodes are written: those above follow from the lists of keys.
pub(crate) fn stage_pruning(
    tables: &Tables,
    snapshot: &Snapshot,
    batch: &mut OwnedWriteBatch,
    history: History,
    written: u64,
    number: u64,
    changed: &ChangedKeys,
) -> Result<u64, StateError> {
    let wanted = history.oldest(number);
    if wanted == 0 {
        return Ok(0);
    }
    let first = oldest_state(tables, snapshot)?;
    let most_keys = changed.len().saturating_mul(2).max(MANY_KEYS);
    let (mut oldest, mut keys) = (first, 0_usize);
    while oldest < wanted && oldest - first < MOST_BLOCKS && keys < most_keys {
        oldest += 1;
        // The values that block `oldest` found belong to the states below it.
        keys = keys.saturating_add(stage_removal(tables, snapshot, batch, written, oldest)?);
    }
    if oldest > first {
        stage_oldest_state(tables, batch, oldest);
    }
    Ok(oldest)
}

/// Removes the lists of keys that blocks up to `oldest`, the oldest block whose state is kept, have
/// left behind because the trie's nodes were written up to `written` only.
pub(crate) fn stage_left_lists(
    tables: &Tables,
    batch: &mut OwnedWriteBatch,
    written: u64,
    oldest: u64,
) {
    for block in written.saturating_add(1)..=oldest {
        tables
            .changes
            .delete_once(batch, encoding::number_key(block));
    }
}

/// Removes the values that a block found, and the list of them unless the trie still needs it. Returns
/// their number.
fn stage_removal(
    tables: &Tables,
    snapshot: &Snapshot,
    batch: &mut OwnedWriteBatch,
    written: u64,
    block: u64,
) -> Result<usize, StateError> {
    let key = encoding::number_key(block);
    let accounts = tables
        .changes
        .read(snapshot, &key, decode_changed_keys)?
        .ok_or_else(|| {
            tables
                .changes
                .corrupt(&key, "the chain has this block, found no entry")
        })?;
    let mut keys = 0;
    for account in accounts {
        if account.account {
            keys += 1;
            tables
                .account_history
                .delete_once(batch, encoding::account_history_key(account.address, block));
        }
        for slot in account.slots {
            keys += 1;
            tables.storage_history.delete_once(
                batch,
                encoding::storage_history_key(account.address, slot, block),
            );
        }
    }
    if block <= written {
        tables.changes.delete_once(batch, key);
    }
    Ok(keys)
}
