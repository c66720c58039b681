//! What the host asks for is what the EVM asks for, to the last gas.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use alloy_consensus::TxLegacy;
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use common::{
    A, B, BALANCE, C, CREATE, CREATE2, Code, DELEGATE, LOAD, REVERT, SENDER, STATIC, STEP, after,
    chain,
    evm::{self, Evm},
    layer, message, put, send, slot, world,
};
use weft_executor_core::{Call, CallOutcome, Execution, ExecutionLayer, MemoryState};
use weft_primitives::{Fork, Transaction};

/// Runs `code` at `A` where `B` and its slots are.
fn outcome(code: &[u8], b: &[u8], change: impl Fn(&mut Call)) -> CallOutcome {
    let mut state = world(&[]);
    put(&mut state, A, 1_000, code, &[(1, 5), (2, 6)]);
    put(&mut state, B, 9, b, &[(1, 5)]);
    let mut call = message(TxKind::Call(A), &[]);
    change(&mut call);
    send(&layer(), &state, &call)
}

/// That the two spend the same. The host's prices come on top of steps and of EVM instructions, which
/// are 3 gas each, or as much as some of them; words in front make up for there being fewer.
#[track_caller]
fn same_price(tally: &Code, tally_steps: u64, evm: &Evm, evm_steps: u64, b: &[u8], input: &[u8]) {
    let all = tally_steps.max(evm_steps);
    let tally = (tally_steps..all)
        .fold(Code::new(), |code, _| code.push(0))
        .then(tally);
    let evm = (evm_steps..all)
        .fold(Evm::new(), |code, _| code.push(0))
        .then(evm);
    for listed in [false, true] {
        let [tally, evm] = [tally.code(), evm.code()].map(|code| {
            outcome(&code, b, |call| {
                call.input = Bytes::copy_from_slice(input);
                if listed {
                    call.access_list = access_list();
                }
            })
        });
        assert!(tally.execution.outcome.is_success(), "{tally:?}");
        assert!(evm.execution.outcome.is_success(), "{evm:?}");
        assert_eq!(tally.execution.gas_used, evm.execution.gas_used);
        assert_eq!(tally.execution.gas_refunded, evm.execution.gas_refunded);
        assert_eq!(tally.accessed, evm.accessed);
    }
}

fn access_list() -> AccessList {
    let slots = (1..4).map(B256::with_last_byte).collect();
    AccessList(vec![
        AccessListItem {
            address: A,
            storage_keys: slots,
        },
        AccessListItem {
            address: B,
            storage_keys: vec![B256::ZERO],
        },
    ])
}

#[test]
fn reading_a_slot() {
    let tally = Code::new().push(1).op(LOAD).push(1).op(LOAD);
    let tally = tally.push(7).op(LOAD);
    let evm = Evm::new().push(1).op(evm::SLOAD).push(1).op(evm::SLOAD);
    same_price(&tally, 6, &evm.push(7).op(evm::SLOAD), 3, &[], &[]);
}

/// From and to every combination of zero, the old value and others.
#[test]
fn writing_a_slot() {
    for slot in [1, 3] {
        for first in [0, 5, 7] {
            for second in [0, 5, 7, 8] {
                for third in [0, 5] {
                    let values = [first, second, third];
                    let tally = values
                        .iter()
                        .fold(Code::new(), |code, value| code.store(slot, *value));
                    let evm = values
                        .iter()
                        .fold(Evm::new(), |code, value| code.store(slot, *value));
                    same_price(&tally, 9, &evm, 6, &[], &[]);
                }
            }
        }
    }
}

#[test]
fn looking_at_a_balance() {
    for address in [A, B, C, SENDER, Address::with_last_byte(1)] {
        let twice = Code::new().push(address).op(BALANCE);
        let tally = twice.push(address).op(BALANCE);
        let evm = Evm::new().push(address).op(evm::BALANCE);
        same_price(&tally, 4, &evm.push(address).op(evm::BALANCE), 2, &[], &[]);
    }
}

/// CALL with words in the place of all arguments; the gas is its own word.
fn evm_call(op: u8, to: Address, value: Option<u64>) -> Evm {
    let code = Evm::new().push(0).push(0).push(0).push(0);
    let code = match value {
        Some(value) => code.push(value),
        None => code,
    };
    code.push(to).push(u64::MAX).op(op)
}

#[test]
fn calling() {
    let callees = [
        Vec::new(),
        Evm::new().push(1).op(evm::SLOAD).code(),
        Code::new().push(1).op(LOAD).code(),
        // Comes back with nothing of what it was given but 2,300, if that.
        Evm::new().op(evm::INVALID).code(),
        Code::new().op(0x7f).code(),
        // A refund in the frame below.
        Evm::new().store(1, 0).code(),
        Code::new().store(1, 0).code(),
        Code::new().store(1, 0).push(1).op(REVERT).code(),
        // A delegation.
        [&[0xef, 0x01, 0x00], C.as_slice()].concat(),
    ];
    for b in &callees {
        for to in [B, C, Address::with_last_byte(4)] {
            for value in [0, 1, 2_000] {
                let tally = Code::new().call(to, value, 0);
                same_price(&tally, 4, &evm_call(evm::CALL, to, Some(value)), 7, b, &[]);
            }
            let tally = Code::new().call_as(DELEGATE, to);
            same_price(&tally, 3, &evm_call(evm::DELEGATECALL, to, None), 6, b, &[]);
            let tally = Code::new().call_as(STATIC, to);
            same_price(&tally, 3, &evm_call(evm::STATICCALL, to, None), 6, b, &[]);
        }
    }
}

