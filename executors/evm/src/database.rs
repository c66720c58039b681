use alloy_primitives::{Address, B256, Bytes, U256};
use revm::{Database, bytecode::Bytecode, database_interface::DBErrorMarker, state::AccountInfo};
use weft_executor_core::{Account, StateView};

use crate::code_cache::CodeCache;

/// A [`StateView`] without its type, so that revm is compiled once and not once for each kind of
/// state. The error of a failed read stays with the state until the execution has ended.
pub(crate) trait State {
    fn account(&mut self, address: Address) -> Result<Option<Account>, ReadFailed>;
    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, ReadFailed>;
    fn has_storage(&mut self, address: Address) -> Result<bool, ReadFailed>;
    fn code(&mut self, code_hash: B256) -> Result<Bytes, ReadFailed>;
    fn block_hash(&mut self, number: u64) -> Result<B256, ReadFailed>;
}

/// A read failed; the [`FallibleState`] knows why.
#[derive(Debug, thiserror::Error)]
#[error("state could not be read")]
pub(crate) struct ReadFailed;

impl DBErrorMarker for ReadFailed {}

/// A view together with the error of its first failed read.
pub(crate) struct FallibleState<'a, S: StateView> {
    view: &'a mut S,
    pub(crate) error: Option<S::Error>,
}

impl<'a, S: StateView> FallibleState<'a, S> {
    pub(crate) const fn new(view: &'a mut S) -> Self {
        Self { view, error: None }
    }

    fn keep_error<T>(&mut self, result: Result<T, S::Error>) -> Result<T, ReadFailed> {
        result.map_err(|error| {
            self.error.get_or_insert(error);
            ReadFailed
        })
    }
}

impl<S: StateView> State for FallibleState<'_, S> {
    fn account(&mut self, address: Address) -> Result<Option<Account>, ReadFailed> {
        let result = self.view.account(address);
        self.keep_error(result)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, ReadFailed> {
        let result = self.view.storage(address, slot);
        self.keep_error(result)
    }

    fn has_storage(&mut self, address: Address) -> Result<bool, ReadFailed> {
        let result = self.view.has_storage(address);
        self.keep_error(result)
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, ReadFailed> {
        let result = self.view.code(code_hash);
        self.keep_error(result)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, ReadFailed> {
        let result = self.view.block_hash(number);
        self.keep_error(result)
    }
}

/// The state as revm reads it.
pub(crate) struct StateDatabase<'a> {
    pub(crate) state: &'a mut dyn State,
    pub(crate) code: &'a CodeCache,
}

impl Database for StateDatabase<'_> {
    type Error = ReadFailed;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, ReadFailed> {
        // Without code here revm asks for it by hash when it needs it.
        Ok(self.state.account(address)?.map(|account| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            account_id: None,
            code: None,
        }))
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, ReadFailed> {
        self.code
            .get_or_load(code_hash, || self.state.code(code_hash))
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, ReadFailed> {
        self.state.storage(address, slot)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, ReadFailed> {
        self.state.block_hash(number)
    }
}
