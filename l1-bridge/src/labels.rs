use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::Address;

use crate::{L1Client, L1Error, RollupInfo, contract::Rollup};

/// How far L1 has taken the chain in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PostedLabels {
    /// Last block whose batch is on L1 with the configured confirmations; 0 when none is.
    pub safe: u64,
    /// Last block whose batch is in a finalized L1 block; 0 when none is.
    pub finalized: u64,
}

/// Reads from the contract how far L1 has taken the chain in.
#[derive(Debug, Clone)]
pub struct L1LabelSource {
    client: L1Client,
    contract: Address,
    deployment_block: u64,
    safe_confirmations: u64,
}

impl L1LabelSource {
    /// A reader for a contract. `safe_confirmations` counts the L1 block of a batch and those after
    /// it; at least 1.
    pub const fn new(client: L1Client, info: &RollupInfo, safe_confirmations: u64) -> Self {
        Self {
            client,
            contract: info.contract,
            deployment_block: info.deployment_block,
            safe_confirmations,
        }
    }

    /// Both labels as they are now.
    ///
    /// # Errors
    /// When L1 does not answer properly.
    pub async fn labels(&self) -> Result<PostedLabels, L1Error> {
        let head = self.client.block_number().await?;
        let depth = self.safe_confirmations.max(1) - 1;
        let safe = match head.checked_sub(depth) {
            Some(block) => self.last_block_at(block).await?,
            None => 0,
        };
        let finalized = match self.finalized_l1_block().await? {
            Some(block) => self.last_block_at(block.min(head)).await?,
            None => 0,
        };
        Ok(PostedLabels {
            safe,
            // An L1 may finalize with fewer confirmations than are asked for here.
            finalized: finalized.min(safe),
        })
    }

    /// `None` when L1 has not finalized anything or does not know the tag.
    async fn finalized_l1_block(&self) -> Result<Option<u64>, L1Error> {
        match self.client.block(BlockNumberOrTag::Finalized).await {
            Ok(block) => Ok(block.map(|block| block.number)),
            Err(L1Error::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn last_block_at(&self, l1_block: u64) -> Result<u64, L1Error> {
        if l1_block < self.deployment_block {
            return Ok(0);
        }
        self.client
            .view(
                self.contract,
                &Rollup::lastBlockCall {},
                BlockId::number(l1_block),
            )
            .await
    }
}
