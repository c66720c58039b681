use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_sol_types::SolCall;

use crate::{L1Error, SendError, TransactionManager, contract::Rollup};

/// Gas limit on L2 of a plain ETH deposit, in gas: the contract's own bound for one without input,
/// plus what a receiving contract may need.
const DEPOSIT_GAS_LIMIT: u64 = 100_000;

/// A deposit that is on L1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DepositReceipt {
    /// Hash of the L1 transaction.
    pub tx_hash: B256,
    /// Number of its L1 block.
    pub l1_block: u64,
}

/// Moves `amount` wei of the sender's ETH from L1 to `to` on L2.
///
/// # Errors
/// When the transaction does not get into L1.
pub async fn deposit_eth(
    sender: &TransactionManager,
    contract: Address,
    to: Address,
    amount: U256,
) -> Result<DepositReceipt, SendError> {
    let call = Rollup::depositTransactionCall {
        to,
        value: amount,
        gasLimit: DEPOSIT_GAS_LIMIT,
        isCreation: false,
        data: Bytes::new(),
    };
    let receipt = sender
        .send(TxKind::Call(contract), amount, call.abi_encode().into())
        .await?;
    Ok(DepositReceipt {
        tx_hash: receipt.transaction_hash,
        l1_block: receipt
            .block_number
            .ok_or_else(|| L1Error::answer("receipt of the deposit", "a block number", "none"))?,
    })
}
