//! No number for a wrong result.

use std::fmt::Debug;

use alloy_primitives::U256;
use weft_executor_core::{Account, BlockEnv};
use weft_executor_parallel::BlockExecution;
use weft_primitives::Fork;

use crate::{Mismatch, PlainExecution};

fn receipt_mismatch(index: usize, expected: &dyn Debug, found: &dyn Debug) -> Mismatch {
    Mismatch::Receipt {
        index,
        expected: format!("{expected:?}"),
        found: format!("{found:?}"),
    }
}

/// Compares the plain loop's results and state with the oracle's.
///
/// # Errors
/// The first difference.
pub fn check_plain(
    block: &BlockEnv,
    oracle: &BlockExecution,
    plain: &PlainExecution,
) -> Result<(), Mismatch> {
    if plain.results.len() != oracle.receipts.len() {
        return Err(Mismatch::Included {
            expected: oracle.receipts.len(),
            found: plain.results.len(),
        });
    }
    let mut gas_used = 0_u64;
    for (index, (result, receipt)) in plain.results.iter().zip(&oracle.receipts).enumerate() {
        gas_used = gas_used.saturating_add(result.tx_gas_used());
        let found = (result.is_success(), gas_used, result.logs());
        let expected = (
            receipt.success,
            receipt.cumulative_gas_used,
            receipt.logs.as_slice(),
        );
        if found != expected {
            return Err(receipt_mismatch(index, &expected, &found));
        }
    }
    if gas_used != oracle.gas_used {
        return Err(Mismatch::Gas {
            expected: oracle.gas_used,
            found: gas_used,
        });
    }
    check_plain_state(block, oracle, plain)
}

fn check_plain_state(
    block: &BlockEnv,
    oracle: &BlockExecution,
    plain: &PlainExecution,
) -> Result<(), Mismatch> {
    // revm's cache keeps empty accounts that EIP-161 takes out of the state.
    let clears_empty = block.fork >= Fork::SpuriousDragon;
    for (address, change) in &oracle.changes.accounts {
        let entry = plain.state.cache.accounts.get(address);
        let found = entry
            .and_then(|entry| entry.info())
            .map(|info| Account {
                nonce: info.nonce,
                balance: info.balance,
                code_hash: info.code_hash,
            })
            .filter(|account| !(clears_empty && account.is_empty()));
        if found != change.after {
            return Err(Mismatch::State(format!(
                "account {address}: found {found:?}, expected {:?}",
                change.after
            )));
        }
        for (slot, (_, expected)) in &change.storage {
            let found = entry
                .and_then(|entry| entry.storage.get(slot))
                .copied()
                .unwrap_or(U256::ZERO);
            if found != *expected {
                return Err(Mismatch::State(format!(
                    "slot {slot} of {address}: found {found}, expected {expected}"
                )));
            }
        }
    }
    Ok(())
}

/// Compares an execution with the oracle's: what is included, receipts, gas and state.
///
/// # Errors
/// The first difference.
pub fn check_execution(oracle: &BlockExecution, found: &BlockExecution) -> Result<(), Mismatch> {
    if found.receipts.len() != oracle.receipts.len() || found.dropped != oracle.dropped {
        return Err(Mismatch::Included {
            expected: oracle.receipts.len(),
            found: found.receipts.len(),
        });
    }
    for (index, (found, expected)) in found.receipts.iter().zip(&oracle.receipts).enumerate() {
        if found != expected {
            return Err(receipt_mismatch(index, expected, found));
        }
    }
    if found.gas_used != oracle.gas_used {
        return Err(Mismatch::Gas {
            expected: oracle.gas_used,
            found: found.gas_used,
        });
    }
    if found.changes != oracle.changes {
        return Err(Mismatch::State("another change set".to_owned()));
    }
    Ok(())
}
