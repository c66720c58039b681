use alloy_primitives::{KECCAK256_EMPTY, U256, keccak256};
use weft_executor_core::{Account, AccountChange, ChangeSet};
use weft_primitives::ChainSpec;

/// The genesis state as changes to the empty state. Empty accounts that the file lists stay, as
/// geth keeps them: EIP-161 removes an empty account only when a transaction touches it.
pub(crate) fn genesis_changes(spec: &ChainSpec) -> ChangeSet {
    let mut changes = ChangeSet::default();
    for (address, account) in spec.alloc() {
        let code = account.code.as_ref().filter(|code| !code.is_empty());
        let code_hash = code.map_or(KECCAK256_EMPTY, |code| {
            let hash = keccak256(code);
            changes.code.insert(hash, code.clone());
            hash
        });
        let storage = account
            .storage
            .iter()
            .flatten()
            .map(|(slot, value)| ((*slot).into(), (U256::ZERO, (*value).into())))
            .collect();
        changes.accounts.insert(
            *address,
            AccountChange {
                before: None,
                after: Some(Account {
                    nonce: account.nonce.unwrap_or_default(),
                    balance: account.balance,
                    code_hash,
                }),
                storage_wiped: false,
                storage,
            },
        );
    }
    changes
}
