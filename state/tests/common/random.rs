//! Random blocks, and the store's answers about them against the model.

use std::collections::BTreeMap;

use alloy_consensus::{Header, Sealed};
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_trie::{Nibbles, TrieAccount, proof::verify_proof};
use proptest::{collection::vec, prelude::*};
use weft_executor_core::{MemoryState, StateView};
use weft_state::{AccountProof, StateReader};

use super::Edit;

const ADDRESSES: u8 = 30;
const SLOTS: u64 = 10;

fn address(index: u8) -> Address {
    // The genesis accounts are among them.
    Address::with_last_byte(0xaa + index)
}

fn slots() -> impl Strategy<Value = Vec<(U256, U256)>> {
    let value = prop_oneof![
        Just(U256::ZERO),
        (1u64..4).prop_map(U256::from),
        any::<[u8; 32]>().prop_map(U256::from_be_bytes),
    ];
    vec(((0..SLOTS).prop_map(U256::from), value), 0..8)
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        6 => (0u64..3, 1u64..1000, slots())
            .prop_map(|(nonce, balance, slots)| Edit::Write { nonce, balance, slots }),
        1 => vec(any::<u8>(), 1..40).prop_map(Edit::Code),
        2 => Just(Edit::Remove),
        2 => (1u64..1000, slots()).prop_map(|(balance, slots)| Edit::Recreate { balance, slots }),
    ]
}

pub(crate) fn blocks() -> impl Strategy<Value = Vec<BTreeMap<Address, Edit>>> {
    let block = prop::collection::btree_map((0..ADDRESSES).prop_map(address), edit(), 0..25);
    vec(block, 1..7)
}

/// Every account and slot that a test can have touched.
pub(crate) fn assert_state_equals(mut reader: StateReader, model: &MemoryState) {
    let mut model = model.clone();
    for index in 0..ADDRESSES {
        let address = address(index);
        let account = reader.account(address).unwrap();
        assert_eq!(
            account,
            model.account(address).unwrap(),
            "account {address} after block {}",
            reader.number()
        );
        if let Some(account) = account {
            assert_eq!(
                reader.code(account.code_hash).unwrap(),
                model.code(account.code_hash).unwrap()
            );
        }
        for slot in (0..SLOTS).map(U256::from).chain([U256::from(0xff) << 248]) {
            assert_eq!(
                reader.storage(address, slot).unwrap(),
                model.storage(address, slot).unwrap(),
                "slot {slot} of {address} after block {}",
                reader.number()
            );
        }
    }
}

/// Checks proofs of every account and slot that a test can have touched: `prove` gives them, and
/// `model` is the state that they are of.
pub(crate) fn assert_proofs_verify(
    model: &MemoryState,
    prove: impl Fn(Address, &[U256]) -> (Sealed<Header>, AccountProof),
) {
    let slots: Vec<_> = (0..SLOTS).map(U256::from).collect();
    for index in 0..ADDRESSES {
        let address = address(index);
        let (header, proof) = prove(address, &slots);
        assert_eq!(header.state_root, super::oracle_root(model));
        let account = model.accounts.get(&address).copied();
        assert_eq!(proof.account, account);
        assert_eq!(
            proof.storage_root,
            super::oracle_storage_root(model, address)
        );
        let leaf = account.map(|account| {
            alloy_rlp::encode(TrieAccount::new(
                account.nonce,
                account.balance,
                proof.storage_root,
                account.code_hash,
            ))
        });
        let key = Nibbles::unpack(keccak256(address));
        verify_proof(header.state_root, key, leaf, &proof.proof).unwrap();
        assert_eq!(proof.storage.len(), slots.len());
        for (slot, proof_of_slot) in slots.iter().zip(&proof.storage) {
            let value = model
                .storage
                .get(&address)
                .and_then(|slots| slots.get(slot))
                .copied();
            assert_eq!(proof_of_slot.slot, *slot);
            assert_eq!(proof_of_slot.value, value.unwrap_or_default());
            let key = Nibbles::unpack(keccak256(B256::from(*slot)));
            let value = value.map(alloy_rlp::encode);
            verify_proof(proof.storage_root, key, value, &proof_of_slot.proof).unwrap();
        }
    }
}
