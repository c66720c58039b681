//! Blocks that other parallel engines get wrong, each on 1 to 8 threads against the oracle.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use std::{convert::Infallible, error::Error, fmt, time::Duration};

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use common::{
    blocks::scenario,
    chain::{BENEFICIARY, block, deposit, dynamic_fee, legacy, recovered, state},
};
use weft_executor_core::{Account, BlockEnv, MemoryState, StateView};
use weft_executor_evm::EvmLayer;
use weft_executor_parallel::{BlockExecution, Engine, EngineError, execute_sequential};
use weft_primitives::{Fork, RecoveredTransaction, Transaction, TxDeposit};

fn user(number: u8) -> Address {
    Address::from_word(keccak256([number]))
}

fn send(from: Address, nonce: u64, to: Address, value: u128) -> RecoveredTransaction {
    let transaction = dynamic_fee(nonce, TxKind::Call(to), value);
    recovered(from, Transaction::Eip1559, transaction)
}

fn engines() -> impl Iterator<Item = Engine> {
    (1..=8).map(|threads| {
        let engine = Engine::new(threads.try_into().unwrap()).unwrap();
        engine.with_parallel_from(Duration::ZERO)
    })
}

/// A contract that takes its time.
const BUSY: Address = Address::repeat_byte(0xb5);

/// What the oracle makes of the block, which all engines must too, and the state after it.
///
/// Each transaction is followed by a call of another contract, so that the block is worth several
/// threads.
fn executed(
    env: &BlockEnv,
    state: &MemoryState,
    transactions: &[RecoveredTransaction],
) -> (BlockExecution, MemoryState) {
    let layer = EvmLayer::new();
    let mut state = state.clone();
    // Counts down from 500.
    let countdown = [
        0x61, 0x01, 0xf4, 0x5b, 0x60, 1, 0x90, 0x03, 0x80, 0x60, 3, 0x57,
    ];
    state.insert(BUSY, 1, U256::ZERO, countdown.to_vec().into(), []);
    let mut with_calls = Vec::with_capacity(2 * transactions.len());
    for (index, transaction) in transactions.iter().enumerate() {
        let caller = Address::from_word(keccak256(format!("caller {index}")));
        state.insert(caller, 0, U256::from(1u64 << 60), Bytes::new(), []);
        let mut call = legacy(0, TxKind::Call(BUSY), 0);
        call.input = Bytes::from_static(&[1]);
        with_calls.push(transaction.clone());
        with_calls.push(recovered(caller, Transaction::Legacy, call));
    }
    let expected = execute_sequential(&layer, env, &with_calls, &state).unwrap();
    for (index, engine) in engines().enumerate() {
        // Once without and once with what it has learned from this block.
        for learned in [false, true] {
            let found = engine.execute(&layer, env, &with_calls, &state).unwrap();
            assert!(found == expected, "{engine:?}, learned: {learned}");
            assert_eq!(found.stats.threads > 1, index > 0, "{engine:?}");
            // Waits until it has learned.
            engine.predictor();
        }
    }
    state.apply(&expected.changes);
    (expected, state)
}

fn users(count: u8) -> MemoryState {
    let accounts: Vec<_> = (0..count)
        .map(|number| (user(number), 0, 1 << 60, &[][..]))
        .collect();
    state(&accounts)
}

