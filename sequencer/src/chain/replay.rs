use std::{collections::VecDeque, mem};

use alloy_primitives::B256;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use weft_executor_core::StateView;
use weft_l1_bridge::{DerivedBatch, DerivedBlock, PostedBatch};
use weft_primitives::{BlockAttributes, RecoveredTransaction, predeploys};
use weft_state::{StateError, StateReader};

use super::{AccessListSource, ChainHandle, ChainWriter, ExecutedBlock};
use crate::{
    error::{Mismatch, NodeError},
    metrics,
};

/// Rebuilds the chain from batches that were derived from L1 and checks each against what was
/// posted (invariant I3).
///
/// The blocks of a batch follow those of the one before it through the stages without a pause: a
/// batch is checked when its last block is durable, and by then later ones may be under way.
#[derive(Debug)]
pub struct Replayer {
    inner: Mutex<Inner>,
    /// Cancelled once a later stage has failed.
    failed: CancellationToken,
    chain: ChainHandle,
    access_lists: Option<AccessListSource>,
}

#[derive(Debug)]
struct Inner {
    writer: ChainWriter,
    /// Root of the tree of withdrawals after the writer's last block.
    withdrawals_root: B256,
    /// Batches whose blocks are all executed, oldest first.
    unchecked: VecDeque<Unchecked>,
    verified: Vec<VerifiedBatch>,
}

#[derive(Debug, Clone, Copy)]
struct Unchecked {
    batch: VerifiedBatch,
    /// Root of the tree of withdrawals after its last block; `None` when that is not known any more.
    withdrawals_root: Option<B256>,
}

/// A batch whose blocks are durable and are those that its header claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedBatch {
    /// Where and what it is.
    pub posted: PostedBatch,
    /// Transactions in its blocks, deposits included.
    pub transactions: usize,
}

/// Why a batch could not be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The batch is not what was posted. The chain then has the blocks that were executed of it, and
    /// maybe of later ones.
    #[error("{mismatch}")]
    Wrong {
        /// The batch.
        posted: Box<PostedBatch>,
        /// What is wrong.
        mismatch: Mismatch,
    },
    /// This machine failed; nothing is said about the batch.
    #[error(transparent)]
    Node(#[from] NodeError),
}

