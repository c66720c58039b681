//! Messages of `eth_call` and what they may leave unchecked.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use alloy_eips::{
    eip2930::{AccessList, AccessListItem},
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_primitives::{Address, B256, TxKind, U256};
use common::chain::{BASE_FEE, CHAIN_ID, GAS_LIMIT, block, state};
use weft_executor_core::{
    AccessedAccount, Call, CallOutcome, ExecuteError, ExecutionLayer, InvalidTransaction,
    MemoryState, Outcome,
};
use weft_executor_evm::EvmLayer;
use weft_primitives::Fork;

const SENDER: Address = Address::repeat_byte(0x11);
const TARGET: Address = Address::repeat_byte(0x22);

fn call(state: &MemoryState, call: &Call) -> Result<CallOutcome, InvalidTransaction> {
    match EvmLayer::new().call(&block(Fork::LATEST), call, &mut state.clone()) {
        Ok(outcome) => Ok(outcome),
        Err(ExecuteError::Invalid(reason)) => Err(reason),
        Err(error) => panic!("{error}"),
    }
}

fn base() -> Call {
    Call {
        from: SENDER,
        to: TxKind::Call(TARGET),
        gas_limit: 100_000,
        ..Call::default()
    }
}

fn returned(outcome: &CallOutcome) -> U256 {
    match &outcome.execution.outcome {
        Outcome::Success { output, .. } => U256::from_be_slice(output),
        other => panic!("{other:?}"),
    }
}

/// Code that returns what the given opcode pushes.
fn return_of(opcode: u8) -> Vec<u8> {
    vec![opcode, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3]
}

#[test]
fn a_free_call_needs_no_balance_and_sees_no_base_fee() {
    let state = state(&[(TARGET, 1, 0, &return_of(0x48))]);
    assert_eq!(returned(&call(&state, &base()).unwrap()), U256::ZERO);
}

#[test]
fn a_priced_call_sees_the_base_fee_and_needs_the_balance() {
    let code = return_of(0x48);
    let mut message = base();
    message.gas_price = u128::from(BASE_FEE);
    let cost = u128::from(message.gas_limit) * message.gas_price;
    let poor = state(&[(SENDER, 0, cost - 1, &[]), (TARGET, 1, 0, &code)]);
    assert_eq!(
        call(&poor, &message),
        Err(InvalidTransaction::InsufficientFunds {
            sender: SENDER,
            have: U256::from(cost - 1),
            want: U256::from(cost),
        })
    );
    let rich = state(&[(SENDER, 0, cost, &[]), (TARGET, 1, 0, &code)]);
    assert_eq!(
        returned(&call(&rich, &message).unwrap()),
        U256::from(BASE_FEE)
    );
    message.gas_price -= 1;
    assert_eq!(
        call(&rich, &message),
        Err(InvalidTransaction::FeeCapTooLow {
            max_fee: message.gas_price,
            base_fee: BASE_FEE,
        })
    );
}

#[test]
fn the_value_must_be_there() {
    let mut message = base();
    message.value = U256::from(2);
    assert!(matches!(
        call(&state(&[(SENDER, 0, 1, &[])]), &message),
        Err(InvalidTransaction::InsufficientFunds { .. })
    ));
    assert!(call(&state(&[(SENDER, 0, 2, &[])]), &message).is_ok());
}

#[test]
fn sender_code_nonce_block_gas_and_transaction_cap_are_not_checked() {
    let state = state(&[
        (SENDER, u64::MAX, 0, &[0xfe]),
        (TARGET, 1, 0, &return_of(0x5a)),
    ]);
    let mut message = base();
    message.gas_limit = 2 * GAS_LIMIT;
    let gas_left = returned(&call(&state, &message).unwrap());
    assert_eq!(gas_left, U256::from(2 * GAS_LIMIT - 21_000 - 2));
    message.nonce = Some(3);
    assert!(call(&state, &message).is_ok());
}

