//! What cannot stand in a block is left out with geth's words, and a failed read is no answer.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use std::{error::Error, fmt};

use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use common::chain::{BASE_FEE, CHAIN_ID, block, dynamic_fee, legacy, recovered, state};
use weft_executor_core::{Account, ExecuteError, ExecutionLayer, MemoryState, StateView};
use weft_executor_evm::EvmLayer;
use weft_executor_parallel::{EngineError, Pushed, SequentialExecutor, execute_sequential};
use weft_primitives::{Fork, RecoveredTransaction, Transaction};

const SENDER: Address = Address::repeat_byte(0x11);
const TARGET: Address = Address::repeat_byte(0x22);

fn to_target() -> TxKind {
    TxKind::Call(TARGET)
}

/// The words of a refusal of one transaction from a sender with nonce 5 and 10^12 wei.
fn refusal(fork: Fork, transaction: RecoveredTransaction) -> String {
    let state = state(&[(SENDER, 5, 1_000_000_000_000, &[])]);
    match EvmLayer::new().execute(&block(fork), &transaction, &mut state.clone()) {
        Err(ExecuteError::Invalid(reason)) => reason.to_string(),
        other => panic!("{other:?}"),
    }
}

fn refused(transaction: alloy_consensus::TxEip1559) -> String {
    refusal(
        Fork::LATEST,
        recovered(SENDER, Transaction::Eip1559, transaction),
    )
}

#[test]
fn words_are_geths() {
    assert_eq!(
        refused(dynamic_fee(4, to_target(), 0)),
        format!("nonce too low: address {SENDER}, tx: 4 state: 5")
    );
    assert_eq!(
        refused(dynamic_fee(6, to_target(), 0)),
        format!("nonce too high: address {SENDER}, tx: 6 state: 5")
    );
    let mut transaction = dynamic_fee(5, to_target(), 1_000_000_000_000);
    assert_eq!(
        refused(transaction.clone()),
        format!(
            "insufficient funds for gas * price + value: address {SENDER} have 1000000000000 want {}",
            1_000_000_000_000 + 200_000 * u128::from(BASE_FEE) * 2
        )
    );
    transaction.value = U256::MAX;
    assert!(refused(transaction).starts_with("insufficient funds for gas * price + value"));
    let mut transaction = dynamic_fee(5, to_target(), 0);
    transaction.max_fee_per_gas = u128::MAX;
    assert!(refused(transaction).starts_with("insufficient funds for gas * price + value"));
    let mut transaction = dynamic_fee(5, to_target(), 0);
    transaction.max_fee_per_gas = u128::from(BASE_FEE) - 1;
    assert_eq!(
        refused(transaction),
        "max fee per gas less than block base fee: maxFeePerGas: 999, baseFee: 1000"
    );
    let mut transaction = dynamic_fee(5, to_target(), 0);
    transaction.max_priority_fee_per_gas = 2_001;
    assert_eq!(
        refused(transaction),
        "max priority fee per gas higher than max fee per gas: \
         maxPriorityFeePerGas: 2001, maxFeePerGas: 2000"
    );
    let mut transaction = dynamic_fee(5, to_target(), 0);
    transaction.gas_limit = 20_999;
    assert_eq!(
        refused(transaction),
        "intrinsic gas too low: have 20999, want 21000"
    );
    let mut transaction = dynamic_fee(5, to_target(), 0);
    transaction.input = vec![1; 1_000].into();
    transaction.gas_limit = 40_000;
    assert_eq!(
        refused(transaction),
        "insufficient gas for floor data gas cost: have 40000, want 61000"
    );
    let mut transaction = dynamic_fee(5, to_target(), 0);
    transaction.gas_limit = (1 << 24) + 1;
    assert_eq!(
        refused(transaction),
        "transaction gas limit too high (cap: 16777216, tx: 16777217)"
    );
    let mut transaction = dynamic_fee(5, TxKind::Create, 0);
    transaction.input = vec![0; 49_153].into();
    assert_eq!(
        refused(transaction),
        "max initcode size exceeded: code size 49153 limit 49152"
    );
    let mut transaction = dynamic_fee(5, to_target(), 0);
    transaction.chain_id = 1;
    assert_eq!(
        refused(transaction),
        format!("invalid chain id for signer: have 1 want {CHAIN_ID}")
    );
    assert_eq!(
        refusal(
            Fork::Berlin,
            recovered(SENDER, Transaction::Eip1559, dynamic_fee(5, to_target(), 0))
        ),
        "transaction type not supported"
    );
}

