use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    convert::Infallible,
    mem,
};

use alloy_primitives::{
    Address, B256, Bytes, U256, keccak256,
    map::{AddressMap, B256Map, DefaultHashBuilder, U256Map},
};

use crate::{
    Account, AccountChange, ChangeSet, PartedMap, SortedMap, StateView, TransactionChange,
    TransactionChanges, WrittenSlot,
};

/// A base state with the changes of a block's transactions on top: what the next transaction of
/// the block sees. It remembers what it read from the base, so that each value is read once, and
/// turns into the block's [`ChangeSet`] at the end.
#[derive(Debug)]
pub struct Overlay<S> {
    base: S,
    places: AddressMap<Place>,
    accounts: Vec<OverlayAccount>,
    code: B256Map<Bytes>,
    new_code: BTreeMap<B256, Bytes>,
}

/// Where an [`Overlay`] has an account, for as long as it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(u32);

#[derive(Debug)]
struct OverlayAccount {
    address: Address,
    before: Option<Account>,
    current: Option<Account>,
    written: bool,
    wiped: bool,
    /// Boxed, because most accounts have none.
    slots: Option<Box<U256Map<WrittenSlot>>>,
}

impl<S: StateView> Overlay<S> {
    /// An overlay without changes.
    pub fn new(base: S) -> Self {
        Self {
            base,
            places: AddressMap::default(),
            accounts: Vec::new(),
            code: HashMap::default(),
            new_code: BTreeMap::new(),
        }
    }

    /// Where the account is, whether it exists or not.
    ///
    /// # Errors
    /// When it has to be read from the base and cannot be.
    pub fn locate(&mut self, address: Address) -> Result<Place, S::Error> {
        match self.places.entry(address) {
            Entry::Occupied(entry) => Ok(*entry.get()),
            Entry::Vacant(entry) => {
                let before = self.base.account(address)?;
                // More accounts than that do not fit into memory.
                let place = Place(u32::try_from(self.accounts.len()).unwrap_or(u32::MAX));
                self.accounts.push(OverlayAccount {
                    address,
                    before,
                    current: before,
                    written: false,
                    wiped: false,
                    slots: None,
                });
                Ok(*entry.insert(place))
            }
        }
    }

    /// The account at a place; `None` when it does not exist.
    pub fn account_at(&self, place: Place) -> Option<Account> {
        self.at(place).current
    }

    /// Sets the account at a place, and leaves its storage as it is.
    pub fn set_account_at(&mut self, place: Place, account: Option<Account>) {
        let entry = self.at_mut(place);
        entry.current = account;
        entry.written = true;
    }

    /// Value of a slot of the account at a place.
    ///
    /// # Errors
    /// When it has to be read from the base and cannot be.
    pub fn storage_at(&mut self, place: Place, slot: U256) -> Result<U256, S::Error> {
        let account = self.at(place);
        if let Some(known) = account.slots.as_ref().and_then(|slots| slots.get(&slot)) {
            return Ok(known.current);
        }
        let (address, wiped) = (account.address, account.wiped);
        let before = if account.before.is_some() {
            self.base.storage(address, slot)?
        } else {
            U256::ZERO
        };
        let current = if wiped { U256::ZERO } else { before };
        let known = WrittenSlot {
            before,
            current,
            written: wiped,
        };
        let slots = self.at_mut(place).slots.get_or_insert_default();
        slots.insert(slot, known);
        Ok(current)
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "accounts are never removed, so a place stays one"
    )]
    fn at(&self, place: Place) -> &OverlayAccount {
        &self.accounts[place.0 as usize]
    }

    #[expect(clippy::indexing_slicing, reason = "as in `at`")]
    fn at_mut(&mut self, place: Place) -> &mut OverlayAccount {
        &mut self.accounts[place.0 as usize]
    }

    fn entry(&mut self, address: Address) -> Result<&mut OverlayAccount, S::Error> {
        let place = self.locate(address)?;
        Ok(self.at_mut(place))
    }

    /// Puts a transaction's changes on top.
    ///
    /// # Errors
    /// When a value before the change has to be read from the base and cannot be.
    pub fn apply(&mut self, changes: &TransactionChanges) -> Result<(), S::Error> {
        for (address, change) in &changes.accounts {
            self.apply_account(*address, change)?;
        }
        for (hash, code) in &changes.code {
            self.insert_code(*hash, code.clone());
        }
        Ok(())
    }

    /// Puts on top what a transaction wrote to one account.
    ///
    /// # Errors
    /// As [`Overlay::apply`].
    pub fn apply_account(
        &mut self,
        address: Address,
        change: &TransactionChange,
    ) -> Result<(), S::Error> {
        let place = self.locate(address)?;
        for (slot, _) in &change.storage {
            // Afterwards the slot is known, with its value before the block.
            self.storage_at(place, *slot)?;
        }
        let account = self.at_mut(place);
        account.current = change.account;
        account.written = true;
        if change.storage_wiped {
            account.wiped = true;
            for slot in account
                .slots
                .iter_mut()
                .flat_map(|slots| slots.values_mut())
            {
                slot.written = true;
                slot.current = U256::ZERO;
            }
        }
        if let Some(slots) = &mut account.slots {
            for (slot, value) in &change.storage {
                if let Some(slot) = slots.get_mut(slot) {
                    slot.current = *value;
                    slot.written = true;
                }
            }
        }
        Ok(())
    }

    /// Puts code that came into being on top.
    pub fn insert_code(&mut self, code_hash: B256, code: Bytes) {
        self.code.insert(code_hash, code.clone());
        self.new_code.insert(code_hash, code);
    }

    /// What the block changed. Accounts and slots that were written back to what they had been
    /// are left out.
    pub fn into_changes(mut self) -> ChangeSet {
        let mut order: Vec<(Address, usize)> = self
            .accounts
            .iter()
            .enumerate()
            .filter(|(_, account)| account.written)
            .map(|(index, account)| (account.address, index))
            .collect();
        order.sort_unstable();
        let mut accounts = Vec::with_capacity(order.len());
        accounts.extend(order.into_iter().filter_map(|(address, index)| {
            let change = self.accounts.get_mut(index)?.take_change()?;
            Some((address, change))
        }));
        ChangeSet {
            accounts: PartedMap::from_parts([SortedMap::from_sorted(accounts)]),
            code: self.new_code,
        }
    }
}

