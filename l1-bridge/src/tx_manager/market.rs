//! What L1 asks for now.

use alloy_eips::BlockNumberOrTag;
use alloy_primitives::U128;
use serde::Deserialize;

use super::Market;
use crate::{L1Client, L1Error};

/// Tip where L1 suggests none, in wei per gas.
const DEFAULT_TIP: u128 = 1_000_000_000;

/// The part of `eth_feeHistory`'s answer that is about blobs.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlobFeeHistory {
    #[serde(default)]
    base_fee_per_blob_gas: Vec<U128>,
}

/// Reads the market; the blob base fee only where it is needed.
///
/// # Errors
/// When L1 does not answer properly.
pub(super) async fn market(client: &L1Client, for_blobs: bool) -> Result<Market, L1Error> {
    let head = client
        .block(BlockNumberOrTag::Latest)
        .await?
        .ok_or_else(|| L1Error::answer("eth_getBlockByNumber(latest)", "a block", "null"))?;
    Ok(Market {
        base_fee: head.base_fee.saturating_to(),
        // Not every L1 suggests a tip.
        tip: client.suggested_tip().await.unwrap_or(DEFAULT_TIP),
        blob_base_fee: if for_blobs {
            Some(blob_base_fee(client).await?)
        } else {
            None
        },
    })
}

/// What blobs cost in the next block. Not every node has `eth_blobBaseFee`; the last entry of the
/// fee history is about the next block too.
async fn blob_base_fee(client: &L1Client) -> Result<u128, L1Error> {
    let direct: Result<U128, _> = client.request("eth_blobBaseFee", ()).await;
    let Err(error) = direct else {
        return direct.map(|fee| fee.to());
    };
    let history: Result<BlobFeeHistory, _> = client
        .request(
            "eth_feeHistory",
            ("0x1", BlockNumberOrTag::Latest, Vec::<f64>::new()),
        )
        .await;
    history
        .ok()
        .and_then(|history| history.base_fee_per_blob_gas.last().copied())
        .map(|fee| fee.to())
        .ok_or(error)
}
