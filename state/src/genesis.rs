use alloy_consensus::{Header, Sealed};
use alloy_primitives::{KECCAK256_EMPTY, U256, keccak256};
use alloy_trie::{
    TrieAccount,
    root::{state_root_unhashed, storage_root_unhashed},
};
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

/// The header of block 0 of a chain, computed without a store.
pub fn genesis_header(spec: &ChainSpec) -> Sealed<Header> {
    let accounts = genesis_changes(spec).accounts.into_iter();
    let root = state_root_unhashed(accounts.filter_map(|(address, change)| {
        let account = change.after?;
        let slots = change
            .storage
            .into_iter()
            .filter(|(_, (_, value))| !value.is_zero())
            .map(|(slot, (_, value))| (slot.into(), value));
        let account = TrieAccount {
            nonce: account.nonce,
            balance: account.balance,
            storage_root: storage_root_unhashed(slots),
            code_hash: account.code_hash,
        };
        Some((address, account))
    }));
    spec.genesis_header(root)
}

#[cfg(test)]
mod tests {
    use crate::Store;

    use super::*;

    /// The store grows its trie node by node; alloy's builder sorts and hashes the whole.
    #[test]
    fn equals_what_a_store_writes() {
        let spec = ChainSpec::from_json(
            br#"{"config":{"chainId":7},"nonce":"0x0","timestamp":"0x5","extraData":"0x","gasLimit":"0x1c9c380",
            "difficulty":"0x0","mixHash":"0x0000000000000000000000000000000000000000000000000000000000000000",
            "coinbase":"0x0000000000000000000000000000000000000000","alloc":{
            "0x0000000000000000000000000000000000000001":{"balance":"0x1"},
            "0x0000000000000000000000000000000000000002":{"balance":"0x0","nonce":"0x9","code":"0x6001","storage":{
            "0x0000000000000000000000000000000000000000000000000000000000000001":"0x0000000000000000000000000000000000000000000000000000000000000005",
            "0x0000000000000000000000000000000000000000000000000000000000000002":"0x0000000000000000000000000000000000000000000000000000000000000000"}}}}"#,
        )
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store"), &spec).unwrap();
        assert_eq!(genesis_header(&spec), store.head().unwrap());
    }
}
