//! The checks that need no state, in geth's order.

use alloy_consensus::Transaction as _;
use alloy_eips::{
    eip2718::Encodable2718, eip7702::constants::EIP7702_DELEGATION_DESIGNATOR,
    eip7825::MAX_TX_GAS_LIMIT_OSAKA,
};
use alloy_primitives::Address;
use weft_executor_evm::{MAX_INITCODE_SIZE, intrinsic_gas};
use weft_primitives::{Fork, RecoveredTransaction, Transaction};

use super::{AdmissionRules, MempoolError, MempoolLimits};

/// Checks what can be checked without an account, and returns the size of the encoding in bytes.
pub(super) fn check_stateless(
    limits: &MempoolLimits,
    rules: &AdmissionRules,
    transaction: &RecoveredTransaction,
) -> Result<usize, MempoolError> {
    let transaction = transaction.inner();
    match transaction {
        Transaction::Eip4844(_) => return Err(MempoolError::BlobTransaction),
        Transaction::Deposit(_) => return Err(MempoolError::Deposit),
        _ => {}
    }
    let size = transaction.encode_2718_len();
    if size > limits.max_transaction_bytes {
        return Err(MempoolError::Oversized {
            size,
            limit: limits.max_transaction_bytes,
        });
    }
    check_signer(limits, rules, transaction)?;
    if rules.fork >= Fork::Shanghai
        && transaction.is_create()
        && transaction.input().len() > MAX_INITCODE_SIZE
    {
        return Err(MempoolError::InitcodeSize {
            size: transaction.input().len(),
            limit: MAX_INITCODE_SIZE,
        });
    }
    check_gas(rules, transaction)?;
    check_fees(limits, transaction)?;
    if transaction.nonce() == u64::MAX {
        return Err(MempoolError::NonceMax(transaction.nonce()));
    }
    if transaction.authorization_count() == Some(0) {
        return Err(MempoolError::EmptyAuthorizationList);
    }
    Ok(size)
}

fn check_signer(
    limits: &MempoolLimits,
    rules: &AdmissionRules,
    transaction: &Transaction,
) -> Result<(), MempoolError> {
    match transaction.chain_id() {
        Some(have) if have != rules.chain_id => Err(MempoolError::ChainId {
            have,
            want: rules.chain_id,
        }),
        None if !limits.allow_unprotected => Err(MempoolError::Unprotected),
        _ => Ok(()),
    }
}

fn check_gas(rules: &AdmissionRules, transaction: &Transaction) -> Result<(), MempoolError> {
    let gas_limit = transaction.gas_limit();
    if rules.fork >= Fork::Osaka && gas_limit > MAX_TX_GAS_LIMIT_OSAKA {
        return Err(MempoolError::GasLimitCap {
            cap: MAX_TX_GAS_LIMIT_OSAKA,
            gas_limit,
        });
    }
    if gas_limit > rules.block_gas_limit {
        return Err(MempoolError::BlockGasLimit {
            gas_limit,
            block_gas_limit: rules.block_gas_limit,
        });
    }
    let needed = intrinsic_gas(rules.fork, transaction);
    if gas_limit < needed.intrinsic {
        return Err(MempoolError::IntrinsicGas {
            gas_limit,
            minimum: needed.intrinsic,
        });
    }
    if gas_limit < needed.floor {
        return Err(MempoolError::FloorGas {
            gas_limit,
            minimum: needed.floor,
        });
    }
    Ok(())
}

fn check_fees(limits: &MempoolLimits, transaction: &Transaction) -> Result<(), MempoolError> {
    let fee_cap = transaction.max_fee_per_gas();
    let tip_cap = transaction.max_priority_fee_per_gas().unwrap_or(fee_cap);
    if tip_cap > fee_cap {
        return Err(MempoolError::TipAboveFeeCap { tip_cap, fee_cap });
    }
    if tip_cap < limits.min_tip {
        return Err(MempoolError::TipTooLow {
            tip_cap,
            minimum: limits.min_tip,
        });
    }
    Ok(())
}

/// EIP-3607 as EIP-7702 amends it: an account with code may send only when the code is a
/// delegation. To be called with the sender's code when its account names one.
///
/// # Errors
/// [`MempoolError::SenderHasCode`] for any other code.
pub fn check_sender_code(sender: Address, code: &[u8]) -> Result<(), MempoolError> {
    let is_delegation = code.len() == EIP7702_DELEGATION_DESIGNATOR.len() + Address::len_bytes()
        && code.starts_with(&EIP7702_DELEGATION_DESIGNATOR);
    if code.is_empty() || is_delegation {
        Ok(())
    } else {
        Err(MempoolError::SenderHasCode(sender))
    }
}
