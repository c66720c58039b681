use alloy_consensus::Transaction as _;
use alloy_eips::{BlockId, BlockNumberOrTag, eip1559::BaseFeeParams};
use alloy_primitives::{U64, U256};
use alloy_rpc_types_eth::FeeHistory;
use weft_state::BlockWithReceipts;

use crate::rpc::{
    RpcError,
    api::{Api, Registry},
    params::Arguments,
    workers::Deadline,
};

/// Most blocks that `eth_feeHistory` looks at; geth's bound.
const MAX_HISTORY: u64 = 1024;
/// Most percentiles in one `eth_feeHistory`; geth's bound.
const MAX_PERCENTILES: usize = 100;
/// Blocks and transactions of each that the suggested tip is taken from, and the percentile of
/// their tips; geth's values.
const SUGGESTION_BLOCKS: u64 = 20;
const SUGGESTION_TRANSACTIONS: usize = 3;
const SUGGESTION_PERCENTILE: usize = 60;
/// Largest tip that is suggested, in wei per gas; geth's value.
const MAX_SUGGESTED_TIP: u128 = 500_000_000_000;
/// Blob base fee of a chain without blobs, in wei per blob gas: the smallest one (EIP-4844).
const BLOB_BASE_FEE: u128 = 1;

/// Methods about fees.
pub(super) fn register(registry: &mut Registry) {
    registry.read("eth_gasPrice", 0, |api, _| {
        let tip = suggested_tip(api)?;
        Ok(U256::from(tip.saturating_add(next_base_fee(api))))
    });
    registry.read("eth_maxPriorityFeePerGas", 0, |api, _| {
        suggested_tip(api).map(U256::from)
    });
    registry.quick("eth_blobBaseFee", 0, |_, _| Ok(U256::from(BLOB_BASE_FEE)));
    registry.long("eth_feeHistory", 3, fee_history);
}

/// Base fee of the block after the head, in wei per gas.
fn next_base_fee(api: &Api) -> u128 {
    let head = api.chain.head();
    head.next_block_base_fee(BaseFeeParams::ethereum())
        .map_or(0, u128::from)
}

/// What it takes to be among the included: the cheapest tips of the last blocks, and at least the
/// configured minimum.
fn suggested_tip(api: &Api) -> Result<u128, RpcError> {
    let head = api.chain.head().number;
    let mut tips = Vec::new();
    for number in (0..=head).rev().take(to_usize(SUGGESTION_BLOCKS)) {
        let Some(block) = api.chain.store().block(number)? else {
            break;
        };
        let base_fee = block.header.base_fee_per_gas.unwrap_or(0);
        let mut of_block: Vec<u128> = block
            .transactions
            .iter()
            .filter(|transaction| !transaction.is_deposit())
            .filter_map(|transaction| transaction.effective_tip_per_gas(base_fee))
            .collect();
        of_block.sort_unstable();
        tips.extend(of_block.into_iter().take(SUGGESTION_TRANSACTIONS));
    }
    tips.sort_unstable();
    let position = tips.len().saturating_sub(1) * SUGGESTION_PERCENTILE / 100;
    let tip = tips.get(position).copied().unwrap_or(0);
    Ok(tip.min(MAX_SUGGESTED_TIP).max(api.config.min_suggested_tip))
}

fn fee_history(
    api: &Api,
    mut arguments: Arguments,
    deadline: Deadline,
) -> Result<FeeHistory, RpcError> {
    let count: U64 = arguments.required("a number of blocks")?;
    let newest: BlockNumberOrTag = arguments.required("a block number or tag")?;
    let percentiles: Vec<f64> = arguments
        .optional("a list of percentiles")?
        .unwrap_or_default();
    check_percentiles(&percentiles)?;
    let last = api
        .number_of(BlockId::Number(newest))?
        .ok_or(RpcError::UnknownBlock(
            "request beyond head block: the newest block does not exist yet",
        ))?;
    let count = count
        .to::<u64>()
        .min(MAX_HISTORY)
        .min(last.saturating_add(1));
    if count == 0 {
        return Ok(FeeHistory::default());
    }
    let first = last.saturating_add(1).saturating_sub(count);
    let mut history = FeeHistory {
        oldest_block: first,
        reward: (!percentiles.is_empty()).then(Vec::new),
        ..FeeHistory::default()
    };
    let mut next_base_fee = 0;
    for number in first..=last {
        deadline.check()?;
        let header = api
            .header_at(number)?
            .ok_or(RpcError::UnknownBlock("header not found"))?;
        history
            .base_fee_per_gas
            .push(header.base_fee_per_gas.map_or(0, u128::from));
        history
            .gas_used_ratio
            .push(header.gas_used as f64 / header.gas_limit as f64);
        history.blob_gas_used_ratio.push(0.0);
        next_base_fee = header
            .next_block_base_fee(BaseFeeParams::ethereum())
            .map_or(0, u128::from);
        if let Some(reward) = &mut history.reward {
            let block = api
                .chain
                .store()
                .block_with_receipts(number)?
                .ok_or(RpcError::UnknownBlock("header not found"))?;
            reward.push(rewards(&block, &percentiles));
        }
    }
    history.base_fee_per_gas.push(next_base_fee);
    history.base_fee_per_blob_gas = vec![BLOB_BASE_FEE; history.base_fee_per_gas.len()];
    Ok(history)
}

fn check_percentiles(percentiles: &[f64]) -> Result<(), RpcError> {
    if percentiles.len() > MAX_PERCENTILES {
        return Err(RpcError::LimitExceeded(format!(
            "at most {MAX_PERCENTILES} percentiles, found {}",
            percentiles.len()
        )));
    }
    let sorted = percentiles.is_sorted();
    if !sorted || percentiles.iter().any(|p| !(0.0..=100.0).contains(p)) {
        return Err(RpcError::InvalidParams(
            "invalid reward percentile: expected values from 0 to 100 in ascending order".into(),
        ));
    }
    Ok(())
}

/// Tips of a block at the percentiles of its gas, in wei per gas. Deposits pay none and do not
/// count.
fn rewards(block: &BlockWithReceipts, percentiles: &[f64]) -> Vec<u128> {
    let base_fee = block.block.header.base_fee_per_gas.unwrap_or(0);
    let mut gas_before = 0;
    let mut paid: Vec<(u128, u64)> = Vec::new();
    for (transaction, receipt) in block.block.transactions.iter().zip(&block.receipts) {
        let gas = receipt.cumulative_gas_used.saturating_sub(gas_before);
        gas_before = receipt.cumulative_gas_used;
        if !transaction.is_deposit() {
            let tip = transaction.effective_tip_per_gas(base_fee).unwrap_or(0);
            paid.push((tip, gas));
        }
    }
    paid.sort_unstable();
    let total: u64 = paid.iter().map(|(_, gas)| gas).sum();
    percentiles
        .iter()
        .map(|percentile| {
            let threshold = total as f64 * percentile / 100.0;
            let mut sum = 0_u64;
            paid.iter()
                .find(|(_, gas)| {
                    sum = sum.saturating_add(*gas);
                    sum as f64 >= threshold
                })
                .or(paid.last())
                .map_or(0, |(tip, _)| *tip)
        })
        .collect()
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
