//! Calls between EVM contracts and Tally contracts.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use alloy_primitives::{B256, TxKind, U256};
use common::{
    A, ADD, B, C, CALLER, CREATE, Code, DATA, DELEGATE, GAS, ITSELF, LOAD, LOG, OUTPUT, REENTRANT,
    RETURN, REVERT, SENDER, SKIP, STATIC, VALUE, address_returned, after, balance, call_a,
    evm::{self, Evm},
    halted, layer, message, put, returned, send, slot, word, world,
};
use weft_executor_core::{HaltReason, MemoryState, Outcome};

/// A caller of each kind that calls `B` with the calldata, and returns whether that returned or what
/// came back.
fn callers(value: u64) -> [(Vec<u8>, Vec<u8>); 2] {
    [
        (
            Evm::new().call(B, value, 0).return_top().code(),
            Evm::new().call(B, value, 0).output().return_top().code(),
        ),
        (
            Code::new().call(B, value, 0).op(RETURN).code(),
            Code::new().call(B, value, 0).returns(OUTPUT).code(),
        ),
    ]
}

/// Runs `caller` at `A`, with 1,000 wei, and `callee` at `B`.
fn run(caller: &[u8], callee: &[u8], input: &[u8]) -> (U256, MemoryState) {
    let mut state = world(&[(B, callee)]);
    put(&mut state, A, 1_000, caller, &[]);
    let outcome = call_a(&state, input);
    (returned(&outcome), after(&state, &outcome))
}

#[test]
fn value_calldata_and_return_data_go_both_ways() {
    let callees = [
        // Stores caller and value, returns calldata's first word + value.
        Code::new()
            .op(CALLER)
            .push(1)
            .op(common::STORE)
            .op(VALUE)
            .push(2)
            .op(common::STORE)
            .op(VALUE)
            .push(0)
            .op(DATA)
            .returns(ADD)
            .code(),
        Evm::new()
            .op(evm::CALLER)
            .push(1)
            .op(evm::SSTORE)
            .op(evm::CALLVALUE)
            .push(2)
            .op(evm::SSTORE)
            .op(evm::CALLVALUE)
            .push(0)
            .op(evm::CALLDATALOAD)
            .op(evm::ADD)
            .return_top()
            .code(),
    ];
    for (flag, output) in callers(7) {
        for callee in &callees {
            let input = word(100);
            assert_eq!(run(&flag, callee, &input).0, U256::ONE);
            let (result, state) = run(&output, callee, &input);
            assert_eq!(result, U256::from(107));
            assert_eq!(slot(&state, B, 1), U256::from_be_slice(A.as_slice()));
            assert_eq!(slot(&state, B, 2), U256::from(7));
            assert_eq!(balance(&state, A), U256::from(993));
            assert_eq!(balance(&state, B), U256::from(7));
        }
    }
}

#[test]
fn a_revert_takes_back_value_and_writes_and_brings_its_data() {
    let callees = [
        Code::new()
            .store(1, 1)
            .push(0)
            .push(0)
            .op(LOG)
            .push(55)
            .op(REVERT)
            .code(),
        Evm::new()
            .store(1, 1)
            .push(1)
            .log_top()
            .push(55)
            .revert_top()
            .code(),
    ];
    for (flag, output) in callers(7) {
        for callee in &callees {
            let (result, state) = run(&flag, callee, &[]);
            assert_eq!(result, U256::ZERO);
            assert_eq!(slot(&state, B, 1), U256::ZERO);
            assert_eq!(balance(&state, A), U256::from(1_000));
            assert_eq!(run(&output, callee, &[]).0, U256::from(55));
        }
    }
    let state = world(&[(A, &callees[0])]);
    let outcome = call_a(&state, &[]).execution.outcome;
    assert_eq!(
        outcome,
        Outcome::Revert {
            output: word(55).into()
        }
    );
}

