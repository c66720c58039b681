use std::{fs, path::Path, sync::Arc};

use alloy_primitives::{Address, B256, Bytes, Log, U256, keccak256};
use proptest::{collection::vec, prelude::*};
use weft_executor_core::{Account, AccountChange, ChangeSet, StateView};
use weft_primitives::{Block, BlockAttributes, ChainSpec, Receipt, TxDeposit, child_header};

use crate::{
    BlockBundle, History, LogQuery, StateError, StateReader, Store, StoreOptions,
    encoding::{self, number_key},
    history::{ChangedKeys, decode_changed_keys},
    store::Head,
    tables::{Table, Tables},
    unwind,
};

const ADDRESS: Address = Address::repeat_byte(7);
const SLOT: U256 = U256::from_limbs([3, 0, 0, 0]);
const CODE: &[u8] = &[0x60, 0x00];

fn account(nonce: u64) -> Account {
    Account {
        nonce,
        balance: U256::from(5),
        code_hash: keccak256(CODE),
    }
}

/// Two blocks on genesis, which touch every table.
fn store(path: &Path) -> Store {
    let store = open(path, History::All);
    add_blocks(&store, 2);
    store
}

fn open(path: &Path, history: History) -> Store {
    let spec = ChainSpec::from_json(
        br#"{"config":{"chainId":7},"gasLimit":"0x1c9c380","difficulty":"0x0","alloc":{}}"#,
    )
    .unwrap();
    // Nothing is kept in memory: the tests change what is on disk.
    let options = StoreOptions {
        unwritten_trie_bytes: 0,
        hot_state_bytes: 0,
        hot_code_bytes: 0,
        history,
        ..StoreOptions::default()
    };
    Store::open_with(path, &spec, &options).unwrap()
}

fn add_blocks(store: &Store, count: u64) {
    let head = store.head().unwrap().number;
    for nonce in head + 1..=head + count {
        let before = (nonce > 1).then(|| account(nonce - 1));
        let value = |nonce: u64| U256::from(nonce.saturating_sub(1) * 300);
        let changes = ChangeSet {
            accounts: [(
                ADDRESS,
                AccountChange {
                    before,
                    after: Some(account(nonce)),
                    storage_wiped: false,
                    storage: [
                        (SLOT, (value(nonce), value(nonce + 1))),
                        (U256::from(1000 + nonce), (U256::ZERO, U256::MAX)),
                    ]
                    .into(),
                },
            )]
            .into(),
            code: [(keccak256(CODE), Bytes::from_static(CODE))].into(),
        };
        let parent = store.head().unwrap();
        let (state_root, trie) = store.state_root(&changes).unwrap();
        let attributes = BlockAttributes {
            timestamp: nonce,
            gas_limit: parent.gas_limit,
            beneficiary: Address::ZERO,
            new_l1_origin: None,
        };
        let mut header = child_header(7, &parent, &attributes);
        header.state_root = state_root;
        let deposit = TxDeposit {
            source_hash: keccak256(nonce.to_be_bytes()),
            ..TxDeposit::default()
        };
        let bundle = BlockBundle {
            block: Block {
                header,
                transactions: vec![deposit.into()],
            }
            .seal(),
            senders: vec![ADDRESS],
            receipts: vec![Receipt {
                tx_type: 0x7e,
                success: true,
                cumulative_gas_used: 1,
                logs: vec![Log::empty()],
                deposit_nonce: Some(nonce),
            }],
            changes: Arc::new(changes),
            trie: trie.into(),
        };
        store.commit(&bundle).unwrap();
    }
}

