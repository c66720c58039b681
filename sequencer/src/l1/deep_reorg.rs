//! L1 has dropped the block that the chain has as its origin: whether that is so, and how far the
//! chain would have to go back.

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use weft_l1_bridge::{L1Client, L1Error, PostedBlock, RollupInfo};
use weft_state::{StateError, Store};

use crate::error::NodeError;

/// What a node does when L1 reorganises deeper than the deposits that the chain has taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDeepReorg {
    /// Take in no deposits and post no batches until somebody has looked.
    Stop,
    /// Go back to the last block that L1 still supports, and on from there.
    #[default]
    Unwind,
}

/// The chain must go back to a lower block, because L1 has dropped what the blocks above took in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "L1 reorganised: expected block {l1_block}, the chain's L1 origin, to be {expected}, found {found}; the chain goes back from block {head} to block {target}"
)]
pub struct DeepReorg {
    /// Number of the L1 block that is the origin of the chain's head.
    pub l1_block: u64,
    /// Its hash, as the chain has it.
    pub expected: B256,
    /// The hash that L1 has now.
    pub found: B256,
    /// Number of the chain's last block.
    pub head: u64,
    /// Number of the last block that can stay.
    pub target: u64,
}

/// Why a chain cannot go back, though L1 has dropped its origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CannotUnwind {
    /// The contract has taken a batch with blocks that could not stay.
    #[error(
        "the chain cannot go back: block {target} is the last one whose L1 origin is on L1, but the contract has taken block {posted} in already"
    )]
    Posted {
        /// The last block whose origin is on L1.
        target: u64,
        /// The contract's last block, which is the chain's.
        posted: u64,
    },
    /// The contract has taken blocks of another chain in.
    #[error(
        "the chain cannot go back: the contract ends with block {number} {found}, expected {expected}"
    )]
    OtherChain {
        /// Number of the contract's last block.
        number: u64,
        /// What the chain has there.
        expected: B256,
        /// What the contract has there.
        found: B256,
    },
    /// The states that would have to come back are not kept.
    #[error(
        "the chain cannot go back to block {target}: the oldest state that is kept is that of block {oldest}"
    )]
    NotKept {
        /// Where the chain would have to go back to.
        target: u64,
        /// How far it can.
        oldest: u64,
    },
}

/// Why it is not known yet what is to be done.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookError {
    #[error(transparent)]
    L1(#[from] L1Error),
    #[error(transparent)]
    Store(#[from] StateError),
    #[error(transparent)]
    Cannot(#[from] CannotUnwind),
}

/// Answers in a row, about the same block, after which a reorganisation is believed.
const ANSWERS: u32 = 3;

/// Tells a reorganisation of L1 from a node that lies or lags for a moment: L1 must have the same
/// other block in the origin's place several times in a row, with as many blocks on top as a deposit
/// needs, and grow meanwhile.
#[derive(Debug)]
pub(super) struct ReorgWatch {
    client: L1Client,
    info: RollupInfo,
    confirmations: u64,
    seen: Option<Sighting>,
}

#[derive(Debug, Clone, Copy)]
struct Sighting {
    l1_block: u64,
    found: B256,
    answers: u32,
    /// L1's last block at the first of these answers.
    first_head: u64,
}

impl ReorgWatch {
    pub(super) const fn new(client: L1Client, info: RollupInfo, confirmations: u64) -> Self {
        Self {
            client,
            info,
            confirmations,
            seen: None,
        }
    }

    /// The origin is where it should be, or L1 did not answer.
    pub(super) fn reset(&mut self) {
        self.seen = None;
    }

    /// L1 has answered that it has block `found` in the place of the chain's origin. What is to be
    /// done, once that is believed.
    pub(super) async fn seen(
        &mut self,
        store: &Store,
        l1_block: u64,
        expected: B256,
        found: B256,
    ) -> Result<Option<DeepReorg>, LookError> {
        let l1_head = self.client.block_number().await?;
        let sighting = match self.seen {
            Some(seen) if (seen.l1_block, seen.found) == (l1_block, found) => Sighting {
                answers: seen.answers.saturating_add(1),
                ..seen
            },
            _ => Sighting {
                l1_block,
                found,
                answers: 1,
                first_head: l1_head,
            },
        };
        self.seen = Some(sighting);
        let is_deep = l1_head >= l1_block.saturating_add(self.confirmations);
        if sighting.answers < ANSWERS || l1_head <= sighting.first_head || !is_deep {
            return Ok(None);
        }
        let head = store.head()?.number;
        let target = self.last_supported(store, head).await?;
        // L1 may have changed again meanwhile.
        let above = target.saturating_add(1);
        if !self.is_on_l1(store, target).await? || self.is_on_l1(store, above).await? {
            self.reset();
            return Ok(None);
        }
        self.check_target(store, target).await?;
        Ok(Some(DeepReorg {
            l1_block,
            expected,
            found,
            head,
            target,
        }))
    }

    /// The last block whose origin is on L1. An L1 that has an origin has those of earlier blocks too,
    /// which are its ancestors.
    async fn last_supported(&self, store: &Store, head: u64) -> Result<u64, LookError> {
        // Block 0 has no origin.
        let (mut supported, mut dropped) = (0, head);
        while dropped.saturating_sub(supported) > 1 {
            let middle = supported.midpoint(dropped);
            if self.is_on_l1(store, middle).await? {
                supported = middle;
            } else {
                dropped = middle;
            }
        }
        Ok(supported)
    }

    async fn is_on_l1(&self, store: &Store, number: u64) -> Result<bool, LookError> {
        let Some(origin) = store.l1_origin(number)? else {
            return Ok(true);
        };
        Ok(self.client.holds_origin(&origin).await?)
    }

    /// What the contract has taken in stays, and what a chain goes back to must be kept.
    async fn check_target(&self, store: &Store, target: u64) -> Result<(), LookError> {
        let PostedBlock {
            number: posted,
            hash,
        } = self.info.last_posted_block(&self.client).await?;
        let ours = store.header(posted)?.map(|header| header.hash());
        if ours != Some(hash) {
            return Err(CannotUnwind::OtherChain {
                number: posted,
                expected: ours.unwrap_or_default(),
                found: hash,
            }
            .into());
        }
        if posted > target {
            return Err(CannotUnwind::Posted { target, posted }.into());
        }
        let oldest = store.oldest_state()?;
        if target < oldest {
            return Err(CannotUnwind::NotKept { target, oldest }.into());
        }
        Ok(())
    }
}

impl From<DeepReorg> for NodeError {
    fn from(reorg: DeepReorg) -> Self {
        Self::DeepReorg(reorg)
    }
}
