use std::collections::{HashMap, hash_map::Entry};

use alloy_primitives::{
    Address, B256, Bytes, U256,
    map::{AddressMap, AddressSet, U256Map},
};
use weft_executor_core::{Account, ChangeSet, TransactionChange, Transfer};

use crate::{
    access::{Read, TransactionAccess},
    accesses::{AccessRecord, BlockAccesses},
    conflicts::Location,
    lanes::record::{LaneRecord, Recorded},
};

/// What an included transaction looked at and changed, with the values before and after it. The
/// same however the transaction was executed.
#[derive(Debug, Default)]
pub(crate) struct Effects<'a> {
    /// Gas used, in gas.
    pub(crate) gas_used: u64,
    /// By address, each once.
    pub(crate) accounts: Vec<AccountEffect>,
    /// By address and slot, each once.
    pub(crate) slots: Vec<SlotEffect>,
    /// Code that came into being.
    pub(crate) code: &'a [(B256, Bytes)],
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct AccountEffect {
    pub(crate) address: Address,
    /// Whether the transaction depends on what the account was; one that only credits it does not.
    pub(crate) read: bool,
    pub(crate) before: Account,
    pub(crate) after: Account,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct SlotEffect {
    pub(crate) address: Address,
    pub(crate) slot: U256,
    pub(crate) before: U256,
    pub(crate) after: U256,
}

/// Goes through a block's accesses in order and keeps the values at each point. An account that
/// does not exist is one that is empty.
#[derive(Debug)]
pub(crate) struct Replay<'a> {
    accesses: &'a BlockAccesses,
    next: usize,
    state: AddressMap<Known>,
}

/// A transfer that was done without its layer.
struct Moved {
    sender: Address,
    receiver: Address,
    value: U256,
    /// In wei.
    fee: u128,
    gas_used: u64,
}

impl From<&Transfer> for Moved {
    fn from(transfer: &Transfer) -> Self {
        Self {
            sender: transfer.sender,
            receiver: transfer.receiver,
            value: transfer.value,
            fee: transfer.fee,
            gas_used: transfer.gas_used,
        }
    }
}

#[derive(Debug, Default)]
struct Known {
    account: Account,
    slots: U256Map<U256>,
}

impl<'a> Replay<'a> {
    /// `changes` is what the block changed.
    pub(crate) fn new(accesses: &'a BlockAccesses, changes: &ChangeSet) -> Self {
        Self {
            accesses,
            next: 0,
            state: Ends::new(accesses).into_starts(changes),
        }
    }

