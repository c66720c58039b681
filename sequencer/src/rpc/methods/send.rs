use std::{sync::Arc, time::Duration};

use alloy_primitives::{B256, Bytes, U64, keccak256};
use serde_json::value::RawValue;

use crate::rpc::{
    RpcError,
    api::{Api, Origin, Registry, to_json},
    dispatch_sends::{self, SEND},
    ingress::Admitted,
    json::{BlockParts, to_u64},
    params::Arguments,
};

const RAW: &str = "a signed transaction as hexadecimal data";

/// Methods that send transactions.
pub(super) fn register(registry: &mut Registry) {
    registry.asynchronous_with_origin(SEND, 1, |api, mut arguments, origin| async move {
        let bytes: Bytes = arguments.required(RAW)?;
        let pooled = submit(&api, bytes, origin).await?;
        to_json(Ok(pooled.hash))
    });
    registry.asynchronous_with_origin("eth_sendRawTransactionSync", 2, send_sync);
}

async fn submit(api: &Api, bytes: Bytes, origin: Origin) -> Admitted {
    let admitted = dispatch_sends::submit(api, api.ingress()?, vec![bytes], origin).await;
    admitted
        .into_iter()
        .next()
        .unwrap_or(Err(RpcError::Internal("the transaction was lost")))
}

/// EIP-7966: sends a transaction and waits for its receipt.
async fn send_sync(
    api: Arc<Api>,
    mut arguments: Arguments,
    origin: Origin,
) -> Result<Box<RawValue>, RpcError> {
    let bytes: Bytes = arguments.required(RAW)?;
    let timeout = arguments
        .optional::<U64>("a timeout in milliseconds")?
        .map(|timeout| Duration::from_millis(timeout.to()))
        .filter(|timeout| !timeout.is_zero())
        .unwrap_or(api.config.sync_timeout)
        .min(api.config.max_sync_timeout);
    let mempool = api.mempool()?.clone();
    // Before the transaction can be in a block, so that the block is not missed.
    let included = api.chain.inclusion(transaction_hash(&bytes));
    let pooled = submit(&api, bytes, origin).await?;
    let hash = pooled.hash;
    let waits_for_nonce = mempool
        .next_nonce(pooled.sender())
        .is_none_or(|next| next <= pooled.nonce());
    if waits_for_nonce && mempool.contains(&hash) {
        return Err(RpcError::SyncNotReady(hash));
    }
    let (bundle, index) = tokio::time::timeout(timeout, included)
        .await
        .map_err(|_| RpcError::SyncTimeout {
            hash,
            waited: timeout,
        })?
        .ok_or(RpcError::Internal("the server is stopping"))?;
    let receipt = BlockParts {
        block: &bundle.block,
        senders: &bundle.senders,
        receipts: &bundle.receipts,
    }
    .receipt_at(to_u64(index))
    .ok_or(RpcError::Internal("the receipt was lost"))?;
    let answer = to_json(Ok(receipt));
    api.ingress()?.answered(origin.received);
    answer
}

/// The hash of a transaction is that of its encoding, whatever type it has.
fn transaction_hash(encoded: &[u8]) -> B256 {
    keccak256(encoded)
}