impl Replayer {
    /// Puts a replayer together. With a source of access lists it executes blocks with them.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn new(
        writer: ChainWriter,
        chain: ChainHandle,
        access_lists: Option<AccessListSource>,
    ) -> Result<Self, NodeError> {
        Ok(Self {
            failed: writer.failed().clone(),
            inner: Mutex::new(Inner {
                withdrawals_root: withdrawals_root(chain.store().latest_state()?)?,
                writer,
                unchecked: VecDeque::new(),
                verified: Vec::new(),
            }),
            chain,
            access_lists,
        })
    }

    /// Executes a batch and hands its blocks to the later stages. Returns when the last of them is
    /// handed over; earlier batches that have become durable meanwhile are checked. Blocks that the
    /// chain already has are only compared, so a batch that was cut short by a crash can be given
    /// again. CPU work: not for tokio's threads.
    ///
    /// # Errors
    /// [`ReplayError::Wrong`] when this batch, or an earlier one that was not checked yet, is not
    /// what was posted.
    pub fn apply(&self, batch: DerivedBatch) -> Result<(), ReplayError> {
        let posted = batch.posted;
        let mut inner = self.inner.lock();
        let transactions = batch
            .blocks
            .iter()
            .map(|block| block.transactions.len())
            .sum();
        for block in batch.blocks {
            if block.number > inner.writer.tip().number {
                self.replay(&mut inner, block)
                    .map_err(|error| match error {
                        NodeError::Mismatch(mismatch) => ReplayError::Wrong {
                            posted: Box::new(posted),
                            mismatch,
                        },
                        other => ReplayError::Node(other),
                    })?;
            }
            self.check_durable_of(&mut inner)?;
        }
        let withdrawals_root = match inner.writer.tip().number == posted.header.last_block {
            true => Some(inner.withdrawals_root),
            false => withdrawals_root_at(&self.chain, posted.header.last_block)?,
        };
        inner.unchecked.push_back(Unchecked {
            batch: VerifiedBatch {
                posted,
                transactions,
            },
            withdrawals_root,
        });
        self.check_durable_of(&mut inner)
    }

    /// Checks the batches that have become durable.
    ///
    /// # Errors
    /// As [`Replayer::apply`].
    pub fn check_durable(&self) -> Result<(), ReplayError> {
        self.check_durable_of(&mut self.inner.lock())
    }

    /// Takes back every block above `number`, and gives up what is unchecked: whether it could be
    /// done. It cannot when what these blocks changed is not kept any more; the blocks stay then.
    /// Waits for the later stages and the disk.
    ///
    /// # Errors
    /// When a stage has failed, or the store cannot be read or written.
    pub fn go_back(&self, number: u64) -> Result<bool, NodeError> {
        let mut inner = self.inner.lock();
        inner.unchecked.clear();
        if inner.writer.tip().number <= number {
            return Ok(true);
        }
        match inner.writer.unwind_to(number) {
            Ok(_) => {}
            Err(NodeError::Store(StateError::UnwindTooFar { .. })) => return Ok(false),
            Err(error) => return Err(error),
        }
        inner.withdrawals_root = withdrawals_root(self.chain.store().latest_state()?)?;
        Ok(true)
    }

    /// The batches that were found right since the last call, in order.
    pub fn take_verified(&self) -> Vec<VerifiedBatch> {
        mem::take(&mut self.inner.lock().verified)
    }

    /// Last block of the first batch that is executed and not checked.
    pub fn first_unchecked(&self) -> Option<u64> {
        let inner = self.inner.lock();
        inner
            .unchecked
            .front()
            .map(|unchecked| unchecked.batch.posted.header.last_block)
    }

    /// Returns once a later stage has failed, with what made it fail. To be asked once.
    pub async fn failure(&self) -> NodeError {
        self.failed.cancelled().await;
        self.inner.lock().writer.failure()
    }

    fn check_durable_of(&self, inner: &mut Inner) -> Result<(), ReplayError> {
        let durable = self.chain.head().number;
        while let Some(unchecked) = inner
            .unchecked
            .front()
            .filter(|unchecked| unchecked.batch.posted.header.last_block <= durable)
            .copied()
        {
            let batch = unchecked.batch;
            if let Some(mismatch) =
                wrong_claim(&self.chain, &batch.posted, unchecked.withdrawals_root)?
            {
                // What was executed after it is no better.
                inner.unchecked.clear();
                return Err(ReplayError::Wrong {
                    posted: Box::new(batch.posted),
                    mismatch,
                });
            }
            inner.unchecked.pop_front();
            self.chain.set_verified(batch.posted.header.last_block);
            metrics::batch_verified(self.chain.spec().chain_id());
            inner.verified.push(batch);
        }
        Ok(())
    }

    fn replay(&self, inner: &mut Inner, block: DerivedBlock) -> Result<(), NodeError> {
        let writer = &mut inner.writer;
        let number = block.number;
        let invalid = |index: usize, reason: String| Mismatch::InvalidTransaction {
            number,
            index,
            reason,
        };
        let transactions: Vec<RecoveredTransaction> = block
            .transactions
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
        if let Some(root) = new_withdrawals_root(&executed) {
            inner.withdrawals_root = root;
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

/// What is wrong with what a batch's header claims about its last block, which the chain has; `None`
/// when nothing is, as far as the state after the block is still known.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn wrong_claim(
    chain: &ChainHandle,
    posted: &PostedBatch,
    withdrawals_root: Option<B256>,
) -> Result<Option<Mismatch>, NodeError> {
    let (batch, header) = (posted.index, &posted.header);
    let number = header.last_block;
    let ours = chain.store().header(number)?;
    let (hash, state_root) = ours.map_or((B256::ZERO, B256::ZERO), |ours| {
        (ours.hash(), ours.state_root)
    });
    if state_root != header.state_root {
        return Ok(Some(Mismatch::StateRoot {
            batch,
            number,
            derived: state_root,
            posted: header.state_root,
        }));
    }
    if hash != header.last_block_hash {
        return Ok(Some(Mismatch::BlockHash {
            batch,
            number,
            derived: hash,
            posted: header.last_block_hash,
        }));
    }
    Ok(withdrawals_root
        .filter(|derived| *derived != header.withdrawals_root)
        .map(|derived| Mismatch::WithdrawalsRoot {
            batch,
            number,
            derived,
            posted: header.withdrawals_root,
        }))
}

/// Root of the tree of withdrawals after a block; `None` when its state is not kept.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn withdrawals_root_at(
    chain: &ChainHandle,
    number: u64,
) -> Result<Option<B256>, NodeError> {
    let state = chain.store().state_at(number)?;
    state.map(withdrawals_root).transpose()
}

fn withdrawals_root(mut state: StateReader) -> Result<B256, NodeError> {
    let root = state.storage(predeploys::WITHDRAWALS, predeploys::WITHDRAWALS_ROOT_SLOT)?;
    Ok(root.into())
}

/// The root of the tree of withdrawals, when the block changed it.
fn new_withdrawals_root(block: &ExecutedBlock) -> Option<B256> {
    let change = block.changes().accounts.get(&predeploys::WITHDRAWALS)?;
    let (_, after) = change.storage.get(&predeploys::WITHDRAWALS_ROOT_SLOT)?;
    Some((*after).into())
}