    /// What the next transaction did; `None` after the last.
    pub(crate) fn next(&mut self) -> Option<Effects<'a>> {
        let number = self.next;
        self.next = number.saturating_add(1);
        let (mut effects, credit) = match &self.accesses.record {
            AccessRecord::Transactions(transactions) => match transactions.get(number)? {
                TransactionAccess::Transfer(transfer) => (
                    self.transfer(&Moved::from(transfer)),
                    Some(U256::from(transfer.beneficiary_credit)),
                ),
                TransactionAccess::Execution {
                    reads,
                    changes,
                    beneficiary_credit,
                    gas_used,
                } => {
                    let looks = reads.iter().map(Read::location);
                    let accounts = changes.accounts.iter();
                    let mut effects = self.execution(
                        looks,
                        accounts.clone().map(|(address, change)| {
                            (*address, change.account, change.storage_wiped)
                        }),
                        accounts.flat_map(|(address, change)| {
                            let slots = change.storage.iter();
                            slots.map(|(slot, value)| (*address, *slot, *value))
                        }),
                    );
                    effects.code = &changes.code;
                    effects.gas_used = *gas_used;
                    (effects, *beneficiary_credit)
                }
            },
            AccessRecord::Lanes(record) => match record.get(number)? {
                Recorded::Transfer {
                    sender,
                    receiver,
                    transfer,
                } => (
                    self.transfer(&Moved {
                        sender,
                        receiver,
                        value: transfer.value,
                        fee: transfer.fee,
                        gas_used: transfer.gas_used,
                    }),
                    Some(U256::from(transfer.beneficiary_credit)),
                ),
                Recorded::Execution(execution) => {
                    let mut effects =
                        self.execution(execution.looks(), execution.accounts(), execution.slots());
                    effects.code = execution.code;
                    effects.gas_used = execution.gas_used;
                    (effects, execution.beneficiary_credit)
                }
            },
        };
        if let Some(wei) = credit {
            self.credit(&mut effects, wei);
        }
        for effect in &effects.accounts {
            self.state.entry(effect.address).or_default().account = effect.after;
        }
        for effect in &effects.slots {
            let known = self.state.entry(effect.address).or_default();
            known.slots.insert(effect.slot, effect.after);
        }
        Some(effects)
    }

    fn account(&self, address: Address) -> Account {
        self.state
            .get(&address)
            .map(|known| known.account)
            .unwrap_or_default()
    }

    fn slot(&self, address: Address, slot: U256) -> U256 {
        self.state
            .get(&address)
            .and_then(|known| known.slots.get(&slot))
            .copied()
            .unwrap_or_default()
    }

    fn transfer(&self, transfer: &Moved) -> Effects<'a> {
        let sender = self.account(transfer.sender);
        let receiver = self.account(transfer.receiver);
        let mut accounts = vec![
            AccountEffect {
                address: transfer.sender,
                read: true,
                before: sender,
                after: Account {
                    nonce: sender.nonce.saturating_add(1),
                    balance: sender
                        .balance
                        .saturating_sub(transfer.value)
                        .saturating_sub(U256::from(transfer.fee)),
                    ..sender
                },
            },
            AccountEffect {
                address: transfer.receiver,
                read: false,
                before: receiver,
                after: Account {
                    balance: receiver.balance.saturating_add(transfer.value),
                    ..receiver
                },
            },
        ];
        accounts.sort_unstable_by_key(|effect| effect.address);
        Effects {
            gas_used: transfer.gas_used,
            accounts,
            ..Effects::default()
        }
    }

    /// `written` are accounts with what they are afterwards and whether their storage was removed,
    /// `stored` slots with their values afterwards.
    fn execution(
        &self,
        looks: impl Iterator<Item = Location>,
        written: impl Iterator<Item = (Address, Option<Account>, bool)>,
        stored: impl Iterator<Item = (Address, U256, U256)>,
    ) -> Effects<'a> {
        let mut accounts = AddressMap::<AccountEffect>::default();
        let mut slots = HashMap::<(Address, U256), SlotEffect>::new();
        let account_effect = |address: Address| {
            let before = self.account(address);
            AccountEffect {
                address,
                read: true,
                before,
                after: before,
            }
        };
        let slot_effect = |address: Address, slot: U256| {
            let before = self.slot(address, slot);
            SlotEffect {
                address,
                slot,
                before,
                after: before,
            }
        };
        for look in looks {
            let address = look.address();
            accounts
                .entry(address)
                .or_insert_with(|| account_effect(address));
            if let Some(slot) = look.slot() {
                slots
                    .entry((address, slot))
                    .or_insert_with(|| slot_effect(address, slot));
            }
        }
        for (address, account, wiped) in written {
            accounts
                .entry(address)
                .or_insert_with(|| account_effect(address))
                .after = account.unwrap_or_default();
            if wiped && let Some(known) = self.state.get(&address) {
                for (slot, before) in known.slots.iter().filter(|(_, value)| !value.is_zero()) {
                    slots.insert(
                        (address, *slot),
                        SlotEffect {
                            address,
                            slot: *slot,
                            before: *before,
                            after: U256::ZERO,
                        },
                    );
                }
            }
        }
        for (address, slot, value) in stored {
            accounts
                .entry(address)
                .or_insert_with(|| account_effect(address));
            slots
                .entry((address, slot))
                .or_insert_with(|| slot_effect(address, slot))
                .after = value;
        }
        let mut accounts: Vec<_> = accounts.into_values().collect();
        accounts.sort_unstable_by_key(|effect| effect.address);
        let mut slots: Vec<_> = slots.into_values().collect();
        slots.sort_unstable_by_key(|effect| (effect.address, effect.slot));
        if slots.is_empty() && ran_no_code(&accounts) {
            for effect in &mut accounts {
                effect.read = effect.before.nonce != effect.after.nonce;
            }
        }
        Effects {
            accounts,
            slots,
            ..Effects::default()
        }
    }

    fn credit(&self, effects: &mut Effects<'a>, wei: U256) {
        let address = self.accesses.beneficiary;
        let position = effects
            .accounts
            .binary_search_by_key(&address, |effect| effect.address);
        let index = position.unwrap_or_else(|index| {
            let before = self.account(address);
            effects.accounts.insert(
                index,
                AccountEffect {
                    address,
                    read: false,
                    before,
                    after: before,
                },
            );
            index
        });
        if let Some(effect) = effects.accounts.get_mut(index) {
            effect.after.balance = effect.after.balance.saturating_add(wei);
        }
    }
}

