//! Contracts that are models of real ones: each says where a call reads and writes, with the slots
//! that Solidity or Vyper would use.

mod calls;
mod limits;
mod saved;
mod tokens;

use std::collections::BTreeMap;

use alloy_consensus::{SignableTransaction, TxEip2930, TxLegacy};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use weft_primitives::{RecoveredTransaction, Transaction};

use super::{Observed, PredictedAccess, Prediction, Predictor};

pub(super) fn address(number: u64) -> Address {
    Address::from_word(keccak256(number.to_be_bytes()))
}

pub(super) fn word(value: U256) -> B256 {
    value.into()
}

/// A transaction, with what it does.
#[derive(Debug, Clone)]
pub(super) struct Executed {
    pub(super) transaction: RecoveredTransaction,
    pub(super) time: u64,
    pub(super) accounts: Vec<(Address, bool)>,
    pub(super) slots: Vec<(Address, U256, bool)>,
}

impl Executed {
    pub(super) fn new(sender: Address, to: Address, value: u64, input: Vec<u8>) -> Self {
        let transaction = TxLegacy {
            to: TxKind::Call(to),
            value: U256::from(value),
            gas_limit: 1_000_000,
            input: input.into(),
            ..TxLegacy::default()
        };
        let signed = transaction.into_signed(Signature::test_signature());
        Self {
            transaction: RecoveredTransaction::new_unchecked(Transaction::Legacy(signed), sender),
            time: 50_000,
            accounts: vec![(sender, true), (to, value > 0)],
            slots: Vec::new(),
        }
    }

    pub(super) fn call(sender: Address, to: Address, selector: u32, words: &[B256]) -> Self {
        let mut input = selector.to_be_bytes().to_vec();
        input.extend(words.iter().flat_map(|word| word.0));
        Self::new(sender, to, 0, input)
    }

    pub(super) fn with(mut self, account: Address, slot: U256, write: bool) -> Self {
        self.slots.push((account, slot, write));
        if !self.accounts.iter().any(|(known, _)| *known == account) {
            self.accounts.push((account, false));
        }
        self
    }

    pub(super) fn observed(&self) -> Observed<'_> {
        Observed {
            time: Some(self.time),
            accounts: &self.accounts,
            slots: &self.slots,
        }
    }

    pub(super) fn teach(&self, predictor: &Predictor) {
        predictor.learn(&self.transaction, &self.observed());
    }

    /// Whether the order of the two matters.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let slots = |one: &Self, other: &Self| {
            one.slots.iter().any(|(account, slot, write)| {
                let same = |(a, s, _): &&(Address, U256, bool)| a == account && s == slot;
                *write && other.slots.iter().any(|access| same(&access))
            })
        };
        let accounts = |one: &Self, other: &Self| {
            one.accounts.iter().any(|(account, write)| {
                *write && other.accounts.iter().any(|(other, _)| other == account)
            })
        };
        slots(self, other) || slots(other, self) || accounts(self, other) || accounts(other, self)
    }
}

/// Slot of a mapping's entry, as Solidity has it.
pub(super) fn entry(base: u64, key: B256) -> U256 {
    keccak256([key.0, word(U256::from(base)).0].concat()).into()
}

/// Names with whether they are written.
pub(super) type Names = BTreeMap<u64, bool>;

pub(super) fn predict(
    predictor: &Predictor,
    transaction: &RecoveredTransaction,
) -> (Prediction, Names) {
    let mut places: Vec<PredictedAccess> = Vec::new();
    let prediction = predictor.reader().predict(transaction, &mut places);
    let mut names = Names::new();
    for access in places {
        *names.entry(access.place).or_default() |= access.write;
    }
    (prediction, names)
}

/// Whether the two are predicted to meet.
pub(super) fn expects_meeting(predictor: &Predictor, one: &Executed, other: &Executed) -> bool {
    let (_, one) = predict(predictor, &one.transaction);
    let (_, other) = predict(predictor, &other.transaction);
    one.iter().any(|(name, write)| {
        other
            .get(name)
            .is_some_and(|other_write| *write || *other_write)
    })
}

