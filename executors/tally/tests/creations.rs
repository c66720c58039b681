//! Contracts that come into being, from and as contracts of both kinds, and what is refused.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use std::sync::Arc;

use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use common::{
    A, B, C, CREATE, CREATE2, Code, ITSELF, OUTPUT, RETURN, SENDER, VALUE, address_returned, after,
    balance, call_a, chain, code_at,
    evm::{self, Evm, returning},
    halted, layer, message, nonce, put, returned, send, send_at, slot, word, world,
};
use weft_executor_core::{HaltReason, Outcome};
use weft_executor_evm::EvmLayer;
use weft_executor_tally::{CHECK_GAS, Tally};
use weft_primitives::Fork;

const NO_SUCH_INSTRUCTION: HaltReason = HaltReason::Other("tally: there is no such instruction");
const NO_EVM_CONTRACTS: HaltReason = HaltReason::Other("EVM contracts do not run on this chain");
const RESERVED: HaltReason = HaltReason::Other("invalid code: must not begin with 0xef");

fn tally_contract() -> Code {
    Code::new().store(1, 1).returns(ITSELF)
}

/// Init data, and the code that it makes.
fn inits() -> [(Vec<u8>, Vec<u8>); 3] {
    let tally = tally_contract();
    let evm = Evm::new().push(1).return_top().code();
    [
        (tally.init(), tally.code()),
        (returning(&tally.code()), tally.code()),
        (returning(&evm), evm),
    ]
}

#[test]
fn a_transaction_creates_a_contract() {
    for (init, code) in inits() {
        let mut call = message(TxKind::Create, &init);
        call.value = U256::from(5);
        let state = world(&[]);
        let outcome = send(&layer(), &state, &call);
        let address = SENDER.create(0);
        let Outcome::Success { output, created } = &outcome.execution.outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(
            (created, output),
            (&Some(address), &Bytes::from(code.clone()))
        );
        let state = after(&state, &outcome);
        assert_eq!(code_at(&state, address), Some(code));
        assert_eq!(nonce(&state, address), 1);
        assert_eq!(balance(&state, address), U256::from(5));
        call.to = TxKind::Call(address);
        assert!(send(&layer(), &state, &call).execution.outcome.is_success());
    }
}

#[test]
fn the_price_of_a_creation_is_deposit_and_check() {
    let tally = tally_contract();
    let length = u64::try_from(tally.code().len()).unwrap();
    let init = tally.init();
    let plain = vec![0x00; init.len()];
    let used = |init: &[u8]| {
        // The price of the data is the same if no byte is zero, or all of it is.
        let zeros = init.iter().filter(|byte| **byte == 0).count();
        let data = u64::try_from(4 * zeros + 16 * (init.len() - zeros)).unwrap();
        let outcome = send(&layer(), &world(&[]), &message(TxKind::Create, init));
        outcome.execution.gas_used - data
    };
    assert_eq!(used(&init) - used(&plain), length * (200 + CHECK_GAS));
}

#[test]
fn contracts_create_contracts() {
    let creators = |salted: bool| {
        let tally = Code::new().push(0).push(3);
        let tally = if salted {
            tally.push(77).op(CREATE2)
        } else {
            tally.op(CREATE)
        };
        let evm = Evm::new().ops(&[0x36, 0x5f, 0x5f, 0x37]);
        let evm = if salted {
            evm.push(77).ops(&[0x36, 0x5f]).push(3).op(evm::CREATE2)
        } else {
            evm.ops(&[0x36, 0x5f]).push(3).op(evm::CREATE)
        };
        [tally.op(RETURN).code(), evm.return_top().code()]
    };
    for (init, code) in inits() {
        for salted in [false, true] {
            for creator in creators(salted) {
                let mut state = world(&[]);
                put(&mut state, A, 10, &creator, &[]);
                let outcome = call_a(&state, &init);
                let expected = if salted {
                    A.create2(B256::from(U256::from(77)), keccak256(&init))
                } else {
                    A.create(1)
                };
                assert_eq!(address_returned(&outcome), expected);
                let state = after(&state, &outcome);
                assert_eq!(code_at(&state, expected), Some(code.clone()));
                assert_eq!(nonce(&state, expected), 1);
                assert_eq!(nonce(&state, A), 2);
                assert_eq!(balance(&state, expected), U256::from(3));
                // The same again: another nonce, or the address is taken.
                let again = call_a(&state, &init);
                let other = if salted { Address::ZERO } else { A.create(2) };
                assert_eq!(address_returned(&again), other);
                assert_eq!(nonce(&after(&state, &again), A), 3);
            }
        }
    }
}

