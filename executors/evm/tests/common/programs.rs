//! Random small programs and transactions that run them.
#![allow(dead_code, reason = "each test program uses a part")]

use std::collections::BTreeMap;

use alloy_primitives::{Address, Bytes, TxKind, U256};
use proptest::prelude::*;
use weft_executor_core::{Account, MemoryState};
use weft_primitives::{Fork, RecoveredTransaction, Transaction, TxDeposit};

use super::chain::{deposit, dynamic_fee, legacy, recovered, state};

pub(crate) const FORKS: [Fork; 9] = [
    Fork::Frontier,
    Fork::Homestead,
    Fork::SpuriousDragon,
    Fork::Byzantium,
    Fork::Istanbul,
    Fork::London,
    Fork::Shanghai,
    Fork::Cancun,
    Fork::LATEST,
];

/// How many accounts programs and transactions name.
pub(crate) const ACCOUNTS: u8 = 8;

pub(crate) fn address(index: u8) -> Address {
    match index % ACCOUNTS {
        // Precompiles, of which one is touched in a way of its own (EIP-161's exception).
        6 => Address::with_last_byte(3),
        7 => super::chain::BENEFICIARY,
        other => Address::repeat_byte(0x10 + other),
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Store(u8, u8),
    Load(u8),
    Call { to: u8, value: u8, gas: u16 },
    DelegateCall { to: u8 },
    Create { value: u8, program: Vec<Step> },
    Create2 { salt: u8, program: Vec<Step> },
    SelfDestruct(u8),
    Log(u8),
    Balance(u8),
    Revert,
    Invalid,
}

fn push(code: &mut Vec<u8>, bytes: &[u8]) {
    code.push(0x5f + u8::try_from(bytes.len()).unwrap());
    code.extend_from_slice(bytes);
}

pub(crate) fn assemble(steps: &[Step]) -> Vec<u8> {
    let mut code = Vec::new();
    for step in steps {
        match step {
            Step::Store(slot, value) => {
                push(&mut code, &[*value]);
                push(&mut code, &[*slot]);
                code.push(0x55);
            }
            Step::Load(slot) => {
                push(&mut code, &[*slot]);
                code.extend_from_slice(&[0x54, 0x50]);
            }
            Step::Call { to, value, gas } => {
                for _ in 0..4 {
                    push(&mut code, &[0]);
                }
                push(&mut code, &[*value]);
                push(&mut code, address(*to).as_slice());
                push(&mut code, &gas.to_be_bytes());
                code.extend_from_slice(&[0xf1, 0x50]);
            }
            Step::DelegateCall { to } => {
                for _ in 0..4 {
                    push(&mut code, &[0]);
                }
                push(&mut code, address(*to).as_slice());
                push(&mut code, &[0xff, 0xff]);
                code.extend_from_slice(&[0xf4, 0x50]);
            }
            Step::Create { value, program } => {
                let length = init_code(&mut code, program);
                push(&mut code, &[length]);
                push(&mut code, &[0]);
                push(&mut code, &[*value]);
                code.extend_from_slice(&[0xf0, 0x50]);
            }
            Step::Create2 { salt, program } => {
                let length = init_code(&mut code, program);
                push(&mut code, &[*salt]);
                push(&mut code, &[length]);
                push(&mut code, &[0]);
                push(&mut code, &[0]);
                code.extend_from_slice(&[0xf5, 0x50]);
            }
            Step::SelfDestruct(to) => {
                push(&mut code, address(*to).as_slice());
                code.push(0xff);
            }
            Step::Log(topic) => {
                push(&mut code, &[*topic]);
                push(&mut code, &[2]);
                push(&mut code, &[0]);
                code.push(0xa1);
            }
            Step::Balance(of) => {
                push(&mut code, address(*of).as_slice());
                code.extend_from_slice(&[0x31, 0x50]);
            }
            Step::Revert => code.extend_from_slice(&[0x60, 0, 0x60, 0, 0xfd]),
            Step::Invalid => code.push(0xfe),
        }
    }
    code
}

/// Code that puts a program into memory as init code, which deploys two bytes after it has run.
fn init_code(code: &mut Vec<u8>, program: &[Step]) -> u8 {
    let mut init = assemble(program);
    init.truncate(200);
    init.extend_from_slice(&[0x60, 2, 0x60, 0, 0xf3]);
    for (index, chunk) in init.chunks(32).enumerate() {
        let mut word = [0; 32];
        word[..chunk.len()].copy_from_slice(chunk);
        push(code, &word);
        push(code, &[u8::try_from(index * 32).unwrap()]);
        code.push(0x52);
    }
    u8::try_from(init.len()).unwrap()
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let leaf = prop_oneof![
        4 => (0..4u8, 0..3u8).prop_map(|(slot, value)| Step::Store(slot, value)),
        2 => (0..4u8).prop_map(Step::Load),
        4 => (0..ACCOUNTS, 0..3u8, any::<u16>())
            .prop_map(|(to, value, gas)| Step::Call { to, value, gas }),
        2 => (0..ACCOUNTS).prop_map(|to| Step::DelegateCall { to }),
        1 => (0..ACCOUNTS).prop_map(Step::SelfDestruct),
        1 => any::<u8>().prop_map(Step::Log),
        1 => (0..ACCOUNTS).prop_map(Step::Balance),
        1 => Just(Step::Revert),
        1 => Just(Step::Invalid),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        let program = prop::collection::vec(inner, 0..3);
        prop_oneof![
            (0..2u8, program.clone()).prop_map(|(value, program)| Step::Create { value, program }),
            (0..2u8, program).prop_map(|(salt, program)| Step::Create2 { salt, program }),
        ]
    })
}

