use std::{collections::BTreeMap, vec};

use alloy_primitives::{Address, B256, Bytes, U256};
use crossbeam_utils::CachePadded;
use weft_executor_core::{
    Account, ChangeSet, Overlay, Place, SortedMap, StateView, TransactionChanges,
};

use crate::{memory::Memory, settlement::WorldState, sync::Mutex};

/// The state of a block in the making, which threads read while one of them settles: the base with
/// all settled changes.
///
/// Addresses are spread over the shards by their first bits, in order.
#[derive(Debug)]
pub(crate) struct Space<S> {
    shards: Box<[CachePadded<Mutex<Overlay<S>>>]>,
    shift: u32,
}

/// Most shards; a power of two.
const MAX_SHARDS: usize = 256;

impl<S: StateView + Clone> Space<S> {
    pub(crate) fn new(base: &S, threads: usize, memory: &Memory) -> Self {
        let shards = threads
            .saturating_mul(16)
            .clamp(2, MAX_SHARDS)
            .next_power_of_two();
        Self {
            shards: (0..shards)
                .map(|_| {
                    CachePadded::new(Mutex::new(Overlay::with_memory(
                        base.clone(),
                        memory.take(),
                    )))
                })
                .collect(),
            shift: u16::BITS - shards.trailing_zeros(),
        }
    }

    fn shard_of(&self, key: &[u8]) -> u16 {
        let prefix = key
            .first_chunk()
            .map_or(0, |bytes| u16::from_be_bytes(*bytes));
        prefix >> self.shift
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "`shard_of` leaves as many bits as there are shards"
    )]
    fn shard(&self, index: u16) -> &Mutex<Overlay<S>> {
        &self.shards[usize::from(index)]
    }

    fn with<T>(&self, key: &[u8], use_shard: impl FnOnce(&mut Overlay<S>) -> T) -> T {
        use_shard(&mut self.shard(self.shard_of(key)).lock())
    }

    /// The shards' parts of the block's changes, in the order of their addresses.
    pub(crate) fn into_shards(self) -> vec::IntoIter<Overlay<S>> {
        self.shards
            .into_vec()
            .into_iter()
            .map(|shard| CachePadded::into_inner(shard).into_inner())
            .collect::<Vec<_>>()
            .into_iter()
    }
}

/// Joins the parts of the shards. Their addresses ascend from part to part.
pub(crate) fn join(parts: Vec<ChangeSet>) -> ChangeSet {
    let mut accounts = Vec::with_capacity(parts.iter().map(|part| part.accounts.len()).sum());
    let mut code = BTreeMap::new();
    for part in parts {
        accounts.extend(part.accounts);
        code.extend(part.code);
    }
    ChangeSet {
        accounts: SortedMap::from_sorted(accounts),
        code,
    }
}

/// Where the space has an account.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpacePlace {
    shard: u16,
    place: Place,
}

/// A thread's access to the space.
#[derive(Debug)]
pub(crate) struct SpaceView<'a, S> {
    space: &'a Space<S>,
    base: S,
}

impl<'a, S: StateView + Clone> SpaceView<'a, S> {
    pub(crate) const fn new(space: &'a Space<S>, base: S) -> Self {
        Self { space, base }
    }
}

impl<S: StateView + Clone> StateView for SpaceView<'_, S> {
    type Error = S::Error;

    fn account(&mut self, address: Address) -> Result<Option<Account>, S::Error> {
        self.space
            .with(address.as_slice(), |shard| shard.account(address))
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, S::Error> {
        self.space
            .with(address.as_slice(), |shard| shard.storage(address, slot))
    }

    fn has_storage(&mut self, address: Address) -> Result<bool, S::Error> {
        self.space
            .with(address.as_slice(), |shard| shard.has_storage(address))
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, S::Error> {
        self.space
            .with(code_hash.as_slice(), |shard| shard.code(code_hash))
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, S::Error> {
        self.base.block_hash(number)
    }
}

impl<S: StateView + Clone> WorldState for SpaceView<'_, S> {
    type Place = SpacePlace;

    fn locate(&mut self, address: Address) -> Result<SpacePlace, S::Error> {
        let shard = self.space.shard_of(address.as_slice());
        let place = self.space.shard(shard).lock().locate(address)?;
        Ok(SpacePlace { shard, place })
    }

    fn account_at(&self, place: SpacePlace) -> Option<Account> {
        self.space.shard(place.shard).lock().account_at(place.place)
    }

    fn set_account_at(&mut self, place: SpacePlace, account: Option<Account>) {
        self.space
            .shard(place.shard)
            .lock()
            .set_account_at(place.place, account);
    }

    fn apply(&mut self, changes: &TransactionChanges) -> Result<(), S::Error> {
        // Code first: no account names code that is not there.
        for (hash, code) in &changes.code {
            self.space.with(hash.as_slice(), |shard| {
                shard.insert_code(*hash, code.clone())
            });
        }
        for (address, change) in &changes.accounts {
            self.space.with(address.as_slice(), |shard| {
                shard.apply_account(*address, change)
            })?;
        }
        Ok(())
    }
}
