//! Hooks around calls: what they see and may, in which order they run, and who pays.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use alloy_primitives::{Address, Bytes, TxKind, U256};
use alloy_sol_types::{SolCall, SolError};
use common::{
    hooks::*,
    machine::{Do, program},
};
use weft_executor_core::{CallKind, ExecutionLayer, HaltReason, Outcome};
use weft_executor_evm::HOOKS;

#[test]
fn hooks_see_the_call_and_run_in_order_of_binding() {
    let mut chain = chain();
    for (index, phases) in [(0u8, BOTH), (1, BEFORE), (2, AFTER), (3, BOTH)] {
        let hook = Address::repeat_byte(0x70 + index);
        chain.put(hook, program(&log_of(index.into())));
        chain.bind(OWNER, TARGET, hook, phases);
    }
    let execution = chain.send(USER, TARGET, 5, &[9, 8, 7]);
    assert_eq!(number(&execution), U256::ONE);
    let order = [0, 1, 3, 0, 2, 3].map(word);
    assert_eq!(topics(&execution), order);
    let (caller, value, data) = (USER, word(5), Bytes::from_static(&[9, 8, 7]));
    let before = beforeCallCall {
        target: TARGET,
        caller,
        value,
        data: data.clone(),
    };
    let after = afterCallCall {
        target: TARGET,
        caller,
        value,
        data,
        result: word(1).to_be_bytes::<32>().into(),
    };
    assert_eq!(execution.logs[0].data.data, before.abi_encode());
    assert_eq!(execution.logs[5].data.data, after.abi_encode());
    assert_eq!(execution.logs[5].address, Address::repeat_byte(0x73));
    assert_eq!(chain.state.accounts[&TARGET].balance, word(5));
}

#[test]
fn hooks_are_called_by_the_registry() {
    let caller = U256::from_be_bytes(HOOKS.into_word().0);
    let mut chain = with_hook(&[Do::Caller, Do::Expect(caller)], BOTH);
    assert!(chain.send(USER, TARGET, 0, &[1]).outcome.is_success());
}

#[test]
fn a_veto_takes_the_call_back_and_gives_the_reason() {
    for phases in [BEFORE, AFTER] {
        let veto = [Do::Put(word(77)), Do::Log, Do::Revert];
        let mut chain = with_hook(&veto, phases);
        let before = chain.state.clone();
        let execution = chain.send(USER, TARGET, 5, &[1]);
        assert_eq!(reverted(&execution), word(77).to_be_bytes::<32>().to_vec());
        assert!(execution.logs.is_empty());
        assert!(execution.gas_used < 100_000, "what is left comes back");
        assert_eq!(chain.state.storage, before.storage);
        assert_eq!(chain.state.accounts[&TARGET].balance, U256::ZERO);

        // Below another contract, which goes on.
        chain.put(FORWARDER, forwarder(CALL));
        let execution = chain.send(USER, FORWARDER, 5, &forwarded(TARGET, &[1]));
        let returned = output(&execution);
        assert_eq!(returned[..32], [0; 32]);
        assert_eq!(returned[32..], word(77).to_be_bytes::<32>());
        assert!(execution.logs.is_empty());
        assert_eq!(chain.state.accounts[&FORWARDER].balance, word(5));
    }
}

#[test]
fn hooks_that_fail_veto_with_their_name() {
    let failed = Bytes::from(HookFailed { hook: HOOK }.abi_encode());
    let create = [Do::Create];
    let store = [Do::Put(word(1)), Do::Store(0)];
    let transient = [Do::StoreTransient(0)];
    let value = [Do::Call(CallKind::Call, USER, 1, [0; 4])];
    let burn = [Do::Spend(100_000)];
    let failing = [&create[..], &store, &transient, &value, &burn, &[Do::Trap]];
    for steps in failing {
        for phases in [BEFORE, AFTER] {
            let mut chain = with_hook(steps, phases);
            let execution = chain.send(USER, TARGET, 0, &[1]);
            assert_eq!(reverted(&execution), failed, "{steps:?}");
            assert_eq!(chain.slot(TARGET, 1), U256::ZERO);
            assert_eq!(chain.slot(HOOK, 0), U256::ZERO);
        }
    }
}

