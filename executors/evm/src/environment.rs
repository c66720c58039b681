use alloy_consensus::Transaction as _;
use alloy_eips::Typed2718;
use alloy_primitives::U256;
use revm::{
    context::{BlockEnv as RevmBlockEnv, CfgEnv, TxEnv},
    context_interface::{block::BlobExcessGasAndPrice, either::Either},
    primitives::hardfork::SpecId,
};
use weft_executor_core::{BlockEnv, Call};
use weft_primitives::{Fork, RecoveredTransaction};

pub(crate) const fn spec_id(fork: Fork) -> SpecId {
    match fork {
        Fork::Frontier => SpecId::FRONTIER,
        Fork::Homestead => SpecId::HOMESTEAD,
        Fork::Tangerine => SpecId::TANGERINE,
        Fork::SpuriousDragon => SpecId::SPURIOUS_DRAGON,
        Fork::Byzantium => SpecId::BYZANTIUM,
        Fork::Petersburg => SpecId::PETERSBURG,
        Fork::Istanbul => SpecId::ISTANBUL,
        Fork::Berlin => SpecId::BERLIN,
        Fork::London => SpecId::LONDON,
        Fork::Merge => SpecId::MERGE,
        Fork::Shanghai => SpecId::SHANGHAI,
        Fork::Cancun => SpecId::CANCUN,
        Fork::Prague => SpecId::PRAGUE,
        Fork::Osaka => SpecId::OSAKA,
    }
}

/// Most blobs that one transaction may carry: the block's limit of EIP-4844 and EIP-7691, then
/// EIP-7594's own limit.
const fn max_blobs_per_transaction(fork: Fork) -> Option<u64> {
    match fork {
        Fork::Cancun | Fork::Osaka => Some(6),
        Fork::Prague => Some(9),
        _ => None,
    }
}

/// The rules of the block's fork.
///
/// The block gas limit is the engine's to check, because only it knows what is left.
pub(crate) fn rules(block: &BlockEnv) -> CfgEnv {
    let mut rules = CfgEnv::new_with_spec(spec_id(block.fork)).with_chain_id(block.chain_id);
    rules.disable_block_gas_limit = true;
    rules.max_blobs_per_tx = max_blobs_per_transaction(block.fork);
    rules
}

pub(crate) fn block_env(block: &BlockEnv) -> RevmBlockEnv {
    let spec = spec_id(block.fork);
    RevmBlockEnv {
        number: U256::from(block.number),
        beneficiary: block.beneficiary,
        timestamp: U256::from(block.timestamp),
        gas_limit: block.gas_limit,
        basefee: block.base_fee,
        difficulty: block.difficulty,
        prevrandao: spec
            .is_enabled_in(SpecId::MERGE)
            .then_some(block.prev_randao),
        blob_excess_gas_and_price: spec
            .is_enabled_in(SpecId::CANCUN)
            .then(|| BlobExcessGasAndPrice::new_with_spec(block.excess_blob_gas, spec)),
        slot_num: 0,
    }
}

pub(crate) fn transaction_env(transaction: &RecoveredTransaction) -> TxEnv {
    TxEnv {
        tx_type: transaction.ty(),
        caller: transaction.signer(),
        gas_limit: transaction.gas_limit(),
        gas_price: transaction.max_fee_per_gas(),
        kind: transaction.kind(),
        value: transaction.value(),
        data: transaction.input().clone(),
        nonce: transaction.nonce(),
        chain_id: transaction.chain_id(),
        access_list: transaction.access_list().cloned().unwrap_or_default(),
        gas_priority_fee: transaction.max_priority_fee_per_gas(),
        blob_hashes: transaction
            .blob_versioned_hashes()
            .map(<[_]>::to_vec)
            .unwrap_or_default(),
        max_fee_per_blob_gas: transaction.max_fee_per_blob_gas().unwrap_or_default(),
        authorization_list: transaction
            .authorization_list()
            .unwrap_or_default()
            .iter()
            .cloned()
            .map(Either::Left)
            .collect(),
    }
}

/// A message takes the least transaction type that can carry what it has.
pub(crate) fn call_env(call: &Call, chain_id: u64) -> TxEnv {
    let (tx_type, gas_priority_fee) = if !call.authorization_list.is_empty() {
        (4, Some(call.gas_price))
    } else if call.access_list.is_empty() {
        (0, None)
    } else {
        (1, None)
    };
    TxEnv {
        tx_type,
        caller: call.from,
        gas_limit: call.gas_limit,
        gas_price: call.gas_price,
        kind: call.to,
        value: call.value,
        data: call.input.clone(),
        // The nonce of a message is not checked; a message's own one is set before it runs.
        nonce: 0,
        chain_id: Some(chain_id),
        access_list: call.access_list.clone(),
        gas_priority_fee,
        blob_hashes: Vec::new(),
        max_fee_per_blob_gas: 0,
        authorization_list: call
            .authorization_list
            .iter()
            .cloned()
            .map(Either::Left)
            .collect(),
    }
}
