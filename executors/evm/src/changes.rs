use alloy_primitives::{Address, KECCAK256_EMPTY, U256, map::B256Map};
use revm::{
    bytecode::Bytecode,
    state::{Account as RevmAccount, EvmState},
};
use weft_executor_core::{AccessedAccount, Account, TransactionChange, TransactionChanges};

use crate::frames::hooks::marker::hooked_code_hash;

/// What a transaction changed, sorted, out of what revm's journal holds after it.
///
/// `clears_empty_accounts` says whether EIP-161 is in force: touching an empty account then deletes
/// it, and before that created it. `replaced` has the codes of accounts that have got their first hook,
/// which came into being with the accounts if these did.
pub(crate) fn transaction_changes(
    state: &EvmState,
    clears_empty_accounts: bool,
    replaced: &B256Map<Bytecode>,
) -> TransactionChanges {
    let mut changes = TransactionChanges::default();
    for (address, account) in state {
        let Some(change) = transaction_change(account, clears_empty_accounts) else {
            continue;
        };
        if let Some(info) = change.account
            && info.code_hash != KECCAK256_EMPTY
            && let Some(code) = &account.info.code
            && info.code_hash != account.original_info().code_hash
        {
            changes.code.push((info.code_hash, code.original_bytes()));
            if account.is_created()
                && let Some(original) = hooked_code_hash(code.original_byte_slice())
                && let Some(code) = replaced.get(&original)
            {
                changes.code.push((original, code.original_bytes()));
            }
        }
        changes.accounts.push((*address, change));
    }
    changes
        .accounts
        .sort_unstable_by_key(|(address, _)| *address);
    changes.code.sort_unstable_by_key(|(hash, _)| *hash);
    changes.code.dedup_by_key(|(hash, _)| *hash);
    changes
}

fn transaction_change(
    account: &RevmAccount,
    clears_empty_accounts: bool,
) -> Option<TransactionChange> {
    let existed = !account.is_loaded_as_not_existing();
    let deleted = account.is_selfdestructed()
        || (clears_empty_accounts && account.is_touched() && account.is_empty());
    if deleted {
        // Slots of a contract that came and went are not in the state, but they were looked at.
        let storage = if account.is_created() {
            sorted(account.storage.keys().map(|slot| (*slot, U256::ZERO)))
        } else {
            Vec::new()
        };
        return (existed || !storage.is_empty()).then_some(TransactionChange {
            account: None,
            storage_wiped: existed,
            storage,
        });
    }
    if !account.is_touched() {
        return None;
    }
    // The slots of a new contract are zero without a read from the state: here is the only trace of
    // those that it looked at.
    let storage = sorted(
        account
            .storage
            .iter()
            .filter(|(_, value)| value.is_changed() || account.is_created())
            .map(|(slot, value)| (*slot, value.present_value())),
    );
    if existed && !account.is_created() && !account.is_changed() && storage.is_empty() {
        return None;
    }
    Some(TransactionChange {
        account: Some(Account {
            nonce: account.info.nonce,
            balance: account.info.balance,
            code_hash: account.info.code_hash,
        }),
        // A creation starts with empty storage. Only an account that was there can have any.
        storage_wiped: existed && account.is_created(),
        storage,
    })
}

fn sorted(slots: impl Iterator<Item = (U256, U256)>) -> Vec<(U256, U256)> {
    let mut slots: Vec<_> = slots.collect();
    slots.sort_unstable_by_key(|(slot, _)| *slot);
    slots
}

/// Accounts and slots that were looked at, sorted. revm keeps what reverted frames have loaded.
pub(crate) fn accessed_accounts(state: &EvmState) -> Vec<AccessedAccount> {
    let mut accessed: Vec<_> = state
        .iter()
        .map(|(address, account)| {
            let mut slots: Vec<_> = account.storage.keys().copied().collect();
            slots.sort_unstable();
            AccessedAccount {
                address: *address,
                slots,
            }
        })
        .collect();
    accessed.sort_unstable_by_key(|account| account.address);
    accessed
}

/// Nonce of an account before the transaction.
pub(crate) fn nonce_before(state: &EvmState, address: Address) -> u64 {
    state
        .get(&address)
        .map_or(0, |account| account.original_info().nonce)
}