#[test]
fn a_call_with_more_value_than_there_is_fails_and_costs_no_gas_of_the_callee() {
    let callees = [Code::new().code(), Evm::new().op(evm::INVALID).code()];
    for (flag, _) in callers(1_001) {
        for callee in &callees {
            let mut state = world(&[(B, callee)]);
            put(&mut state, A, 1_000, &flag, &[]);
            let outcome = call_a(&state, &[]);
            assert_eq!(returned(&outcome), U256::ZERO);
            assert!(outcome.execution.gas_used < 40_000);
        }
    }
}

#[test]
fn logs_carry_their_contract_and_keep_their_order() {
    let tally = |log: u64| Code::new().push(log).push(9).op(LOG);
    let caller = tally(1).call(B, 0, 0);
    let callee = Evm::new().push(2).log_top().call(C, 0, 0).code();
    let state = world(&[
        (A, &caller.push(4).push(9).op(LOG).code()),
        (B, &callee),
        (C, &tally(3).code()),
    ]);
    let logs = call_a(&state, &[]).execution.logs;
    let found: Vec<_> = logs
        .iter()
        .map(|log| (log.address, U256::from_be_slice(&log.data.data)))
        .collect();
    let expected = [(A, 1), (B, 2), (C, 3), (A, 4)];
    assert_eq!(found, expected.map(|(at, data)| (at, U256::from(data))));
    assert_eq!(logs[0].topics(), [B256::from(U256::from(9))]);
    assert!(logs[1].topics().is_empty());
}

#[test]
fn nothing_is_written_below_a_static_call() {
    let writes = [
        Code::new().store(1, 1),
        Code::new().push(1).push(1).op(LOG),
        Code::new().push(0).push(0).op(CREATE),
        Code::new().call(C, 1, 0),
        // In the other's place, all the way down.
        Code::new().call_as(DELEGATE, C),
        Code::new().call(C, 0, 0),
    ];
    for (index, write) in writes.iter().enumerate() {
        // The last two succeed in a call whose callee did not.
        let callee = match index {
            4 | 5 => write.clone().returns(OUTPUT).code(),
            _ => write.code(),
        };
        let writer = [
            Code::new().store(1, 1).push(8).op(RETURN).code(),
            Evm::new().store(1, 1).push(8).return_top().code(),
        ];
        for writer in &writer {
            for (flag, output, may_write) in [
                (
                    Evm::new().call_as(evm::STATICCALL, B).return_top().code(),
                    Evm::new()
                        .call_as(evm::STATICCALL, B)
                        .output()
                        .return_top()
                        .code(),
                    false,
                ),
                (
                    Code::new().call_as(STATIC, B).op(RETURN).code(),
                    Code::new().call_as(STATIC, B).returns(OUTPUT).code(),
                    false,
                ),
                (
                    Code::new().call(B, 0, 0).op(RETURN).code(),
                    Code::new().call(B, 0, 0).returns(OUTPUT).code(),
                    true,
                ),
            ] {
                let mut state = world(&[(A, &flag), (C, writer)]);
                put(&mut state, B, 10, &callee, &[]);
                let outcome = call_a(&state, &[]);
                let inner = index >= 4;
                assert_eq!(
                    returned(&outcome),
                    U256::from(may_write || inner),
                    "{index}"
                );
                let state_after = after(&state, &outcome);
                if !may_write {
                    assert_eq!(slot(&state_after, B, 1), U256::ZERO, "{index}");
                    assert_eq!(slot(&state_after, C, 1), U256::ZERO, "{index}");
                    assert_eq!(balance(&state_after, B), U256::from(10));
                    assert!(outcome.execution.logs.is_empty());
                }
                if inner {
                    put(&mut state, A, 0, &output, &[]);
                    let expected = if may_write { 8 } else { 0 };
                    assert_eq!(returned(&call_a(&state, &[])), U256::from(expected));
                }
            }
        }
    }
}

#[test]
fn a_static_call_reads() {
    for callee in [
        Code::new().push(1).op(LOAD).op(RETURN).code(),
        Evm::new().push(1).op(evm::SLOAD).return_top().code(),
    ] {
        for caller in [
            Evm::new()
                .call_as(evm::STATICCALL, B)
                .output()
                .return_top()
                .code(),
            Code::new().call_as(STATIC, B).returns(OUTPUT).code(),
        ] {
            let mut state = world(&[(A, &caller)]);
            put(&mut state, B, 0, &callee, &[(1, 77)]);
            assert_eq!(returned(&call_a(&state, &[])), U256::from(77));
        }
    }
}

