use std::sync::Arc;

use alloy_eips::BlockId;
use alloy_primitives::{B256, U64, U256};
use serde::Serialize;

use super::{BLOCK, node::CLIENT_VERSION};
use crate::chain::AccessListCounts;
use crate::rpc::{
    RpcError,
    api::{Api, Registry, to_json},
    context::L1Status,
    json::to_u64,
    params::Arguments,
};

/// Methods of weft alone.
pub(super) fn register(registry: &mut Registry) {
    registry.asynchronous("weft_getBatch", 1, |api, mut arguments| async move {
        let index: U64 = arguments.required("a batch index")?;
        to_json(Ok(api.l1.batch(index.to()).await?))
    });
    registry.asynchronous("weft_getBatchByBlock", 1, |api, mut arguments| async move {
        let id: BlockId = arguments.required(BLOCK)?;
        let worker_api = Arc::clone(&api);
        let number = api
            .workers
            .short(move || worker_api.number_of(id))
            .await??;
        match number {
            None => to_json(Ok(None::<u64>)),
            Some(number) => to_json(Ok(api.l1.batch_of_block(number).await?)),
        }
    });
    registry.asynchronous(
        "weft_getBatchAttempts",
        1,
        |api, mut arguments| async move {
            let index: U64 = arguments.required("a batch index")?;
            to_json(Ok(api.l1.attempts(index.to()).await?))
        },
    );
    registry.read("weft_getL1Origin", 1, l1_origin);
    registry.asynchronous("weft_nodeStatus", 0, |api, _| async move {
        to_json(node_status(&api).await)
    });
}

/// The L1 block whose deposits the chain has taken in.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct L1OriginJson {
    #[serde(with = "alloy_serde::quantity")]
    number: u64,
    hash: B256,
    #[serde(with = "alloy_serde::quantity")]
    timestamp: u64,
    base_fee_per_gas: U256,
}

fn l1_origin(api: &Api, mut arguments: Arguments) -> Result<Option<L1OriginJson>, RpcError> {
    let id = super::block_or_latest(&mut arguments)?;
    let Some(number) = api.number_of(id)? else {
        return Ok(None);
    };
    let origin = api.chain.store().l1_origin(number)?;
    Ok(origin.map(|origin| L1OriginJson {
        number: origin.number,
        hash: origin.hash,
        timestamp: origin.timestamp,
        base_fee_per_gas: origin.base_fee,
    }))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeStatus {
    version: &'static str,
    /// Whether the node takes no transactions.
    read_only: bool,
    #[serde(with = "alloy_serde::quantity")]
    chain_id: u64,
    head: BlockRef,
    #[serde(with = "alloy_serde::quantity")]
    safe_block: u64,
    #[serde(with = "alloy_serde::quantity")]
    finalized_block: u64,
    l1_origin: Option<L1OriginJson>,
    mempool: Option<MempoolStatus>,
    access_lists: AccessListStatus,
    l1: L1Status,
}

#[derive(Debug, Serialize)]
struct BlockRef {
    #[serde(with = "alloy_serde::quantity")]
    number: u64,
    hash: B256,
    #[serde(with = "alloy_serde::quantity")]
    timestamp: u64,
}

#[derive(Debug, Serialize)]
struct MempoolStatus {
    #[serde(with = "alloy_serde::quantity")]
    pending: u64,
    #[serde(with = "alloy_serde::quantity")]
    queued: u64,
}

/// What became of the access lists that the node was given.
#[derive(Debug, Serialize)]
struct AccessListStatus {
    #[serde(with = "alloy_serde::quantity")]
    right: u64,
    #[serde(with = "alloy_serde::quantity")]
    wrong: u64,
    /// The last wrong one.
    problem: Option<String>,
}

impl From<AccessListCounts> for AccessListStatus {
    fn from(counts: AccessListCounts) -> Self {
        Self {
            right: counts.right,
            wrong: counts.wrong,
            problem: counts
                .last_wrong
                .map(|(number, error)| format!("block {number}: {error}")),
        }
    }
}

async fn node_status(api: &Arc<Api>) -> Result<NodeStatus, RpcError> {
    let worker_api = Arc::clone(api);
    let origin = api
        .workers
        .short(move || {
            let nothing = jsonrpsee_types::Params::new(None);
            l1_origin(&worker_api, Arguments::parse(&nothing, 0)?)
        })
        .await??;
    let l1 = api.l1.status().await?;
    let head = api.chain.head();
    let labels = api.chain.labels();
    Ok(NodeStatus {
        version: CLIENT_VERSION,
        read_only: api.mempool.is_none(),
        chain_id: api.chain.spec().chain_id(),
        head: BlockRef {
            number: head.number,
            hash: head.hash(),
            timestamp: head.timestamp,
        },
        safe_block: labels.safe,
        finalized_block: labels.finalized,
        l1_origin: origin,
        mempool: api.mempool.as_ref().map(|mempool| {
            let (pending, queued) = mempool.status();
            MempoolStatus {
                pending: to_u64(pending),
                queued: to_u64(queued),
            }
        }),
        access_lists: api.chain.access_lists().counts().into(),
        l1,
    })
}
