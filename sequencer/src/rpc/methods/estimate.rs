use alloy_primitives::U256;
use weft_executor_core::{ExecuteError, Execution, HaltReason, InvalidTransaction, Outcome};

use super::calls::{Scene, execute_error};
use crate::rpc::{RpcError, workers::Deadline};

/// Gas of the cheapest transaction, in gas.
const TRANSACTION_GAS: u64 = 21_000;
/// Gas that a call with value gives for free, in gas.
const CALL_STIPEND: u64 = 2_300;
/// Most gas of one transaction (EIP-7825), in gas.
const TRANSACTION_GAS_CAP: u64 = 1 << 24;

/// How an attempt with a gas limit went.
enum Attempt {
    Enough(Execution),
    TooLittle,
    Reverted(RpcError),
}

/// The smallest gas limit with which the message does not fail: geth's search, carried on until it
/// is exact.
pub(super) fn estimate_gas(scene: &mut Scene<'_>, deadline: Deadline) -> Result<u64, RpcError> {
    let mut high = if scene.has_gas_limit && scene.call.gas_limit >= TRANSACTION_GAS {
        scene.call.gas_limit
    } else {
        scene.env.gas_limit
    };
    high = high.min(scene.gas_cap()).min(TRANSACTION_GAS_CAP);
    if scene.call.gas_price > 0 {
        high = high.min(affordable_gas(scene, high)?);
    }
    if scene.is_plain_transfer()?
        && high >= TRANSACTION_GAS
        && matches!(attempt(scene, TRANSACTION_GAS)?, Attempt::Enough(_))
    {
        return Ok(TRANSACTION_GAS);
    }
    let execution = match attempt(scene, high)? {
        Attempt::Enough(execution) => execution,
        Attempt::TooLittle => return Err(RpcError::GasRequiredExceedsAllowance(high)),
        Attempt::Reverted(error) => return Err(error),
    };
    // `low` always fails and `high` never does. Less than what was used in the end cannot be enough.
    let mut low = execution
        .gas_used
        .saturating_sub(1)
        .max(TRANSACTION_GAS - 1);
    // Refunds come after the end, and each nested call keeps a 64th back (EIP-150).
    let likely = execution
        .gas_used
        .saturating_add(execution.gas_refunded)
        .saturating_add(CALL_STIPEND)
        / 63
        * 64
        + 64;
    let mut next = likely;
    while low.saturating_add(1) < high {
        deadline.check()?;
        if next <= low || next >= high {
            // Most limits are close to the lower bound.
            next = low.midpoint(high).min(low.saturating_mul(2));
        }
        match attempt(scene, next)? {
            Attempt::Enough(_) => high = next,
            Attempt::TooLittle | Attempt::Reverted(_) => low = next,
        }
        next = low;
    }
    Ok(high)
}

/// What the sender's balance pays for at the message's price, at most `high`.
fn affordable_gas(scene: &mut Scene<'_>, high: u64) -> Result<u64, RpcError> {
    let balance = scene.sender_balance()?;
    let value = scene.call.value;
    let Some(left) = balance.checked_sub(value) else {
        return Err(RpcError::InvalidCall {
            reason: InvalidTransaction::InsufficientFunds {
                sender: scene.call.from,
                have: balance,
                want: value,
            },
            gas: high,
        });
    };
    let gas = left
        .checked_div(U256::from(scene.call.gas_price))
        .unwrap_or(U256::MAX);
    Ok(u64::try_from(gas).unwrap_or(u64::MAX))
}

fn attempt(scene: &mut Scene<'_>, gas: u64) -> Result<Attempt, RpcError> {
    scene.call.gas_limit = gas;
    let outcome = match scene.execute() {
        Ok(outcome) => outcome,
        Err(ExecuteError::Invalid(
            InvalidTransaction::IntrinsicGas { .. } | InvalidTransaction::FloorGas { .. },
        )) => return Ok(Attempt::TooLittle),
        Err(error) => return Err(execute_error(error, gas)),
    };
    Ok(match outcome.execution.outcome {
        Outcome::Success { .. } => Attempt::Enough(outcome.execution),
        Outcome::Revert { output } => Attempt::Reverted(RpcError::Reverted(output)),
        Outcome::Halt {
            reason: HaltReason::OutOfGas,
        } => Attempt::TooLittle,
        Outcome::Halt { reason } => Attempt::Reverted(RpcError::Halted(reason)),
    })
}
