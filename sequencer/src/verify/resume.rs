//! Where to go on: behind the last batch that L1 and the chain have.

use weft_batcher::BatchHeader;
use weft_l1_bridge::{L1Client, L1Error, PostedBatch, ResumePoint, RollupInfo, posted_batches};
use weft_primitives::ChainSpec;

use crate::{
    chain::{ChainHandle, withdrawals_root_at, wrong_claim},
    error::NodeError,
};

/// The spec that the contract was made with: from L1 or from the given file, which must then be
/// the one that the contract names.
pub(crate) fn chain_spec(
    given: Option<ChainSpec>,
    info: &RollupInfo,
) -> Result<ChainSpec, NodeError> {
    let spec = match (given, &info.chain_spec) {
        (Some(given), _) => given,
        (None, Some(posted)) => posted.clone(),
        (None, None) => {
            return Err(NodeError::Setup(
                "the chain's genesis was too large to be posted to L1: give it with --genesis"
                    .into(),
            ));
        }
    };
    let expected = info.genesis_block_hash;
    let found = weft_state::genesis_header(&spec).hash();
    if found == expected {
        Ok(spec)
    } else {
        Err(NodeError::Setup(format!(
            "genesis: expected block hash {expected} (the contract's), found {found}"
        )))
    }
}

/// Every batch that L1 has, in order.
pub(super) async fn posted_until_now(
    client: &L1Client,
    info: &RollupInfo,
) -> Result<Vec<PostedBatch>, L1Error> {
    let l1_head = client.block_number().await?;
    posted_batches(client, info, info.deployment_block, l1_head).await
}

/// Where L1 and the chain part.
#[derive(Debug)]
pub(super) struct CommonPoint {
    /// Behind the last batch of L1 that the chain has as well.
    pub(super) resume: ResumePoint,
    /// The batch after that, when the chain has other blocks in its place.
    pub(super) differs: Option<PostedBatch>,
}

/// Finds the last batch in `posted` that the chain has in full, and the same.
pub(super) fn common_point(
    info: &RollupInfo,
    chain: &ChainHandle,
    posted: &[PostedBatch],
) -> Result<CommonPoint, NodeError> {
    let store = chain.store();
    let head = chain.head().number;
    let mut differs = None;
    for batch in posted.iter().rev() {
        let number = batch.header.last_block;
        if number > head {
            continue;
        }
        let withdrawals_root = withdrawals_root_at(chain, number)?;
        let origin = store.l1_origin(number)?;
        let same_l1 = store.deposit_count(number)? == batch.header.deposits_consumed
            && BatchHeader::origin_id(origin.as_ref()) == batch.header.l1_origin;
        if same_l1 && wrong_claim(chain, batch, withdrawals_root)?.is_none() {
            let timestamp = store.header(number)?.map_or(0, |header| header.timestamp);
            return Ok(CommonPoint {
                resume: ResumePoint::after(batch, timestamp, origin),
                differs,
            });
        }
        differs = Some(*batch);
    }
    let genesis = store.header(0)?.map_or(0, |header| header.timestamp);
    Ok(CommonPoint {
        resume: ResumePoint::start(info, genesis),
        differs,
    })
}
