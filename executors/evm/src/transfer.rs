use alloy_consensus::Transaction as _;
use weft_executor_core::{BlockEnv, Transfer};
use weft_primitives::{Fork, RecoveredTransaction, Transaction};

/// Gas of a transaction that does nothing but move value; the calldata floor of no calldata
/// (EIP-7623) is the same.
const TRANSFER_GAS: u64 = 21_000;

/// EIP-7825: most gas that one transaction may bring along, from Osaka on.
const TRANSACTION_GAS_CAP: u64 = 1 << 24;

/// Leading zero bytes of addresses that may be precompiles, which run when they are called. The last
/// of Ethereum's is 0x100 (EIP-7951).
const PRECOMPILE_PREFIX: [u8; 18] = [0; 18];

/// The transaction as a plain transfer: types 0, 1 and 2 without calldata and access list, as far as
/// the fork has them, whose every check that does not need the state has passed.
///
/// What comes out must be what revm's execution gives; whatever would be special is left to it.
pub(crate) fn plain_transfer(
    block: &BlockEnv,
    transaction: &RecoveredTransaction,
) -> Option<Transfer> {
    let since = match transaction.inner() {
        Transaction::Legacy(_) => Fork::Frontier,
        Transaction::Eip2930(_) => Fork::Berlin,
        Transaction::Eip1559(_) => Fork::London,
        Transaction::Eip4844(_) | Transaction::Eip7702(_) | Transaction::Deposit(_) => return None,
    };
    // Before EIP-161 moving nothing can bring an account into being.
    if block.fork < since || block.fork < Fork::SpuriousDragon && transaction.value().is_zero() {
        return None;
    }
    let sender = transaction.signer();
    let receiver = transaction.to()?;
    let max_fee = transaction.max_fee_per_gas();
    let gas_limit = transaction.gas_limit();
    let ordinary = transaction.input().is_empty()
        && transaction.access_list().is_none_or(|list| list.is_empty())
        && gas_limit >= TRANSFER_GAS
        && (block.fork < Fork::Osaka || gas_limit <= TRANSACTION_GAS_CAP)
        && transaction
            .chain_id()
            .is_none_or(|chain_id| chain_id == block.chain_id)
        && max_fee >= u128::from(block.base_fee)
        && transaction
            .max_priority_fee_per_gas()
            .is_none_or(|tip| tip <= max_fee)
        && sender != receiver
        && !receiver.starts_with(&PRECOMPILE_PREFIX);
    if !ordinary {
        return None;
    }
    let highest_fee = u128::from(gas_limit).checked_mul(max_fee)?;
    let price = transaction.effective_gas_price(Some(block.base_fee));
    let tip = price.saturating_sub(u128::from(block.base_fee));
    Some(Transfer {
        sender,
        receiver,
        nonce: transaction.nonce(),
        value: transaction.value(),
        highest_fee,
        // Neither is above the highest fee.
        fee: u128::from(TRANSFER_GAS) * price,
        gas_used: TRANSFER_GAS,
        beneficiary_credit: u128::from(TRANSFER_GAS) * tip,
    })
}
