use std::{collections::BTreeMap, sync::Arc};

use alloy_consensus::Transaction as _;
use alloy_primitives::Address;
use alloy_rpc_types_txpool::{
    TxpoolContent, TxpoolContentFrom, TxpoolInspect, TxpoolInspectSummary, TxpoolStatus,
};
use serde_json::Value;

use crate::{
    mempool::PooledTransaction,
    rpc::{
        RpcError,
        api::{Api, Registry},
        json::{self, json_size, to_u64},
        params::Arguments,
        workers::Deadline,
    },
};

/// Methods about the mempool.
pub(super) fn register(registry: &mut Registry) {
    registry.quick("txpool_status", 0, |api, _| {
        let (pending, queued) = api
            .mempool
            .as_ref()
            .map_or((0, 0), |mempool| mempool.status());
        Ok(TxpoolStatus {
            pending: to_u64(pending),
            queued: to_u64(queued),
        })
    });
    registry.long("txpool_content", 0, content);
    registry.long("txpool_contentFrom", 1, content_from);
    registry.long("txpool_inspect", 0, inspect);
}

type Pooled = Vec<Arc<PooledTransaction>>;

fn all(api: &Api) -> (Pooled, Pooled) {
    api.mempool
        .as_ref()
        .map_or_else(Default::default, |mempool| mempool.content())
}

/// # Errors
/// When whole transactions would be more than one answer may hold.
fn check_size(api: &Api, (pending, queued): &(Pooled, Pooled)) -> Result<(), RpcError> {
    let size: usize = pending
        .iter()
        .chain(queued)
        .map(|pooled| json_size(pooled))
        .sum();
    if size > api.config.max_response_bytes {
        return Err(RpcError::LimitExceeded(format!(
            "the transactions take more than {} bytes: ask for txpool_inspect, or for one sender",
            api.config.max_response_bytes
        )));
    }
    Ok(())
}

/// Transactions by sender and, in decimal, nonce.
fn by_sender<T>(
    pooled: &[Arc<PooledTransaction>],
    show: impl Fn(&PooledTransaction) -> Result<T, RpcError>,
) -> Result<BTreeMap<Address, BTreeMap<String, T>>, RpcError> {
    let mut senders: BTreeMap<Address, BTreeMap<String, T>> = BTreeMap::new();
    for pooled in pooled {
        let nonce = pooled.transaction.nonce().to_string();
        senders
            .entry(pooled.transaction.signer())
            .or_default()
            .insert(nonce, show(pooled)?);
    }
    Ok(senders)
}

fn whole(pooled: &PooledTransaction) -> Result<Value, RpcError> {
    let sender = pooled.transaction.signer();
    json::transaction(pooled.transaction.inner(), sender, None)
}

fn content(api: &Api, _: Arguments, _: Deadline) -> Result<TxpoolContent<Value>, RpcError> {
    let pooled = all(api);
    check_size(api, &pooled)?;
    let (pending, queued) = pooled;
    Ok(TxpoolContent {
        pending: by_sender(&pending, whole)?,
        queued: by_sender(&queued, whole)?,
    })
}

fn content_from(
    api: &Api,
    mut arguments: Arguments,
    _: Deadline,
) -> Result<TxpoolContentFrom<Value>, RpcError> {
    let sender: Address = arguments.required("a 20-byte address")?;
    let (mut pending, mut queued) = all(api);
    pending.retain(|pooled| pooled.transaction.signer() == sender);
    queued.retain(|pooled| pooled.transaction.signer() == sender);
    let pooled = (pending, queued);
    check_size(api, &pooled)?;
    let (pending, queued) = pooled;
    Ok(TxpoolContentFrom {
        pending: by_sender(&pending, whole)?
            .remove(&sender)
            .unwrap_or_default(),
        queued: by_sender(&queued, whole)?
            .remove(&sender)
            .unwrap_or_default(),
    })
}

fn inspect(api: &Api, _: Arguments, _: Deadline) -> Result<TxpoolInspect, RpcError> {
    let (pending, queued) = all(api);
    let summary = |pooled: &PooledTransaction| {
        Ok(TxpoolInspectSummary::from_tx(
            pooled.transaction.inner().clone(),
        ))
    };
    Ok(TxpoolInspect {
        pending: by_sender(&pending, summary)?,
        queued: by_sender(&queued, summary)?,
    })
}