/// Whether a transaction that looked at no slot can only have moved value from its sender, whose
/// nonce tells it, to somebody else.
fn ran_no_code(accounts: &[AccountEffect]) -> bool {
    accounts.len() <= 2
        && accounts
            .iter()
            .all(|effect| !effect.before.has_code() && !effect.after.has_code())
}

/// The last values that the accesses tell of what the block has not changed in the end, which are
/// therefore the first ones too.
#[derive(Debug, Default)]
struct Ends {
    /// `None` where only credits were seen, which came to nothing.
    state: AddressMap<(Option<Account>, U256Map<U256>)>,
}

impl Ends {
    fn new(accesses: &BlockAccesses) -> Self {
        let mut ends = Self::default();
        let transactions = match &accesses.record {
            AccessRecord::Transactions(transactions) => transactions,
            AccessRecord::Lanes(record) => {
                ends.found_by_lanes(record);
                return ends;
            }
        };
        for access in transactions {
            let credit = match access {
                TransactionAccess::Transfer(transfer) => {
                    // A sender's nonce has changed: it is among the changes.
                    ends.credit(transfer.receiver, transfer.value);
                    Some(U256::from(transfer.beneficiary_credit))
                }
                TransactionAccess::Execution {
                    reads,
                    changes,
                    beneficiary_credit,
                    ..
                } => {
                    reads.iter().for_each(|read| ends.read(read));
                    for (address, change) in &changes.accounts {
                        ends.write(*address, change);
                    }
                    *beneficiary_credit
                }
            };
            if let Some(wei) = credit {
                ends.credit(accesses.beneficiary, wei);
            }
        }
        ends
    }

    /// The account that was found first is the one before the block; slots are as in the sequential
    /// record.
    fn found_by_lanes(&mut self, record: &LaneRecord) {
        for (address, account) in record.accounts() {
            let (known, _) = self.state.entry(address).or_default();
            known.get_or_insert(account.unwrap_or_default());
        }
        let mut removed = AddressSet::default();
        for recorded in record.iter() {
            let Recorded::Execution(execution) = recorded else {
                continue;
            };
            for (address, slot, found) in execution.found_slots() {
                let found = if removed.contains(&address) {
                    U256::ZERO
                } else {
                    found
                };
                let (_, slots) = self.state.entry(address).or_default();
                slots.entry(slot).or_insert(found);
            }
            for (address, _, wiped) in execution.accounts() {
                if wiped && let Some((_, slots)) = self.state.get_mut(&address) {
                    slots.values_mut().for_each(|value| *value = U256::ZERO);
                    removed.insert(address);
                }
            }
            for (address, slot, value) in execution.slots() {
                let (_, slots) = self.state.entry(address).or_default();
                slots.insert(slot, value);
            }
        }
    }

    fn credit(&mut self, address: Address, wei: U256) {
        if let Some((Some(account), _)) = self.state.get_mut(&address) {
            account.balance = account.balance.saturating_add(wei);
        }
    }

    fn read(&mut self, read: &Read) {
        let (account, slots) = self.state.entry(read.address()).or_default();
        match *read {
            Read::Account(_, found) => {
                account.get_or_insert(found.unwrap_or_default());
            }
            Read::Slot(_, slot, found) => {
                if let Entry::Vacant(entry) = slots.entry(slot) {
                    entry.insert(found);
                }
            }
            Read::HasStorage(..) => {}
        }
    }

    fn write(&mut self, address: Address, change: &TransactionChange) {
        let (account, slots) = self.state.entry(address).or_default();
        *account = Some(change.account.unwrap_or_default());
        if change.storage_wiped {
            slots.values_mut().for_each(|value| *value = U256::ZERO);
        }
        slots.extend(change.storage.iter().copied());
    }

    fn into_starts(self, changes: &ChangeSet) -> AddressMap<Known> {
        let mut starts: AddressMap<Known> = self
            .state
            .into_iter()
            .map(|(address, (account, slots))| {
                let account = account.unwrap_or_default();
                (address, Known { account, slots })
            })
            .collect();
        for (address, change) in &changes.accounts {
            let known = starts.entry(*address).or_default();
            known.account = change.before.unwrap_or_default();
            known.slots.extend(
                change
                    .storage
                    .iter()
                    .map(|(slot, (before, _))| (*slot, *before)),
            );
        }
        starts
    }
}