/// Every question that a store answers.
fn ask_everything(store: &Store) -> Vec<Result<(), StateError>> {
    let mut answers = vec![
        store.head().map(drop),
        store.block_number(store.head().unwrap().hash()).map(drop),
        store.state_root(&ChangeSet::default()).map(drop),
        store.proof(ADDRESS, &[SLOT, U256::ZERO]).map(drop),
    ];
    for after in [None, Some(account(9))] {
        let change = AccountChange {
            before: Some(account(2)),
            after,
            storage_wiped: false,
            storage: [(SLOT, (U256::from(600), U256::from(1)))].into(),
        };
        let changes = ChangeSet {
            accounts: [(ADDRESS, change)].into(),
            ..ChangeSet::default()
        };
        answers.push(store.state_root(&changes).map(drop));
    }
    for topics in [vec![], vec![[&B256::ZERO]]] {
        let query = LogQuery::new([&Address::ZERO], topics);
        answers.push(store.blocks_with_logs(&query, 0, 2).map(drop));
    }
    answers.push(
        store
            .blocks_with_logs(&LogQuery::new([], Vec::<[&B256; 0]>::new()), 0, 2)
            .map(drop),
    );
    for number in 0..=2 {
        answers.push(store.header(number).map(drop));
        answers.push(store.block(number).map(drop));
        answers.push(store.block_with_receipts(number).map(drop));
        answers.push(store.l1_origin(number).map(drop));
        answers.push(store.deposit_count(number).map(drop));
        answers.push(
            store
                .proof_at(number, ADDRESS, &[SLOT], usize::MAX, || Ok(()))
                .map(drop),
        );
        let mut state = match store.state_at(number) {
            Ok(Some(state)) => state,
            other => {
                answers.push(other.map(drop));
                continue;
            }
        };
        answers.push(state.account(ADDRESS).map(drop));
        answers.push(state.storage(ADDRESS, SLOT).map(drop));
        answers.push(state.code(keccak256(CODE)).map(drop));
        answers.push(state.block_hash(number).map(drop));
    }
    if let Ok(Some(block)) = store.block(2)
        && let Some(transaction) = block.transactions.first()
    {
        answers.push(store.transaction_location(transaction.hash()).map(drop));
    }
    answers
}

fn ok_or_corrupt(answer: &Result<(), StateError>) -> bool {
    matches!(answer, Ok(()) | Err(StateError::Corrupt { .. }))
}

fn replace(store: &Store, table: &Table, key: &[u8], value: Option<&[u8]>) {
    let tables = &store.inner.tables;
    let mut batch = tables.database.batch();
    match value {
        Some(value) => table.put(&mut batch, key, value),
        None => table.delete(&mut batch, key),
    }
    batch.commit().unwrap();
    let header = store.head().unwrap();
    let head = store.head_state();
    *store.inner.head.write() = Arc::new(Head {
        header,
        snapshot: tables.database.snapshot(),
        trie: head.trie.clone(),
        hot: Arc::clone(&head.hot),
        unwindings: head.unwindings,
    });
}

