//! Deposits follow the OP Stack's rules.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use alloy_primitives::{Address, TxKind, U256};
use common::chain::{BASE_FEE, BENEFICIARY, GAS_LIMIT, block, deposit, legacy, recovered, state};
use weft_executor_core::{
    Account, ExecutionLayer, HaltReason, InvalidTransaction, MemoryState, Outcome,
};
use weft_executor_evm::EvmLayer;
use weft_executor_parallel::{BlockExecution, EngineError, execute_sequential};
use weft_primitives::{Fork, RecoveredTransaction, Transaction, TxDeposit};

const SENDER: Address = Address::repeat_byte(0x11);
const TARGET: Address = Address::repeat_byte(0x22);

/// `SSTORE(0, 0)`, which earns a refund when slot 0 was set.
const CLEAR_SLOT: &[u8] = &[0x5f, 0x5f, 0x55];
/// `REVERT(0, 0)`.
const REVERT: &[u8] = &[0x5f, 0x5f, 0xfd];

fn base() -> TxDeposit {
    TxDeposit {
        from: SENDER,
        to: TxKind::Call(TARGET),
        mint: 500,
        value: U256::from(300),
        gas_limit: 100_000,
        ..TxDeposit::default()
    }
}

fn run(
    state: &MemoryState,
    transactions: &[RecoveredTransaction],
) -> (BlockExecution, MemoryState) {
    let layer = EvmLayer::new();
    let result =
        execute_sequential(&layer, &block(Fork::LATEST), transactions, state.clone()).unwrap();
    let mut after = state.clone();
    after.apply(&result.changes);
    (result, after)
}

fn account(state: &MemoryState, address: Address) -> Account {
    state.accounts.get(&address).copied().unwrap_or_default()
}

#[test]
fn mint_pays_the_value_and_nobody_pays_a_fee() {
    let (result, after) = run(&state(&[(SENDER, 4, 7, &[])]), &[deposit(base())]);
    let receipt = &result.receipts[0];
    assert!(receipt.success);
    assert_eq!(receipt.tx_type, 0x7e);
    assert_eq!(receipt.deposit_nonce, Some(4));
    assert_eq!(receipt.cumulative_gas_used, 21_000);
    assert_eq!(account(&after, SENDER).nonce, 5);
    assert_eq!(account(&after, SENDER).balance, U256::from(7 + 500 - 300));
    assert_eq!(account(&after, TARGET).balance, U256::from(300));
    assert!(!result.changes.accounts.contains_key(&BENEFICIARY));
}

#[test]
fn value_beyond_the_balance_fails_with_all_gas_used() {
    let mut transaction = base();
    transaction.value = U256::from(508);
    let before = state(&[(SENDER, 4, 7, &[])]);
    let (result, after) = run(&before, &[deposit(transaction.clone())]);
    assert!(!result.receipts[0].success);
    assert_eq!(result.receipts[0].deposit_nonce, Some(4));
    assert_eq!(result.gas_used, transaction.gas_limit);
    assert_eq!(account(&after, SENDER).nonce, 5);
    assert_eq!(account(&after, SENDER).balance, U256::from(507));
    assert!(!after.accounts.contains_key(&TARGET));

    let execution = EvmLayer::new()
        .execute(
            &block(Fork::LATEST),
            &deposit(transaction),
            &mut before.clone(),
        )
        .unwrap();
    let Outcome::Halt {
        reason: HaltReason::FailedDeposit(reason),
    } = execution.outcome
    else {
        panic!("{:?}", execution.outcome);
    };
    assert!(matches!(
        *reason,
        InvalidTransaction::InsufficientFunds { have, want, .. }
            if have == U256::from(507) && want == U256::from(508)
    ));
}

#[test]
fn what_cannot_start_fails_with_all_gas_used() {
    let mut little_gas = base();
    little_gas.gas_limit = 20_999;
    let mut long_init_code = base();
    long_init_code.to = TxKind::Create;
    long_init_code.gas_limit = 5_000_000;
    long_init_code.input = vec![0; 2 * 24_576 + 1].into();
    for transaction in [little_gas, long_init_code] {
        let gas_limit = transaction.gas_limit;
        let (result, after) = run(&MemoryState::default(), &[deposit(transaction)]);
        assert!(!result.receipts[0].success);
        assert_eq!(result.gas_used, gas_limit);
        assert_eq!(
            account(&after, SENDER),
            Account {
                nonce: 1,
                balance: U256::from(500),
                ..Account::default()
            }
        );
        assert_eq!(after.accounts.len(), 1);
    }
}