impl OverlayAccount {
    /// What was changed in the account; `None` when that is nothing.
    fn take_change(&mut self) -> Option<AccountChange> {
        let slots = mem::take(&mut self.slots);
        AccountChange::between(
            self.before,
            self.current,
            self.wiped,
            slots.into_iter().flat_map(|slots| *slots),
        )
    }
}

impl<S: StateView> StateView for Overlay<S> {
    type Error = S::Error;

    fn account(&mut self, address: Address) -> Result<Option<Account>, S::Error> {
        Ok(self.entry(address)?.current)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, S::Error> {
        let place = self.locate(address)?;
        self.storage_at(place, slot)
    }

    fn has_storage(&mut self, address: Address) -> Result<bool, S::Error> {
        let account = self.entry(address)?;
        let mut slots = account.slots.iter().flat_map(|slots| slots.values());
        if slots.any(|slot| !slot.current.is_zero()) {
            return Ok(true);
        }
        // Nothing clears single slots of an account that has no code.
        if account.wiped || account.before.is_none() {
            return Ok(false);
        }
        self.base.has_storage(address)
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, S::Error> {
        match self.code.entry(code_hash) {
            Entry::Occupied(entry) => Ok(entry.get().clone()),
            Entry::Vacant(entry) => Ok(entry.insert(self.base.code(code_hash)?).clone()),
        }
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, S::Error> {
        self.base.block_hash(number)
    }
}

/// A whole state in memory: the base of tests, of replayed fixtures and of benchmarks.
#[derive(Debug, Clone, Default)]
pub struct MemoryState {
    /// Accounts that exist.
    pub accounts: HashMap<Address, Account, DefaultHashBuilder>,
    /// Slots that are not zero, of the accounts that have any.
    pub storage: HashMap<Address, BTreeMap<U256, U256>, DefaultHashBuilder>,
    /// Code by its hash.
    pub code: HashMap<B256, Bytes, DefaultHashBuilder>,
    /// Hashes of earlier blocks by number.
    pub block_hashes: BTreeMap<u64, B256>,
}

impl MemoryState {
    /// Puts an account with code and storage into the state.
    pub fn insert(
        &mut self,
        address: Address,
        nonce: u64,
        balance: U256,
        code: Bytes,
        storage: impl IntoIterator<Item = (U256, U256)>,
    ) {
        let code_hash = keccak256(&code);
        if !code.is_empty() {
            self.code.insert(code_hash, code);
        }
        self.accounts.insert(
            address,
            Account {
                nonce,
                balance,
                code_hash,
            },
        );
        let storage: BTreeMap<_, _> = storage
            .into_iter()
            .filter(|(_, value)| !value.is_zero())
            .collect();
        if storage.is_empty() {
            self.storage.remove(&address);
        } else {
            self.storage.insert(address, storage);
        }
    }

    /// Goes forward by one block.
    pub fn apply(&mut self, changes: &ChangeSet) {
        for (address, change) in &changes.accounts {
            match change.after {
                Some(account) => self.accounts.insert(*address, account),
                None => self.accounts.remove(address),
            };
            let slots = self.storage.entry(*address).or_default();
            if change.storage_wiped {
                slots.clear();
            }
            for (slot, (_, value)) in &change.storage {
                if value.is_zero() {
                    slots.remove(slot);
                } else {
                    slots.insert(*slot, *value);
                }
            }
            if slots.is_empty() {
                self.storage.remove(address);
            }
        }
        self.code.extend(
            changes
                .code
                .iter()
                .map(|(hash, code)| (*hash, code.clone())),
        );
    }
}

impl StateView for MemoryState {
    type Error = Infallible;

    fn account(&mut self, address: Address) -> Result<Option<Account>, Infallible> {
        (&*self).account(address)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Infallible> {
        (&*self).storage(address, slot)
    }

    fn has_storage(&mut self, address: Address) -> Result<bool, Infallible> {
        (&*self).has_storage(address)
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, Infallible> {
        (&*self).code(code_hash)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Infallible> {
        (&*self).block_hash(number)
    }
}

impl StateView for &MemoryState {
    type Error = Infallible;

    fn account(&mut self, address: Address) -> Result<Option<Account>, Infallible> {
        Ok(self.accounts.get(&address).copied())
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Infallible> {
        Ok(self
            .storage
            .get(&address)
            .and_then(|slots| slots.get(&slot))
            .copied()
            .unwrap_or_default())
    }

    fn has_storage(&mut self, address: Address) -> Result<bool, Infallible> {
        Ok(self.storage.contains_key(&address))
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, Infallible> {
        Ok(self.code.get(&code_hash).cloned().unwrap_or_default())
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Infallible> {
        Ok(self.block_hashes.get(&number).copied().unwrap_or_default())
    }
}
