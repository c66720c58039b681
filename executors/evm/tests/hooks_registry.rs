//! The registry of hooks: who binds and unbinds, what is stored, and what is left afterwards.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_sol_types::{SolCall, SolError, SolEvent};
use common::{
    hooks::*,
    machine::{Do, program},
};
use weft_executor_core::{ExecutionLayer, Outcome};
use weft_executor_evm::{EvmLayer, HOOKS};
use weft_primitives::Fork;

#[test]
fn binding_is_the_owners_and_within_bounds() {
    let mut chain = chain();
    chain.put(HOOK, program(&[]));
    chain.put(OTHER_HOOK, program(&[]));
    let (target, hook) = (TARGET, HOOK);
    let bind = bind_call(TARGET, HOOK, BEFORE);
    let not_owner = NotOwner {
        caller: USER,
        target,
    };
    refused(&mut chain, USER, &bind, not_owner);
    for phases in [0, 4, 7, 255] {
        let bad = bind_call(TARGET, HOOK, phases);
        refused(&mut chain, OWNER, &bad, BadPhases { phases });
    }
    let expensive = bindCall {
        target,
        hook,
        phases: BOTH,
        gasLimit: 5_000_001,
    };
    let error = GasLimitTooHigh {
        gasLimit: 5_000_001,
        most: 5_000_000,
    };
    refused(&mut chain, OWNER, &expensive.abi_encode(), error);
    for target in [USER, HOOKS, Address::with_last_byte(4)] {
        let bind = bind_call(target, HOOK, BEFORE);
        refused(&mut chain, OWNER, &bind, NotAContract { target });
    }
    for hook in [USER, TARGET, HOOKS] {
        let bind = bind_call(TARGET, hook, BEFORE);
        refused(&mut chain, OWNER, &bind, NotAProgram { hook });
    }
    let unbind = unbind_call(TARGET, HOOK);
    refused(&mut chain, OWNER, &unbind, NotBound { target, hook });

    let execution = chain.send(OWNER, HOOKS, 0, &bind);
    assert_eq!(number(&execution), U256::ZERO);
    let event = HookBound {
        target,
        hook,
        phases: BEFORE,
        gasLimit: HOOK_GAS,
    };
    assert_eq!(execution.logs[0].address, HOOKS);
    assert_eq!(execution.logs[0].data, event.encode_log_data());
    refused(&mut chain, OWNER, &bind, AlreadyBound { target, hook });
    let other = NotBound {
        target,
        hook: OTHER_HOOK,
    };
    refused(&mut chain, OWNER, &unbind_call(TARGET, OTHER_HOOK), other);
    let not_owner = NotOwner {
        caller: USER,
        target,
    };
    refused(&mut chain, USER, &unbind, not_owner);
    for number in 1..8 {
        let hook = Address::repeat_byte(0x60 + number);
        chain.put(hook, program(&[]));
        let execution = chain.send(OWNER, HOOKS, 0, &bind_call(TARGET, hook, AFTER));
        assert_eq!(self::number(&execution), word(number.into()));
    }
    let many = TooManyHooks {
        target,
        most: word(8),
    };
    let ninth = bind_call(TARGET, OTHER_HOOK, BEFORE);
    refused(&mut chain, OWNER, &ninth, many);

    let execution = chain.send(OWNER, HOOKS, 0, &unbind);
    assert_eq!(number(&execution), word(7));
    let event = HookUnbound { target, hook };
    assert_eq!(execution.logs[0].data, event.encode_log_data());
    let bound = chain.hooks_of(TARGET);
    let rest: Vec<_> = bound.iter().map(|bound| bound.hook).collect();
    let expected: Vec<_> = (0x61..0x68).map(Address::repeat_byte).collect();
    assert_eq!(rest, expected);
}

