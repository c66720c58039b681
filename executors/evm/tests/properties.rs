//! Random small programs in random transactions: a block is what its transactions are one by one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::BTreeMap;

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, Bytes, TxKind, U256, keccak256};
use common::chain::{block, deposit, dynamic_fee, legacy, recovered, state};
use proptest::{prelude::*, test_runner::FileFailurePersistence};
use weft_executor_core::{
    Account, ExecuteError, ExecutionLayer, InvalidTransaction, MemoryState, TransactionChanges,
};
use weft_executor_evm::EvmLayer;
use weft_executor_parallel::{BlockExecution, execute_sequential};
use weft_primitives::{Fork, RecoveredTransaction, Transaction, TxDeposit};

const FORKS: [Fork; 9] = [
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

/// The accounts that programs and transactions name.
const ACCOUNTS: u8 = 8;

fn address(index: u8) -> Address {
    match index % ACCOUNTS {
        // Precompiles, of which one is touched in a way of its own (EIP-161's exception).
        6 => Address::with_last_byte(3),
        7 => common::chain::BENEFICIARY,
        other => Address::repeat_byte(0x10 + other),
    }
}

#[derive(Debug, Clone)]
enum Step {
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

fn assemble(steps: &[Step]) -> Vec<u8> {
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

fn step() -> impl Strategy<Value = Step> {
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
struct Sent {
    sender: u8,
    /// Added to the nonce that would be right if all before were included.
    nonce_error: u64,
    to: Option<u8>,
    value: u8,
    gas_limit: u64,
    kind: u8,
    program: Vec<Step>,
}

fn sent() -> impl Strategy<Value = Sent> {
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

fn transactions(sent: &[Sent], fork: Fork) -> Vec<RecoveredTransaction> {
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

/// What a transaction wrote, put into a state in the plainest way.
fn apply(state: &mut MemoryState, changes: &TransactionChanges) {
    for (address, change) in &changes.accounts {
        match change.account {
            Some(account) => state.accounts.insert(*address, account),
            None => state.accounts.remove(address),
        };
        if change.storage_wiped {
            state.storage.remove(address);
        }
        for (slot, value) in &change.storage {
            let slots = state.storage.entry(*address).or_default();
            if value.is_zero() {
                slots.remove(slot);
            } else {
                slots.insert(*slot, *value);
            }
        }
        if state.storage.get(address).is_some_and(BTreeMap::is_empty) {
            state.storage.remove(address);
        }
    }
    for (hash, code) in &changes.code {
        assert_eq!(*hash, keccak256(code));
        state.code.insert(*hash, code.clone());
    }
}

fn assert_same(left: &MemoryState, right: &MemoryState) {
    assert_eq!(left.accounts, right.accounts);
    assert_eq!(left.storage, right.storage);
    assert_eq!(left.code, right.code);
}

/// Goes back by a block with nothing but what its change set says. Wiped storage is looked up in
/// the state before, as the store does.
fn undo(after: &MemoryState, result: &BlockExecution, before: &MemoryState) -> MemoryState {
    let mut state = after.clone();
    for (address, change) in &result.changes.accounts {
        match change.before {
            Some(account) => state.accounts.insert(*address, account),
            None => state.accounts.remove(address),
        };
        if change.storage_wiped {
            state.storage.remove(address);
            if let Some(slots) = before.storage.get(address) {
                state.storage.insert(*address, slots.clone());
            }
        }
        for (slot, (old, _)) in &change.storage {
            let slots = state.storage.entry(*address).or_default();
            if old.is_zero() {
                slots.remove(slot);
            } else {
                slots.insert(*slot, *old);
            }
        }
        if state.storage.get(address).is_some_and(BTreeMap::is_empty) {
            state.storage.remove(address);
        }
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_block_is_its_transactions_one_by_one(
        programs in prop::collection::vec(prop::collection::vec(step(), 1..8), 4),
        empty_account in any::<bool>(),
        sent in prop::collection::vec(sent(), 1..8),
        fork in prop::sample::select(&FORKS[..]),
    ) {
        let mut base = state(&[
            (address(0), 0, 1 << 50, &[]),
            (address(1), 0, 1_500_000_000, &[]),
            (address(2), 1, 10, &assemble(&programs[0])),
            (address(3), 1, 10, &assemble(&programs[1])),
            (address(4), 1, 0, &assemble(&programs[2])),
            (address(5), 1, 0, &assemble(&programs[3])),
        ]);
        base.storage.insert(address(2), [(U256::ZERO, U256::ONE), (U256::ONE, U256::ONE)].into());
        base.storage.insert(address(4), [(U256::from(2), U256::from(7))].into());
        if empty_account {
            base.accounts.insert(address(6), Account::default());
        }
        let mut env = block(fork);
        env.gas_limit = 2_500_000;
        let layer = EvmLayer::new();
        let transactions = transactions(&sent, fork);
        // A deposit that does not fit is an error of the engine, and not the subject here.
        if transactions.iter().any(|transaction| transaction.is_deposit()) {
            env.gas_limit = 100_000_000;
        }

        let result = execute_sequential(&layer, &env, &transactions, base.clone()).unwrap();
        prop_assert_eq!(result.receipts.len() + result.dropped.len(), transactions.len());

        // One by one, each on the plain state that the one before has left.
        let mut plain = base.clone();
        let mut gas_used = 0;
        let mut receipts = result.receipts.iter();
        for (index, transaction) in transactions.iter().enumerate() {
            let dropped = result.dropped.iter().find(|(dropped, _)| *dropped == index);
            let dropped = dropped.map(|(_, reason)| reason);
            let (wanted, left) = (transaction.gas_limit(), env.gas_limit - gas_used);
            if wanted > left {
                let reason = InvalidTransaction::BlockGasLimit { wanted, left };
                prop_assert_eq!(dropped, Some(&reason));
                continue;
            }
            match (layer.execute(&env, transaction, &mut plain), dropped) {
                (Ok(execution), None) => {
                    let changes = &execution.changes;
                    prop_assert!(changes.accounts.is_sorted_by_key(|(address, _)| *address));
                    apply(&mut plain, changes);
                    gas_used += execution.gas_used;
                    let receipt = receipts.next().unwrap();
                    prop_assert_eq!(receipt.cumulative_gas_used, gas_used);
                    prop_assert_eq!(receipt.success, execution.outcome.is_success());
                    prop_assert_eq!(&receipt.logs, &execution.logs);
                }
                (Err(ExecuteError::Invalid(reason)), Some(dropped)) => {
                    prop_assert_eq!(&reason, dropped);
                }
                (other, dropped) => panic!("{other:?}, dropped: {dropped:?}"),
            }
        }
        prop_assert_eq!(result.gas_used, gas_used);
        let mut after = base.clone();
        after.apply(&result.changes);
        assert_same(&after, &plain);

        // The change set leads back too, and code that is not named any more may stay.
        let back = undo(&after, &result, &base);
        prop_assert_eq!(&back.accounts, &base.accounts);
        prop_assert_eq!(&back.storage, &base.storage);

        // Again, and without those that were dropped: the same in every bit.
        let again = execute_sequential(&EvmLayer::new(), &env, &transactions, base.clone()).unwrap();
        prop_assert_eq!(&again, &result);
        let included: Vec<_> = transactions
            .iter()
            .enumerate()
            .filter(|(index, _)| result.dropped.iter().all(|(dropped, _)| dropped != index))
            .map(|(_, transaction)| transaction.clone())
            .collect();
        let without = execute_sequential(&layer, &env, &included, base).unwrap();
        prop_assert_eq!(&without.receipts, &result.receipts);
        prop_assert_eq!(&without.changes, &result.changes);
        prop_assert!(without.dropped.is_empty());
    }
}