#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) sender: u8,
    /// Added to the nonce that would be right if all before were included.
    pub(crate) nonce_error: u64,
    pub(crate) to: Option<u8>,
    pub(crate) value: u8,
    pub(crate) gas_limit: u64,
    pub(crate) kind: u8,
    pub(crate) program: Vec<Step>,
}

pub(crate) fn sent() -> impl Strategy<Value = Sent> {
    (
        0..2u8,
        prop_oneof![6 => Just(0u64), 1 => 1..3u64],
        prop_oneof![5 => (0..ACCOUNTS).prop_map(Some), 1 => Just(None)],
        0..5u8,
        prop_oneof![
            4 => Just(500_000u64),
            1 => 20_000..60_000u64,
            1 => Just(3_000_000)
        ],
        0..4u8,
        prop::collection::vec(step(), 0..5),
    )
        .prop_map(
            |(sender, nonce_error, to, value, gas_limit, kind, program)| Sent {
                sender,
                nonce_error,
                to,
                value,
                gas_limit,
                kind,
                program,
            },
        )
}

pub(crate) fn transactions(sent: &[Sent], fork: Fork) -> Vec<RecoveredTransaction> {
    let mut nonces = BTreeMap::<u8, u64>::new();
    sent.iter()
        .map(|sent| {
            let sender = address(sent.sender);
            let next = nonces.entry(sent.sender).or_default();
            let nonce = *next + sent.nonce_error;
            let to = sent
                .to
                .map_or(TxKind::Create, |to| TxKind::Call(address(to)));
            let input: Bytes = if to.is_create() {
                assemble(&sent.program).into()
            } else {
                Bytes::new()
            };
            if sent.kind == 0 {
                *next += 1;
                return deposit(TxDeposit {
                    from: sender,
                    to,
                    mint: u128::from(sent.value),
                    value: U256::from(sent.value) * U256::from(2),
                    gas_limit: sent.gas_limit.min(500_000),
                    input,
                    ..TxDeposit::default()
                });
            }
            if sent.nonce_error == 0 {
                *next += 1;
            }
            if sent.kind == 1 && fork >= Fork::London {
                let mut transaction = dynamic_fee(nonce, to, sent.value.into());
                transaction.gas_limit = sent.gas_limit;
                transaction.input = input;
                recovered(sender, Transaction::Eip1559, transaction)
            } else {
                let mut transaction = legacy(nonce, to, sent.value.into());
                transaction.gas_limit = sent.gas_limit;
                transaction.input = input;
                recovered(sender, Transaction::Legacy, transaction)
            }
        })
        .collect()
}

/// A state with two senders, four programs and perhaps an empty account.
pub(crate) fn base(programs: &[Vec<Step>], empty_account: bool) -> MemoryState {
    let mut base = state(&[
        (address(0), 0, 1 << 50, &[]),
        (address(1), 0, 1_500_000_000, &[]),
        (address(2), 1, 10, &assemble(&programs[0])),
        (address(3), 1, 10, &assemble(&programs[1])),
        (address(4), 1, 0, &assemble(&programs[2])),
        (address(5), 1, 0, &assemble(&programs[3])),
    ]);
    let first = [(U256::ZERO, U256::ONE), (U256::ONE, U256::ONE)];
    base.storage.insert(address(2), first.into());
    base.storage
        .insert(address(4), [(U256::from(2), U256::from(7))].into());
    if empty_account {
        base.accounts.insert(address(6), Account::default());
    }
    base
}

/// Four programs for [`base`].
pub(crate) fn programs() -> impl Strategy<Value = Vec<Vec<Step>>> {
    prop::collection::vec(prop::collection::vec(step(), 1..8), 4)
}
