use std::mem;

use alloy_primitives::{B256, Bytes, Log, U256};
use weft_executor_core::{Account, InvalidTransaction};

/// What the transactions of a lane did, in order, by the ids of the lane's places.
#[derive(Debug, Default)]
pub(crate) struct LaneLog {
    looks: Vec<Look>,
    account_writes: Vec<AccountWrite>,
    slot_writes: Vec<(u32, U256)>,
    pub(crate) transactions: Vec<LaneTransaction>,
    /// Transactions that have been taken into the block.
    pub(super) counted: usize,
}

/// A look at the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Account(u32),
    Slot(u32),
    /// Whether the account has any storage.
    HasStorage(u32),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct AccountWrite {
    pub(crate) id: u32,
    pub(crate) account: Option<Account>,
    pub(crate) wiped: bool,
}

/// A transaction of a lane.
#[derive(Debug)]
pub(crate) struct LaneTransaction {
    /// Its index in the block.
    pub(crate) index: u32,
    /// Where what it did ends in the lists of the log.
    ends: Ends,
    pub(crate) result: LaneResult,
}

#[derive(Debug, Clone, Copy, Default)]
struct Ends {
    looks: u32,
    account_writes: u32,
    slot_writes: u32,
}

/// How a transaction ended.
#[derive(Debug)]
pub(crate) enum LaneResult {
    Transfer(LaneTransfer),
    Execution(LaneExecution),
    Invalid(Box<InvalidTransaction>),
}

impl LaneResult {
    /// In gas.
    pub(crate) const fn gas_used(&self) -> u64 {
        match self {
            Self::Transfer(transfer) => transfer.gas_used,
            Self::Execution(execution) => execution.gas_used,
            Self::Invalid(_) => 0,
        }
    }

    /// Takes out the result; what is left has no logs and no code.
    pub(crate) fn take(&mut self) -> Self {
        match self {
            Self::Transfer(transfer) => Self::Transfer(*transfer),
            Self::Execution(execution) => Self::Execution(LaneExecution {
                logs: mem::take(&mut execution.logs),
                code: mem::take(&mut execution.code),
                ..*execution
            }),
            Self::Invalid(reason) => Self::Invalid(reason.clone()),
        }
    }
}

/// A transfer that was done without its layer. Its accounts are not in the lists of the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LaneTransfer {
    pub(crate) sender: u32,
    pub(crate) receiver: u32,
    pub(crate) gas_used: u64,
    pub(crate) value: U256,
    /// In wei.
    pub(crate) fee: u128,
    /// What the block's beneficiary earns, in wei.
    pub(crate) beneficiary_credit: u128,
}

/// An execution by the layer; what it read and wrote is in the lists of the log.
#[derive(Debug)]
pub(crate) struct LaneExecution {
    pub(crate) success: bool,
    /// Time that the execution took, in nanoseconds; of most it is not taken.
    pub(crate) time: Option<u32>,
    pub(crate) gas_used: u64,
    pub(crate) sender_nonce: u64,
    pub(crate) beneficiary_credit: Option<U256>,
    pub(crate) logs: Vec<Log>,
    /// Code that came into being.
    pub(crate) code: Vec<(B256, Bytes)>,
}

/// What one transaction looked at and wrote.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traces<'a> {
    pub(crate) looks: &'a [Look],
    pub(crate) account_writes: &'a [AccountWrite],
    pub(crate) slot_writes: &'a [(u32, U256)],
}

const FEW: usize = 16;

/// Lengths of a lane's lists.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lengths {
    pub(super) transactions: usize,
    pub(super) accounts: usize,
    pub(super) slots: usize,
    pub(super) looks: usize,
    pub(super) account_writes: usize,
    pub(super) slot_writes: usize,
}

impl Lengths {
    pub(super) fn longest(self) -> usize {
        [
            self.transactions,
            self.accounts,
            self.slots,
            self.looks,
            self.account_writes,
            self.slot_writes,
        ]
        .into_iter()
        .fold(0, usize::max)
    }

