use std::sync::Arc;

use alloy_consensus::{SignableTransaction, Transaction as _, TxEip1559};
use alloy_eips::eip2930::AccessList;
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256};
use weft_executor_core::{BlockEnv, MemoryState};
use weft_executor_evm::EvmLayer;
use weft_executor_parallel::execute_sequential;
use weft_executor_wasm::WasmMachine;
use weft_primitives::{Fork, RecoveredTransaction, Transaction};

use crate::BenchError;

const CHAIN_ID: u64 = 31_338;
/// Wei per gas.
const BASE_FEE: u64 = 1_000_000_000;
/// Wei per gas that each transaction pays to the block's beneficiary.
const TIP: u128 = 1_000_000;
const BENEFICIARY: Address = Address::repeat_byte(0xbe);
const START_TIME: u64 = 1_700_000_000;

/// One block to execute and the state that it is executed on.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The state before the block.
    pub base: MemoryState,
    /// The block.
    pub block: BlockEnv,
    /// Its transactions, in order.
    pub transactions: Vec<RecoveredTransaction>,
}

impl Scenario {
    /// A block of these transactions with room for all of them.
    pub(crate) fn new(base: MemoryState, transactions: Vec<RecoveredTransaction>) -> Self {
        Self {
            block: block(2, &transactions),
            base,
            transactions,
        }
    }
}

fn block(number: u64, transactions: &[RecoveredTransaction]) -> BlockEnv {
    BlockEnv {
        fork: Fork::LATEST,
        chain_id: CHAIN_ID,
        number,
        // Time goes on between blocks.
        timestamp: START_TIME + 12 * number,
        beneficiary: BENEFICIARY,
        gas_limit: transactions.iter().map(|tx| tx.gas_limit()).sum(),
        base_fee: BASE_FEE,
        difficulty: U256::ZERO,
        prev_randao: Default::default(),
        excess_blob_gas: 0,
    }
}

/// An EIP-1559 transaction with a tip, as users send them. Execution does not look at signatures,
/// so a sender stands in the place of one.
pub(crate) fn transaction(
    sender: Address,
    nonce: u64,
    to: TxKind,
    value: U256,
    gas_limit: u64,
    input: Bytes,
) -> RecoveredTransaction {
    transaction_with_list(
        sender,
        nonce,
        to,
        value,
        gas_limit,
        input,
        AccessList::default(),
    )
}

/// As [`transaction`], with an access list (EIP-2930).
pub(crate) fn transaction_with_list(
    sender: Address,
    nonce: u64,
    to: TxKind,
    value: U256,
    gas_limit: u64,
    input: Bytes,
    access_list: AccessList,
) -> RecoveredTransaction {
    let transaction = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit,
        max_fee_per_gas: 2 * u128::from(BASE_FEE),
        max_priority_fee_per_gas: TIP,
        to,
        value,
        access_list,
        input,
    };
    let signed = transaction.into_signed(Signature::new(U256::ONE, U256::ONE, false));
    RecoveredTransaction::new_unchecked(Transaction::Eip1559(signed), sender)
}

/// The layers that a node runs when nobody says otherwise.
pub(crate) fn execution_layers() -> Result<EvmLayer, BenchError> {
    let wasm = WasmMachine::new().map_err(|error| BenchError::Layer(error.to_string()))?;
    Ok(EvmLayer::new().with_machine(Arc::new(wasm)))
}

/// Executes transactions that bring contracts and balances into a base state. All must succeed.
pub(crate) fn execute_setup(
    base: &mut MemoryState,
    transactions: &[RecoveredTransaction],
) -> Result<(), BenchError> {
    execute_setup_on(&EvmLayer::new(), base, transactions)
}

/// As [`execute_setup`], where the contracts are not the EVM's alone.
pub(crate) fn execute_setup_on(
    layer: &EvmLayer,
    base: &mut MemoryState,
    transactions: &[RecoveredTransaction],
) -> Result<(), BenchError> {
    let block = block(1, transactions);
    let result = execute_sequential(layer, &block, transactions, &mut *base).map_err(|error| {
        BenchError::Engine {
            contestant: "oracle",
            reason: error.to_string(),
        }
    })?;
    if let Some((index, reason)) = result.dropped.into_iter().next() {
        return Err(BenchError::SetupInvalid { index, reason });
    }
    if let Some(index) = result.receipts.iter().position(|receipt| !receipt.success) {
        return Err(BenchError::SetupFailed { index });
    }
    base.apply(&result.changes);
    Ok(())
}
