mod admission;
mod model;
mod pressure;
mod properties;
mod rules;

use std::sync::Arc;

use alloy_consensus::{SignableTransaction, Signed, TxEip1559};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use weft_executor_core::Account;
use weft_primitives::{Fork, RecoveredTransaction, Transaction};

use super::*;

const CHAIN_ID: u64 = 31338;

fn rules(base_fee: u64) -> AdmissionRules {
    AdmissionRules {
        chain_id: CHAIN_ID,
        fork: Fork::LATEST,
        block_gas_limit: 30_000_000,
        base_fee,
    }
}

fn limits() -> MempoolLimits {
    MempoolLimits {
        max_transactions: 1000,
        max_per_sender: 16,
        ..MempoolLimits::default()
    }
}

fn sender(index: u8) -> Address {
    Address::repeat_byte(index + 1)
}

fn account(nonce: u64, balance: u64) -> Account {
    Account {
        nonce,
        balance: U256::from(balance),
        ..Account::default()
    }
}

const RICH: u64 = 1 << 60;

/// A transfer of nothing. The pool never looks at the signature: recovery came before.
fn transfer(sender: Address, nonce: u64, fee_cap: u128, tip_cap: u128) -> RecoveredTransaction {
    signed(
        sender,
        TxEip1559 {
            nonce,
            max_fee_per_gas: fee_cap,
            max_priority_fee_per_gas: tip_cap,
            ..template()
        },
    )
}

fn template() -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce: 0,
        gas_limit: 21_000,
        max_fee_per_gas: 100,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(Address::repeat_byte(0xee)),
        value: U256::ZERO,
        access_list: Default::default(),
        input: Bytes::new(),
    }
}

fn signed(sender: Address, transaction: TxEip1559) -> RecoveredTransaction {
    wrapped(sender, transaction, Transaction::Eip1559)
}

fn wrapped<T: SignableTransaction<Signature>>(
    sender: Address,
    transaction: T,
    wrap: fn(Signed<T>) -> Transaction,
) -> RecoveredTransaction {
    // The sender stands in `r`, so that equal transactions of two senders have two hashes.
    let r = U256::from_be_slice(sender.as_slice());
    let signature = Signature::new(r, U256::ONE, false);
    RecoveredTransaction::new_unchecked(wrap(transaction.into_signed(signature)), sender)
}

fn hashes(transactions: &[Arc<PooledTransaction>]) -> Vec<B256> {
    transactions.iter().map(|tx| tx.hash).collect()
}
