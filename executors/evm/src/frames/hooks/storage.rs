//! Where the registry keeps what is bound: the storage of a Solidity contract at [`super::HOOKS`]
//! whose first variable is
//!
//! ```text
//! struct Hook { address hook; uint8 phases; uint64 gasLimit; }
//! mapping(address target => Hook[]) hooks;
//! ```

use alloy_primitives::{Address, B256, U256, keccak256};
use revm::context_interface::{ContextTr, JournalTr, journaled_state::account::JournaledAccountTr};

use super::{
    MAX_HOOKS,
    meter::{Meter, Stop},
};
use crate::evm::TransactionContext;

/// A program that is bound to a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hook {
    pub(super) address: Address,
    /// When it runs.
    pub(super) phases: u8,
    /// Most gas that one run of it takes.
    pub(super) gas_limit: u64,
}

const PHASES_AT: usize = 160;
const GAS_LIMIT_AT: usize = 168;

impl Hook {
    fn word(&self) -> U256 {
        U256::from_be_bytes(self.address.into_word().0)
            | (U256::from(self.phases) << PHASES_AT)
            | (U256::from(self.gas_limit) << GAS_LIMIT_AT)
    }

    fn from_word(word: U256) -> Self {
        Self {
            address: Address::from_word(B256::from(word)),
            phases: (word >> PHASES_AT).wrapping_to(),
            gas_limit: (word >> GAS_LIMIT_AT).wrapping_to(),
        }
    }
}

/// The slots of one target.
pub(super) struct Slots {
    length: U256,
    first: U256,
}

impl Slots {
    pub(super) fn of(
        context: &TransactionContext<'_>,
        target: Address,
        gas: &mut Meter,
    ) -> Result<Self, Stop> {
        gas.hash(context, 64)?;
        gas.hash(context, 32)?;
        let length = keccak256([target.into_word().0, [0; 32]].as_flattened());
        Ok(Self {
            length: length.into(),
            first: keccak256(length).into(),
        })
    }

    fn position(&self, position: usize) -> U256 {
        self.first.wrapping_add(U256::from(position))
    }

    /// What is bound, in order of binding, to a target that has hooks. What the slots of any other
    /// hold means nothing: a contract that is gone has left it there.
    pub(super) fn read(
        &self,
        context: &mut TransactionContext<'_>,
        gas: &mut Meter,
    ) -> Result<Vec<Hook>, Stop> {
        let length = gas.load(context, self.length)?;
        let length = usize::try_from(length).unwrap_or(MAX_HOOKS).min(MAX_HOOKS);
        (0..length)
            .map(|position| Ok(Hook::from_word(gas.load(context, self.position(position))?)))
            .collect()
    }

    /// Puts `hooks` from a position on into the place of what is there. Positions behind `hooks` up
    /// to the old length become zero.
    pub(super) fn write(
        &self,
        context: &mut TransactionContext<'_>,
        hooks: &[Hook],
        from: usize,
        old_length: usize,
        gas: &mut Meter,
    ) -> Result<(), Stop> {
        for position in from..hooks.len().max(old_length) {
            let word = hooks.get(position).map_or(U256::ZERO, Hook::word);
            gas.store(context, self.position(position), word)?;
        }
        gas.store(context, self.length, U256::from(hooks.len()))
    }
}

/// Keeps the registry's account from being empty in the sense of EIP-161, whose storage would go.
pub(super) fn keep_account(context: &mut TransactionContext<'_>) -> Result<(), Stop> {
    let mut account = context.journal_mut().load_account_mut(super::HOOKS)?.data;
    if account.nonce() == 0 {
        account.set_nonce(1);
    }
    Ok(())
}
