use std::error::Error;

use alloy_primitives::{Address, B256, U256};
use revm::{
    Database, bytecode::Bytecode, database_interface::DBErrorMarker, state::AccountInfo,
};
use weft_executor_core::StateView;

use crate::code_cache::CodeCache;

/// A [`StateView`] as revm reads it.
pub(crate) struct StateDatabase<'a, S> {
    pub(crate) state: &'a mut S,
    pub(crate) code: &'a CodeCache,
}

/// A state's own error on its way through revm.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct StateError<E: Error>(pub(crate) E);

impl<E: Error + Send + Sync + 'static> DBErrorMarker for StateError<E> {}

impl<S: StateView> Database for StateDatabase<'_, S> {
    type Error = StateError<S::Error>;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Self::Error> {
        let account = self.state.account(address).map_err(StateError)?;
        // Without code here revm asks for it by hash when it needs it.
        Ok(account.map(|account| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            account_id: None,
            code: None,
        }))
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, Self::Error> {
        let state = &mut *self.state;
        self.code
            .get_or_load(code_hash, || state.code(code_hash).map_err(StateError))
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Self::Error> {
        self.state.storage(address, slot).map_err(StateError)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Self::Error> {
        self.state.block_hash(number).map_err(StateError)
    }
}
