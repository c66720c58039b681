//! A chain on disk next to a model of it in memory.

#![allow(dead_code, reason = "every test binary uses its own part")]

pub(crate) mod random;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use alloy_consensus::{Header, Sealed};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount, root};
use weft_executor_core::{Account, AccountChange, ChangeSet, MemoryState};
use weft_primitives::{
    Block, BlockAttributes, ChainSpec, L1Origin, Receipt, SealedBlock, Transaction, child_header,
};
use weft_state::{BlockBundle, StateError, Store, StoreOptions};

pub(crate) fn spec() -> ChainSpec {
    spec_with_chain_id(31338)
}

pub(crate) fn spec_with_chain_id(chain_id: u64) -> ChainSpec {
    let json = format!(
        r#"{{
            "config": {{ "chainId": {chain_id} }},
            "gasLimit": "0x1c9c380",
            "difficulty": "0x0",
            "alloc": {{
                "0x0000000000000000000000000000000000000001": {{ "balance": "0x0" }},
                "0x00000000000000000000000000000000000000aa": {{
                    "balance": "0xde0b6b3a7640000", "nonce": "0x5"
                }},
                "0x00000000000000000000000000000000000000bb": {{
                    "balance": "0x1", "code": "0x6001600255",
                    "storage": {{
                        "0x0000000000000000000000000000000000000000000000000000000000000001":
                        "0x00000000000000000000000000000000000000000000000000000000000000ff",
                        "0x0000000000000000000000000000000000000000000000000000000000000002":
                        "0x0000000000000000000000000000000000000000000000000000000000000000",
                        "0xff00000000000000000000000000000000000000000000000000000000000000":
                        "0xabcdef0000000000000000000000000000000000000000000000000000000001"
                    }}
                }}
            }}
        }}"#
    );
    ChainSpec::from_json(json.as_bytes()).unwrap()
}

/// Little memory, so that tests can have many stores, and one memtable's worth of data is little.
/// Trie nodes of a few blocks are written together, so that stores are opened in between, too.
pub(crate) fn options() -> StoreOptions {
    StoreOptions {
        cache_bytes: 1 << 20,
        memtable_bytes: 1 << 20,
        worker_threads: 1,
        unwritten_trie_bytes: 8 << 10,
        ..StoreOptions::default()
    }
}

/// The state of a chain spec, without weft's store.
pub(crate) fn genesis_model(spec: &ChainSpec) -> MemoryState {
    let mut model = MemoryState::default();
    for (address, account) in spec.alloc() {
        model.insert(
            *address,
            account.nonce.unwrap_or_default(),
            account.balance,
            account.code.clone().unwrap_or_default(),
            account
                .storage
                .iter()
                .flatten()
                .map(|(slot, value)| ((*slot).into(), (*value).into())),
        );
    }
    model
}

/// The state root by alloy's own functions, from scratch.
pub(crate) fn oracle_root(model: &MemoryState) -> B256 {
    root::state_root_unhashed(model.accounts.iter().map(|(address, account)| {
        (
            *address,
            TrieAccount::new(
                account.nonce,
                account.balance,
                oracle_storage_root(model, *address),
                account.code_hash,
            ),
        )
    }))
}

pub(crate) fn oracle_storage_root(model: &MemoryState, address: Address) -> B256 {
    model
        .storage
        .get(&address)
        .map_or(EMPTY_ROOT_HASH, |slots| {
            root::storage_root_unhashed(
                slots
                    .iter()
                    .map(|(slot, value)| (B256::from(*slot), *value)),
            )
        })
}

pub(crate) fn attributes(parent: &Sealed<Header>) -> BlockAttributes {
    BlockAttributes {
        timestamp: parent.timestamp + 1,
        gas_limit: parent.gas_limit,
        beneficiary: Address::ZERO,
        new_l1_origin: None,
    }
}

/// What one account becomes in a block: how a test says what a block does.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    /// New nonce and balance, with slots written.
    Write {
        nonce: u64,
        balance: u64,
        slots: Vec<(U256, U256)>,
    },
    /// New code on top of what is there.
    Code(Vec<u8>),
    /// The account and its storage go.
    Remove,
    /// The account goes and comes back in the same block, with new storage.
    Recreate {
        balance: u64,
        slots: Vec<(U256, U256)>,
    },
}