#[test]
fn what_is_no_call_of_the_registry_is_refused() {
    let mut chain = chain();
    chain.put(HOOK, program(&[]));
    let bind = bind_call(TARGET, HOOK, BEFORE);
    let paid = chain.send(OWNER, HOOKS, 1, &bind);
    let value = Bytes::from(ValueNotAccepted {}.abi_encode());
    assert_eq!(reverted(&paid), value);
    // A plain transfer, too, on every way into the layer.
    let transfer = chain.transaction(OWNER, TxKind::Call(HOOKS), 1, &[]);
    assert!(chain.layer.transfer(&chain.env, &transfer).is_none());
    assert_eq!(reverted(&chain.send(OWNER, HOOKS, 1, &[])), value);
    for data in [&[][..], &bind[..3], &[1, 2, 3, 4], &bind[..bind.len() - 1]] {
        assert_eq!(reverted(&chain.send(OWNER, HOOKS, 0, data)), Bytes::new());
    }
    // An address with bits above it.
    let mut dirty = bind.clone();
    dirty[4] = 1;
    assert_eq!(reverted(&chain.send(OWNER, HOOKS, 0, &dirty)), Bytes::new());
    // What follows the arguments does not count.
    let longer = [&bind[..], &[1; 100]].concat();
    let execution = chain.send(OWNER, HOOKS, 0, &longer);
    assert!(execution.outcome.is_success());
}

#[test]
fn there_is_no_registry_without_machines_or_before_prague() {
    let mut plain = chain();
    plain.layer = EvmLayer::new();
    let mut old = chain();
    old.env.fork = Fork::Cancun;
    for chain in [&mut plain, &mut old] {
        chain.put(HOOK, program(&[]));
        let transfer = chain.transaction(OWNER, TxKind::Call(HOOKS), 1, &[]);
        assert!(chain.layer.transfer(&chain.env, &transfer).is_some());
        let execution = chain.send(OWNER, HOOKS, 1, &bind_call(TARGET, HOOK, BEFORE));
        assert_eq!(output(&execution), Bytes::new());
        assert_eq!(chain.code(TARGET), counter());
    }
}

#[test]
fn the_storage_is_that_of_a_solidity_mapping_of_arrays() {
    let chain = with_hook(&[], BOTH);
    let length = keccak256([TARGET.into_word().as_slice(), &[0; 32]].concat());
    let first = keccak256(length);
    let slots = &chain.state.storage[&HOOKS];
    assert_eq!(slots.len(), 2);
    assert_eq!(slots[&length.into()], U256::ONE);
    // Packed from the right: address, phases, gas limit.
    let mut packed = [0; 32];
    packed[3..11].copy_from_slice(&HOOK_GAS.to_be_bytes());
    packed[11] = BOTH;
    packed[12..].copy_from_slice(HOOK.as_slice());
    assert_eq!(slots[&first.into()], U256::from_be_bytes(packed));
    let account = chain.state.accounts[&HOOKS];
    assert_eq!((account.nonce, account.has_code()), (1, false));
}

#[test]
fn unbinding_puts_everything_back() {
    let mut chain = chain();
    chain.put(HOOK, program(&[]));
    let call = |chain: &mut Chain| chain.send(USER, TARGET, 0, &[1]).gas_used;
    call(&mut chain);
    let without = call(&mut chain);
    let before = chain.state.clone();
    chain.bind(OWNER, TARGET, HOOK, BOTH);
    let marker = [&MARKER[..], keccak256(counter()).as_slice()].concat();
    assert_eq!(chain.code(TARGET), marker);
    assert!(call(&mut chain) > without);
    let execution = chain.send(OWNER, HOOKS, 0, &unbind_call(TARGET, HOOK));
    assert!(
        execution
            .changes
            .code
            .iter()
            .any(|(_, code)| *code == counter())
    );
    assert_eq!(chain.state.accounts[&TARGET], before.accounts[&TARGET]);
    assert!(!chain.state.storage.contains_key(&HOOKS));
    assert_eq!(chain.state.accounts[&HOOKS].nonce, 1);
    assert_eq!(call(&mut chain), without);
    assert!(chain.hooks_of(TARGET).is_empty());
    chain.bind(OWNER, TARGET, HOOK, BOTH);
    assert_eq!(chain.hooks_of(TARGET).len(), 1);
}

