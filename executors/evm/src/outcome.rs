use alloy_primitives::U256;
use revm::{
    context::{CfgEnv, TxEnv},
    context_interface::{
        Cfg,
        result::{ExecutionResult, HaltReason as RevmHalt, InvalidTransaction as RevmInvalid},
    },
};
use weft_executor_core::{Execution, HaltReason, InvalidTransaction, Outcome, TransactionChanges};

/// revm's result in the words of the layer contract. `halted` is why the transaction was stopped,
/// where it was and revm does not know.
pub(crate) fn execution(
    result: ExecutionResult<RevmHalt>,
    halted: Option<HaltReason>,
    sender_nonce: u64,
    changes: TransactionChanges,
    beneficiary_credit: Option<U256>,
) -> Execution {
    let gas = *result.gas();
    let (outcome, logs) = match result {
        ExecutionResult::Success { logs, output, .. } => (
            Outcome::Success {
                created: output.address().copied(),
                output: output.into_data(),
            },
            logs,
        ),
        ExecutionResult::Revert { output, .. } => (Outcome::Revert { output }, Vec::new()),
        ExecutionResult::Halt { reason, .. } => (
            Outcome::Halt {
                reason: halted.unwrap_or_else(|| halt_reason(&reason)),
            },
            Vec::new(),
        ),
    };
    Execution {
        outcome,
        gas_used: gas.tx_gas_used(),
        gas_refunded: gas.final_refunded(),
        logs,
        sender_nonce,
        changes,
        beneficiary_credit,
    }
}

fn halt_reason(reason: &RevmHalt) -> HaltReason {
    match reason {
        RevmHalt::OutOfGas(_) => HaltReason::OutOfGas,
        RevmHalt::OpcodeNotFound | RevmHalt::InvalidFEOpcode | RevmHalt::NotActivated => {
            HaltReason::InvalidInstruction
        }
        RevmHalt::CallTooDeep => HaltReason::CallDepth,
        // geth's words, because clients match on them.
        RevmHalt::InvalidJump => HaltReason::Other("invalid jump destination"),
        RevmHalt::StackUnderflow => HaltReason::Other("stack underflow"),
        RevmHalt::StackOverflow => HaltReason::Other("stack limit reached"),
        RevmHalt::OutOfOffset => HaltReason::Other("return data out of bounds"),
        RevmHalt::CreateCollision => HaltReason::Other("contract address collision"),
        RevmHalt::PrecompileError | RevmHalt::PrecompileErrorWithContext(_) => {
            HaltReason::Other("precompile failed")
        }
        RevmHalt::NonceOverflow => HaltReason::Other("nonce uint64 overflow"),
        RevmHalt::CreateContractSizeLimit => HaltReason::Other("max code size exceeded"),
        RevmHalt::CreateContractStartingWithEF => {
            HaltReason::Other("invalid code: must not begin with 0xef")
        }
        RevmHalt::CreateInitCodeSizeLimit => HaltReason::Other("max initcode size exceeded"),
        RevmHalt::OverflowPayment => HaltReason::Other("balance overflow"),
        RevmHalt::StateChangeDuringStaticCall | RevmHalt::CallNotAllowedInsideStatic => {
            HaltReason::Other("write protection")
        }
        RevmHalt::OutOfFunds => HaltReason::Other("insufficient balance for transfer"),
    }
}

