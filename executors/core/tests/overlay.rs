//! An overlay answers like a state to which everything was really written, and its change set takes
//! the base to that state.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use proptest::{prelude::*, test_runner::FileFailurePersistence};
use weft_executor_core::{
    Account, MemoryState, Overlay, StateView, TransactionChange, TransactionChanges,
};

const ADDRESSES: u8 = 3;
const SLOTS: u8 = 3;

fn address(index: u8) -> Address {
    Address::repeat_byte(index + 1)
}

fn account() -> impl Strategy<Value = Account> {
    (0..2u64, 0..2u64).prop_map(|(nonce, balance)| Account {
        nonce,
        balance: U256::from(balance),
        ..Account::default()
    })
}

fn storage() -> impl Strategy<Value = Vec<(U256, U256)>> {
    prop::collection::btree_map(0..SLOTS, 0..3u8, 0..3).prop_map(|slots| {
        slots
            .into_iter()
            .map(|(slot, value)| (U256::from(slot), U256::from(value)))
            .collect()
    })
}

fn change() -> impl Strategy<Value = TransactionChange> {
    prop_oneof![
        1 => Just(TransactionChange {
            account: None,
            storage_wiped: true,
            storage: Vec::new(),
        }),
        3 => (account(), any::<bool>(), storage()).prop_map(|(account, storage_wiped, storage)| {
            TransactionChange { account: Some(account), storage_wiped, storage }
        }),
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Apply(BTreeMap<u8, TransactionChange>),
    ReadAccount(u8),
    ReadSlot(u8, u8),
    HasStorage(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        prop::collection::btree_map(0..ADDRESSES, change(), 1..3).prop_map(Step::Apply),
        (0..ADDRESSES).prop_map(Step::ReadAccount),
        (0..ADDRESSES, 0..SLOTS).prop_map(|(address, slot)| Step::ReadSlot(address, slot)),
        (0..ADDRESSES).prop_map(Step::HasStorage),
    ]
}

fn write(model: &mut MemoryState, address: Address, change: &TransactionChange) {
    let mut slots = model.storage.remove(&address).unwrap_or_default();
    if change.storage_wiped {
        slots.clear();
    }
    slots.extend(change.storage.iter().copied());
    slots.retain(|_, value| !value.is_zero());
    if !slots.is_empty() {
        model.storage.insert(address, slots);
    }
    match change.account {
        Some(account) => model.accounts.insert(address, account),
        None => model.accounts.remove(&address),
    };
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn an_overlay_is_the_state_that_was_written_to(
        base in prop::collection::btree_map(0..ADDRESSES, (account(), storage()), 0..3),
        steps in prop::collection::vec(step(), 0..12),
    ) {
        let mut state = MemoryState::default();
        for (index, (account, storage)) in base {
            state.insert(
                address(index),
                account.nonce,
                account.balance,
                Default::default(),
                storage,
            );
        }
        let mut model = state.clone();
        let mut overlay = Overlay::new(state.clone());
        let mut unread = Overlay::new(state.clone());
        for step in steps {
            match step {
                Step::Apply(changes) => {
                    let accounts: Vec<_> = changes
                        .into_iter()
                        .map(|(index, change)| (address(index), change))
                        .collect();
                    for (address, change) in &accounts {
                        write(&mut model, *address, change);
                    }
                    let changes = TransactionChanges { accounts, code: Vec::new() };
                    let Ok(()) = overlay.apply(&changes);
                    let Ok(()) = unread.apply(&changes);
                }
                Step::ReadAccount(index) => {
                    prop_assert_eq!(overlay.account(address(index)), model.account(address(index)));
                }
                Step::ReadSlot(index, slot) => {
                    let slot = U256::from(slot);
                    prop_assert_eq!(
                        overlay.storage(address(index), slot),
                        model.storage(address(index), slot)
                    );
                }
                Step::HasStorage(index) => {
                    // Asked for accounts only whose slots no transaction has cleared one by one.
                    let Ok(expected) = model.has_storage(address(index));
                    let Ok(found) = overlay.has_storage(address(index));
                    prop_assert!(found || !expected);
                }
            }
        }
        let changes = overlay.into_changes();
        // Who looked at what, ahead of its turn for example, does not show.
        prop_assert_eq!(&changes, &unread.into_changes());
        for (address, change) in &changes.accounts {
            let Ok(before) = state.clone().account(*address);
            prop_assert_eq!(change.before, before);
            for (slot, (old, _)) in &change.storage {
                let Ok(before) = state.clone().storage(*address, *slot);
                prop_assert_eq!(*old, before);
            }
        }
        state.apply(&changes);
        prop_assert_eq!(state.accounts, model.accounts);
        prop_assert_eq!(state.storage, model.storage);
    }
}