/// Every entry of every table.
fn all_entries(store: &Store) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let (tables, head) = (&store.inner.tables, store.head_state());
    let all = [
        ("accounts", &tables.accounts),
        ("storage", &tables.storage),
        ("code", &tables.code),
        ("account_trie", &tables.account_trie),
        ("storage_trie", &tables.storage_trie),
        ("trie_block", &tables.trie_block),
        ("account_history", &tables.account_history),
        ("storage_history", &tables.storage_history),
        ("changes", &tables.changes),
        ("oldest_state", &tables.oldest_state),
        ("headers", &tables.headers),
        ("bodies", &tables.bodies),
        ("senders", &tables.senders),
        ("receipts", &tables.receipts),
        ("l1_progress", &tables.l1_progress),
        ("block_numbers", &tables.block_numbers),
        ("transactions", &tables.transactions),
        ("log_index", &tables.log_index),
    ];
    assert_eq!(all.map(|(name, _)| name).to_vec(), {
        let names = Tables::ALL.iter().map(|(_, _, name)| *name);
        names.collect::<Vec<_>>()
    });
    all.into_iter()
        .flat_map(|(name, table)| {
            let entries = table.prefix(&head.snapshot, &[]);
            entries
                .map(|entry| entry.unwrap())
                .map(move |(key, value)| match name {
                    // Slots are in no order there.
                    "changes" => (name, key, sorted_changes(&value)),
                    _ => (name, key, value.to_vec()),
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

fn sorted_changes(value: &[u8]) -> Vec<u8> {
    let mut keys = ChangedKeys::default();
    for mut changed in decode_changed_keys(value).unwrap() {
        changed.slots.sort_unstable();
        let slots = changed.slots.len();
        keys.push(
            changed.address,
            changed.account,
            slots,
            changed.slots.iter(),
        );
    }
    keys.into_bytes()
}

fn assert_same_entries(store: &Store, expected: &Store) {
    let (found, expected) = (all_entries(store), all_entries(expected));
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

/// Not one entry of a block that was taken back is left, in no table.
#[test]
fn an_unwound_store_has_the_entries_of_one_that_never_had_the_blocks() {
    for kept in [1, 2, 70] {
        let folder = tempfile::tempdir().unwrap();
        let (long, short) = (folder.path().join("long"), folder.path().join("short"));
        let short = open(&short, History::All);
        add_blocks(&short, kept);
        let store = open(&long, History::All);
        // More than one step takes back.
        add_blocks(&store, kept + 70);
        assert_ne!(all_entries(&store), all_entries(&short));
        let unwound = store.unwind_to(kept).unwrap();
        assert_eq!(
            (unwound.from.number, unwound.to),
            (kept + 70, short.head().unwrap())
        );
        assert_same_entries(&store, &short);
        for store in [&store, &short] {
            add_blocks(store, 3);
        }
        assert_same_entries(&store, &short);
    }
}

/// A process that ends after any number of steps leaves a whole chain, which can be unwound further or
/// grow.
#[test]
fn an_unwinding_that_ends_between_its_steps_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let short = open(&folder.path().join("short"), History::All);
    add_blocks(&short, 3);
    for steps in 0..=4 {
        let path = folder.path().join(steps.to_string());
        let store = open(&path, History::All);
        add_blocks(&store, 230);
        store.inner.writer.lock().acknowledged.lower(3).unwrap();
        let mut end = store.head().unwrap();
        for _ in 0..steps {
            end = unwind::step(&store.inner.tables, &end, 3, end.number).unwrap();
        }
        assert_eq!(end.number, [230, 166, 102, 38, 3][steps]);
        drop(store);

        let store = open(&path, History::All);
        assert_eq!(store.head().unwrap(), end);
        let grown = (steps % 2) as u64;
        add_blocks(&store, grown);
        drop(store);
        let store = open(&path, History::All);
        assert_eq!(store.head().unwrap().number, end.number + grown);
        store.unwind_to(3).unwrap();
        assert_same_entries(&store, &short);
    }
}

#[test]
fn readers_can_be_shared_and_sent() {
    fn check<T: Clone + Send + Sync + 'static>() {}
    check::<StateReader>();
    check::<Store>();
}

/// Any bytes, or none, in place of any value: an error that names the table and the key, or an
/// answer, and never a panic.
#[test]
fn undecodable_values_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let head = store.head().unwrap();
    let tables: &Tables = &store.inner.tables;
    let transaction = store.block(2).unwrap().unwrap().transactions[0].hash();
    let root = encoding::account_node_key(&Default::default())
        .as_ref()
        .to_vec();
    let storage_root = encoding::storage_node_key(keccak256(ADDRESS), &Default::default())
        .as_ref()
        .to_vec();
    let number = number_key(2);
    let (any_log, _) = tables
        .log_index
        .prefix(&store.head_state().snapshot, &[])
        .next()
        .unwrap()
        .unwrap();
    let entries: Vec<(&Table, Vec<u8>)> = vec![
        (&tables.accounts, ADDRESS.to_vec()),
        (
            &tables.storage,
            encoding::storage_key(ADDRESS, SLOT).to_vec(),
        ),
        (&tables.code, keccak256(CODE).to_vec()),
        (
            &tables.account_history,
            encoding::account_history_key(ADDRESS, 2).to_vec(),
        ),
        (
            &tables.storage_history,
            encoding::storage_history_key(ADDRESS, SLOT, 2).to_vec(),
        ),
        (&tables.changes, number.to_vec()),
        (&tables.oldest_state, Vec::new()),
        (&tables.account_trie, root),
        (&tables.storage_trie, storage_root),
        (&tables.trie_block, Vec::new()),
        (&tables.headers, number.to_vec()),
        (&tables.bodies, number.to_vec()),
        (&tables.senders, number.to_vec()),
        (&tables.receipts, number.to_vec()),
        (&tables.l1_progress, number.to_vec()),
        (&tables.block_numbers, head.hash().to_vec()),
        (&tables.transactions, transaction.to_vec()),
        (&tables.log_index, any_log),
    ];
    assert_eq!(entries.len(), Tables::ALL.len());
    assert!(ask_everything(&store).iter().all(Result::is_ok));
    for (table, key) in &entries {
        let good = table
            .get(&store.head_state().snapshot, key)
            .unwrap()
            .unwrap();
        // Too long for a word, a number, an address or RLP: nothing can take it for a value, but
        // for code, which may be anything.
        let garbage = [0xff; 77];
        replace(&store, table, key, Some(&garbage));
        let errors: Vec<_> = ask_everything(&store)
            .into_iter()
            .filter_map(Result::err)
            .collect();
        // The block of the tries is looked up at a start.
        let silent = [&tables.code, &tables.trie_block];
        let is_silent = silent.iter().any(|silent| std::ptr::eq(*table, *silent));
        assert_eq!(errors.is_empty(), is_silent);
        for error in errors {
            let StateError::Corrupt { key: named, .. } = &error else {
                panic!("expected a corrupt value, found {error}");
            };
            assert!(named == key, "{error}");
        }

        proptest!(ProptestConfig::with_cases(24), |(
            bytes in vec(any::<u8>(), 0..100),
            flip in any::<Option<prop::sample::Index>>(),
        )| {
            let bytes = flip.filter(|_| !good.is_empty()).map_or(bytes, |flip| {
                let mut bytes = good.to_vec();
                let bit = flip.index(bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
                bytes
            });
            replace(&store, table, key, Some(&bytes));
            for answer in ask_everything(&store) {
                prop_assert!(ok_or_corrupt(&answer), "{:?}", answer);
            }
        });
        replace(&store, table, key, None);
        for answer in ask_everything(&store) {
            assert!(ok_or_corrupt(&answer), "{answer:?}");
        }
        replace(&store, table, key, Some(&good));
    }
    assert!(ask_everything(&store).iter().all(Result::is_ok));
}

/// Values that no kept state needs are gone from the tables, not only out of reach; a backlog goes
/// bit by bit.
#[test]
fn old_values_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let entries = |store: &Store| {
        let (tables, head) = (&store.inner.tables, store.head_state());
        [
            &tables.account_history,
            &tables.storage_history,
            &tables.changes,
        ]
        .map(|table| table.prefix(&head.snapshot, &[]).count() as u64)
    };
    // Every block changes one account and two slots.
    let store = open(folder.path(), History::All);
    add_blocks(&store, 200);
    assert_eq!(store.oldest_state().unwrap(), 0);
    assert_eq!(entries(&store), [200, 400, 200]);
    drop(store);
    let store = open(folder.path(), "10".parse().unwrap());
    let mut oldest = Vec::new();
    for number in 201..=205 {
        add_blocks(&store, 1);
        oldest.push(store.oldest_state().unwrap());
        let kept = number - oldest.last().unwrap();
        assert_eq!(entries(&store), [kept, 2 * kept, kept]);
    }
    assert_eq!(oldest, [64, 128, 192, 195, 196]);
    drop(store);
    // More than before: nothing is removed until there are that many.
    let store = open(folder.path(), "20".parse().unwrap());
    add_blocks(&store, 10);
    assert_eq!(store.oldest_state().unwrap(), 196);
    add_blocks(&store, 10);
    assert_eq!(store.oldest_state().unwrap(), 206);
    assert_eq!(entries(&store), [19, 38, 19]);
}

/// `docs/state.md` has a row for every table, and no others.
#[test]
fn tables_are_documented() {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/state.md")).unwrap();
    let rows: Vec<&str> = text
        .lines()
        .filter(|line| line.ends_with("commit |"))
        .collect();
    assert_eq!(rows.len(), Tables::ALL.len());
    for (row, (keyspace, tag, table)) in rows.iter().zip(Tables::ALL) {
        let start = format!("| `{keyspace}` | `{}` | `{table}` |", char::from(*tag));
        assert!(row.starts_with(&start), "expected {start}, found {row}");
    }
    let version = format!("version: **{}**", crate::data_folder::FORMAT_VERSION);
    assert!(text.contains(&version));
}
