use alloy_primitives::B256;
use parking_lot::Mutex;
use rayon::prelude::*;
use weft_l1_bridge::{DerivedBatch, DerivedBlock};
use weft_primitives::{BlockAttributes, RecoveredTransaction, TransactionError};

use super::{AccessListSource, ChainHandle, ChainWriter, ExecutedBlock};
use crate::{
    error::{Mismatch, NodeError},
    metrics,
};

/// Rebuilds the chain from batches that were derived from L1 and checks each against what was
/// posted (invariant I3).
#[derive(Debug)]
pub struct Replayer {
    writer: Mutex<ChainWriter>,
    chain: ChainHandle,
    access_lists: Option<AccessListSource>,
}

impl Replayer {
    /// Puts a replayer together. With a source of access lists it executes blocks with them.
    pub fn new(
        writer: ChainWriter,
        chain: ChainHandle,
        access_lists: Option<AccessListSource>,
    ) -> Self {
        Self {
            writer: Mutex::new(writer),
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
        let mut writer = self.writer.lock();
        for block in batch.blocks {
            if block.number > writer.tip().number {
                self.replay(&mut writer, block)?;
            }
        }
        writer.flush()?;
        drop(writer);
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

    fn replay(&self, writer: &mut ChainWriter, block: DerivedBlock) -> Result<(), NodeError> {
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
        let executed = self
            .execute(writer, number, &block.attributes, transactions)
            .map_err(|error| match error {
                NodeError::Execution { number, reason } => {
                    Mismatch::Unexecutable { number, reason }.into()
                }
                other => other,
            })?;
        if let Some((index, reason)) = executed.dropped.first() {
            return Err(invalid(*index, reason.to_string()).into());
        }
        writer.append(executed)
    }

    fn execute(
        &self,
        writer: &ChainWriter,
        number: u64,
        attributes: &BlockAttributes,
        transactions: Vec<RecoveredTransaction>,
    ) -> Result<ExecutedBlock, NodeError> {
        let source = self.access_lists.as_ref();
        let Some(list) = source.and_then(|source| source.get(number, transactions.len())) else {
            return writer.execute(attributes, transactions);
        };
        let (executed, verdict) =
            writer.execute_with_access_list(attributes, transactions, &list)?;
        let chain_id = self.chain.spec().chain_id();
        self.chain.access_lists().add(chain_id, number, verdict);
        Ok(executed)
    }
}
