//! Small chains to execute on: accounts, blocks and transactions.
#![allow(dead_code, reason = "each test program uses a part")]

use alloy_consensus::{SignableTransaction, Signed, TxEip1559, TxLegacy};
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256};
use weft_executor_core::{BlockEnv, MemoryState};
use weft_primitives::{Fork, RecoveredTransaction, Transaction, TxDeposit};

pub(crate) const CHAIN_ID: u64 = 31_338;
pub(crate) const BASE_FEE: u64 = 1_000;
pub(crate) const GAS_LIMIT: u64 = 60_000_000;
pub(crate) const BENEFICIARY: Address = Address::repeat_byte(0xbe);

pub(crate) fn block(fork: Fork) -> BlockEnv {
    BlockEnv {
        fork,
        chain_id: CHAIN_ID,
        number: 7,
        timestamp: 1_700_000_000,
        beneficiary: BENEFICIARY,
        gas_limit: GAS_LIMIT,
        base_fee: if fork >= Fork::London { BASE_FEE } else { 0 },
        difficulty: U256::ZERO,
        prev_randao: Default::default(),
        excess_blob_gas: 0,
    }
}

pub(crate) fn state(accounts: &[(Address, u64, u128, &[u8])]) -> MemoryState {
    let mut state = MemoryState::default();
    for (address, nonce, balance, code) in accounts {
        state.insert(
            *address,
            *nonce,
            U256::from(*balance),
            Bytes::copy_from_slice(code),
            [],
        );
    }
    state
}

/// A transaction with a sender in the place of a signature: execution does not look at it.
pub(crate) fn recovered<T: SignableTransaction<Signature>>(
    sender: Address,
    envelope: fn(Signed<T>) -> Transaction,
    transaction: T,
) -> RecoveredTransaction {
    let signature = Signature::new(U256::ONE, U256::ONE, false);
    RecoveredTransaction::new_unchecked(envelope(transaction.into_signed(signature)), sender)
}

pub(crate) fn deposit(deposit: TxDeposit) -> RecoveredTransaction {
    let sender = deposit.from;
    RecoveredTransaction::new_unchecked(deposit.into(), sender)
}

/// A legacy transaction that pays the base fee.
pub(crate) fn legacy(nonce: u64, to: TxKind, value: u128) -> TxLegacy {
    TxLegacy {
        chain_id: Some(CHAIN_ID),
        nonce,
        gas_price: u128::from(BASE_FEE),
        gas_limit: 200_000,
        to,
        value: U256::from(value),
        input: Bytes::new(),
    }
}

/// An EIP-1559 transaction with a tip of 2 wei.
pub(crate) fn dynamic_fee(nonce: u64, to: TxKind, value: u128) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 200_000,
        max_fee_per_gas: u128::from(BASE_FEE) * 2,
        max_priority_fee_per_gas: 2,
        to,
        value: U256::from(value),
        access_list: Default::default(),
        input: Bytes::new(),
    }
}