#[test]
fn a_delegated_account_keeps_its_code_when_its_balance_is_credited() {
    let delegated = Address::repeat_byte(0xde);
    let target = Address::repeat_byte(0x7a);
    let code = [&[0xef, 0x01, 0x00][..], target.as_slice()].concat();
    let mut state = users(60);
    state.insert(
        delegated,
        3,
        U256::from(1u64 << 50),
        code.clone().into(),
        [],
    );
    // Counts its calls in slot 0 of whoever runs it.
    let counter = [0x5f, 0x54, 0x60, 1, 0x01, 0x5f, 0x55];
    state.insert(target, 1, U256::ZERO, counter.to_vec().into(), []);

    // Plain transfers to it, from it, and a deposit: all of them run or leave its code.
    let mut transactions: Vec<_> = (0..60)
        .map(|number| send(user(number), 0, delegated, number.into()))
        .collect();
    transactions.insert(20, send(delegated, 3, user(0), 5));
    transactions.insert(
        30,
        deposit(TxDeposit {
            from: user(0),
            to: TxKind::Call(delegated),
            mint: 7,
            value: U256::from(7),
            gas_limit: 100_000,
            ..TxDeposit::default()
        }),
    );
    let (result, after) = executed(&block(Fork::LATEST), &state, &transactions);
    assert_eq!(result.receipts.len(), 2 * 62);
    let account = after.accounts[&delegated];
    assert_eq!(account.code_hash, keccak256(&code));
    assert_eq!(after.storage[&delegated][&U256::ZERO], U256::from(61));

    // The same for one that only earns the fees.
    let env = BlockEnv {
        beneficiary: delegated,
        ..block(Fork::LATEST)
    };
    let transactions: Vec<_> = (0..60)
        .map(|number| send(user(number), 0, user(number + 1), 1))
        .collect();
    let (_, after) = executed(&env, &state, &transactions);
    let account = after.accounts[&delegated];
    assert_eq!(account.code_hash, keccak256(&code));
    assert_eq!(account.nonce, 3);
    assert_eq!(account.balance, U256::from((1u64 << 50) + 60 * 2 * 21_000));
}

#[test]
fn a_sender_that_runs_dry_and_nonces_that_do_not_fit_are_left_out() {
    let mut state = users(60);
    // Enough for two transfers and their highest fees.
    let poor = Address::repeat_byte(0x44);
    let cost = U256::from(200_000 * 2_000 + 1_000);
    state.insert(poor, 0, cost * U256::from(2), Bytes::new(), []);
    let mut transactions = Vec::new();
    for number in 0..60 {
        transactions.push(send(user(number), 0, user(number + 60), 1));
        transactions.push(send(poor, number.into(), user(number), 1_000_000));
        transactions.push(send(user(number), 7, user(0), 1));
    }
    let (result, after) = executed(&block(Fork::LATEST), &state, &transactions);
    let spent = usize::try_from(after.accounts[&poor].nonce).unwrap();
    assert!(spent > 0 && spent < 60);
    assert_eq!(result.receipts.len(), 180 + 60 + spent);
    assert_eq!(result.dropped.len(), 120 - spent);
}

/// What is paid in one sum at the end deleted the account, with its storage, when it was nothing.
#[test]
fn a_first_fee_of_nothing_deletes_an_empty_beneficiary() {
    let mut state = users(60);
    state.insert(
        BENEFICIARY,
        0,
        U256::ZERO,
        Bytes::new(),
        [(U256::ONE, U256::ONE)],
    );
    let transactions: Vec<_> = (0..60)
        .map(|number| {
            let mut transaction = dynamic_fee(0, TxKind::Call(user(number + 1)), 1);
            transaction.max_priority_fee_per_gas = u128::from(number % 3);
            recovered(user(number), Transaction::Eip1559, transaction)
        })
        .collect();
    for fork in [Fork::London, Fork::LATEST] {
        let (_, after) = executed(&block(fork), &state, &transactions);
        assert!(!after.storage.contains_key(&BENEFICIARY));
        assert!(after.accounts[&BENEFICIARY].balance > U256::ZERO);
    }
}

#[test]
fn a_contract_is_destroyed_and_created_again_at_its_address_in_one_block() {
    // Deploys `selfdestruct(caller)`, and keeps what the block's sender left in slot 0.
    let runtime = [0x33, 0xff];
    let init = [
        &[0x60, 1, 0x60, 0, 0x55, 0x61][..],
        &runtime,
        &[0x60, 0, 0x52, 0x60, 2, 0x60, 30, 0xf3],
    ]
    .concat();
    // CREATE2(0, 0, init, 0) of the init code in the calldata.
    let factory_code = [
        0x36, 0x60, 0, 0x60, 0, 0x37, 0x60, 0, 0x36, 0x60, 0, 0x60, 0, 0xf5, 0x00,
    ];
    let factory = Address::repeat_byte(0xfa);
    let child = factory.create2(B256::ZERO, keccak256(&init));
    let mut state = users(60);
    state.insert(factory, 1, U256::ZERO, factory_code.to_vec().into(), []);
    let transactions: Vec<_> = (0..60)
        .map(|number| {
            let create = number % 2 == 0;
            let to = if create { factory } else { child };
            let mut transaction = legacy(0, TxKind::Call(to), 0);
            if create {
                transaction.input = init.clone().into();
            }
            recovered(user(number), Transaction::Legacy, transaction)
        })
        .collect();
    for (fork, stays) in [
        (Fork::Petersburg, false),
        (Fork::Shanghai, false),
        // EIP-6780.
        (Fork::Cancun, true),
        (Fork::LATEST, true),
    ] {
        let (_, after) = executed(&block(fork), &state, &transactions);
        assert_eq!(after.accounts.contains_key(&child), stays, "{fork}");
        assert_eq!(after.accounts[&factory].nonce, 31);
        // One more, so that it is there at the end.
        let (_, after) = executed(&block(fork), &state, &transactions[..59]);
        assert_eq!(after.storage[&child][&U256::ZERO], U256::ONE);
    }
}

