use std::{cmp::Ordering, fmt};

use alloy_eip7928::{
    AccountChanges, BlockAccessList, BlockAccessListValidationError, validate_block_access_list,
};
use alloy_primitives::{Address, U256, keccak256};

/// What is wrong with an access list that somebody has given: the first difference to what the
/// block's execution gives, in the order of the list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FalseAccessList {
    /// It is no access list of a block with so many transactions.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Nobody looked at an account that is listed.
    #[error("{0} is listed, and nobody looked at it")]
    NeedlessAccount(Address),
    /// An account that somebody looked at is not listed.
    #[error("{0} is not listed, and somebody looked at it")]
    MissingAccount(Address),
    /// An entry of an account is wrong.
    #[error("{entry} of {address} after transaction {index}: expected {}, found {}", value(.expected), value(.found))]
    Entry {
        /// The account.
        address: Address,
        /// What the entry is about.
        entry: ListEntry,
        /// Index in the block, 1 for the first transaction; 0 for a slot that was only read.
        index: u64,
        /// The value that execution gives, of code its hash; `None` when there is no such entry.
        expected: Option<U256>,
        /// The value in the list; `None` when there is no such entry.
        found: Option<U256>,
    },
}

/// What the check of an access list that somebody has given came to.
pub type AccessListVerdict = Result<(), FalseAccessList>;

/// What an entry of an access list is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListEntry {
    /// A slot that was changed.
    SlotChange(U256),
    /// A slot that was only read.
    SlotRead(U256),
    /// A balance, in wei.
    Balance,
    /// A nonce.
    Nonce,
    /// Code.
    Code,
}

impl fmt::Display for ListEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SlotChange(slot) => write!(f, "slot {slot:#x}"),
            Self::SlotRead(slot) => write!(f, "read of slot {slot:#x}"),
            Self::Balance => f.write_str("balance"),
            Self::Nonce => f.write_str("nonce"),
            Self::Code => f.write_str("code"),
        }
    }
}

fn value(value: &Option<U256>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| format!("{value:#x}"))
}

/// Whether a list is one of a block with so many transactions, true or not.
pub(crate) fn check_form(
    list: &BlockAccessList,
    transactions: usize,
) -> Result<(), FalseAccessList> {
    validate_block_access_list(list, transactions).map_err(
        |error: BlockAccessListValidationError| FalseAccessList::Malformed(error.to_string()),
    )
}

/// Compares a well-formed list with the true one.
pub(crate) fn compare(
    expected: &BlockAccessList,
    found: &BlockAccessList,
) -> Result<(), FalseAccessList> {
    let (mut expected, mut found) = (expected.iter().peekable(), found.iter().peekable());
    loop {
        let (left, right) = match (expected.peek(), found.peek()) {
            (None, None) => return Ok(()),
            (Some(left), None) => return Err(FalseAccessList::MissingAccount(left.address)),
            (None, Some(right)) => return Err(FalseAccessList::NeedlessAccount(right.address)),
            (Some(left), Some(right)) => (*left, *right),
        };
        match left.address.cmp(&right.address) {
            Ordering::Less => return Err(FalseAccessList::MissingAccount(left.address)),
            Ordering::Greater => return Err(FalseAccessList::NeedlessAccount(right.address)),
            Ordering::Equal if left == right => {}
            Ordering::Equal => return compare_accounts(left, right),
        }
        expected.next();
        found.next();
    }
}

fn compare_accounts(
    expected: &AccountChanges,
    found: &AccountChanges,
) -> Result<(), FalseAccessList> {
    let address = expected.address;
    let (expected, found) = (entries(expected), entries(found));
    let (mut expected, mut found) = (
        expected.into_iter().peekable(),
        found.into_iter().peekable(),
    );
    loop {
        let (left, right) = (expected.peek().copied(), found.peek().copied());
        let (key, left, right) = match (left, right) {
            (None, None) => return Ok(()),
            (Some((key, value)), None) => (key, Some(value), None),
            (None, Some((key, value))) => (key, None, Some(value)),
            (Some((left, value)), Some((right, _))) if left < right => (left, Some(value), None),
            (Some((left, _)), Some((right, value))) if left > right => (right, None, Some(value)),
            (Some((key, left)), Some((_, right))) => (key, Some(left), Some(right)),
        };
        if left != right {
            let (entry, index) = key;
            return Err(FalseAccessList::Entry {
                address,
                entry,
                index,
                expected: left,
                found: right,
            });
        }
        expected.next();
        found.next();
    }
}

type Entry = ((ListEntry, u64), U256);

/// An account's entries, in the order of [`ListEntry`].
fn entries(account: &AccountChanges) -> Vec<Entry> {
    let slots = account.storage_changes.iter().flat_map(|slot| {
        slot.changes.iter().map(|change| {
            let key = (
                ListEntry::SlotChange(slot.slot),
                change.block_access_index.get(),
            );
            (key, change.new_value)
        })
    });
    let reads = account
        .storage_reads
        .iter()
        .map(|slot| ((ListEntry::SlotRead(*slot), 0), U256::ZERO));
    let balances = account.balance_changes.iter().map(|change| {
        let key = (ListEntry::Balance, change.block_access_index.get());
        (key, change.post_balance)
    });
    let nonces = account.nonce_changes.iter().map(|change| {
        let key = (ListEntry::Nonce, change.block_access_index.get());
        (key, U256::from(change.new_nonce))
    });
    let code = account.code_changes.iter().map(|change| {
        let key = (ListEntry::Code, change.block_access_index.get());
        (key, keccak256(&change.new_code).into())
    });
    slots
        .chain(reads)
        .chain(balances)
        .chain(nonces)
        .chain(code)
        .collect()
}
