//! Random small programs in random transactions: a block is what its transactions are one by one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::BTreeMap;

use common::{
    chain::block,
    plain::PlainBlock,
    programs::{FORKS, base, programs, sent, transactions},
};
use proptest::{prelude::*, test_runner::FileFailurePersistence};
use weft_executor_core::MemoryState;
use weft_executor_evm::EvmLayer;
use weft_executor_parallel::{BlockExecution, execute_sequential};

fn assert_same(left: &MemoryState, right: &MemoryState) {
    assert_eq!(left.accounts, right.accounts);
    assert_eq!(left.storage, right.storage);
    assert_eq!(left.code, right.code);
}

/// Goes back by a block with nothing but what its change set says. Wiped storage is looked up in
/// the state before, as the store does.
fn undo(after: &MemoryState, result: &BlockExecution, before: &MemoryState) -> MemoryState {
    let mut state = after.clone();
    for (address, change) in &result.changes.accounts {
        match change.before {
            Some(account) => state.accounts.insert(*address, account),
            None => state.accounts.remove(address),
        };
        if change.storage_wiped {
            state.storage.remove(address);
            if let Some(slots) = before.storage.get(address) {
                state.storage.insert(*address, slots.clone());
            }
        }
        for (slot, (old, _)) in &change.storage {
            let slots = state.storage.entry(*address).or_default();
            if old.is_zero() {
                slots.remove(slot);
            } else {
                slots.insert(*slot, *old);
            }
        }
        if state.storage.get(address).is_some_and(BTreeMap::is_empty) {
            state.storage.remove(address);
        }
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_block_is_its_transactions_one_by_one(
        programs in programs(),
        empty_account in any::<bool>(),
        sent in prop::collection::vec(sent(), 1..8),
        fork in prop::sample::select(&FORKS[..]),
    ) {
        let base = base(&programs, empty_account);
        let mut env = block(fork);
        env.gas_limit = 2_500_000;
        let layer = EvmLayer::new();
        let transactions = transactions(&sent, fork);
        // A deposit that does not fit is an error of the engine, and not the subject here.
        if transactions.iter().any(|transaction| transaction.is_deposit()) {
            env.gas_limit = 100_000_000;
        }

        let result = execute_sequential(&layer, &env, &transactions, base.clone()).unwrap();
        prop_assert_eq!(result.receipts.len() + result.dropped.len(), transactions.len());

        // One by one, each on the plain state that the one before has left.
        let mut plain = PlainBlock::new(base.clone());
        for transaction in &transactions {
            plain.push(&layer, &env, transaction);
        }
        prop_assert_eq!(&result.receipts, &plain.receipts);
        prop_assert_eq!(&result.dropped, &plain.dropped);
        prop_assert_eq!(result.gas_used, plain.gas_used);
        let mut after = base.clone();
        after.apply(&result.changes);
        assert_same(&after, &plain.state);
        for address in after.storage.keys() {
            prop_assert!(after.accounts.contains_key(address), "storage of nobody: {address}");
        }

        // The change set leads back too, and code that is not named any more may stay.
        let back = undo(&after, &result, &base);
        prop_assert_eq!(&back.accounts, &base.accounts);
        prop_assert_eq!(&back.storage, &base.storage);

        // Again, and without those that were dropped: the same in every bit.
        let again = execute_sequential(&EvmLayer::new(), &env, &transactions, base.clone()).unwrap();
        prop_assert_eq!(&again, &result);
        let included: Vec<_> = transactions
            .iter()
            .enumerate()
            .filter(|(index, _)| result.dropped.iter().all(|(dropped, _)| dropped != index))
            .map(|(_, transaction)| transaction.clone())
            .collect();
        let without = execute_sequential(&layer, &env, &included, base).unwrap();
        prop_assert_eq!(&without.receipts, &result.receipts);
        prop_assert_eq!(&without.changes, &result.changes);
        prop_assert!(without.dropped.is_empty());
    }
}