/// A state that cannot read one account, the storage of one, or one code.
#[derive(Clone)]
struct FailingState<'a> {
    state: &'a MemoryState,
    failing: Failing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failing {
    Account(Address),
    Storage(Address),
    Code(B256),
    BlockHashes,
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl Error for Failing {}

impl FailingState<'_> {
    fn read<T>(&mut self, what: Failing, value: Result<T, Infallible>) -> Result<T, Failing> {
        let Ok(value) = value;
        if self.failing == what {
            return Err(what);
        }
        Ok(value)
    }
}

impl StateView for FailingState<'_> {
    type Error = Failing;

    fn account(&mut self, address: Address) -> Result<Option<Account>, Failing> {
        let account = self.state.account(address);
        self.read(Failing::Account(address), account)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Failing> {
        let value = self.state.storage(address, slot);
        self.read(Failing::Storage(address), value)
    }

    fn has_storage(&mut self, address: Address) -> Result<bool, Failing> {
        let any = self.state.has_storage(address);
        self.read(Failing::Storage(address), any)
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, Failing> {
        let code = self.state.code(code_hash);
        self.read(Failing::Code(code_hash), code)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Failing> {
        let hash = self.state.block_hash(number);
        self.read(Failing::BlockHashes, hash)
    }
}

/// Working ahead reads what the block never reads in order, and the other way round: neither a
/// failure too many nor one too few may come of it.
#[test]
fn a_failed_read_ends_the_block_exactly_when_it_ends_the_oracle() {
    let engines: Vec<_> = engines().collect();
    let (mut failed, mut executed) = (0, 0);
    for seed in 0..60 {
        // New for each run, so that code is read and not remembered.
        let scenario = scenario(&EvmLayer::new(), seed);
        let accounts = scenario.state.accounts.keys();
        let mut failing: Vec<_> = accounts
            .flat_map(|address| [Failing::Account(*address), Failing::Storage(*address)])
            .chain(scenario.state.code.keys().map(|hash| Failing::Code(*hash)))
            .chain([
                Failing::BlockHashes,
                Failing::Account(scenario.env.beneficiary),
            ])
            .collect();
        failing.sort_unstable_by_key(ToString::to_string);
        for (index, failing) in failing.into_iter().enumerate() {
            let view = FailingState {
                state: &scenario.state,
                failing,
            };
            let (env, transactions) = (&scenario.env, &scenario.transactions);
            let expected = execute_sequential(&EvmLayer::new(), env, transactions, view.clone());
            let engine = &engines[index % engines.len()];
            let found = engine.execute(&EvmLayer::new(), env, transactions, view);
            match (&found, &expected) {
                (Ok(found), Ok(expected)) => {
                    executed += 1;
                    assert!(found == expected, "seed {seed}, {engine:?}, {failing}");
                }
                (Err(EngineError::State(found)), Err(EngineError::State(expected))) => {
                    failed += 1;
                    assert_eq!(found, expected, "seed {seed}, {engine:?}");
                }
                (Err(EngineError::Deposit { .. }), Err(EngineError::Deposit { .. })) => {}
                _ => panic!(
                    "seed {seed}, {engine:?}, {failing}: found {found:?}, expected {expected:?}"
                ),
            }
        }
    }
    assert!(failed > 100 && executed > 100, "{failed} and {executed}");
}