#[test]
fn revert_keeps_the_mint_and_charges_what_was_used() {
    let (result, after) = run(&state(&[(TARGET, 1, 0, REVERT)]), &[deposit(base())]);
    assert!(!result.receipts[0].success);
    assert_eq!(result.gas_used, 21_000 + 2 + 2);
    assert_eq!(account(&after, SENDER).nonce, 1);
    assert_eq!(account(&after, SENDER).balance, U256::from(500));
    assert_eq!(account(&after, TARGET).balance, U256::ZERO);
}

#[test]
fn halt_uses_all_gas_and_keeps_the_mint() {
    let (result, after) = run(&state(&[(TARGET, 1, 0, &[0xfe])]), &[deposit(base())]);
    assert!(!result.receipts[0].success);
    assert_eq!(result.gas_used, 100_000);
    assert_eq!(account(&after, SENDER).balance, U256::from(500));
}

/// As after Regolith: refunds count as in any other transaction.
#[test]
fn gas_used_is_that_of_the_same_signed_transaction() {
    let mut before = state(&[(SENDER, 0, 1 << 40, &[]), (TARGET, 1, 0, CLEAR_SLOT)]);
    before
        .storage
        .entry(TARGET)
        .or_default()
        .insert(U256::ZERO, U256::ONE);
    let mut transaction = base();
    transaction.value = U256::ZERO;
    let (deposited, _) = run(&before, &[deposit(transaction)]);
    let signed = legacy(0, TxKind::Call(TARGET), 0);
    let (signed, _) = run(&before, &[recovered(SENDER, Transaction::Legacy, signed)]);
    assert!(deposited.receipts[0].success);
    assert!(deposited.gas_used < 21_000 + 2 + 2 + 5_000);
    assert_eq!(deposited.gas_used, signed.gas_used);
}

#[test]
fn sender_may_be_a_contract_and_gas_may_exceed_the_transaction_cap() {
    let mut transaction = base();
    transaction.gas_limit = 20_000_000;
    let (result, after) = run(&state(&[(SENDER, 9, 0, REVERT)]), &[deposit(transaction)]);
    assert!(result.receipts[0].success);
    assert_eq!(result.gas_used, 21_000);
    assert_eq!(account(&after, SENDER).nonce, 10);
}

#[test]
fn creation_takes_its_address_from_the_nonce_and_bumps_it_once() {
    let mut transaction = base();
    transaction.to = TxKind::Create;
    // Returns one byte, 0x00, as code.
    transaction.input = vec![0x60, 1, 0x5f, 0xf3].into();
    let (result, after) = run(&state(&[(SENDER, 3, 0, &[])]), &[deposit(transaction)]);
    assert!(result.receipts[0].success);
    assert_eq!(account(&after, SENDER).nonce, 4);
    let created = account(&after, SENDER.create(3));
    assert_eq!(created.balance, U256::from(300));
    assert_eq!(after.code[&created.code_hash].as_ref(), [0]);
}

#[test]
fn deposit_that_does_not_fit_is_the_engines_error() {
    let mut large = base();
    large.gas_limit = GAS_LIMIT - 20_999;
    let error = execute_sequential(
        &EvmLayer::new(),
        &block(Fork::LATEST),
        &[deposit(base()), deposit(large)],
        MemoryState::default(),
    )
    .unwrap_err();
    assert!(matches!(
        error,
        EngineError::Deposit {
            index: 1,
            reason: InvalidTransaction::BlockGasLimit { .. }
        }
    ));
}

#[test]
fn gas_price_and_base_fee_opcodes_see_a_free_transaction_in_a_block_with_fees() {
    // SSTORE(0, GASPRICE), SSTORE(1, BASEFEE).
    let code = [0x3a, 0x5f, 0x55, 0x48, 0x60, 1, 0x55];
    let (result, after) = run(&state(&[(TARGET, 1, 0, &code)]), &[deposit(base())]);
    assert!(result.receipts[0].success);
    let storage = &after.storage[&TARGET];
    assert_eq!(storage.get(&U256::ZERO), None);
    assert_eq!(storage[&U256::ONE], U256::from(BASE_FEE));
}
