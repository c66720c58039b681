use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256, Bytes, U256};
use weft_executor_core::{Account, BlockEnv, StateView, TransactionChanges, credited};
use weft_primitives::RecoveredTransaction;

use super::{
    lane::Lane,
    log::{LaneTransfer, Look},
    settled::{Settled, SettledSlot},
};
use crate::fees::Earned;

/// A lane on top of what is settled, on top of the state before the block: what the lane's next
/// transaction sees. What it looks at is written into the lane's log.
#[derive(Debug)]
pub(super) struct LaneView<'a, S> {
    pub(super) lane: &'a mut Lane,
    pub(super) settled: &'a Settled,
    pub(super) base: S,
    pub(super) block: &'a BlockEnv,
    /// What the beneficiary has earned and has not been paid; `None` when that is not known,
    /// because other lanes earn too.
    pub(super) earned: Option<&'a mut Earned>,
}

impl<S: StateView> LaneView<'_, S> {
    pub(super) fn locate(&mut self, address: Address) -> Result<u32, S::Error> {
        let (settled, base) = (self.settled, &mut self.base);
        self.lane
            .account_id(address, || match settled.account(address) {
                Some(account) => Ok(account),
                None => base.account(address),
            })
    }

    /// Looks up the accounts that the transaction names. If that fails, so will the execution, if it
    /// needs them.
    pub(super) fn preload(&mut self, transaction: &RecoveredTransaction) {
        let _ = self.locate(transaction.signer());
        if let Some(receiver) = transaction.to() {
            let _ = self.locate(receiver);
        }
    }

    pub(super) fn locate_slot(&mut self, account: u32, slot: U256) -> Result<u32, S::Error> {
        let owner = self.lane.places.account(account);
        let (address, before) = (owner.address, owner.before);
        let (settled, base) = (self.settled, &mut self.base);
        self.lane.slot_id(account, slot, || {
            Ok(match settled.slot(address, slot) {
                Some(SettledSlot::Value(value)) => (value, false),
                Some(SettledSlot::Removed) => (base.storage(address, slot)?, true),
                None if before.is_none() => (U256::ZERO, false),
                None => (base.storage(address, slot)?, false),
            })
        })
    }

    pub(super) fn slot_at(&self, id: u32) -> U256 {
        self.lane.places.slot(id).current
    }

    /// The account as a transaction that looks at it finds it.
    pub(super) fn account_at(&mut self, id: u32) -> Result<Option<Account>, S::Error> {
        let entry = self.lane.places.account(id);
        if entry.address != self.block.beneficiary {
            return Ok(entry.current);
        }
        self.pay_beneficiary(id)
    }

    /// The beneficiary's account with all that it has earned.
    fn pay_beneficiary(&mut self, id: u32) -> Result<Option<Account>, S::Error> {
        let earned = match &mut self.earned {
            Some(earned) => earned.take(),
            None => {
                let seen = &mut self.lane.saw_beneficiary;
                *seen = seen.saturating_add(1);
                None
            }
        };
        let before = self.lane.places.account(id).current;
        let Some((first, sum)) = earned else {
            return Ok(before);
        };
        let fork = self.block.fork;
        if before.is_some() && credited(before, first, fork).is_none() {
            self.lane.wipe(id);
            self.lane.set_account(id, None);
        }
        let account = credited(self.lane.places.account(id).current, sum, fork);
        self.lane.set_account(id, account);
        Ok(account)
    }

    /// Pays the beneficiary what it has earned.
    pub(super) fn pay(&mut self) -> Result<(), S::Error> {
        if self.earned.as_ref().is_some_and(|earned| earned.is_owed()) {
            let id = self.locate(self.block.beneficiary)?;
            self.pay_beneficiary(id)?;
        }
        Ok(())
    }

    /// Moves the value of a transfer. `None` when the transaction is more than one after all, or
    /// when an account cannot be read: its layer may find it invalid without having to.
    pub(super) fn transfer(
        &mut self,
        transfer: &weft_executor_core::Transfer,
    ) -> Option<LaneTransfer> {
        let sender = self.locate(transfer.sender).ok()?;
        let receiver = self.locate(transfer.receiver).ok()?;
        let before = self.account_at(receiver).ok()?;
        let (sent, received) = transfer.apply(self.account_at(sender).ok()?, before)?;
        self.lane.set_account(sender, Some(sent));
        if received != before {
            self.lane.set_account(receiver, received);
        }
        Some(LaneTransfer {
            sender,
            receiver,
            gas_used: transfer.gas_used,
            value: transfer.value,
            fee: transfer.fee,
            beneficiary_credit: transfer.beneficiary_credit,
        })
    }

    /// Puts what an execution wrote into the lane.
    pub(super) fn apply(&mut self, changes: &TransactionChanges) -> Result<(), S::Error> {
        for (address, change) in &changes.accounts {
            let account = match self.lane.seen_account(*address) {
                Some(id) => id,
                None => self.locate(*address)?,
            };
            if change.storage_wiped {
                for (slot, _) in &change.storage {
                    // Before the wipe, so that what was there before is known.
                    self.locate_slot(account, *slot)?;
                }
            }
            self.lane.write_account(account, change);
            for (slot, value) in &change.storage {
                let id = match self.lane.seen_slot(account, *slot) {
                    Some(id) => id,
                    None => self.locate_slot(account, *slot)?,
                };
                self.lane.write_slot(id, *value);
            }
        }
        for (hash, code) in &changes.code {
            self.lane.code.insert(*hash, code.clone());
        }
        Ok(())
    }
}

impl<S: StateView> StateView for LaneView<'_, S> {
    type Error = S::Error;

    fn account(&mut self, address: Address) -> Result<Option<Account>, S::Error> {
        let id = self.locate(address)?;
        self.lane.log.look(Look::Account(id));
        self.lane.suspect |= self.lane.places.account(id).met;
        self.account_at(id)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, S::Error> {
        let account = self.locate(address)?;
        let id = self.locate_slot(account, slot)?;
        self.lane.log.look(Look::Slot(id));
        let slot = self.lane.places.slot(id);
        self.lane.suspect |= slot.met;
        Ok(slot.current)
    }

    fn has_storage(&mut self, address: Address) -> Result<bool, S::Error> {
        let id = self.locate(address)?;
        self.lane.log.look(Look::HasStorage(id));
        let mut slots = self.lane.places.slots_of(id);
        if slots.any(|(_, slot)| !slot.current.is_zero()) {
            return Ok(true);
        }
        let account = self.lane.places.account(id);
        // Nothing clears single slots of an account that has no code.
        if account.wiped || account.before.is_none() {
            return Ok(false);
        }
        match self.settled.has_storage(address) {
            Some(has_storage) => Ok(has_storage),
            None => self.base.has_storage(address),
        }
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, S::Error> {
        let known = self.lane.code.get(&code_hash);
        match known.or_else(|| self.settled.code(code_hash)) {
            Some(code) => Ok(code.clone()),
            None => self.base.code(code_hash),
        }
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, S::Error> {
        self.base.block_hash(number)
    }
}
