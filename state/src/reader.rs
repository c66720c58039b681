use std::{fmt, sync::Arc};

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use fjall::Snapshot;
use weft_executor_core::{Account, StateView};

use crate::{
    StateError,
    cache::Held,
    encoding,
    store::{Head, Inner},
    tables::Table,
};

/// The world state after one block, as of when the reader was made: later commits do not show.
///
/// Cloning is cheap. While a reader lives, the database keeps what it can see, so it should live
/// no longer than a request or a block.
#[derive(Clone)]
pub struct StateReader {
    store: Arc<Inner>,
    head: Arc<Head>,
    number: u64,
}

impl fmt::Debug for StateReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateReader")
            .field("number", &self.number)
            .field("head", &self.head.header.number)
            .finish_non_exhaustive()
    }
}

impl StateReader {
    /// State after block `number`, which is not above the head.
    pub(crate) const fn new(store: Arc<Inner>, head: Arc<Head>, number: u64) -> Self {
        Self {
            store,
            head,
            number,
        }
    }

    /// Number of the block whose state this is.
    pub const fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn store_and_snapshot(&self) -> (&Inner, &Snapshot) {
        (&self.store, &self.head.snapshot)
    }

    /// The value that the first later block found, if a later block changed it: `key_at` makes the
    /// history's key for a block.
    fn past<T, K: AsRef<[u8]>>(
        &self,
        history: &Table,
        key_at: impl Fn(u64) -> K,
        decode: impl FnOnce(&[u8]) -> Result<T, alloy_rlp::Error>,
    ) -> Result<Option<T>, StateError> {
        if self.number >= self.head.header.number {
            return Ok(None);
        }
        let first = key_at(self.number.saturating_add(1));
        let last = key_at(u64::MAX);
        let entry = history.first_in(&self.head.snapshot, first.as_ref()..=last.as_ref())?;
        entry
            .map(|(key, value)| decode(&value).map_err(|error| history.corrupt(&key, error)))
            .transpose()
    }

    /// The account after the last block that this reader knows.
    fn latest_account(&self, address: Address) -> Result<Option<Account>, StateError> {
        let at = self.head.header.number;
        if let Some(account) = self.head.hot.account(address, at) {
            return Ok(account);
        }
        let account = self.store.tables.accounts.read(
            &self.head.snapshot,
            address.as_slice(),
            encoding::decode_account,
        )?;
        self.head.hot.fill(Held::account(address, account), at);
        Ok(account)
    }

    /// As [`StateReader::latest_account`].
    fn latest_slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        let at = self.head.header.number;
        if let Some(value) = self.head.hot.slot(address, slot, at) {
            return Ok(value);
        }
        let value = self
            .store
            .tables
            .storage
            .read(
                &self.head.snapshot,
                &encoding::storage_key(address, slot),
                encoding::decode_word,
            )?
            .unwrap_or_default();
        let held = Held::Slot {
            address,
            slot,
            value,
        };
        self.head.hot.fill(held, at);
        Ok(value)
    }
}

impl StateView for StateReader {
    type Error = StateError;

    fn account(&mut self, address: Address) -> Result<Option<Account>, StateError> {
        let past = self.past(
            &self.store.tables.account_history,
            |block| encoding::account_history_key(address, block),
            encoding::decode_past_account,
        )?;
        match past {
            Some(account) => Ok(account),
            None => self.latest_account(address),
        }
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, StateError> {
        let past = self.past(
            &self.store.tables.storage_history,
            |block| encoding::storage_history_key(address, slot, block),
            encoding::decode_word,
        )?;
        match past {
            Some(value) => Ok(value),
            None => self.latest_slot(address, slot),
        }
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, StateError> {
        if code_hash == KECCAK256_EMPTY {
            return Ok(Bytes::new());
        }
        if let Some(code) = self.head.hot.code(&code_hash) {
            return Ok(code);
        }
        let code = &self.store.tables.code;
        let bytes = code
            .get(&self.head.snapshot, code_hash.as_slice())?
            .ok_or_else(|| {
                code.corrupt(
                    code_hash.as_slice(),
                    "an account names this code, found no entry",
                )
            })?;
        // A copy, because what the database gives may hold a whole block of its file in memory.
        let bytes = Bytes::copy_from_slice(&bytes);
        self.head.hot.fill_code(code_hash, bytes.clone());
        Ok(bytes)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, StateError> {
        if number > self.number {
            return Ok(B256::ZERO);
        }
        Ok(self
            .store
            .tables
            .headers
            .read(
                &self.head.snapshot,
                &encoding::number_key(number),
                |bytes| encoding::split_header(bytes).map(|(hash, _)| hash),
            )?
            .unwrap_or_default())
    }
}
