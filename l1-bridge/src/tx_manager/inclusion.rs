//! When a transaction counts as included. A receipt alone is believed nothing.

use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{Address, B256, U64};
use alloy_rpc_types_eth::TransactionReceipt;
use serde::Deserialize;

use crate::{L1Client, L1Error};

/// The part of a block's header, and its transactions, that a receipt has to fit.
#[derive(Debug, Deserialize)]
struct BlockContent {
    number: U64,
    hash: B256,
    transactions: Vec<B256>,
}

/// A receipt that fits L1's chain as it is now.
#[derive(Debug)]
pub(super) struct Inclusion {
    pub(super) receipt: TransactionReceipt,
    /// Number of the block.
    pub(super) l1_block: u64,
    /// Blocks from this one to the head, both included.
    pub(super) confirmations: u64,
}

/// The inclusion of a transaction of `account`; `None` while it is in no block of L1's chain, which
/// includes a receipt whose block is not, or not any more, the one of its number.
///
/// # Errors
/// When L1 does not answer properly, or its answers contradict each other.
pub(super) async fn inclusion(
    client: &L1Client,
    account: Address,
    tx_hash: B256,
) -> Result<Option<Inclusion>, L1Error> {
    let Some(receipt) = client.receipt(tx_hash).await? else {
        return Ok(None);
    };
    let (Some(l1_block), Some(block_hash), Some(index)) = (
        receipt.block_number,
        receipt.block_hash,
        receipt.transaction_index,
    ) else {
        return Ok(None);
    };
    let asked = || format!("eth_getBlockByNumber({l1_block})");
    let block: Option<BlockContent> = client
        .request(
            "eth_getBlockByNumber",
            (BlockNumberOrTag::Number(l1_block), false),
        )
        .await?;
    // Another node may not have the block yet.
    let Some(block) = block else { return Ok(None) };
    if block.number.to::<u64>() != l1_block || block.hash != block_hash {
        return Ok(None);
    }
    let position = usize::try_from(index).unwrap_or(usize::MAX);
    let found = block.transactions.get(position);
    if found != Some(&tx_hash) || receipt.from != account {
        return Err(L1Error::answer(
            asked(),
            format!("transaction {tx_hash} of {account} at position {index}, as its receipt says"),
            format!("{found:?} of {}", receipt.from),
        ));
    }
    let head = client.block_number().await?;
    Ok(Some(Inclusion {
        receipt,
        l1_block,
        confirmations: (head.saturating_add(1)).saturating_sub(l1_block),
    }))
}
