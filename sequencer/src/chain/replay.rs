use std::{sync::Arc, time::Instant};

use alloy_primitives::B256;
use rayon::prelude::*;
use weft_l1_bridge::{DerivedBatch, DerivedBlock};
use weft_primitives::{BlockAttributes, RecoveredTransaction, TransactionError};
use weft_state::BlockBundle;

use super::{AccessListSource, ChainHandle, ChainWriter, ExecutedBlock};
use crate::{
    error::{Mismatch, NodeError},
    metrics,
};

/// Rebuilds the chain from batches that were derived from L1 and checks each against what was
/// posted (invariant I3).
#[derive(Debug)]
pub struct Replayer {
    writer: ChainWriter,
    chain: ChainHandle,
    access_lists: Option<AccessListSource>,
}

impl Replayer {
    /// Puts a replayer together. With a source of access lists it executes blocks with them.
    pub const fn new(
        writer: ChainWriter,
        chain: ChainHandle,
        access_lists: Option<AccessListSource>,
    ) -> Self {
        Self {
            writer,
            chain,
            access_lists,
        }
    }

    /// Executes a batch and makes its blocks durable. Blocks that the chain already has are only
    /// compared, so a batch that was cut short by a crash can be given again. CPU work: not for
    /// tokio's threads.
    ///
    /// # Errors
    /// [`NodeError::Mismatch`] when the batch is not what was posted. The chain then keeps the
    /// blocks of the batch that it had executed, and must not be served further.
    pub fn apply(&self, batch: DerivedBatch) -> Result<(), NodeError> {
        let (index, posted) = (batch.posted.index, batch.posted.header);
        for block in batch.blocks {
            if block.number > self.writer.head().number {
                self.replay(block)?;
            }
        }
        let number = posted.last_block;
        let derived = self
            .chain
            .store()
            .header(number)?
            .map(|header| (header.hash(), header.state_root));
        let (hash, state_root) = derived.unwrap_or((B256::ZERO, B256::ZERO));
        if state_root != posted.state_root {
            return Err(Mismatch::StateRoot {
                batch: index,
                number,
                derived: state_root,
                posted: posted.state_root,
            }
            .into());
        }
        if hash != posted.last_block_hash {
            return Err(Mismatch::BlockHash {
                batch: index,
                number,
                derived: hash,
                posted: posted.last_block_hash,
            }
            .into());
        }
        metrics::batch_verified(self.chain.spec().chain_id());
        Ok(())
    }

    fn replay(&self, block: DerivedBlock) -> Result<Arc<BlockBundle>, NodeError> {
        let number = block.number;
        let invalid = |index: usize, reason: String| Mismatch::InvalidTransaction {
            number,
            index,
            reason,
        };
        let transactions: Vec<Result<RecoveredTransaction, TransactionError>> = block
            .transactions
            .into_par_iter()
            .map(weft_primitives::Transaction::recover)
            .collect();
        let transactions: Vec<RecoveredTransaction> = transactions
            .into_iter()
            .enumerate()
            .map(|(index, result)| result.map_err(|error| invalid(index, error.to_string())))
            .collect::<Result<_, _>>()?;
        let started = Instant::now();
        let executed = self
            .execute(number, &block.attributes, transactions)
            .map_err(|error| match error {
                NodeError::Execution { number, reason } => {
                    Mismatch::Unexecutable { number, reason }.into()
                }
                other => other,
            })?;
        if let Some((index, reason)) = executed.dropped.first() {
            return Err(invalid(*index, reason.to_string()).into());
        }
        let execution = started.elapsed();
        let stats = executed.stats;
        let committing = Instant::now();
        let bundle = self.writer.commit(executed)?;
        metrics::block_made(
            metrics::BlockSource::Derived,
            self.chain.spec().chain_id(),
            &bundle,
            execution,
            committing.elapsed(),
            stats.reexecutions,
            0,
        );
        Ok(bundle)
    }

    fn execute(
        &self,
        number: u64,
        attributes: &BlockAttributes,
        transactions: Vec<RecoveredTransaction>,
    ) -> Result<ExecutedBlock, NodeError> {
        let source = self.access_lists.as_ref();
        let Some(list) = source.and_then(|source| source.get(number, transactions.len())) else {
            return self.writer.execute(attributes, transactions);
        };
        let (executed, verdict) =
            self.writer
                .execute_with_access_list(attributes, transactions, &list)?;
        let chain_id = self.chain.spec().chain_id();
        self.chain.access_lists().add(chain_id, number, verdict);
        Ok(executed)
    }
}