#[test]
fn a_reverted_binding_leaves_nothing() {
    let mut chain = chain();
    chain.put(HOOK, program(&[]));
    let before = chain.state.clone();
    // The forwarder is the owner, binds, and reverts.
    owned_by(&mut chain.state, TARGET, counter(), FORWARDER);
    let mut code = forwarder(CALL).to_vec();
    let end = code.len() - 2;
    code.splice(end.., [0x5f, 0xfd]);
    chain.put(FORWARDER, code.into());
    let data = forwarded(HOOKS, &bind_call(TARGET, HOOK, BEFORE));
    let execution = chain.send(OWNER, FORWARDER, 0, &data);
    assert_eq!(reverted(&execution)[31], 1, "it was bound");
    assert_eq!(chain.code(TARGET), counter());
    assert!(!chain.state.accounts.contains_key(&HOOKS));
    assert!(!chain.state.storage.contains_key(&HOOKS));
    assert_eq!(chain.state.code.len(), before.code.len() + 1);

    // With any gas that is too little, and then with enough.
    chain.put(FORWARDER, forwarder(CALL));
    let mut bound = false;
    for gas in (29_000..160_000).step_by(1_000) {
        chain.gas_limit = gas;
        let before = chain.state.clone();
        let execution = chain.send(OWNER, FORWARDER, 0, &data);
        bound = execution.outcome.is_success() && output(&execution)[31] == 1;
        if bound {
            break;
        }
        assert_eq!(chain.state.storage, before.storage);
        assert_eq!(chain.state.accounts[&TARGET], before.accounts[&TARGET]);
    }
    assert!(bound);
    assert_eq!(chain.hooks_of(TARGET).len(), 1);
}

#[test]
fn a_contract_and_its_hook_can_come_in_one_transaction() {
    let mut chain = chain();
    chain.put(HOOK, program(&log_of(5)));
    let creator = OWNER.create(0);
    let target = creator.create(1);
    // Returns its owner, whatever it is asked.
    let mut runtime = vec![0x73];
    runtime.extend(creator);
    runtime.extend([0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3]);
    let child = deploying(&runtime);
    let bind = bind_call(target, HOOK, BOTH);
    let build = |body: usize| {
        let at = u8::try_from(body).unwrap();
        let length = u8::try_from(child.len()).unwrap();
        let mut code = vec![0x38, 0x5f, 0x5f, 0x39];
        code.extend([0x60, length, 0x60, at, 0x5f, 0xf0, 0x50]);
        code.extend([0x5f, 0x5f, 0x60, u8::try_from(bind.len()).unwrap()]);
        code.extend([0x60, at + length, 0x5f, 0x73]);
        code.extend(HOOKS);
        code.extend([0x5a, 0xf1, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3]);
        code
    };
    let mut init = build(build(0).len());
    init.extend(&child);
    init.extend(&bind);
    let execution = chain.send_to(OWNER, TxKind::Create, 0, &init);
    assert_eq!(number(&execution), U256::ONE, "{execution:?}");
    assert_eq!(chain.hooks_of(target).len(), 1);
    assert_eq!(chain.code(target)[..3], MARKER);
    let execution = chain.send(USER, target, 0, &[]);
    assert_eq!(topics(&execution), [5, 5].map(word));
}

#[test]
fn nobody_can_create_a_marker() {
    let mut chain = chain();
    let marker = [&MARKER[..], keccak256(counter()).as_slice()].concat();
    let execution = chain.send_to(USER, TxKind::Create, 0, &deploying(&marker));
    assert!(matches!(execution.outcome, Outcome::Halt { .. }));
    let init = [&[0x00][..], &marker[1..]].concat();
    let execution = chain.send_to(USER, TxKind::Create, 0, &init);
    assert_eq!(output(&execution), Bytes::new());
}

#[test]
fn other_contracts_see_the_marker() {
    let mut chain = with_hook(&[], BOTH);
    // EXTCODECOPY(target, 0, 0, 35), EXTCODEHASH(target).
    let mut code = vec![0x60, 35, 0x5f, 0x5f, 0x73];
    code.extend(TARGET);
    code.extend([0x3c, 0x73]);
    code.extend(TARGET);
    code.extend([0x3f, 0x60, 35, 0x52, 0x60, 67, 0x5f, 0xf3]);
    chain.put(FORWARDER, code.into());
    let returned = output(&chain.send(USER, FORWARDER, 0, &[]));
    let marker = [&MARKER[..], keccak256(counter()).as_slice()].concat();
    assert_eq!(returned[..35], marker);
    assert_eq!(B256::from_slice(&returned[35..]), keccak256(&marker));
}