#[test]
fn init_code_that_reverts_brings_its_data() {
    let init = Evm::new().push(55).revert_top().code();
    let create = Code::new().push(0).push(0).op(CREATE);
    let state = world(&[(A, &create.clone().op(RETURN).code())]);
    assert_eq!(returned(&call_a(&state, &init)), U256::ZERO);
    let state = world(&[(A, &create.returns(OUTPUT).code())]);
    let outcome = call_a(&state, &init);
    assert_eq!(returned(&outcome), U256::from(55));
    assert_eq!(nonce(&after(&state, &outcome), A), 2);
}

#[test]
fn a_creation_without_the_value_costs_no_nonce() {
    let create = Code::new().push(0).push(11).op(CREATE).op(RETURN);
    let mut state = world(&[]);
    put(&mut state, A, 10, &create.code(), &[]);
    let outcome = call_a(&state, &tally_contract().init());
    assert_eq!(returned(&outcome), U256::ZERO);
    assert_eq!(nonce(&after(&state, &outcome), A), 1);
}

#[test]
fn refused_code_is_not_stored_and_the_reason_is_said() {
    let unknown = Code::new().op(0x7f);
    let cut_off = Code::new().op(0x01).op(0);
    for (init, reason) in [
        (unknown.init(), NO_SUCH_INSTRUCTION),
        (returning(&unknown.code()), NO_SUCH_INSTRUCTION),
        (cut_off.init(), NO_SUCH_INSTRUCTION),
        // Nobody's, and a delegation.
        (returning(&[0xef, 0xf0, 0x11]), RESERVED),
        (returning(&[&[0xef, 1, 0], A.as_slice()].concat()), RESERVED),
    ] {
        let call = message(TxKind::Create, &init);
        let state = world(&[]);
        let outcome = send(&layer(), &state, &call);
        assert_eq!(halted(&outcome), reason);
        assert_eq!(outcome.execution.gas_used, call.gas_limit);
        assert_eq!(code_at(&after(&state, &outcome), SENDER.create(0)), None);
        // Below another frame, it is a failed creation that has used its gas.
        let create = Code::new().push(0).push(0).op(CREATE).op(RETURN).code();
        let state = world(&[(A, &create)]);
        let outcome = call_a(&state, &init);
        assert_eq!(returned(&outcome), U256::ZERO);
        assert_eq!(nonce(&after(&state, &outcome), A.create(1)), 0);
        assert!(outcome.execution.gas_used > 900_000);
    }
}

#[test]
fn a_creation_pays_for_deposit_and_check_or_fails() {
    for (init, _) in inits() {
        let call = message(TxKind::Create, &init);
        let enough = send(&layer(), &world(&[]), &call).execution.gas_used;
        for (short, success) in [(0, true), (1, false)] {
            let mut call = call.clone();
            call.gas_limit = enough - short;
            let outcome = send(&layer(), &world(&[]), &call);
            assert_eq!(outcome.execution.outcome.is_success(), success);
            if !success {
                assert_eq!(halted(&outcome), HaltReason::OutOfGas);
            }
        }
    }
}

#[test]
fn returned_code_has_the_size_limit_of_any_code() {
    let long = |size: usize| {
        let steps = (3..size).fold(Code::new(), |code, _| code.op(ITSELF));
        steps.code()
    };
    for (size, success) in [(24_576, true), (24_577, false)] {
        let mut call = message(TxKind::Create, &returning(&long(size)));
        call.gas_limit = 10_000_000;
        let outcome = send(&layer(), &world(&[]), &call);
        assert_eq!(outcome.execution.outcome.is_success(), success);
        if !success {
            assert_eq!(
                halted(&outcome),
                HaltReason::Other("max code size exceeded")
            );
        }
    }
}

#[test]
fn code_of_a_genesis_that_was_never_admitted_stops_where_it_is_wrong() {
    for (code, reason) in [
        (
            Code::new().store(1, 1).op(0x7f),
            HaltReason::InvalidInstruction,
        ),
        (Code::new().op(0x01), HaltReason::InvalidInstruction),
        (Code::new().op(RETURN), HaltReason::Other("stack underflow")),
        (
            (0..65).fold(Code::new(), |code, _| code.op(VALUE)),
            HaltReason::Other("stack limit reached"),
        ),
    ] {
        let state = world(&[(A, &code.code())]);
        let outcome = call_a(&state, &[]);
        assert_eq!(halted(&outcome), reason);
        assert_eq!(outcome.execution.gas_used, 1_000_000);
        assert_eq!(slot(&after(&state, &outcome), A, 1), U256::ZERO);
    }
}