#[test]
fn what_a_hook_calls_cannot_write_or_log() {
    let logger = Address::repeat_byte(0x46);
    for called in [TARGET, logger] {
        // The call fails, and the hook goes on.
        let steps = [
            Do::Call(CallKind::Call, called, 0, [0; 4]),
            Do::Expect(U256::MAX),
        ];
        let mut chain = with_hook(&steps, BEFORE);
        chain.put(logger, program(&[Do::Log]));
        let execution = chain.send(USER, TARGET, 0, &[1]);
        assert_eq!(number(&execution), U256::ONE, "{called}");
        assert!(execution.logs.is_empty());
    }
}

#[test]
fn a_hook_reads_its_own_storage_and_its_target_which_has_no_hooks_then() {
    let steps = [
        Do::Call(CallKind::Static, TARGET, 0, countCall::SELECTOR),
        Do::Log,
        Do::Load(3),
        Do::Log,
    ];
    let mut chain = with_hook(&steps, BOTH);
    let slots = [(word(3), word(33))];
    chain
        .state
        .insert(HOOK, 1, U256::ZERO, program(&steps), slots);
    let execution = chain.send(USER, TARGET, 0, &[1]);
    assert_eq!(topics(&execution), [0, 33, 1, 33].map(word));
}

#[test]
fn a_hook_with_hooks_of_its_own_runs_without_them() {
    let mut chain = chain();
    // Answers owner(), and anything else, with its slot 0.
    owned_by(&mut chain.state, HOOK, program(&[Do::Load(0)]), OWNER);
    chain.put(OTHER_HOOK, program(&[Do::Put(word(9)), Do::Revert]));
    chain.bind(OWNER, HOOK, OTHER_HOOK, BOTH);
    // Bound while it has hooks.
    chain.bind(OWNER, TARGET, HOOK, BOTH);
    assert!(chain.send(USER, TARGET, 0, &[1]).outcome.is_success());
    assert_eq!(reverted(&chain.send(USER, HOOK, 0, &[1])).len(), 32);
    chain.unbind(OWNER, HOOK, OTHER_HOOK);
    assert_eq!(chain.code(HOOK), program(&[Do::Load(0)]));
}

#[test]
fn programs_have_hooks_like_other_contracts() {
    let mut chain = chain();
    let target = Address::repeat_byte(0x34);
    let steps = [Do::Load(0)];
    owned_by(&mut chain.state, target, program(&steps), OWNER);
    chain.put(HOOK, program(&log_of(4)));
    chain.bind(OWNER, target, HOOK, BOTH);
    let execution = chain.send(USER, target, 0, &[]);
    assert_eq!(topics(&execution), [4, 4].map(word));
    assert_eq!(number(&execution), U256::from_be_slice(OWNER.as_slice()));
    chain.put(
        FORWARDER,
        program(&[Do::Call(CallKind::Call, target, 0, [0; 4])]),
    );
    let execution = chain.send(USER, FORWARDER, 0, &[]);
    assert_eq!(topics(&execution), [4, 4].map(word));
    assert_eq!(number(&execution), U256::from_be_slice(OWNER.as_slice()));
}

#[test]
fn static_calls_have_hooks_that_do_not_log() {
    let mut chain = with_hook(&[], BOTH);
    chain.put(FORWARDER, forwarder(STATICCALL));
    let count = forwarded(TARGET, &countCall::SELECTOR);
    let execution = chain.send(USER, FORWARDER, 0, &count);
    assert_eq!(output(&execution)[31], 1);
    chain.put(OTHER_HOOK, program(&[Do::Put(word(6)), Do::Revert]));
    chain.bind(OWNER, TARGET, OTHER_HOOK, AFTER);
    let returned = output(&chain.send(USER, FORWARDER, 0, &count));
    assert_eq!((returned[31], returned[63]), (0, 6));

    let mut chain = with_hook(&log_of(1), BEFORE);
    chain.put(FORWARDER, forwarder(STATICCALL));
    let returned = output(&chain.send(USER, FORWARDER, 0, &count));
    assert_eq!(returned[32..], HookFailed { hook: HOOK }.abi_encode());
}

