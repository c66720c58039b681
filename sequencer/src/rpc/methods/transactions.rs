use alloy_eips::BlockId;
use alloy_primitives::{B256, U64};
use serde_json::Value;
use weft_state::BlockWithReceipts;

use super::BLOCK;
use crate::rpc::{
    RpcError,
    api::{Api, Registry},
    blocks::FoundBlock,
    json::{self, BlockParts, ReceiptJson},
    params::Arguments,
};

/// What a transaction hash argument must be.
pub(super) const HASH: &str = "a 32-byte transaction hash";

/// Methods about transactions of blocks.
pub(super) fn register(registry: &mut Registry) {
    registry.read("eth_getTransactionByHash", 1, by_hash);
    for name in [
        "eth_getTransactionByBlockNumberAndIndex",
        "eth_getTransactionByBlockHashAndIndex",
    ] {
        registry.read(name, 2, |api, mut arguments| {
            let id: BlockId = arguments.required(BLOCK)?;
            let index: U64 = arguments.required("an index")?;
            match api.block(id)? {
                None => Ok(None),
                Some(block) => json::transaction_of(&block, index.to()),
            }
        });
    }
    registry.read("eth_getTransactionReceipt", 1, |api, mut arguments| {
        receipt(api, arguments.required(HASH)?)
    });
}

fn by_hash(api: &Api, mut arguments: Arguments) -> Result<Option<Value>, RpcError> {
    let hash: B256 = arguments.required(HASH)?;
    if let Some((block, index)) = located(api, hash)? {
        return json::transaction_of(&FoundBlock::Durable(block), index);
    }
    let Some(pooled) = api.mempool.as_ref().and_then(|mempool| mempool.get(&hash)) else {
        return Ok(None);
    };
    let sender = pooled.transaction.signer();
    json::transaction(pooled.transaction.inner(), sender, None).map(Some)
}

/// The receipt of a transaction; `None` when it is in no block.
pub(super) fn receipt(api: &Api, hash: B256) -> Result<Option<ReceiptJson>, RpcError> {
    Ok(located(api, hash)?.and_then(|(block, index)| {
        BlockParts {
            block: &block.block,
            senders: &block.senders,
            receipts: &block.receipts,
        }
        .receipt_at(index)
    }))
}

/// The block that a transaction is in and its index; `None` when it is in none.
pub(super) fn located(api: &Api, hash: B256) -> Result<Option<(BlockWithReceipts, u64)>, RpcError> {
    let Some(location) = api.chain.store().transaction_location(hash)? else {
        return Ok(None);
    };
    if location.block_number > api.chain.head().number {
        return Ok(None);
    }
    let block = api
        .chain
        .store()
        .block_with_receipts(location.block_number)?;
    Ok(block.map(|block| (block, location.index)))
}
