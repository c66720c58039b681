use alloy_consensus::{Header, Sealed};
use alloy_eips::BlockId;
use alloy_primitives::{B256, U64};
use serde_json::Value;

use super::{BLOCK, block_or_latest};
use crate::rpc::{
    RpcError,
    api::{Api, Registry},
    blocks::FoundBlock,
    json::{self, BlockParts, ReceiptJson, to_u64},
    params::Arguments,
};

/// Methods about blocks.
pub(super) fn register(registry: &mut Registry) {
    registry.quick("eth_blockNumber", 0, |api, _| {
        Ok(U64::from(api.chain.head().number))
    });
    for name in ["eth_getBlockByNumber", "eth_getBlockByHash"] {
        registry.read(name, 2, get_block);
    }
    for name in [
        "eth_getBlockTransactionCountByNumber",
        "eth_getBlockTransactionCountByHash",
    ] {
        registry.read(name, 1, |api, mut arguments| {
            let block = api.block(arguments.required(BLOCK)?)?;
            Ok(block.map(|block| U64::from(to_u64(block.block().transactions.len()))))
        });
    }
    for name in [
        "eth_getUncleCountByBlockNumber",
        "eth_getUncleCountByBlockHash",
    ] {
        registry.read(name, 1, |api, mut arguments| {
            let header = api.header(arguments.required(BLOCK)?)?;
            Ok(header.map(|_: Sealed<Header>| U64::ZERO))
        });
    }
    for name in [
        "eth_getUncleByBlockNumberAndIndex",
        "eth_getUncleByBlockHashAndIndex",
    ] {
        registry.quick(name, 2, |_, mut arguments| {
            arguments.required::<BlockId>(BLOCK)?;
            arguments.required::<U64>("an index")?;
            Ok(None::<B256>)
        });
    }
    registry.read("eth_getBlockReceipts", 1, get_block_receipts);
    registry.read("eth_getHeaderByNumber", 1, get_header);
    registry.read("eth_getHeaderByHash", 1, get_header);
}

fn get_block(api: &Api, mut arguments: Arguments) -> Result<Option<Value>, RpcError> {
    let id = arguments.required(BLOCK)?;
    let whole_transactions = arguments
        .optional("true for whole transactions or false for their hashes")?
        .unwrap_or(false);
    api.block(id)?
        .map(|block| json::block(&block, whole_transactions))
        .transpose()
}

fn get_header(api: &Api, mut arguments: Arguments) -> Result<Option<Value>, RpcError> {
    let header = api.header(arguments.required(BLOCK)?)?;
    header.map(|header| json::header(&header)).transpose()
}

fn get_block_receipts(
    api: &Api,
    mut arguments: Arguments,
) -> Result<Option<Vec<ReceiptJson>>, RpcError> {
    let id = block_or_latest(&mut arguments)?;
    let block = match api.block(id)? {
        None => return Ok(None),
        Some(FoundBlock::Pending(_)) => {
            return Err(RpcError::InvalidParams(
                "pending transactions have no receipts yet".into(),
            ));
        }
        Some(FoundBlock::Durable(block)) => block,
    };
    Ok(Some(
        BlockParts {
            block: &block.block,
            senders: &block.senders,
            receipts: &block.receipts,
        }
        .receipts(),
    ))
}