#[test]
fn delegated_calls_run_the_code_without_hooks() {
    let veto = [Do::Put(word(1)), Do::Revert];
    for opcode in [DELEGATECALL, CALLCODE] {
        let mut chain = with_hook(&veto, BOTH);
        chain.put(FORWARDER, forwarder(opcode));
        let execution = chain.send(USER, FORWARDER, 0, &forwarded(TARGET, &[1]));
        let returned = output(&execution);
        assert_eq!((returned[31], returned[63]), (1, 1));
        assert_eq!(chain.slot(FORWARDER, 1), word(1));
        assert_eq!(chain.slot(TARGET, 1), U256::ZERO);
    }
    // So does an account that is delegated to the contract (EIP-7702).
    let mut chain = with_hook(&veto, BOTH);
    let delegated = Address::repeat_byte(0x56);
    let code = [&[0xef, 0x01, 0x00][..], TARGET.as_slice()].concat();
    chain.put(delegated, code.into());
    assert_eq!(number(&chain.send(USER, delegated, 0, &[1])), U256::ONE);
    assert_eq!(chain.slot(delegated, 1), U256::ONE);
    let hook = bind_call(delegated, HOOK, BEFORE);
    let error = NotAContract { target: delegated };
    refused(&mut chain, OWNER, &hook, error);
}

#[test]
fn the_caller_pays_what_the_hook_uses_up_to_its_limit() {
    let gas_of = |steps: &[Do]| {
        let mut chain = with_hook(steps, BEFORE);
        let execution = chain.send(USER, TARGET, 0, &[1]);
        assert!(execution.outcome.is_success(), "{execution:?}");
        execution.gas_used
    };
    let nothing = gas_of(&[]);
    assert_eq!(gas_of(&[Do::Spend(12_345)]), nothing + 12_345 + 10);
    // The hook is given its limit, or all but a 64th of what the call has.
    assert_eq!(gas_of(&[Do::Spend(99_990)]), nothing + 100_000);
    let mut chain = with_hook(&[Do::Gas, Do::Log], BEFORE);
    let execution = chain.send(USER, TARGET, 0, &[1]);
    assert_eq!(topics(&execution), [word(HOOK_GAS - 10)]);

    // What it costs to find it: an account, two slots, and the hook's account, all cold; two hashes;
    // the calldata, twice copied into memory.
    let mut chain = self::chain();
    let without = chain.send(USER, TARGET, 0, &[1]).gas_used;
    let finding = 2_600 + 2 * 2_100 + 2_600 + 42 + 36 + 2 * 6;
    assert_eq!(nothing, without + finding);

    // Little gas: either the call is as if it had never been, or the hook has run.
    let mut chain = with_hook(&[Do::Put(word(1)), Do::Log], BOTH);
    let (mut failed, mut vetoed) = (0, 0);
    loop {
        let before = chain.state.storage.clone();
        chain.gas_limit = 21_100 + 400 * (failed + vetoed);
        let execution = chain.send(USER, TARGET, 0, &[1]);
        match execution.outcome {
            Outcome::Success { .. } => {
                assert_eq!(execution.logs.len(), 2);
                break;
            }
            Outcome::Revert { output } => {
                assert_eq!(output, HookFailed { hook: HOOK }.abi_encode());
                vetoed += 1;
            }
            Outcome::Halt { reason } => {
                assert_eq!(reason, HaltReason::OutOfGas);
                assert_eq!(execution.gas_used, chain.gas_limit);
                failed += 1;
            }
        }
        assert_eq!(chain.state.storage, before);
    }
    assert!(failed > 10 && vetoed > 1, "{failed} {vetoed}");
}