#[test]
fn sender_with_code_is_refused_and_with_a_delegation_is_not() {
    let delegation = [&[0xef, 0x01, 0x00][..], TARGET.as_slice()].concat();
    for (code, refused) in [(&[0x00][..], true), (&delegation, false)] {
        let mut state = state(&[(SENDER, 0, 1 << 60, code)]);
        let transaction = recovered(SENDER, Transaction::Legacy, legacy(0, to_target(), 0));
        let result = EvmLayer::new().execute(&block(Fork::LATEST), &transaction, &mut state);
        match result {
            Err(ExecuteError::Invalid(reason)) if refused => assert_eq!(
                reason.to_string(),
                format!("sender not an eoa: address {SENDER}")
            ),
            Ok(_) if !refused => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn block_gas_limit_is_kept_in_order_and_smaller_ones_still_fit() {
    let other = Address::repeat_byte(0x44);
    let state = state(&[(SENDER, 0, 1 << 80, &[]), (other, 0, 1 << 80, &[])]);
    let mut env = block(Fork::LATEST);
    env.gas_limit = 60_000;
    let layer = EvmLayer::new();
    let mut executor = SequentialExecutor::new(&layer, &env, state);
    let with_gas = |sender, nonce, gas_limit| {
        let mut transaction = legacy(nonce, to_target(), 1);
        transaction.gas_limit = gas_limit;
        recovered(sender, Transaction::Legacy, transaction)
    };
    let included = Pushed::Included { gas_used: 21_000 };
    // What counts is the gas limit against what is left, and then what was used.
    assert_eq!(
        executor.push(&with_gas(SENDER, 0, 60_000)).unwrap(),
        included
    );
    assert_eq!(executor.gas_left(), 39_000);
    let Pushed::Dropped(reason) = executor.push(&with_gas(SENDER, 1, 39_001)).unwrap() else {
        panic!("39001 gas fit into 39000");
    };
    assert_eq!(
        reason.to_string(),
        "gas limit reached: transaction needs 39001, block has 39000 left"
    );
    assert_eq!(
        executor.push(&with_gas(other, 0, 39_000)).unwrap(),
        included
    );
    let result = executor.finish().unwrap();
    assert_eq!(result.dropped, [(1, reason)]);
    assert_eq!(result.gas_used, 42_000);
    let cumulative = result
        .receipts
        .iter()
        .map(|receipt| receipt.cumulative_gas_used);
    assert_eq!(cumulative.collect::<Vec<_>>(), [21_000, 42_000]);
}

/// A view whose read number `failing` fails.
struct FailingState {
    state: MemoryState,
    reads: usize,
    failing: usize,
}

#[derive(Debug, PartialEq, Eq)]
struct ReadNumber(usize);

impl fmt::Display for ReadNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "read {} failed", self.0)
    }
}

impl Error for ReadNumber {}

impl FailingState {
    fn read(&mut self) -> Result<&mut MemoryState, ReadNumber> {
        let number = self.reads;
        self.reads += 1;
        if number == self.failing {
            return Err(ReadNumber(number));
        }
        Ok(&mut self.state)
    }
}

impl StateView for FailingState {
    type Error = ReadNumber;

    fn account(&mut self, address: Address) -> Result<Option<Account>, ReadNumber> {
        let Ok(account) = self.read()?.account(address);
        Ok(account)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, ReadNumber> {
        let Ok(value) = self.read()?.storage(address, slot);
        Ok(value)
    }

    fn has_storage(&mut self, address: Address) -> Result<bool, ReadNumber> {
        let Ok(any) = self.read()?.has_storage(address);
        Ok(any)
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, ReadNumber> {
        let Ok(code) = self.read()?.code(code_hash);
        Ok(code)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, ReadNumber> {
        let Ok(hash) = self.read()?.block_hash(number);
        Ok(hash)
    }
}

/// Every read that an execution makes can fail: the state's own error comes out, and the same
/// thread then executes as before.
#[test]
fn failed_reads_end_the_execution() {
    // SLOAD(1), BLOCKHASH(3), BALANCE(0x55..), CREATE an account that was there with a balance.
    let mut code = vec![0x60, 1, 0x54, 0x60, 3, 0x40, 0x73];
    code.extend_from_slice(&[0x55; 20]);
    code.extend_from_slice(&[0x31, 0x5f, 0x5f, 0x5f, 0xf0]);
    let state = state(&[
        (SENDER, 0, 1 << 60, &[]),
        (TARGET, 1, 0, &code),
        (TARGET.create(1), 0, 1, &[]),
    ]);
    let transactions = [recovered(
        SENDER,
        Transaction::Eip1559,
        dynamic_fee(0, to_target(), 0),
    )];
    let env = block(Fork::LATEST);
    let expected =
        execute_sequential(&EvmLayer::new(), &env, &transactions, state.clone()).unwrap();
    assert!(expected.receipts[0].success);
    let mut failures = 0;
    loop {
        let view = FailingState {
            state: state.clone(),
            reads: 0,
            failing: failures,
        };
        // A new layer each time, so that code is read and not remembered.
        match execute_sequential(&EvmLayer::new(), &env, &transactions, view) {
            Err(EngineError::State(error)) => assert_eq!(error, ReadNumber(failures)),
            Ok(result) => {
                assert_eq!(result, expected);
                break;
            }
            other => panic!("{other:?}"),
        }
        failures += 1;
    }
    // Five accounts and the beneficiary, the code, a slot, a block's hash, the storage that a
    // creation could collide with.
    assert!(failures >= 9, "only {failures} reads");
}
