use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use alloy_consensus::{Header, Sealed};
use alloy_primitives::{Address, B256, U256};
use fjall::Snapshot;
use weft_executor_core::{Account, AccountChange, ChangeSet, SortedMap, StateView};

use super::decode_changed_keys;
use crate::{
    AccountProof, StateError, StateReader, Store, encoding, proof,
    store::read_header,
    tables::{Table, Tables},
    trie::{self, AccountNodes, TrieLayer},
};

/// Keys that are put back into the tries at a time: what one step takes between two looks at the
/// clock.
const STEP_KEYS: usize = 4096;

/// What has to be put back for an account: `account_history` and `storage_history` hold what the
/// block with this number found.
#[derive(Default)]
struct FirstChanges {
    account: Option<u64>,
    slots: BTreeMap<U256, u64>,
}

impl Store {
    /// Proof against the state root of block `number`, and that block's header; `None` when there is
    /// no such block or its state is not kept.
    ///
    /// Only the last block's trie is on disk. For an older block, every account and slot that later
    /// blocks changed gets its old value back, in memory, which leads to the old trie: `most_keys`
    /// bounds them, and with them work and memory (about 1 kB a key). `proceed` is asked in between
    /// whether to go on.
    ///
    /// # Errors
    /// [`StateError::TooManyChanges`] beyond `most_keys`; what `proceed` answers; when the store
    /// cannot be read.
    pub fn proof_at<E: From<StateError>>(
        &self,
        number: u64,
        address: Address,
        slots: &[U256],
        most_keys: usize,
        proceed: impl Fn() -> Result<(), E>,
    ) -> Result<Option<(Sealed<Header>, AccountProof)>, E> {
        let head = self.head_state();
        if !self.keeps_state(&head, number)? {
            return Ok(None);
        }
        let (tables, snapshot) = (&self.inner.tables, &head.snapshot);
        let rewind = Rewind {
            tables,
            snapshot,
            number,
            head: head.header.number,
            most_keys,
            proceed,
        };
        let header = if number == head.header.number {
            head.header.clone()
        } else {
            read_header(tables, snapshot, number)?.ok_or_else(|| {
                tables.headers.corrupt(
                    &encoding::number_key(number),
                    "the chain has this block, found no entry",
                )
            })?
        };
        let changed = rewind.first_changes()?;
        let latest = StateReader::new(self.inner.clone(), head.clone(), head.header.number);
        let layers =
            rewind.put_back(changed, latest, head.header.state_root, head.trie.layers())?;
        let root = layers
            .last()
            .map_or(head.header.state_root, |layer| layer.root());
        if root != header.state_root {
            return Err(rewind
                .corrupt_changes(
                    number,
                    &format!(
                        "expected the changes since to lead back to state root {}, found {root}",
                        header.state_root
                    ),
                )
                .into());
        }
        let nodes = AccountNodes {
            tables,
            snapshot,
            layers: &layers,
        };
        let proof = proof::account_proof(&nodes, root, address, slots)?;
        Ok(Some((header, proof)))
    }
}

struct Rewind<'a, P> {
    tables: &'a Tables,
    snapshot: &'a Snapshot,
    /// The block to go back to.
    number: u64,
    /// The block to start from.
    head: u64,
    most_keys: usize,
    proceed: P,
}

impl<P> Rewind<'_, P> {
    fn corrupt_changes(&self, block: u64, reason: &str) -> StateError {
        self.tables
            .changes
            .corrupt(&encoding::number_key(block), reason)
    }

    /// The value of a key before `block`, which changed it.
    fn past<T>(
        &self,
        history: &Table,
        key: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<T, alloy_rlp::Error>,
    ) -> Result<T, StateError> {
        history
            .read(self.snapshot, key, decode)?
            .ok_or_else(|| history.corrupt(key, "the block changed this key, found no entry"))
    }
}

