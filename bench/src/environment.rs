//! The block and its transactions as revm takes them, made here and not by weft's layer, so that the
//! plain loop owes nothing to what it is compared with.

use alloy_consensus::Transaction as _;
use alloy_eips::Typed2718;
use alloy_primitives::U256;
use revm::{
    context::{BlockEnv as RevmBlockEnv, CfgEnv, TxEnv},
    context_interface::{block::BlobExcessGasAndPrice, either::Either},
    primitives::hardfork::SpecId,
};
use weft_executor_core::BlockEnv;
use weft_primitives::{Fork, RecoveredTransaction};

const fn spec_id(fork: Fork) -> SpecId {
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

pub(crate) fn rules(block: &BlockEnv) -> CfgEnv {
    let mut rules = CfgEnv::new_with_spec(spec_id(block.fork)).with_chain_id(block.chain_id);
    rules.disable_block_gas_limit = true;
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
        prevrandao: (block.fork >= Fork::Merge).then_some(block.prev_randao),
        blob_excess_gas_and_price: (block.fork >= Fork::Cancun)
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