#[test]
fn delegated_code_has_the_storage_sender_and_value_of_the_frame_above() {
    let libraries = [
        Code::new()
            .op(CALLER)
            .push(1)
            .op(common::STORE)
            .op(VALUE)
            .push(2)
            .op(common::STORE)
            .returns(ITSELF)
            .code(),
        Evm::new()
            .op(evm::CALLER)
            .push(1)
            .op(evm::SSTORE)
            .op(evm::CALLVALUE)
            .push(2)
            .op(evm::SSTORE)
            .op(evm::ADDRESS)
            .return_top()
            .code(),
    ];
    let proxies = [
        Evm::new()
            .call_as(evm::DELEGATECALL, B)
            .output()
            .return_top()
            .code(),
        Code::new().call_as(DELEGATE, B).returns(OUTPUT).code(),
    ];
    for library in &libraries {
        for proxy in &proxies {
            let state = world(&[(A, proxy), (B, library)]);
            let mut call = message(TxKind::Call(A), &[]);
            call.value = U256::from(9);
            let outcome = send(&layer(), &state, &call);
            assert_eq!(address_returned(&outcome), A);
            let state = after(&state, &outcome);
            assert_eq!(slot(&state, A, 1), U256::from_be_slice(SENDER.as_slice()));
            assert_eq!(slot(&state, A, 2), U256::from(9));
            assert_eq!(slot(&state, B, 1), U256::ZERO);
            assert_eq!(balance(&state, A), U256::from(9));
        }
    }
}

/// A contract that calls `A` again, with a calldata of one.
fn back() -> Vec<u8> {
    Evm::new()
        .ops(&[0x60, 1, 0x5f, 0x52, 0x5f, 0x5f, 0x60, 0x20, 0x5f, 0x5f])
        .push(A)
        .ops(&[evm::GAS, evm::CALL])
        .output()
        .return_top()
        .code()
}

/// Says whether it is entered again: in the first call it asks `C`, which calls back.
fn asks() -> Code {
    Code::new()
        .op(REENTRANT)
        .push(0)
        .op(DATA)
        .op(SKIP)
        .op(RETURN)
        .call(C, 0, 0)
        .returns(OUTPUT)
}

#[test]
fn a_frame_that_is_not_entered_again_says_so() {
    let flag = Code::new().returns(REENTRANT).code();
    let twice = Code::new().call(B, 0, 0).call(B, 0, 0).returns(OUTPUT);
    let delegating = Code::new().call_as(DELEGATE, B).returns(OUTPUT);
    for caller in [flag.clone(), twice.code(), delegating.code()] {
        let state = world(&[(A, &caller), (B, &flag)]);
        assert_eq!(returned(&call_a(&state, &[])), U256::ZERO);
    }
}

/// A delegated frame is part of the frame above it, whatever that runs on.
#[test]
fn a_frame_knows_that_its_contract_runs_above() {
    let proxy = Evm::new().call_as(evm::DELEGATECALL, B).output();
    for entered in [
        asks().code(),
        Code::new().call_as(DELEGATE, B).returns(OUTPUT).code(),
        proxy.return_top().code(),
    ] {
        let library = asks().code();
        let state = world(&[(A, &entered), (B, &library), (C, &back())]);
        assert_eq!(returned(&call_a(&state, &[])), U256::ONE);
    }
    // `B` is called by its own name, once each time that `A` is entered, and so is above itself.
    let forwards = Evm::new().call(B, 0, 0).output().return_top().code();
    let state = world(&[(A, &forwards), (B, &asks().code()), (C, &back())]);
    assert_eq!(returned(&call_a(&state, &[])), U256::ONE);
}