    /// Those of a lane with another number of transactions that are like these.
    pub(super) fn scaled(self, transactions: usize) -> Self {
        let scale = |length: usize| {
            let most = transactions.saturating_mul(MOST_EXPECTED);
            (length.saturating_mul(transactions) / self.transactions.max(1))
                .saturating_add(FEW)
                .min(most)
        };
        Self {
            transactions,
            accounts: scale(self.accounts),
            slots: scale(self.slots),
            looks: scale(self.looks),
            account_writes: scale(self.account_writes),
            slot_writes: scale(self.slot_writes),
        }
    }
}

/// Entries for each transaction that a list has room for from the start, at most.
const MOST_EXPECTED: usize = 16;

/// Memory that a list has taken, used or not, in bytes.
pub(super) const fn size_of_room<T>(list: &Vec<T>) -> usize {
    list.capacity().saturating_mul(size_of::<T>())
}

fn end<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}

fn part<T>(list: &[T], start: u32, end: u32) -> &[T] {
    list.get(start as usize..end as usize).unwrap_or_default()
}

impl LaneLog {
    /// Makes room for what is expected.
    pub(super) fn reserve(&mut self, lengths: Lengths) {
        self.looks.reserve(lengths.looks);
        self.account_writes.reserve(lengths.account_writes);
        self.slot_writes.reserve(lengths.slot_writes);
        self.transactions.reserve(lengths.transactions);
    }

    pub(super) fn clear(&mut self) {
        self.looks.clear();
        self.account_writes.clear();
        self.slot_writes.clear();
        self.transactions.clear();
        self.counted = 0;
    }

    pub(super) fn lengths(&self) -> Lengths {
        Lengths {
            transactions: self.transactions.len(),
            looks: self.looks.len(),
            account_writes: self.account_writes.len(),
            slot_writes: self.slot_writes.len(),
            ..Lengths::default()
        }
    }

    pub(super) fn look(&mut self, look: Look) {
        self.looks.push(look);
    }

    pub(super) fn write_account(&mut self, id: u32, account: Option<Account>, wiped: bool) {
        self.account_writes
            .push(AccountWrite { id, account, wiped });
    }

    pub(super) fn write_slot(&mut self, id: u32, value: U256) {
        self.slot_writes.push((id, value));
    }

    /// Closes a transaction: all that was written down since the last one is its own.
    pub(super) fn push(&mut self, index: usize, result: LaneResult) {
        self.transactions.push(LaneTransaction {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            ends: Ends {
                looks: end(&self.looks),
                account_writes: end(&self.account_writes),
                slot_writes: end(&self.slot_writes),
            },
            result,
        });
    }

    /// Forgets what was written down since the last transaction.
    pub(super) fn drop_open(&mut self) {
        let ends = self.transactions.last().map(|last| last.ends);
        let ends = ends.unwrap_or_default();
        self.looks.truncate(ends.looks as usize);
        self.account_writes.truncate(ends.account_writes as usize);
        self.slot_writes.truncate(ends.slot_writes as usize);
    }

    /// The first looks since the last transaction, as many as are quickly gone through.
    pub(super) fn few_open_looks(&self) -> &[Look] {
        let start = self.transactions.last().map_or(0, |last| last.ends.looks) as usize;
        let end = self.looks.len().min(start.saturating_add(FEW));
        self.looks.get(start..end).unwrap_or_default()
    }

    /// What the lane's transaction at this position looked at and wrote.
    pub(crate) fn traces(&self, position: usize) -> Traces<'_> {
        let ends_of = |position: usize| self.transactions.get(position).map(|entry| entry.ends);
        let start = position
            .checked_sub(1)
            .and_then(ends_of)
            .unwrap_or_default();
        let end = ends_of(position).unwrap_or(start);
        Traces {
            looks: part(&self.looks, start.looks, end.looks),
            account_writes: part(
                &self.account_writes,
                start.account_writes,
                end.account_writes,
            ),
            slot_writes: part(&self.slot_writes, start.slot_writes, end.slot_writes),
        }
    }

    /// Memory that it takes, in bytes, roughly.
    pub(crate) fn size(&self) -> usize {
        size_of_room(&self.looks)
            .saturating_add(size_of_room(&self.account_writes))
            .saturating_add(size_of_room(&self.slot_writes))
            .saturating_add(size_of_room(&self.transactions))
    }
}