/// With exactly the gas for it, and with one less.
#[test]
fn a_call_needs_the_same_gas() {
    for value in [0u64, 1] {
        for to in [B, C] {
            let evm = evm_call(evm::CALL, to, Some(value));
            let tally = Code::new().call(to, value, 0);
            // The state has no contract at either.
            let used = |code: &[u8], gas_limit| {
                let mut state = world(&[]);
                put(&mut state, A, 1_000, code, &[]);
                put(&mut state, B, 9, &[], &[]);
                let mut call = message(TxKind::Call(A), &[]);
                call.gas_limit = gas_limit;
                send(&layer(), &state, &call)
            };
            let new = if value == 1 && to == C { 25_000 } else { 0 };
            let price = 21_000 + 2_600 + value * 9_000 + new;
            for (short, success) in [(0, true), (1, false), (2_501, false)] {
                let evm = used(&evm.code(), price + 7 * 3 - short);
                let tally = used(&tally.code(), price + 4 * STEP - short);
                assert_eq!(evm.execution.outcome.is_success(), success);
                assert_eq!(tally.execution.outcome.is_success(), success);
                assert_eq!(evm.accessed, tally.accessed);
            }
        }
    }
}

#[test]
fn creating() {
    let inits = [
        Vec::new(),
        vec![0x00; 33],
        evm::returning(&[0xfe; 70]),
        Evm::new().op(evm::INVALID).code(),
        Evm::new().push(3).revert_top().code(),
        Evm::new().store(1, 1).store(1, 0).code(),
        Code::new().push(1).op(LOAD).init(),
        evm::returning(&Code::new().push(1).op(LOAD).code()),
    ];
    for init in &inits {
        for value in [0, 3, 2_000] {
            let length = u64::try_from(init.len()).unwrap();
            // CALLDATACOPY of it all, with the words of memory; what that has in front of it is 6 gas.
            let copy = 2 + 1 + 2 * length.div_ceil(32);
            let copied = Evm::new().ops(&[0x36, 0x5f, 0x5f, 0x37]);
            let evm = copied.clone().push(length).push(0).push(value);
            let tally = Code::new().push(0).push(value).op(CREATE);
            same_price(&tally, 3, &evm.op(evm::CREATE), copy + 3, &[], init);
            let evm = copied.push(77).push(length).push(0).push(value);
            let tally = Code::new().push(0).push(value).push(77).op(CREATE2);
            same_price(&tally, 4, &evm.op(evm::CREATE2), copy + 4, &[], init);
        }
    }
}

/// A signed transaction, whose refund is bounded by a fifth.
fn execute(state: &MemoryState, input: &[u8]) -> Execution {
    let transaction = TxLegacy {
        input: Bytes::copy_from_slice(input),
        ..chain::legacy(0, TxKind::Call(A), 0)
    };
    let transaction = chain::recovered(SENDER, Transaction::Legacy, transaction);
    let block = chain::block(Fork::LATEST);
    layer()
        .execute(&block, &transaction, &mut state.clone())
        .unwrap()
}

#[test]
fn the_refund_of_a_cleared_slot_stays_and_goes_with_its_frame() {
    let clearing = Code::new().store(1, 0);
    let reverting = clearing.clone().push(0).op(REVERT).code();
    let mut state = world(&[(A, &clearing.code())]);
    put(&mut state, A, 0, &clearing.code(), &[(1, 5)]);
    let execution = execute(&state, &[]);
    let used = 21_000 + 3 * STEP + 5_000;
    assert_eq!(execution.gas_refunded, 4_800);
    assert_eq!(execution.gas_used, used - 4_800);
    put(&mut state, A, 0, &reverting, &[(1, 5)]);
    assert_eq!(execute(&state, &[]).gas_refunded, 0);
    for (callee, refund) in [(clearing.code(), 4_800), (reverting, 0)] {
        for caller in [
            Code::new().call(B, 0, 0).code(),
            Code::new().call_as(DELEGATE, B).code(),
            Evm::new().call(B, 0, 0).code(),
        ] {
            put(&mut state, A, 0, &caller, &[(1, 5)]);
            put(&mut state, B, 0, &callee, &[(1, 5)]);
            assert_eq!(execute(&state, &[]).gas_refunded, refund);
        }
    }
    let store_twice = Code::new().store(1, 0).store(1, 5);
    put(&mut state, A, 0, &store_twice.code(), &[(1, 5)]);
    let outcome = send(&layer(), &state, &message(TxKind::Call(A), &[]));
    assert_eq!(outcome.execution.gas_refunded, 2_800);
    assert_eq!(slot(&after(&state, &outcome), A, 1), U256::from(5));
}