#[test]
fn a_callee_that_is_stopped_leaves_a_64th() {
    let stopped = [
        Code::new().op(RETURN).code(),
        Evm::new().op(evm::INVALID).code(),
    ];
    for callee in &stopped {
        for gas_limit in [100_000, 1_000_000] {
            let caller = Code::new().call(B, 0, 0).returns(GAS).code();
            let state = world(&[(A, &caller), (B, callee)]);
            let mut call = message(TxKind::Call(A), &[]);
            call.gas_limit = gas_limit;
            // Three words and the call; GAS itself has a price too.
            let before = gas_limit - 21_000 - 4 * common::STEP - 2_600;
            let left = before / 64 - common::STEP;
            assert_eq!(returned(&send(&layer(), &state, &call)), U256::from(left));
        }
    }
}

#[test]
fn a_callee_that_runs_out_of_gas_leaves_a_64th() {
    let storing = Code::new().store(1, 1).code();
    let caller = Code::new().call(B, 0, 0).returns(GAS).code();
    let state = world(&[(A, &caller), (B, &storing)]);
    let mut call = message(TxKind::Call(A), &[]);
    call.gas_limit = 21_000 + 4 * common::STEP + 2_600 + 20_000;
    let left = 20_000 / 64 - common::STEP;
    let outcome = send(&layer(), &state, &call);
    assert_eq!(returned(&outcome), U256::from(left));
    assert_eq!(slot(&after(&state, &outcome), B, 1), U256::ZERO);
}

/// Value brings 2,300 gas along, which cannot write.
#[test]
fn value_brings_a_stipend() {
    let callee = Code::new().returns(GAS).code();
    let evm_callee = Evm::new().op(evm::GAS).return_top().code();
    for (callee, price) in [(callee, common::STEP), (evm_callee, 2)] {
        let caller = Code::new().call(B, 1, 0).returns(OUTPUT).code();
        let mut state = world(&[(B, &callee)]);
        put(&mut state, A, 5, &caller, &[]);
        let mut call = message(TxKind::Call(A), &[]);
        let spent = 21_000 + 4 * common::STEP + 2_600 + 9_000;
        call.gas_limit = spent + 640;
        let outcome = send(&layer(), &state, &call);
        assert_eq!(returned(&outcome), U256::from(640 - 10 + 2_300 - price));
    }
    let storing = Code::new().store(1, 1).code();
    // CALL with a gas of zero: the stipend is all there is.
    let caller = Evm::new()
        .ops(&[0x5f, 0x5f, 0x5f, 0x5f])
        .push(1)
        .push(B)
        .ops(&[0x5f, evm::CALL])
        .return_top()
        .code();
    let mut state = world(&[(B, &storing)]);
    put(&mut state, A, 5, &caller, &[]);
    assert_eq!(returned(&call_a(&state, &[])), U256::ZERO);
}

/// Calls of both kinds alternate until there are 1,024 above: the next one fails, and its caller
/// goes on.
#[test]
fn calls_nest_as_deep_as_in_the_evm() {
    let count = |ours: Code| ours.push(1).op(ADD).op(RETURN).code();
    // Each answers one more than the frame below it, or one when there is none.
    let tally_to = |to| count(Code::new().call(to, 0, 0).op(OUTPUT));
    let evm_to = |to| {
        let called = Evm::new().call(to, 0, 0).output();
        called.push(1).op(evm::ADD).return_top().code()
    };
    for (first, second) in [
        (tally_to(A), Vec::new()),
        (evm_to(A), Vec::new()),
        (tally_to(B), evm_to(A)),
        (evm_to(B), tally_to(A)),
        (tally_to(B), tally_to(A)),
    ] {
        let state = world(&[(A, &first), (B, &second)]);
        let mut call = message(TxKind::Call(A), &[]);
        call.gas_limit = 1 << 40;
        assert_eq!(returned(&send(&layer(), &state, &call)), U256::from(1_025));
    }
}

#[test]
fn out_of_gas_in_the_first_frame_is_said() {
    let state = world(&[(A, &Code::new().store(1, 1).code())]);
    let mut call = message(TxKind::Call(A), &[]);
    call.gas_limit = 21_000 + 22_000;
    let outcome = send(&layer(), &state, &call);
    assert_eq!(halted(&outcome), HaltReason::OutOfGas);
    assert_eq!(outcome.execution.gas_used, call.gas_limit);
}