#[test]
fn a_contract_that_calls_for_anybody_does_not_bind_hooks_to_itself() {
    let mut chain = chain();
    chain.put(HOOK, program(&[]));
    owned_by(&mut chain.state, FORWARDER, owned(&forwarder(CALL)), OWNER);
    let data = forwarded(HOOKS, &bind_call(FORWARDER, HOOK, BEFORE));
    let error = NotOwner {
        caller: FORWARDER,
        target: FORWARDER,
    };
    let returned = output(&chain.send(USER, FORWARDER, 0, &data));
    assert_eq!(returned[..32], [0; 32]);
    assert_eq!(returned[32..], error.abi_encode());
}

#[test]
fn static_calls_read_and_do_not_bind() {
    let mut chain = chain();
    chain.put(HOOK, program(&[]));
    chain.put(FORWARDER, forwarder(STATICCALL));
    owned_by(&mut chain.state, TARGET, counter(), FORWARDER);
    let bind = forwarded(HOOKS, &bind_call(TARGET, HOOK, BEFORE));
    let returned = output(&chain.send(USER, FORWARDER, 0, &bind));
    assert_eq!(returned[..], [0; 32]);
    let read = hooksOfCall { target: TARGET }.abi_encode();
    let returned = output(&chain.send(USER, FORWARDER, 0, &forwarded(HOOKS, &read)));
    assert_eq!(returned[31], 1);
    let bound = hooksOfCall::abi_decode_returns_validate(&returned[32..]).unwrap();
    assert!(bound.is_empty());
}

#[test]
fn what_a_contract_that_is_gone_has_left_means_nothing_to_its_successor() {
    let mut chain = chain();
    for hook in [HOOK, OTHER_HOOK] {
        chain.put(hook, program(&[Do::Revert]));
        chain.bind(OWNER, TARGET, hook, BOTH);
    }
    // Another contract at the same address.
    owned_by(&mut chain.state, TARGET, counter(), OWNER);
    assert!(chain.hooks_of(TARGET).is_empty());
    assert!(chain.send(USER, TARGET, 0, &[1]).outcome.is_success());
    chain.put(HOOK, program(&[]));
    let execution = chain.send(OWNER, HOOKS, 0, &bind_call(TARGET, HOOK, BOTH));
    assert_eq!(number(&execution), U256::ZERO);
    assert_eq!(chain.hooks_of(TARGET).len(), 1);
    assert!(chain.send(USER, TARGET, 0, &[1]).outcome.is_success());
    // A hook that is gone vetoes, and can be unbound.
    chain.put(HOOK, Bytes::new());
    let execution = chain.send(USER, TARGET, 0, &[1]);
    let failed = HookFailed { hook: HOOK }.abi_encode();
    assert_eq!(reverted(&execution), Bytes::from(failed));
    chain.unbind(OWNER, TARGET, HOOK);
    assert!(chain.send(USER, TARGET, 0, &[1]).outcome.is_success());
}

#[test]
fn the_price_is_that_of_what_it_does() {
    let mut chain = chain();
    chain.put(HOOK, program(&[]));
    let data = bind_call(TARGET, HOOK, BOTH);
    let execution = chain.send(OWNER, HOOKS, 0, &data);
    let zeros = data.iter().filter(|byte| **byte == 0).count() as u64;
    let calldata = 4 * zeros + 16 * (data.len() as u64 - zeros);
    // The two accounts; owner() with its slot; two hashes; length read, entry and length written;
    // the marker and its hash; a log with three topics and two words.
    let owner = 100 + 2_100 + 49;
    let slots = 42 + 36 + 22_100 + 22_100;
    let marker = 35 * 200 + 42;
    let log = 375 + 3 * 375 + 8 * 64;
    let expected = 21_000 + calldata + 2 * 2_600 + owner + slots + marker + log;
    assert_eq!(execution.gas_used, expected);
}
