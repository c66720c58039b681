//! The state before the block, in the one form that all contestants read: revm's cache in memory.

use std::convert::Infallible;

use alloy_primitives::{Address, B256, Bytes, U256};
use revm::{
    bytecode::Bytecode,
    database::{CacheDB, EmptyDB},
    state::AccountInfo,
};
use weft_executor_core::{Account, MemoryState, StateView};

/// The state as the plain loop starts with it.
pub(crate) fn cache_db(state: &MemoryState) -> CacheDB<EmptyDB> {
    let mut database = CacheDB::default();
    for (address, account) in &state.accounts {
        let code = state
            .code
            .get(&account.code_hash)
            .map_or_else(Bytecode::default, |code| {
                // Code that starts like an EIP-7702 delegation but is none is ordinary code.
                Bytecode::new_raw_checked(code.clone())
                    .unwrap_or_else(|_| Bytecode::new_legacy(code.clone()))
            });
        let info = AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            account_id: None,
            code: Some(code),
        };
        database.insert_account_info(*address, info);
        let Some(slots) = state.storage.get(address) else {
            continue;
        };
        if let Some(entry) = database.cache.accounts.get_mut(address) {
            entry
                .storage
                .extend(slots.iter().map(|(slot, value)| (*slot, *value)));
        }
    }
    database.cache.block_hashes.extend(
        state
            .block_hashes
            .iter()
            .map(|(number, hash)| (U256::from(*number), *hash)),
    );
    database
}

/// The same state as weft's executors read it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BaseView<'a>(pub(crate) &'a CacheDB<EmptyDB>);

impl StateView for BaseView<'_> {
    type Error = Infallible;

    fn account(&mut self, address: Address) -> Result<Option<Account>, Infallible> {
        let entry = self.0.cache.accounts.get(&address);
        Ok(entry.map(|entry| Account {
            nonce: entry.info.nonce,
            balance: entry.info.balance,
            code_hash: entry.info.code_hash,
        }))
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Infallible> {
        let entry = self.0.cache.accounts.get(&address);
        Ok(entry
            .and_then(|entry| entry.storage.get(&slot))
            .copied()
            .unwrap_or_default())
    }

    fn has_storage(&mut self, address: Address) -> Result<bool, Infallible> {
        let entry = self.0.cache.accounts.get(&address);
        Ok(entry.is_some_and(|entry| entry.storage.values().any(|value| !value.is_zero())))
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, Infallible> {
        let code = self.0.cache.contracts.get(&code_hash);
        Ok(code.map(Bytecode::original_bytes).unwrap_or_default())
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Infallible> {
        let hash = self.0.cache.block_hashes.get(&U256::from(number));
        Ok(hash.copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_view_reads_what_the_state_holds() {
        let (contract, user) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let (slot, value) = (U256::from(3), U256::from(4));
        let mut state = MemoryState::default();
        let code = Bytes::from_static(&[0xef, 0x01, 0x00]);
        state.insert(contract, 1, U256::ZERO, code.clone(), [(slot, value)]);
        state.insert(user, 7, U256::from(8), Bytes::new(), []);
        state.block_hashes.insert(5, B256::repeat_byte(6));
        let database = cache_db(&state);
        let mut view = BaseView(&database);
        for address in [contract, user, Address::ZERO] {
            assert_eq!(view.account(address), state.account(address));
            assert_eq!(view.has_storage(address), state.has_storage(address));
            for slot in [slot, value] {
                assert_eq!(view.storage(address, slot), state.storage(address, slot));
            }
        }
        let code_hash = state.accounts[&contract].code_hash;
        assert_eq!(view.code(code_hash), Ok(code));
        assert_eq!(view.block_hash(5), state.block_hash(5));
        assert_eq!(view.block_hash(4), state.block_hash(4));
    }
}
