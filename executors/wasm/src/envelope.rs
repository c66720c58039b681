use std::collections::{BTreeMap, btree_map::Entry};

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, TxKind, U256, map::AddressMap};
use weft_executor_core::{
    Account, Execution, HaltReason, Outcome, StateView, TransactionChange, TransactionChanges,
};

use crate::{journal::Effects, masked::STOP_HASH, message::Message};

/// A refund is at most the gas spent over this (EIP-3529).
const MAX_REFUND_QUOTIENT: u64 = 5;

/// What an authorization of an account that exists refunds (EIP-7702, PER_EMPTY_ACCOUNT_COST less
/// PER_AUTH_BASE_COST).
const AUTHORIZATION_REFUND: u64 = 12_500;

/// A transaction as the inner layer executed it, without what the program does: checked, nonce
/// counted, value moved, fees paid for the gas used so far. [`Envelope::finish`] adds what the
/// program did and settles the rest.
pub(crate) struct Envelope {
    execution: Execution,
    accounts: BTreeMap<Address, TransactionChange>,
}

/// What happened inside an envelope. `gas_left` is what is left of the gas that the message has
/// beyond its intrinsic gas.
pub(crate) enum Content {
    /// A program ran and returned.
    Returned {
        program: Address,
        output: Bytes,
        effects: Effects,
        gas_left: u64,
    },
    /// A program came into being.
    Created {
        program: Address,
        code: Bytes,
        code_hash: B256,
        gas_left: u64,
    },
    /// A program ran and reverted.
    Reverted { output: Bytes, gas_left: u64 },
    /// It was stopped.
    Halted(HaltReason),
}

impl Content {
    fn gas_left(&self) -> u64 {
        match self {
            Self::Returned { gas_left, .. }
            | Self::Created { gas_left, .. }
            | Self::Reverted { gas_left, .. } => *gas_left,
            Self::Halted(_) => 0,
        }
    }

    fn refund(&self) -> u64 {
        match self {
            Self::Returned { effects, .. } => effects.refund,
            _ => 0,
        }
    }
}

impl Envelope {
    /// Takes an execution apart. `masked` is the program whose code the inner layer did not see,
    /// with the hash of its code.
    pub(crate) fn new(mut execution: Execution, masked: Option<(Address, B256)>) -> Self {
        let changes = std::mem::take(&mut execution.changes);
        let mut accounts: BTreeMap<_, _> = changes.accounts.into_iter().collect();
        if let Some((program, code_hash)) = masked
            && let Some(account) = accounts
                .get_mut(&program)
                .and_then(|change| change.account.as_mut())
            && account.code_hash == STOP_HASH
        {
            account.code_hash = code_hash;
        }
        execution.changes.code = changes.code;
        Self {
            execution,
            accounts,
        }
    }

    /// How the inner layer says that the transaction ended.
    pub(crate) fn outcome(&self) -> &Outcome {
        &self.execution.outcome
    }

    /// The execution as the inner layer left it.
    pub(crate) fn unchanged(mut self) -> Execution {
        self.execution.changes.accounts = self.accounts.into_iter().collect();
        self.execution
    }

    /// The accounts that the transaction has written, as they are while it runs: the sender has
    /// paid for the whole gas limit, and the beneficiary has earned nothing yet.
    pub(crate) fn accounts_while_running(
        &self,
        message: &Message<'_>,
        beneficiary: Address,
    ) -> AddressMap<Option<Account>> {
        let used = self.execution.gas_used;
        let mut accounts: AddressMap<Option<Account>> = self
            .accounts
            .iter()
            .map(|(address, change)| (*address, change.account))
            .collect();
        if let Some(Some(sender)) = accounts.get_mut(&message.sender) {
            let reimbursed = fee(message.gas_limit.saturating_sub(used), message.gas_price);
            sender.balance = sender.balance.saturating_sub(reimbursed);
        }
        if self.execution.beneficiary_credit.is_none()
            && let Some(Some(account)) = accounts.get_mut(&beneficiary)
        {
            account.balance = account.balance.saturating_sub(fee(used, message.tip()));
        }
        accounts
    }

