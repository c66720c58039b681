use std::error::Error;

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use weft_primitives::Fork;

/// An account without its storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Account {
    /// Number of transactions sent, or of contracts created.
    pub nonce: u64,
    /// Balance in wei.
    pub balance: U256,
    /// keccak-256 of the code; [`KECCAK256_EMPTY`] without code.
    pub code_hash: B256,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            nonce: 0,
            balance: U256::ZERO,
            code_hash: KECCAK256_EMPTY,
        }
    }
}

impl Account {
    /// Whether the account is empty in the sense of EIP-161.
    pub fn is_empty(&self) -> bool {
        self.nonce == 0 && self.balance.is_zero() && !self.has_code()
    }

    /// Whether there is code at the account, an EIP-7702 delegation included.
    pub fn has_code(&self) -> bool {
        self.code_hash != KECCAK256_EMPTY
    }
}

/// An account after wei were credited to it as a block's fees are: even no wei touch it, which
/// creates an empty account before EIP-161 and deletes one from then on.
///
/// A sum may be credited in the place of its parts, unless the first of them is zero and deletes an
/// empty account, whose storage goes with it.
pub fn credited(account: Option<Account>, wei: U256, fork: Fork) -> Option<Account> {
    let account = account.unwrap_or_default();
    let account = Account {
        balance: account.balance.saturating_add(wei),
        ..account
    };
    (fork < Fork::SpuriousDragon || !account.is_empty()).then_some(account)
}

/// Read access to the world state at one point of the chain.
///
/// Reads take `&mut self` so that a view can cache and record them.
pub trait StateView {
    /// Why a read can fail. A failed read is never an answer: it ends the execution.
    type Error: Error + Send + Sync + 'static;

    /// The account; `None` when it does not exist.
    fn account(&mut self, address: Address) -> Result<Option<Account>, Self::Error>;

    /// Value of a storage slot; zero when it was never written.
    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Self::Error>;

    /// Whether any slot of the account is not zero; asked for an account with neither nonce nor code
    /// that a creation would take over (EIP-7610). Only the genesis of a chain can make such an
    /// account, and a state that never has one need not look.
    fn has_storage(&mut self, _address: Address) -> Result<bool, Self::Error> {
        Ok(false)
    }

    /// Code by its hash, which an [`Account`] named.
    fn code(&mut self, code_hash: B256) -> Result<Bytes, Self::Error>;

    /// Hash of a block for the BLOCKHASH opcode; zero when the chain has no such block. The caller
    /// has checked that the number is one of the last 256.
    fn block_hash(&mut self, number: u64) -> Result<B256, Self::Error>;
}

impl<S: StateView + ?Sized> StateView for &mut S {
    type Error = S::Error;

    fn account(&mut self, address: Address) -> Result<Option<Account>, Self::Error> {
        (**self).account(address)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Self::Error> {
        (**self).storage(address, slot)
    }

    fn has_storage(&mut self, address: Address) -> Result<bool, Self::Error> {
        (**self).has_storage(address)
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, Self::Error> {
        (**self).code(code_hash)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Self::Error> {
        (**self).block_hash(number)
    }
}