/// The change set that the edits make to `model`.
pub(crate) fn changes(model: &MemoryState, edits: &BTreeMap<Address, Edit>) -> ChangeSet {
    let mut changes = ChangeSet::default();
    for (address, edit) in edits {
        let before = model.accounts.get(address).copied();
        let mut after = before.unwrap_or_default();
        let mut wiped = false;
        let mut writes = Vec::new();
        let after = match edit {
            Edit::Write {
                nonce,
                balance,
                slots,
            } => {
                after.nonce = *nonce;
                after.balance = U256::from(*balance);
                writes.clone_from(slots);
                Some(after)
            }
            Edit::Code(code) => {
                after.code_hash = keccak256(code);
                changes
                    .code
                    .insert(after.code_hash, Bytes::copy_from_slice(code));
                Some(after)
            }
            Edit::Remove => {
                wiped = true;
                None
            }
            Edit::Recreate { balance, slots } => {
                wiped = true;
                writes.clone_from(slots);
                Some(Account {
                    nonce: 1,
                    balance: U256::from(*balance),
                    code_hash: KECCAK256_EMPTY,
                })
            }
        };
        if before.is_none() && after.is_none() {
            continue;
        }
        let slot_before = |slot: &U256| {
            model
                .storage
                .get(address)
                .and_then(|slots| slots.get(slot))
                .copied()
                .unwrap_or_default()
        };
        changes.accounts.insert(
            *address,
            AccountChange {
                before,
                after,
                storage_wiped: wiped,
                storage: writes
                    .into_iter()
                    .map(|(slot, value)| (slot, (slot_before(&slot), value)))
                    .collect(),
            },
        );
    }
    changes
}

/// A block with these changes on top of `parent`, whose receipts say nothing.
pub(crate) fn bundle_on(
    store: &Store,
    changes: ChangeSet,
    transactions: Vec<Transaction>,
) -> BlockBundle {
    let parent = store.head().unwrap();
    let (state_root, trie) = store.state_root(&changes).unwrap();
    let mut header = child_header(31338, &parent, &attributes(&parent));
    header.state_root = state_root;
    bundle(header, changes, trie, transactions)
}

pub(crate) fn bundle(
    header: Header,
    changes: ChangeSet,
    trie: weft_state::TrieUpdates,
    transactions: Vec<Transaction>,
) -> BlockBundle {
    let receipts = transactions
        .iter()
        .zip(1..)
        .map(|(transaction, index)| Receipt {
            tx_type: if transaction.is_deposit() { 0x7e } else { 2 },
            success: true,
            cumulative_gas_used: 21_000 * index,
            logs: Vec::new(),
            deposit_nonce: transaction.is_deposit().then_some(index - 1),
        })
        .collect();
    let senders = (0..transactions.len())
        .map(|index| Address::with_last_byte(index as u8))
        .collect();
    BlockBundle {
        block: Block {
            header,
            transactions,
        }
        .seal(),
        senders,
        receipts,
        changes: Arc::new(changes),
        trie: Arc::new(trie),
    }
}

/// A store and the model that it must agree with.
pub(crate) struct Chain {
    pub(crate) store: Store,
    /// The state after each block, from block 0 on.
    pub(crate) models: Vec<MemoryState>,
    pub(crate) blocks: Vec<SealedBlock>,
}

impl Chain {
    pub(crate) fn create(path: &Path) -> Self {
        Self::create_with(path, &options())
    }

    pub(crate) fn create_with(path: &Path, options: &StoreOptions) -> Self {
        let spec = spec();
        let store = Store::open_with(path, &spec, options).unwrap();
        let genesis = store.block(0).unwrap().unwrap();
        Self {
            store,
            models: vec![genesis_model(&spec)],
            blocks: vec![genesis],
        }
    }

    /// Closes the store and opens it again.
    pub(crate) fn reopen(self, path: &Path) -> Result<Self, StateError> {
        self.reopen_with(path, &options())
    }

    pub(crate) fn reopen_with(
        self,
        path: &Path,
        options: &StoreOptions,
    ) -> Result<Self, StateError> {
        drop(self.store);
        Ok(Self {
            store: Store::open_with(path, &spec(), options)?,
            ..self
        })
    }

    pub(crate) fn model(&self) -> &MemoryState {
        self.models.last().unwrap()
    }

    pub(crate) fn push(&mut self, edits: &BTreeMap<Address, Edit>) {
        self.push_with(edits, Vec::new());
    }

    pub(crate) fn push_with(
        &mut self,
        edits: &BTreeMap<Address, Edit>,
        transactions: Vec<Transaction>,
    ) {
        let changes = changes(self.model(), edits);
        let bundle = bundle_on(&self.store, changes, transactions);
        self.store.commit(&bundle).unwrap();
        let mut model = self.model().clone();
        model.apply(&bundle.changes);
        self.models.push(model);
        self.blocks.push(bundle.block);
    }
}

pub(crate) fn write(nonce: u64, balance: u64, slots: &[(u64, u64)]) -> Edit {
    Edit::Write {
        nonce,
        balance,
        slots: slots
            .iter()
            .map(|(slot, value)| (U256::from(*slot), U256::from(*value)))
            .collect(),
    }
}

pub(crate) fn origin(number: u64) -> L1Origin {
    L1Origin {
        number,
        hash: keccak256(number.to_be_bytes()),
        timestamp: 1_700_000_000 + number,
        base_fee: U256::from(7),
    }
}