    /// The whole execution.
    pub(crate) fn finish<S: StateView>(
        mut self,
        message: &Message<'_>,
        beneficiary: Address,
        content: Content,
        state: &mut S,
    ) -> Result<Execution, S::Error> {
        let refund = self
            .authorization_refund(message, state)?
            .saturating_add(content.refund());
        let (gas_used, gas_refunded) = settled_gas(message, content.gas_left(), refund);
        let mut logs = Vec::new();
        let outcome = match content {
            Content::Returned {
                program,
                output,
                effects,
                ..
            } => {
                logs = effects.logs;
                if !effects.storage.is_empty() {
                    self.change(program, state)?.storage = effects.storage;
                }
                Outcome::Success {
                    output,
                    created: None,
                }
            }
            Content::Created {
                program,
                code,
                code_hash,
                ..
            } => {
                self.account(program, state)?.code_hash = code_hash;
                self.execution.changes.code = vec![(code_hash, code.clone())];
                Outcome::Success {
                    output: code,
                    created: Some(program),
                }
            }
            Content::Reverted { output, .. } => {
                self.undo(message, state)?;
                Outcome::Revert { output }
            }
            Content::Halted(reason) => {
                self.undo(message, state)?;
                Outcome::Halt { reason }
            }
        };
        let charged = self.execution.gas_used;
        let (price, tip) = (message.gas_price, message.tip());
        if price != 0 && gas_used != charged {
            let sender = self.account(message.sender, state)?;
            sender.balance =
                (sender.balance + fee(charged, price)).saturating_sub(fee(gas_used, price));
        }
        if let Some(credit) = &mut self.execution.beneficiary_credit {
            *credit = fee(gas_used, tip);
        } else if tip != 0 && gas_used != charged {
            let earner = self.account(beneficiary, state)?;
            earner.balance =
                (earner.balance + fee(gas_used, tip)).saturating_sub(fee(charged, tip));
        }
        Ok(Execution {
            outcome,
            gas_used,
            gas_refunded,
            logs,
            sender_nonce: self.execution.sender_nonce,
            beneficiary_credit: self.execution.beneficiary_credit,
            changes: TransactionChanges {
                accounts: self.accounts.into_iter().collect(),
                code: self.execution.changes.code,
            },
        })
    }

    /// What the authorizations refund before the cap: each of an account that exists already
    /// (EIP-7702). The inner layer says only what is left of it after the cap on its own gas, so it
    /// is counted again: every valid authorization has raised the nonce of its account by one.
    fn authorization_refund<S: StateView>(
        &self,
        message: &Message<'_>,
        state: &mut S,
    ) -> Result<u64, S::Error> {
        if message.authorizations == 0 {
            return Ok(0);
        }
        let mut refunded: u64 = 0;
        for (address, change) in &self.accounts {
            let before = state.account(*address)?;
            let had = before.map_or(0, |account| account.nonce);
            let has = change.account.map_or(0, |account| account.nonce);
            let other_steps = if *address == message.sender {
                let assumed = message.assumed_nonce.unwrap_or(had);
                assumed.saturating_add(1)
            } else if before.is_some() {
                had
            } else {
                // The first authorization of an account brings it into being.
                had.saturating_add(1)
            };
            refunded = refunded.saturating_add(has.saturating_sub(other_steps));
        }
        Ok(refunded.saturating_mul(AUTHORIZATION_REFUND))
    }

    /// Takes back what a transaction that fails does not keep: the value moved and the account
    /// created. Nonce, fees, authorizations and a deposit's mint stay.
    fn undo<S: StateView>(&mut self, message: &Message<'_>, state: &mut S) -> Result<(), S::Error> {
        let created = match self.execution.outcome {
            Outcome::Success { created, .. } => created,
            _ => None,
        };
        let receiver = match message.kind {
            TxKind::Call(receiver) => Some(receiver),
            TxKind::Create => created,
        };
        let Some(receiver) = receiver else {
            return Ok(());
        };
        if !message.value.is_zero() {
            let account = self.account(receiver, state)?;
            account.balance = account.balance.saturating_sub(message.value);
            let sender = self.account(message.sender, state)?;
            sender.balance += message.value;
        }
        let change = self.change(receiver, state)?;
        change.storage_wiped = false;
        if created.is_some()
            && let Some(account) = &mut change.account
        {
            account.nonce = 0;
            account.code_hash = KECCAK256_EMPTY;
            if account.is_empty() {
                change.account = None;
            }
        }
        if change.account == state.account(receiver)? {
            self.accounts.remove(&receiver);
        }
        Ok(())
    }

    /// What the transaction writes to an account; without a change so far, the account as it was.
    fn change<S: StateView>(
        &mut self,
        address: Address,
        state: &mut S,
    ) -> Result<&mut TransactionChange, S::Error> {
        match self.accounts.entry(address) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let account = state.account(address)?;
                Ok(entry.insert(TransactionChange {
                    account,
                    ..TransactionChange::default()
                }))
            }
        }
    }

    fn account<S: StateView>(
        &mut self,
        address: Address,
        state: &mut S,
    ) -> Result<&mut Account, S::Error> {
        let change = self.change(address, state)?;
        Ok(change.account.get_or_insert_default())
    }
}

/// Gas used and gas refunded of the whole transaction, of which `refund` may be refunded (EIP-3529,
/// EIP-7623).
fn settled_gas(message: &Message<'_>, gas_left: u64, refund: u64) -> (u64, u64) {
    let spent = message.gas_limit.saturating_sub(gas_left);
    let refund = refund.min(spent / MAX_REFUND_QUOTIENT);
    let floor = message.floor_gas();
    if spent - refund < floor {
        (floor, 0)
    } else {
        (spent - refund, refund)
    }
}

/// Wei for this much gas. Never above what the sender was found to have, and so without overflow.
fn fee(gas: u64, price: u128) -> U256 {
    U256::from(gas) * U256::from(price)
}