#[test]
fn a_creation_takes_its_address_from_the_nonce() {
    let state = state(&[(SENDER, 5, 0, &[])]);
    let mut message = base();
    message.to = TxKind::Create;
    for (nonce, expected) in [(None, 5), (Some(9), 9)] {
        message.nonce = nonce;
        let outcome = call(&state, &message).unwrap();
        assert!(matches!(
            outcome.execution.outcome,
            Outcome::Success { created: Some(address), .. } if address == SENDER.create(expected)
        ));
        assert_eq!(outcome.execution.sender_nonce, 5);
    }
}

#[test]
fn accessed_slots_include_those_of_reverted_frames() {
    let inner = Address::repeat_byte(0x33);
    // CALL(gas, inner, 0, 0, 0, 0, 0), SLOAD(1).
    let mut outer_code = vec![0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x73];
    outer_code.extend_from_slice(inner.as_slice());
    outer_code.extend_from_slice(&[0x5a, 0xf1, 0x60, 1, 0x54]);
    // SLOAD(7), SLOAD(3), REVERT.
    let inner_code = [0x60, 7, 0x54, 0x60, 3, 0x54, 0x5f, 0x5f, 0xfd];
    let state = state(&[(TARGET, 1, 0, &outer_code), (inner, 1, 0, &inner_code)]);
    let outcome = call(&state, &base()).unwrap();
    assert!(outcome.execution.outcome.is_success());
    let slots = |address| {
        let accessed = &outcome.accessed;
        let found = accessed.iter().find(|account| account.address == address);
        found.map(|account: &AccessedAccount| account.slots.clone())
    };
    assert_eq!(slots(TARGET), Some(vec![U256::ONE]));
    assert_eq!(slots(inner), Some(vec![U256::from(3), U256::from(7)]));
    assert_eq!(slots(SENDER), Some(vec![]));
    assert!(outcome.accessed.is_sorted_by_key(|account| account.address));
}

#[test]
fn an_access_list_makes_its_slots_warm() {
    let code = [0x60, 7, 0x54, 0x00];
    let state = state(&[(TARGET, 1, 0, &code)]);
    let cold = call(&state, &base()).unwrap().execution.gas_used;
    let mut message = base();
    message.access_list = AccessList(vec![AccessListItem {
        address: TARGET,
        storage_keys: vec![B256::with_last_byte(7)],
    }]);
    let warm = call(&state, &message).unwrap().execution.gas_used;
    assert_eq!(cold, 21_000 + 3 + 2_100);
    assert_eq!(warm, 21_000 + 2_400 + 1_900 + 3 + 100);
}

#[test]
fn authorizations_delegate_and_cannot_create() {
    let authorization = Authorization {
        chain_id: U256::from(CHAIN_ID),
        address: TARGET,
        nonce: 0,
    };
    let mut message = base();
    message.gas_limit = 200_000;
    // Any signature that recovers to somebody.
    message.authorization_list = vec![SignedAuthorization::new_unchecked(
        authorization,
        0,
        U256::ONE,
        U256::ONE,
    )];
    let authority = message.authorization_list[0].recover_authority().unwrap();
    message.to = TxKind::Call(authority);
    let state = state(&[(TARGET, 1, 0, &return_of(0x30))]);
    let outcome = call(&state, &message).unwrap();
    assert_eq!(
        returned(&outcome),
        U256::from_be_slice(authority.as_slice())
    );
    let changes = &outcome.execution.changes;
    assert!(changes.code.iter().any(|(_, code)| code.len() == 23));
    message.to = TxKind::Create;
    assert!(matches!(
        call(&state, &message),
        Err(InvalidTransaction::Other(_))
    ));
}

#[test]
fn intrinsic_gas_is_checked() {
    let mut message = base();
    message.gas_limit = 20_999;
    assert_eq!(
        call(&MemoryState::default(), &message),
        Err(InvalidTransaction::IntrinsicGas {
            have: 20_999,
            want: 21_000
        })
    );
}
