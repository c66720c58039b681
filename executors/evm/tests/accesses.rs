//! What follows from a block's accesses: the same from the engine and from the oracle, and the same
//! as the plainest way to compute it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use std::{collections::BTreeMap, num::NonZeroUsize, time::Duration};

use alloy_eip7928::{AccountChanges, BlockAccessIndex, BlockAccessList, bal::Bal};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, TxKind, U256};
use common::{
    chain::{BENEFICIARY, block, dynamic_fee, legacy, recovered, state},
    programs::{address, base, programs, sent, transactions},
};
use proptest::prelude::*;
use weft_executor_core::{
    Account, ExecutionLayer, MemoryState, Overlay, StateView, TransactionChange,
    TransactionChanges, credited,
};
use weft_executor_evm::EvmLayer;
use weft_executor_parallel::{
    BlockExecution, ConflictGraph, Engine, FalseAccessList, ListEntry, Location, access_list_hash,
    execute_sequential,
};
use weft_primitives::{Fork, RecoveredTransaction, Transaction};

/// Accounts and slots that a transaction asked for.
struct Asked<'a> {
    state: &'a mut Overlay<MemoryState>,
    accounts: BTreeMap<Address, Vec<U256>>,
}

impl StateView for Asked<'_> {
    type Error = std::convert::Infallible;

    fn account(&mut self, address: Address) -> Result<Option<Account>, Self::Error> {
        self.accounts.entry(address).or_default();
        self.state.account(address)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Self::Error> {
        self.accounts.entry(address).or_default().push(slot);
        self.state.storage(address, slot)
    }

    fn has_storage(&mut self, address: Address) -> Result<bool, Self::Error> {
        self.state.has_storage(address)
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, Self::Error> {
        self.state.code(code_hash)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Self::Error> {
        self.state.block_hash(number)
    }
}

/// What the list says of one account or slot after the transaction with this index.
fn last<T, V: Clone>(
    changes: &[T],
    index: u64,
    of: impl Fn(&T) -> (BlockAccessIndex, V),
) -> Option<V> {
    let changed = changes.iter().map(of);
    changed
        .filter(|(at, _)| at.get() <= index)
        .map(|(_, value)| value)
        .last()
}

/// Executes the block one by one and compares every value after every transaction with what the
/// list says it is.
fn assert_values(
    transactions: &[RecoveredTransaction],
    result: &BlockExecution,
    list: &BlockAccessList,
    base: &MemoryState,
    fork: Fork,
) {
    let (layer, env) = (EvmLayer::new(), block(fork));
    let mut state = Overlay::new(base.clone());
    let dropped: Vec<usize> = result.dropped.iter().map(|(index, _)| *index).collect();
    let mut index = 0;
    let mut asked = BTreeMap::<Address, Vec<U256>>::new();
    for (position, transaction) in transactions.iter().enumerate() {
        if dropped.contains(&position) {
            continue;
        }
        index += 1;
        let mut view = Asked {
            state: &mut state,
            accounts: BTreeMap::new(),
        };
        let execution = layer.execute(&env, transaction, &mut view).unwrap();
        for (address, slots) in view.accounts {
            asked.entry(address).or_default().extend(slots);
        }
        state.apply(&execution.changes).unwrap();
        if let Some(wei) = execution.beneficiary_credit {
            let before = state.account(env.beneficiary).unwrap();
            let paid = TransactionChange {
                account: credited(before, wei, fork),
                ..TransactionChange::default()
            };
            let paid = TransactionChanges {
                accounts: vec![(env.beneficiary, paid)],
                ..TransactionChanges::default()
            };
            state.apply(&paid).unwrap();
            asked.entry(env.beneficiary).or_default();
        }
        for account in list {
            let before = base.accounts.get(&account.address).copied();
            let before = before.unwrap_or_default();
            let now = state.account(account.address).unwrap().unwrap_or_default();
            let balance = last(&account.balance_changes, index, |change| {
                (change.block_access_index, change.post_balance)
            });
            assert_eq!(balance.unwrap_or(before.balance), now.balance);
            let nonce = last(&account.nonce_changes, index, |change| {
                (change.block_access_index, change.new_nonce)
            });
            assert_eq!(nonce.unwrap_or(before.nonce), now.nonce);
            let code = last(&account.code_changes, index, |change| {
                (change.block_access_index, change.new_code.clone())
            });
            let hash = code.map_or(before.code_hash, |code| {
                if code.is_empty() {
                    KECCAK256_EMPTY
                } else {
                    alloy_primitives::keccak256(&code)
                }
            });
            assert_eq!(hash, now.code_hash);
            for slot in &account.storage_changes {
                let value = last(&slot.changes, index, |change| {
                    (change.block_access_index, change.new_value)
                });
                let before = base.clone().storage(account.address, slot.slot).unwrap();
                let now = state.storage(account.address, slot.slot).unwrap();
                assert_eq!(
                    value.unwrap_or(before),
                    now,
                    "{} {}",
                    account.address,
                    slot.slot
                );
            }
        }
    }
    for (address, slots) in asked {
        let account = list
            .iter()
            .find(|account| account.address == address)
            .unwrap_or_else(|| panic!("{address} was looked at and is not listed"));
        for slot in slots {
            assert!(account.storage_slots().any(|listed| listed == slot));
        }
    }
}

/// An engine to which no block is too small for several threads.
fn engine(threads: usize) -> Engine {
    let engine = Engine::new(NonZeroUsize::new(threads).unwrap()).unwrap();
    engine.with_parallel_from(Duration::ZERO)
}

fn execute(
    transactions: &[RecoveredTransaction],
    base: &MemoryState,
    fork: Fork,
    threads: usize,
) -> BlockExecution {
    let engine = engine(threads);
    let result = engine.execute(&EvmLayer::new(), &block(fork), transactions, base.clone());
    result.unwrap()
}

fn execute_listed(
    transactions: &[RecoveredTransaction],
    list: &BlockAccessList,
    base: &MemoryState,
    fork: Fork,
    threads: usize,
) -> (BlockExecution, Result<(), FalseAccessList>) {
    let engine = engine(threads);
    let (layer, env) = (EvmLayer::new(), block(fork));
    let result = engine.execute_with_access_list(&layer, &env, transactions, list, base.clone());
    result.unwrap()
}

/// Makes a list false in one place.
fn falsify(list: &mut BlockAccessList, (place, kind): (prop::sample::Index, u8)) {
    let place = place.index(list.len());
    let account = &mut list[place];
    match kind % 7 {
        0 if !account.balance_changes.is_empty() => {
            account.balance_changes[0].post_balance ^= U256::ONE
        }
        1 if !account.nonce_changes.is_empty() => account.nonce_changes[0].new_nonce ^= 1,
        2 if !account.storage_changes.is_empty() => {
            account.storage_changes[0].changes[0].new_value ^= U256::ONE;
        }
        3 if !account.code_changes.is_empty() => {
            account.code_changes[0].new_code = Bytes::from_static(&[0xfe, 0xfe]);
        }
        4 if !account.storage_changes.is_empty() => {
            account.storage_changes.remove(0);
        }
        5 => {
            account.storage_reads.push(U256::MAX);
        }
        _ => {
            list.remove(place);
        }
    }
}

/// Adds calls with calldata, until the block is worth several threads.
fn accompany(transactions: &mut Vec<RecoveredTransaction>, base: &mut MemoryState) {
    for index in 0..20_u8 {
        let sender = person(u64::from(index));
        base.insert(sender, 0, U256::from(1_u64 << 50), Bytes::new(), []);
        let mut call = legacy(0, TxKind::Call(address(2 + index % 4)), 0);
        call.input = Bytes::from(vec![1]);
        let position = usize::from(index) * 2 % (transactions.len() + 1);
        transactions.insert(position, recovered(sender, Transaction::Legacy, call));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_list_says_what_every_transaction_left(
        programs in programs(),
        empty_account in any::<bool>(),
        sent in prop::collection::vec(sent(), 1..30),
        fork in prop::sample::select(&[Fork::London, Fork::Shanghai, Fork::Cancun, Fork::LATEST][..]),
        threads in 1..4usize,
        forgery in any::<(prop::sample::Index, u8)>(),
    ) {
        let mut base = base(&programs, empty_account);
        let mut transactions = transactions(&sent, fork);
        accompany(&mut transactions, &mut base);
        let oracle =
            execute_sequential(&EvmLayer::new(), &block(fork), &transactions, base.clone()).unwrap();
        let list = oracle.access_list();
        let checked = Bal::new(list.clone()).validate_structure(oracle.receipts.len());
        prop_assert_eq!(checked, Ok(()));
        assert_values(&transactions, &oracle, &list, &base, fork);

        let parallel = execute(&transactions, &base, fork, threads);
        let other = parallel.access_list();
        prop_assert_eq!(&other, &list);
        prop_assert_eq!(access_list_hash(&other), access_list_hash(&list));
        prop_assert_eq!(parallel.conflicts(), oracle.conflicts());
        // One thread where nearly all transactions are expected to meet.
        prop_assert!([1, threads].contains(&parallel.stats.threads));

        // With the true list nothing has to be done twice; with a false one the result is the same,
        // and the list is found out.
        let (listed, verdict) = execute_listed(&transactions, &list, &base, fork, threads);
        prop_assert_eq!(&listed, &oracle);
        prop_assert_eq!(verdict, Ok(()));
        if oracle.dropped.is_empty() && fork == Fork::LATEST {
            prop_assert_eq!(listed.stats.reexecutions, 0);
        }
        let mut lie = list.clone();
        falsify(&mut lie, forgery);
        let (listed, verdict) = execute_listed(&transactions, &lie, &base, fork, threads);
        prop_assert_eq!(&listed, &oracle);
        prop_assert!(verdict.is_err(), "{:?} {:?}", list, lie);

        // The list agrees with the block's change set at the end of the block.
        for (address, change) in &oracle.changes.accounts {
            let account = list.iter().find(|account| account.address == *address).unwrap();
            let after = change.after.unwrap_or_default();
            let before = change.before.unwrap_or_default();
            prop_assert_eq!(account.balance_post_state().unwrap_or(before.balance), after.balance);
        }
        bounds(&oracle.conflicts());
    }
}

fn bounds(graph: &ConflictGraph) {
    assert!(graph.lanes <= graph.transactions);
    assert!(graph.critical_path_gas <= graph.gas_used);
    assert!(
        graph.speed_up_bound() >= 1.0 && graph.speed_up_bound() <= graph.transactions.max(1) as f64
    );
    for dependency in &graph.dependencies {
        assert!(dependency.on < dependency.transaction);
    }
    assert_eq!(
        graph.lanes == graph.transactions,
        graph.dependencies.is_empty()
    );
}

fn person(index: u64) -> Address {
    Address::left_padding_from(&(0xaaaa_0000_0000_u64 + index).to_be_bytes())
}

fn rich(count: u64) -> MemoryState {
    let accounts: Vec<_> = (0..count)
        .map(|index| (person(index), 0, 1 << 60, [].as_slice()))
        .collect();
    state(&accounts)
}

fn pay(from: u64, nonce: u64, to: u64) -> RecoveredTransaction {
    let transaction = dynamic_fee(nonce, TxKind::Call(person(to)), 5);
    recovered(person(from), Transaction::Eip1559, transaction)
}

/// The graph, which must be the same with the engine and with the oracle.
fn graph(transactions: &[RecoveredTransaction], base: &MemoryState) -> ConflictGraph {
    let fork = Fork::LATEST;
    let oracle =
        execute_sequential(&EvmLayer::new(), &block(fork), transactions, base.clone()).unwrap();
    assert_eq!(oracle.dropped, []);
    for threads in 1..4 {
        let parallel = execute(transactions, base, fork, threads);
        assert_eq!(parallel, oracle);
        assert_eq!(parallel.conflicts(), oracle.conflicts());
    }
    bounds(&oracle.conflicts());
    oracle.conflicts()
}

#[test]
fn transfers_of_many_to_one_wait_for_nobody() {
    let transactions: Vec<_> = (0..20).map(|from| pay(from, 0, 100)).collect();
    let graph = graph(&transactions, &rich(20));
    assert_eq!((graph.lanes, graph.dependencies.len()), (20, 0));
    assert_eq!(graph.critical_path_gas, 21_000);
    assert_eq!(graph.speed_up_bound(), 20.0);
}

#[test]
fn transfers_of_one_sender_are_one_chain() {
    let transactions: Vec<_> = (0..20).map(|nonce| pay(0, nonce, 100 + nonce)).collect();
    let graph = graph(&transactions, &rich(1));
    assert_eq!(graph.lanes, 1);
    assert_eq!(graph.critical_path_gas, graph.gas_used);
    let [conflict] = graph.conflicts[..] else {
        panic!("{:?}", graph.conflicts);
    };
    assert_eq!(conflict.location, Location::Account(person(0)));
    assert_eq!((conflict.transactions, conflict.gas), (19, 19 * 21_000));
}

#[test]
fn who_spends_what_others_paid_waits_for_all_of_them() {
    // 0 and 1 pay 2, who pays 3; 4 pays 5.
    let transactions = [pay(0, 0, 2), pay(1, 0, 2), pay(2, 0, 3), pay(4, 0, 5)];
    let graph = graph(&transactions, &rich(5));
    assert_eq!(graph.lanes, 2);
    assert_eq!(graph.critical_path_gas, 42_000);
    assert_eq!(graph.dependencies.len(), 1);
    assert_eq!(
        (graph.dependencies[0].transaction, graph.dependencies[0].on),
        (2, 1)
    );
}

#[test]
fn who_looks_at_the_fees_waits_for_them() {
    let mut base = rich(10);
    // BALANCE of COINBASE, stored in slot 0.
    let reader = person(50);
    base.insert(
        reader,
        1,
        U256::ZERO,
        Bytes::from_static(&[0x41, 0x31, 0x5f, 0x55]),
        [],
    );
    let mut transactions: Vec<_> = (0..9).map(|from| pay(from, 0, 100 + from)).collect();
    transactions.push(recovered(
        person(9),
        Transaction::Legacy,
        legacy(0, TxKind::Call(reader), 0),
    ));
    let graph = graph(&transactions, &base);
    assert_eq!(graph.lanes, 1);
    assert_eq!(graph.conflicts.len(), 1);
    assert_eq!(graph.conflicts[0].location, Location::Account(BENEFICIARY));
}

#[test]
fn what_is_wrong_with_a_list_is_named() {
    let transactions = [pay(0, 0, 2), pay(1, 0, 2)];
    let base = rich(2);
    let result = execute_sequential(
        &EvmLayer::new(),
        &block(Fork::LATEST),
        &transactions,
        base.clone(),
    )
    .unwrap();
    let list = result.access_list();
    let verdict = |list: &BlockAccessList| {
        execute_listed(&transactions, list, &base, Fork::LATEST, 2)
            .1
            .unwrap_err()
    };
    let of = list
        .iter()
        .position(|account| account.address == person(2))
        .unwrap();

    let mut lie = list.clone();
    lie[of].balance_changes[1].post_balance = U256::from(11);
    let found = verdict(&lie);
    assert_eq!(
        found,
        FalseAccessList::Entry {
            address: person(2),
            entry: ListEntry::Balance,
            index: 2,
            expected: Some(U256::from(10)),
            found: Some(U256::from(11)),
        }
    );
    assert_eq!(
        found.to_string(),
        format!(
            "balance of {} after transaction 2: expected 0xa, found 0xb",
            person(2)
        )
    );

    let mut lie = list.clone();
    lie[of].balance_changes.pop();
    let found = verdict(&lie).to_string();
    assert!(found.ends_with("expected 0xa, found nothing"), "{found}");

    let mut lie = list.clone();
    lie.remove(of);
    assert_eq!(verdict(&lie), FalseAccessList::MissingAccount(person(2)));

    let mut lie = list.clone();
    let needless = Address::repeat_byte(0xff);
    lie.push(AccountChanges::new(needless));
    assert_eq!(verdict(&lie), FalseAccessList::NeedlessAccount(needless));

    let mut lie = list;
    lie.reverse();
    assert!(matches!(verdict(&lie), FalseAccessList::Malformed(_)));
}

/// The kinds of entries that EIP-7928 asks for, in one block.
#[test]
fn a_list_has_every_kind_of_entry() {
    let mut base = rich(2);
    let contract = person(60);
    // SSTORE(1, SLOAD(0)); SSTORE(2, 7), which slot 2 holds already; BALANCE of 0xdd.
    let code = [
        0x5f, 0x54, 0x60, 1, 0x55, 0x60, 7, 0x60, 2, 0x55, 0x60, 0xdd, 0x31,
    ];
    let slots = [(U256::ZERO, U256::from(9)), (U256::from(2), U256::from(7))];
    base.insert(
        contract,
        1,
        U256::ZERO,
        Bytes::copy_from_slice(&code),
        slots,
    );
    let mut create = legacy(0, TxKind::Create, 3);
    // Looks at slot 5, deploys one zero byte.
    create.input = Bytes::from_static(&[0x60, 5, 0x54, 0x60, 1, 0x5f, 0xf3]);
    let mut brief = legacy(1, TxKind::Create, 0);
    brief.input = Bytes::from_static(&[0x60, 6, 0x54, 0x33, 0xff]);
    let transactions = [
        recovered(
            person(0),
            Transaction::Eip1559,
            dynamic_fee(0, TxKind::Call(contract), 4),
        ),
        recovered(person(1), Transaction::Legacy, create),
        recovered(person(1), Transaction::Legacy, brief),
    ];
    let result =
        execute_sequential(&EvmLayer::new(), &block(Fork::LATEST), &transactions, base).unwrap();
    let list = result.access_list();
    let of = |address: Address| {
        list.iter()
            .find(|account| account.address == address)
            .unwrap()
    };
    let json = |address: Address| serde_json::to_value(of(address)).unwrap();

    assert_eq!(
        json(contract),
        serde_json::json!({
            "address": contract,
            "storageChanges": [{"key": "0x1", "changes": [{"index": "0x1", "value": "0x9"}]}],
            "storageReads": ["0x0", "0x2"],
            "balanceChanges": [{"index": "0x1", "value": "0x4"}],
            "nonceChanges": [],
            "codeChanges": [],
        })
    );
    // Only looked at.
    let empty = of(Address::with_last_byte(0xdd));
    assert!(empty.is_empty());
    // A creation: its balance, its nonce, its code.
    let created = json(person(1).create(0));
    assert_eq!(created["balanceChanges"][0]["value"], "0x3");
    assert_eq!(
        created["nonceChanges"],
        serde_json::json!([{"index": "0x2", "value": "0x1"}])
    );
    assert_eq!(
        created["codeChanges"],
        serde_json::json!([{"index": "0x2", "code": "0x00"}])
    );
    assert_eq!(created["storageReads"], serde_json::json!(["0x5"]));
    // One that looks at slot 6 and is gone at once.
    assert_eq!(
        json(person(1).create(1)),
        serde_json::json!({
            "address": person(1).create(1),
            "storageChanges": [],
            "storageReads": ["0x6"],
            "balanceChanges": [],
            "nonceChanges": [],
            "codeChanges": [],
        })
    );
    // The fee recipient: the tip of 2 wei per gas, and from the legacy transaction nothing.
    let fees = of(BENEFICIARY);
    let gas = result.receipts[0].cumulative_gas_used;
    assert_eq!(fees.balance_changes.len(), 1);
    assert_eq!(fees.balance_changes[0].post_balance, U256::from(2 * gas));
    let sender = of(person(0));
    assert_eq!(
        (sender.balance_changes.len(), sender.nonce_changes.len()),
        (1, 1)
    );
    assert_eq!(list.len(), 7);
}
