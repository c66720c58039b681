use std::{sync::Arc, time::Duration};

use alloy_consensus::Transaction as _;
use alloy_primitives::{B256, Bytes, U64};
use serde_json::value::RawValue;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use weft_state::BlockBundle;

use super::transactions;
use crate::rpc::{
    RpcError,
    api::{Api, Registry, to_json},
    json::{BlockParts, to_u64},
    params::Arguments,
};

const RAW: &str = "a signed transaction as hexadecimal data";

/// Methods that send transactions.
pub(super) fn register(registry: &mut Registry) {
    registry.asynchronous(
        "eth_sendRawTransaction",
        1,
        |api, mut arguments| async move {
            let bytes: Bytes = arguments.required(RAW)?;
            let pooled = api.submit(bytes).await?;
            to_json(Ok(pooled.hash))
        },
    );
    registry.asynchronous("eth_sendRawTransactionSync", 2, send_sync);
}

/// EIP-7966: sends a transaction and waits for its receipt.
async fn send_sync(api: Arc<Api>, mut arguments: Arguments) -> Result<Box<RawValue>, RpcError> {
    let bytes: Bytes = arguments.required(RAW)?;
    let timeout = arguments
        .optional::<U64>("a timeout in milliseconds")?
        .map(|timeout| Duration::from_millis(timeout.to()))
        .filter(|timeout| !timeout.is_zero())
        .unwrap_or(api.config.sync_timeout)
        .min(api.config.max_sync_timeout);
    let mempool = api.mempool()?.clone();
    // Before the transaction can be in a block, so that the block is not missed.
    let blocks = api.chain.subscribe();
    let pooled = api.submit(bytes).await?;
    let hash = pooled.hash;
    let sender = pooled.transaction.signer();
    let waits_for_nonce = mempool
        .next_nonce(sender)
        .is_none_or(|next| next <= pooled.transaction.nonce());
    if waits_for_nonce && mempool.get(&hash).is_some() {
        return Err(RpcError::SyncNotReady(hash));
    }
    tokio::time::timeout(timeout, receipt_of(&api, hash, blocks))
        .await
        .unwrap_or(Err(RpcError::SyncTimeout {
            hash,
            waited: timeout,
        }))
}

/// Waits for the block that the transaction is in.
async fn receipt_of(
    api: &Arc<Api>,
    hash: B256,
    mut blocks: Receiver<Arc<BlockBundle>>,
) -> Result<Box<RawValue>, RpcError> {
    loop {
        match blocks.recv().await {
            Ok(bundle) => {
                let position = bundle
                    .block
                    .transactions
                    .iter()
                    .position(|transaction| transaction.hash() == hash);
                let receipt = position.and_then(|index| {
                    BlockParts {
                        block: &bundle.block,
                        senders: &bundle.senders,
                        receipts: &bundle.receipts,
                    }
                    .receipt_at(to_u64(index))
                });
                if let Some(receipt) = receipt {
                    return to_json(Ok(receipt));
                }
            }
            Err(RecvError::Lagged(_)) => {
                let worker_api = Arc::clone(api);
                let found = api
                    .workers
                    .short(move || transactions::receipt(&worker_api, hash))
                    .await??;
                if let Some(receipt) = found {
                    return to_json(Ok(receipt));
                }
            }
            Err(RecvError::Closed) => return Err(RpcError::Internal("the server is stopping")),
        }
    }
}