#[test]
fn an_account_delegates_to_a_contract() {
    let key = PrivateKeySigner::from_bytes(&B256::repeat_byte(3)).unwrap();
    let authorization = Authorization {
        chain_id: U256::from(chain::CHAIN_ID),
        address: B,
        nonce: 0,
    };
    let signature = key.sign_hash_sync(&authorization.signature_hash());
    let signed: SignedAuthorization = authorization.into_signed(signature.unwrap());
    let state = world(&[(B, &tally_contract().code())]);
    let mut call = message(TxKind::Call(key.address()), &[]);
    call.authorization_list = vec![signed];
    let outcome = send(&layer(), &state, &call);
    assert_eq!(address_returned(&outcome), key.address());
    let state = after(&state, &outcome);
    assert_eq!(slot(&state, key.address(), 1), U256::ONE);
    assert_eq!(slot(&state, B, 1), U256::ZERO);
    // And through contracts of both kinds.
    for caller in [
        Code::new().call(key.address(), 0, 0).returns(OUTPUT).code(),
        Evm::new()
            .call(key.address(), 0, 0)
            .output()
            .return_top()
            .code(),
    ] {
        let mut state = state.clone();
        put(&mut state, A, 0, &caller, &[]);
        assert_eq!(address_returned(&call_a(&state, &[])), key.address());
    }
}

fn without_evm() -> EvmLayer {
    EvmLayer::new()
        .with_machine(Arc::new(Tally))
        .without_evm_contracts()
}

#[test]
fn without_evm_contracts_none_runs_and_none_comes_into_being() {
    let layer = without_evm();
    let evm = Evm::new().push(1).return_top().code();
    let to_b = Code::new().call(B, 0, 0).op(RETURN).code();
    let delegation = [&[0xef, 1, 0], B.as_slice()].concat();
    let state = world(&[(A, &to_b), (B, &evm), (C, &delegation)]);
    for to in [B, C] {
        let outcome = send(&layer, &state, &message(TxKind::Call(to), &[]));
        assert_eq!(halted(&outcome), NO_EVM_CONTRACTS);
        assert_eq!(outcome.execution.gas_used, 1_000_000);
    }
    // A call of one fails, and its caller goes on.
    let outcome = send(&layer, &state, &message(TxKind::Call(A), &[]));
    assert_eq!(returned(&outcome), U256::ZERO);
    let [assembled, returning_tally, returning_evm] = inits();
    let outcome = send(&layer, &state, &message(TxKind::Create, &returning_evm.0));
    assert_eq!(halted(&outcome), NO_EVM_CONTRACTS);
    for (init, code) in [assembled, returning_tally] {
        let outcome = send(&layer, &state, &message(TxKind::Create, &init));
        assert!(outcome.execution.outcome.is_success());
        assert_eq!(
            code_at(&after(&state, &outcome), SENDER.create(0)),
            Some(code)
        );
    }
    // Init code that calls an EVM contract runs, and the call fails.
    let init = Evm::new().call(B, 0, 0).revert_top().code();
    let outcome = send(&layer, &state, &message(TxKind::Create, &init));
    let output = word(0).into();
    assert_eq!(outcome.execution.outcome, Outcome::Revert { output });
}

#[test]
fn without_evm_contracts_transfers_and_precompiles_work() {
    let layer = without_evm();
    let identity = Address::with_last_byte(4);
    let call = Code::new().call(identity, 0, 0).returns(OUTPUT).code();
    let state = world(&[(A, &call)]);
    let outcome = send(&layer, &state, &message(TxKind::Call(A), &word(99)));
    assert_eq!(returned(&outcome), U256::from(99));
    let mut transfer = message(TxKind::Call(C), &[]);
    transfer.value = U256::from(4);
    let outcome = send(&layer, &state, &transfer);
    assert_eq!(balance(&after(&state, &outcome), C), U256::from(4));
}

#[test]
fn before_prague_there_are_no_machines() {
    let state = world(&[(A, &tally_contract().code())]);
    for layer in [layer(), without_evm()] {
        let call = message(TxKind::Call(A), &[]);
        let outcome = send_at(Fork::Cancun, &layer, &state, &call);
        assert_eq!(halted(&outcome), HaltReason::InvalidInstruction);
        let [assembled, returning_tally, returning_evm] = inits();
        let send =
            |init: &[u8]| send_at(Fork::Cancun, &layer, &state, &message(TxKind::Create, init));
        // STOP: an empty contract.
        let outcome = send(&assembled.0);
        assert!(outcome.execution.outcome.is_success());
        assert_eq!(code_at(&after(&state, &outcome), SENDER.create(0)), None);
        assert_eq!(halted(&send(&returning_tally.0)), RESERVED);
        assert!(send(&returning_evm.0).execution.outcome.is_success());
    }
}