#[test]
fn what_fails_in_the_call_itself_is_as_without_hooks() {
    // Reverts with its input's first byte, and is stopped.
    let reverts = owned(&[0x5f, 0x35, 0x5f, 0x52, 0x60, 1, 0x5f, 0xfd]);
    let stops = owned(&[0xfe]);
    let mut chain = chain();
    chain.put(HOOK, program(&log_of(1)));
    let (first, second) = (Address::repeat_byte(0x34), Address::repeat_byte(0x35));
    for (target, code) in [(first, reverts), (second, stops)] {
        owned_by(&mut chain.state, target, code, OWNER);
        chain.bind(OWNER, target, HOOK, BOTH);
    }
    let execution = chain.send(USER, first, 0, &[9]);
    assert_eq!(reverted(&execution), Bytes::from_static(&[9]));
    assert!(execution.gas_used < 50_000, "what is left comes back");
    let execution = chain.send(USER, second, 0, &[9]);
    assert_eq!(
        execution.outcome,
        Outcome::Halt {
            reason: HaltReason::InvalidInstruction
        }
    );
    assert_eq!(execution.gas_used, chain.gas_limit);

    // More value than there is, in GAS instead of CALLVALUE: the call ends before it begins, and
    // what the hook has logged is gone.
    let mut code = forwarder(CALL).to_vec();
    let at = code.iter().position(|byte| *byte == 0x34).unwrap();
    code[at] = 0x5a;
    chain.put(FORWARDER, code.into());
    chain.bind(OWNER, TARGET, HOOK, BOTH);
    let execution = chain.send(USER, FORWARDER, 0, &forwarded(TARGET, &[1]));
    assert_eq!(output(&execution)[..32], [0; 32]);
    assert!(execution.logs.is_empty());
    assert_eq!(chain.slot(TARGET, 1), U256::ZERO);
}

#[test]
fn the_hooks_of_a_call_are_those_that_were_bound_when_it_began() {
    let mut chain = chain();
    // The forwarder owns itself and takes its own hook away.
    let code = owned(&forwarder(CALL));
    owned_by(&mut chain.state, FORWARDER, code, FORWARDER);
    chain.put(HOOK, program(&log_of(5)));
    let bind = forwarded(HOOKS, &bind_call(FORWARDER, HOOK, BOTH));
    let execution = chain.send(USER, FORWARDER, 0, &bind);
    assert_eq!(output(&execution)[31], 1);
    assert_eq!(execution.logs.len(), 1, "the event alone");
    let unbind = forwarded(HOOKS, &unbind_call(FORWARDER, HOOK));
    let execution = chain.send(USER, FORWARDER, 0, &unbind);
    assert_eq!(output(&execution)[31], 1);
    assert_eq!(execution.logs.len(), 3, "the hook, the event, the hook");
    assert!(chain.hooks_of(FORWARDER).is_empty());
}

#[test]
fn calls_nested_as_deep_as_gas_allows_fit_into_a_threads_stack() {
    let test = || {
        let mut chain = chain();
        // Calls itself.
        let code = owned(&[0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x30, 0x5a, 0xf1]);
        owned_by(&mut chain.state, TARGET, code, OWNER);
        chain.put(HOOK, program(&log_of(1)));
        chain.bind(OWNER, TARGET, HOOK, AFTER);
        let call = weft_executor_core::Call {
            from: USER,
            to: TxKind::Call(TARGET),
            gas_limit: u64::MAX >> 1,
            input: Bytes::from_static(&[1]),
            ..Default::default()
        };
        let mut state = chain.state.clone();
        let outcome = chain.layer.call(&chain.env, &call, &mut state).unwrap();
        assert!(outcome.execution.outcome.is_success());
        // Below the last call there is no room for its hook.
        assert_eq!(outcome.execution.logs.len(), 1024);
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20);
    thread.spawn(test).unwrap().join().unwrap();
}