#[test]
fn plain_transfers_meet_where_they_share_an_account() {
    let predictor = Predictor::new(16);
    let transfer = |from: u64, to: u64| {
        let mut transfer = Executed::new(address(from), address(to), 1, Vec::new());
        transfer.time = 21_000;
        transfer
    };
    for (from, to) in [(1, 2), (2, 1), (3, 4), (1, 1)] {
        for (other_from, other_to) in [(1, 5), (5, 2), (4, 6), (7, 8)] {
            let (one, other) = (transfer(from, to), transfer(other_from, other_to));
            one.teach(&predictor);
            let expected = one.meets(&other);
            assert_eq!(expects_meeting(&predictor, &one, &other), expected);
        }
    }
    let (prediction, names) = predict(&predictor, &transfer(1, 2).transaction);
    assert_eq!(
        prediction,
        Prediction {
            known: true,
            complete: true,
            time: 0
        }
    );
    assert_eq!(names.values().collect::<Vec<_>>(), [&true, &true]);
    assert_eq!(predictor.table.read().len(), 0);
}

#[test]
fn a_contract_that_is_paid_without_calldata_is_learned() {
    let predictor = Predictor::new(16);
    // Wrapped ether: the sender's balance is at slot 3.
    let deposit = |sender: u64| {
        let sender = address(sender);
        Executed::new(sender, address(100), 1, Vec::new()).with(
            address(100),
            entry(3, sender.into_word()),
            true,
        )
    };
    deposit(1).teach(&predictor);
    let (prediction, names) = predict(&predictor, &deposit(2).transaction);
    assert!(prediction.known);
    assert_eq!(prediction.time, 50_000);
    assert_eq!(names.len(), 3);
}

#[test]
fn a_creation_is_not_known() {
    let transaction = TxLegacy {
        to: TxKind::Create,
        gas_limit: 77_000,
        input: Bytes::from_static(&[1; 64]),
        ..TxLegacy::default()
    };
    let signed = transaction.into_signed(Signature::test_signature());
    let sender = address(1);
    let creation = Executed {
        transaction: RecoveredTransaction::new_unchecked(Transaction::Legacy(signed), sender),
        ..Executed::new(sender, address(2), 0, Vec::new())
    };
    let predictor = Predictor::new(16);
    creation.teach(&predictor);
    let (prediction, names) = predict(&predictor, &creation.transaction);
    assert_eq!(
        prediction,
        Prediction {
            known: false,
            complete: false,
            time: 0
        }
    );
    assert_eq!(names.values().collect::<Vec<_>>(), [&true]);
    let payment = Executed::new(address(3), sender, 1, Vec::new());
    assert!(expects_meeting(&predictor, &creation, &payment));
}

#[test]
fn access_lists_are_predicted() {
    let listed = |sender: u64, slots: &[u64]| {
        let keys = slots.iter().map(|slot| word(U256::from(*slot))).collect();
        let mut transaction = TxEip2930 {
            to: TxKind::Call(address(50)),
            input: Bytes::from_static(&[1, 2, 3, 4]),
            ..TxEip2930::default()
        };
        transaction.access_list.0.push(Default::default());
        transaction.access_list.0[0].address = address(60);
        transaction.access_list.0[0].storage_keys = keys;
        let signed = transaction.into_signed(Signature::test_signature());
        RecoveredTransaction::new_unchecked(Transaction::Eip2930(signed), address(sender))
    };
    let predictor = Predictor::new(16);
    let (_, one) = predict(&predictor, &listed(1, &[1, 2]));
    let (_, two) = predict(&predictor, &listed(2, &[2, 3]));
    let shared: Vec<bool> = one
        .iter()
        .filter(|(name, _)| two.contains_key(name))
        .map(|(_, write)| *write)
        .collect();
    // Both contracts, which are read, and slot 2.
    assert_eq!(shared.len(), 3);
    assert_eq!(shared.iter().filter(|write| **write).count(), 1);

    // The slot has the name that it has for calls that are seen to use it.
    let call = |sender: u64| {
        Executed::call(address(sender), address(60), 9, &[]).with(address(60), U256::from(2), true)
    };
    call(4).teach(&predictor);
    let (_, names) = predict(&predictor, &call(5).transaction);
    let met = names
        .iter()
        .filter(|(name, _)| one.get(name) == Some(&true));
    assert_eq!(met.count(), 1);

    let (_, many) = predict(&predictor, &listed(1, &(0..10_000).collect::<Vec<_>>()));
    assert!(many.len() < 200);
}
