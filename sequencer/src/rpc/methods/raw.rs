use alloy_consensus::{BlockBody, Header};
use alloy_eips::{BlockId, eip2718::Encodable2718};
use alloy_primitives::{B256, Bytes, U64};
use weft_primitives::Transaction;

use super::{
    BLOCK,
    transactions::{HASH, located},
};
use crate::rpc::{
    RpcError,
    api::{Api, Registry},
    blocks::FoundBlock,
    params::Arguments,
};

/// Methods that answer consensus encodings.
pub(super) fn register(registry: &mut Registry) {
    for name in ["eth_getRawTransactionByHash", "debug_getRawTransaction"] {
        registry.read(name, 1, transaction_by_hash);
    }
    for name in [
        "eth_getRawTransactionByBlockNumberAndIndex",
        "eth_getRawTransactionByBlockHashAndIndex",
    ] {
        registry.read(name, 2, transaction_by_index);
    }
    registry.read("debug_getRawHeader", 1, |api, mut arguments| {
        let block = durable(api, arguments.required(BLOCK)?)?;
        Ok(Bytes::from(alloy_rlp::encode(block.block().header.inner())))
    });
    registry.read("debug_getRawBlock", 1, |api, mut arguments| {
        let found = durable(api, arguments.required(BLOCK)?)?;
        let block: alloy_consensus::Block<Transaction, Header> = alloy_consensus::Block {
            header: found.block().header.inner().clone(),
            body: BlockBody {
                transactions: found.block().transactions.clone(),
                ommers: Vec::new(),
                withdrawals: Some(Default::default()),
            },
        };
        Ok(Bytes::from(alloy_rlp::encode(block)))
    });
    registry.read("debug_getRawReceipts", 1, |api, mut arguments| {
        let block = durable(api, arguments.required(BLOCK)?)?;
        let receipts = block.receipts().iter();
        Ok(receipts
            .map(|receipt| Bytes::from(receipt.encoded_2718()))
            .collect::<Vec<_>>())
    });
}

fn durable(api: &Api, id: BlockId) -> Result<FoundBlock, RpcError> {
    match api.block(id)? {
        Some(block @ FoundBlock::Durable(_)) => Ok(block),
        Some(FoundBlock::Pending(_)) | None => Err(RpcError::UnknownBlock("header not found")),
    }
}

fn transaction_by_hash(api: &Api, mut arguments: Arguments) -> Result<Option<Bytes>, RpcError> {
    let hash: B256 = arguments.required(HASH)?;
    if let Some((block, index)) = located(api, hash)? {
        let block = FoundBlock::Durable(block);
        return Ok(block.transaction(index).map(encoded));
    }
    let pooled = api.mempool.as_ref().and_then(|mempool| mempool.get(&hash));
    Ok(pooled.map(|pooled| pooled.transaction.inner().encoded_2718().into()))
}

fn transaction_by_index(api: &Api, mut arguments: Arguments) -> Result<Option<Bytes>, RpcError> {
    let id: BlockId = arguments.required(BLOCK)?;
    let index: U64 = arguments.required("an index")?;
    let block = api.block(id)?;
    Ok(block.and_then(|block| block.transaction(index.to()).map(encoded)))
}

fn encoded((_, transaction): (alloy_primitives::Address, &Transaction)) -> Bytes {
    transaction.encoded_2718().into()
}