impl<E: From<StateError>, P: Fn() -> Result<(), E>> Rewind<'_, P> {
    /// The keys that blocks after `number` changed, each with the first block that did.
    fn first_changes(&self) -> Result<BTreeMap<Address, FirstChanges>, E> {
        let mut changed = BTreeMap::<Address, FirstChanges>::new();
        let mut keys = 0_usize;
        for block in self.number.saturating_add(1)..=self.head {
            (self.proceed)()?;
            let accounts = self
                .tables
                .changes
                .read(
                    self.snapshot,
                    &encoding::number_key(block),
                    decode_changed_keys,
                )?
                .ok_or_else(|| {
                    self.corrupt_changes(block, "the chain has this block, found no entry")
                })?;
            for account in accounts {
                let first = changed.entry(account.address).or_default();
                if account.account && first.account.is_none() {
                    first.account = Some(block);
                    keys += 1;
                }
                for slot in account.slots {
                    if let Entry::Vacant(vacant) = first.slots.entry(slot) {
                        vacant.insert(block);
                        keys += 1;
                    }
                }
            }
            if keys > self.most_keys {
                return Err(StateError::TooManyChanges {
                    number: self.number,
                    most: self.most_keys,
                }
                .into());
            }
        }
        Ok(changed)
    }

    /// Puts the old values back, step by step: the trie nodes that each step changes.
    fn put_back(
        &self,
        changed: BTreeMap<Address, FirstChanges>,
        mut latest: StateReader,
        root: B256,
        layers: Vec<Arc<TrieLayer>>,
    ) -> Result<Vec<Arc<TrieLayer>>, E> {
        let mut steps = Steps::new(self.tables, self.snapshot, root, layers);
        for (address, first) in changed {
            (self.proceed)()?;
            let before = latest.account(address)?;
            let after = match first.account {
                None => before,
                Some(block) => self.past(
                    &self.tables.account_history,
                    &encoding::account_history_key(address, block),
                    encoding::decode_past_account,
                )?,
            };
            let mut slots = Vec::new();
            // An account that did not exist had no storage, whatever it has now.
            for (slot, block) in first.slots.into_iter().filter(|_| after.is_some()) {
                (self.proceed)()?;
                let now = latest.storage(address, slot)?;
                let then = self.past(
                    &self.tables.storage_history,
                    &encoding::storage_history_key(address, slot, block),
                    encoding::decode_word,
                )?;
                slots.push((slot, (now, then)));
                if slots.len() >= STEP_KEYS {
                    steps.add(address, before, after, std::mem::take(&mut slots))?;
                }
            }
            steps.add(address, before, after, slots)?;
        }
        Ok(steps.finish()?)
    }
}

/// Computes tries a bounded number of keys at a time, each step on top of the ones before it.
struct Steps<'a> {
    tables: &'a Tables,
    snapshot: &'a Snapshot,
    /// Root of the trie that the next step starts from.
    root: B256,
    layers: Vec<Arc<TrieLayer>>,
    /// The next step.
    changes: ChangeSet,
    keys: usize,
}

impl<'a> Steps<'a> {
    fn new(
        tables: &'a Tables,
        snapshot: &'a Snapshot,
        root: B256,
        layers: Vec<Arc<TrieLayer>>,
    ) -> Self {
        Self {
            tables,
            snapshot,
            root,
            layers,
            changes: ChangeSet::default(),
            keys: 0,
        }
    }

    /// Adds slots of an account, in order. An account with many comes more than once, with
    /// [`STEP_KEYS`] slots each time but the last.
    fn add(
        &mut self,
        address: Address,
        before: Option<Account>,
        after: Option<Account>,
        slots: Vec<(U256, (U256, U256))>,
    ) -> Result<(), StateError> {
        self.keys += slots.len() + 1;
        let change = AccountChange {
            before,
            after,
            storage_wiped: false,
            storage: SortedMap::from_sorted(slots),
        };
        self.changes.accounts.insert(address, change);
        if self.keys > STEP_KEYS {
            self.compute()?;
        }
        Ok(())
    }

    fn compute(&mut self) -> Result<(), StateError> {
        let nodes = AccountNodes {
            tables: self.tables,
            snapshot: self.snapshot,
            layers: &self.layers,
        };
        let updates = trie::state_root(&nodes, self.root, &self.changes)?;
        self.root = updates.root();
        self.layers.push(Arc::new(updates.into()));
        self.changes = ChangeSet::default();
        self.keys = 0;
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Arc<TrieLayer>>, StateError> {
        if self.keys > 0 {
            self.compute()?;
        }
        Ok(self.layers)
    }
}
