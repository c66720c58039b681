use std::collections::BTreeMap;

use alloy_consensus::{Header, Sealed};
use alloy_primitives::{Address, U256};
use fjall::Snapshot;
use weft_executor_core::{AccountChange, ChangeSet};

use crate::{
    encoding,
    history::decode_changed_keys,
    tables::Tables,
    trie::{self, AccountNodes, TrieUpdates},
};

/// The trie nodes of the blocks above `written`, up to the last one, from what they changed and the
/// state after them. `Err` says what does not fit.
pub(crate) fn unwritten_nodes(
    tables: &Tables,
    snapshot: &Snapshot,
    written: &Sealed<Header>,
    last: &Sealed<Header>,
) -> Result<TrieUpdates, String> {
    let mut keys = BTreeMap::<Address, BTreeMap<U256, ()>>::new();
    for number in written.number.saturating_add(1)..=last.number {
        let changed = tables
            .changes
            .read(snapshot, &encoding::number_key(number), decode_changed_keys)
            .map_err(|error| error.to_string())?
            .ok_or_else(|| {
                format!("expected the keys that block {number} changed, found no entry")
            })?;
        for account in changed {
            let slots = keys.entry(account.address).or_default();
            slots.extend(account.slots.into_iter().map(|slot| (slot, ())));
        }
    }
    let accounts = keys
        .into_iter()
        .map(|(address, slots)| Ok((address, change(tables, snapshot, address, slots)?)))
        .collect::<Result<_, crate::StateError>>()
        .map_err(|error| error.to_string())?;
    let changes = ChangeSet {
        accounts,
        ..ChangeSet::default()
    };
    let nodes = AccountNodes {
        tables,
        snapshot,
        layers: &[],
    };
    let updates = trie::state_root(&nodes, written.state_root, &changes)
        .map_err(|error| error.to_string())?;
    if updates.root() != last.state_root {
        return Err(format!(
            "expected the changes of the blocks above {} to lead to state root {} of block {}, found {}",
            written.number,
            last.state_root,
            last.number,
            updates.root()
        ));
    }
    Ok(updates)
}

/// What an account is now, as a change of all the slots that changed at some time.
fn change(
    tables: &Tables,
    snapshot: &Snapshot,
    address: Address,
    slots: BTreeMap<U256, ()>,
) -> Result<AccountChange, crate::StateError> {
    let after = tables
        .accounts
        .read(snapshot, address.as_slice(), encoding::decode_account)?;
    let storage = slots
        .into_keys()
        .map(|slot| {
            let key = encoding::storage_key(address, slot);
            let now = tables
                .storage
                .read(snapshot, &key, encoding::decode_word)?
                .unwrap_or_default();
            // Whatever it was: a change is told by two values that differ.
            Ok((slot, (!now, now)))
        })
        .collect::<Result<_, crate::StateError>>()?;
    Ok(AccountChange {
        before: after,
        after,
        storage_wiped: false,
        storage,
    })
}