/// revm's reason to refuse a transaction in geth's words. `balance` is the sender's.
pub(crate) fn invalid_transaction(
    reason: &RevmInvalid,
    tx: &TxEnv,
    rules: &CfgEnv,
    base_fee: u64,
    balance: U256,
) -> InvalidTransaction {
    let sender = tx.caller;
    match reason {
        RevmInvalid::NonceTooLow { tx, state } => InvalidTransaction::NonceTooLow {
            sender,
            found: *tx,
            expected: *state,
        },
        RevmInvalid::NonceTooHigh { tx, state } => InvalidTransaction::NonceTooHigh {
            sender,
            found: *tx,
            expected: *state,
        },
        RevmInvalid::NonceOverflowInTransaction => InvalidTransaction::NonceMax { sender },
        RevmInvalid::LackOfFundForMaxFee { fee, balance } => {
            InvalidTransaction::InsufficientFunds {
                sender,
                have: **balance,
                want: **fee,
            }
        }
        // More than 2^128 wei of fees, or 2^256 wei in all.
        RevmInvalid::OverflowPaymentInTransaction => InvalidTransaction::InsufficientFunds {
            sender,
            have: balance,
            want: U256::from(tx.gas_limit)
                .saturating_mul(U256::from(tx.gas_price))
                .saturating_add(tx.value),
        },
        RevmInvalid::GasPriceLessThanBasefee => InvalidTransaction::FeeCapTooLow {
            max_fee: tx.gas_price,
            base_fee,
        },
        RevmInvalid::PriorityFeeGreaterThanMaxFee => InvalidTransaction::TipAboveFeeCap {
            tip: tx.gas_priority_fee.unwrap_or_default(),
            max_fee: tx.gas_price,
        },
        RevmInvalid::CallGasCostMoreThanGasLimit {
            initial_gas,
            gas_limit,
        } => InvalidTransaction::IntrinsicGas {
            have: *gas_limit,
            want: *initial_gas,
        },
        RevmInvalid::GasFloorMoreThanGasLimit {
            gas_floor,
            gas_limit,
        } => InvalidTransaction::FloorGas {
            have: *gas_limit,
            want: *gas_floor,
        },
        RevmInvalid::TxGasLimitGreaterThanCap { gas_limit, cap } => {
            InvalidTransaction::TransactionGasCap {
                cap: *cap,
                found: *gas_limit,
            }
        }
        RevmInvalid::CreateInitCodeSizeLimit => InvalidTransaction::InitCodeSize {
            found: tx.data.len(),
            limit: rules.max_initcode_size(),
        },
        RevmInvalid::RejectCallerWithCode => InvalidTransaction::SenderHasCode { sender },
        RevmInvalid::InvalidChainId | RevmInvalid::MissingChainId => InvalidTransaction::ChainId {
            found: tx.chain_id,
            expected: rules.chain_id,
        },
        RevmInvalid::Eip2930NotSupported
        | RevmInvalid::Eip1559NotSupported
        | RevmInvalid::Eip4844NotSupported
        | RevmInvalid::Eip7702NotSupported
        | RevmInvalid::Eip7873NotSupported
        | RevmInvalid::AccessListNotSupported
        | RevmInvalid::BlobVersionedHashesNotSupported
        | RevmInvalid::MaxFeePerBlobGasNotSupported
        | RevmInvalid::AuthorizationListNotSupported => InvalidTransaction::UnsupportedType,
        RevmInvalid::BlobGasPriceGreaterThanMax {
            block_blob_gas_price,
            tx_max_fee_per_blob_gas,
        } => InvalidTransaction::Other(format!(
            "max fee per blob gas less than block blob gas fee: address {sender}, \
             blobGasFeeCap: {tx_max_fee_per_blob_gas}, blobBaseFee: {block_blob_gas_price}"
        )),
        RevmInvalid::EmptyBlobs => {
            InvalidTransaction::Other("blob transaction missing blob hashes".into())
        }
        RevmInvalid::BlobCreateTransaction => {
            InvalidTransaction::Other("blob transaction of type create".into())
        }
        RevmInvalid::TooManyBlobs { max, have } => InvalidTransaction::Other(format!(
            "blob transaction has too many blobs: have {have}, max {max}"
        )),
        RevmInvalid::BlobVersionNotSupported => {
            InvalidTransaction::Other("blob has invalid hash version".into())
        }
        RevmInvalid::EmptyAuthorizationList => InvalidTransaction::Other(format!(
            "EIP-7702 transaction with empty auth list (sender {sender})"
        )),
        // The block gas limit is not revm's to check; the rest belongs to rules that no fork has.
        RevmInvalid::CallerGasLimitMoreThanBlock
        | RevmInvalid::AuthorizationListInvalidFields
        | RevmInvalid::Eip7873MissingTarget
        | RevmInvalid::Str(_) => InvalidTransaction::Other(reason.to_string()),
    }
}
