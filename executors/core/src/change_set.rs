use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};

use crate::Account;

/// What one transaction wrote: the values after it, of what it changed only.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransactionChanges {
    /// Accounts written, each address at most once.
    pub accounts: Vec<(Address, TransactionChange)>,
    /// Code that came into being, by its hash.
    pub code: Vec<(B256, Bytes)>,
}

/// What one transaction wrote to one account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransactionChange {
    /// The account afterwards; `None` when it does not exist any more.
    pub account: Option<Account>,
    /// Whether all storage from before the transaction is gone; `storage` is written after that.
    pub storage_wiped: bool,
    /// Slots written, each at most once, with their values afterwards. Those that a contract looked
    /// at in the transaction that created it are among them, because they are not read from the state.
    pub storage: Vec<(U256, U256)>,
}

/// What a block changed, with the values before and after: enough to go forward and back.
///
/// Ordered maps, so that two equal change sets are equal byte for byte wherever they are written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChangeSet {
    /// Accounts that the block wrote.
    pub accounts: BTreeMap<Address, AccountChange>,
    /// Code that came into being, by its hash.
    pub code: BTreeMap<B256, Bytes>,
}

/// What a block changed in one account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountChange {
    /// The account before the block; `None` when it did not exist.
    pub before: Option<Account>,
    /// The account after the block; `None` when it does not exist any more.
    pub after: Option<Account>,
    /// Whether storage from before the block that is not in `storage` is gone. The store looks up
    /// what that was.
    pub storage_wiped: bool,
    /// Slots written: value before and after the block. Equal values may occur.
    pub storage: BTreeMap<U256, (U256, U256)>,
}
