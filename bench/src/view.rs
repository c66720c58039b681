use std::convert::Infallible;

use alloy_primitives::{Address, B256, Bytes, U256};
use weft_executor_core::{Account, MemoryState, StateView};

/// A state in memory that many can read at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a>(pub(crate) &'a MemoryState);

impl StateView for View<'_> {
    type Error = Infallible;

    fn account(&mut self, address: Address) -> Result<Option<Account>, Infallible> {
        Ok(self.0.accounts.get(&address).copied())
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Infallible> {
        Ok(self
            .0
            .storage
            .get(&address)
            .and_then(|slots| slots.get(&slot))
            .copied()
            .unwrap_or_default())
    }

    fn has_storage(&mut self, address: Address) -> Result<bool, Infallible> {
        Ok(self.0.storage.contains_key(&address))
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, Infallible> {
        Ok(self.0.code.get(&code_hash).cloned().unwrap_or_default())
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Infallible> {
        Ok(self
            .0
            .block_hashes
            .get(&number)
            .copied()
            .unwrap_or_default())
    }
}
