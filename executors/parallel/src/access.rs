use crate::conflicts::Location;
use alloy_primitives::{Address, B256, Bytes, U256};
use weft_executor_core::{Account, StateView, TransactionChanges, Transfer};

/// A value that an execution found in the state. Code and block hashes are left out: they never
/// change under their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    Account(Address, Option<Account>),
    Slot(Address, U256, U256),
    HasStorage(Address, bool),
}

impl Read {
    pub(crate) const fn address(&self) -> Address {
        match self {
            Self::Account(address, _) | Self::Slot(address, ..) | Self::HasStorage(address, _) => {
                *address
            }
        }
    }

    pub(crate) const fn location(&self) -> Location {
        match self {
            Self::Account(address, _) | Self::HasStorage(address, _) => Location::Account(*address),
            Self::Slot(address, slot, _) => Location::Slot(*address, *slot),
        }
    }

    /// Whether the state still has the value.
    pub(crate) fn holds<S: StateView>(&self, state: &mut S) -> Result<bool, S::Error> {
        Ok(match *self {
            Self::Account(address, found) => state.account(address)? == found,
            Self::Slot(address, slot, found) => state.storage(address, slot)? == found,
            Self::HasStorage(address, found) => state.has_storage(address)? == found,
        })
    }
}

/// What an included transaction looked at and wrote.
#[derive(Debug)]
pub(crate) enum TransactionAccess {
    Transfer(Transfer),
    Execution {
        reads: Vec<Read>,
        changes: TransactionChanges,
        beneficiary_credit: Option<U256>,
        gas_used: u64,
    },
}

impl TransactionAccess {
    /// Memory that it takes, in bytes, roughly.
    pub(crate) fn size(&self) -> usize {
        let apart = match self {
            Self::Transfer(_) => 0,
            Self::Execution { reads, changes, .. } => {
                let slots: usize = changes
                    .accounts
                    .iter()
                    .map(|(_, change)| change.storage.len())
                    .sum();
                size_of_val(reads.as_slice())
                    .saturating_add(size_of_val(changes.accounts.as_slice()))
                    .saturating_add(size_of_val(changes.code.as_slice()))
                    .saturating_add(slots.saturating_mul(size_of::<(U256, U256)>()))
            }
        };
        size_of::<Self>().saturating_add(apart)
    }
}

/// A view that writes down what is read through it.
pub(crate) struct Recorder<'a, S> {
    state: &'a mut S,
    pub(crate) reads: Vec<Read>,
}

impl<'a, S> Recorder<'a, S> {
    pub(crate) fn new(state: &'a mut S) -> Self {
        Self {
            state,
            reads: Vec::with_capacity(8),
        }
    }
}

impl<S: StateView> StateView for Recorder<'_, S> {
    type Error = S::Error;

    fn account(&mut self, address: Address) -> Result<Option<Account>, S::Error> {
        let found = self.state.account(address)?;
        self.reads.push(Read::Account(address, found));
        Ok(found)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, S::Error> {
        let found = self.state.storage(address, slot)?;
        self.reads.push(Read::Slot(address, slot, found));
        Ok(found)
    }

    fn has_storage(&mut self, address: Address) -> Result<bool, S::Error> {
        let found = self.state.has_storage(address)?;
        self.reads.push(Read::HasStorage(address, found));
        Ok(found)
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, S::Error> {
        self.state.code(code_hash)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, S::Error> {
        self.state.block_hash(number)
    }
}
