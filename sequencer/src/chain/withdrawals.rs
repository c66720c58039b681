use std::{collections::HashMap, sync::Arc};

use alloy_primitives::{Address, B256};
use parking_lot::Mutex;
use weft_primitives::{
    MESSAGE_PASSED_TOPIC, WITHDRAWAL_TREE_DEPTH, Withdrawal, WithdrawalError, WithdrawalTree,
    predeploys,
};
use weft_state::{LogQuery, StateError, Store};

/// A withdrawal as the chain has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartedWithdrawal {
    /// The withdrawal.
    pub withdrawal: Withdrawal,
    /// Number of the block that started it.
    pub block: u64,
    /// Hash of the transaction that started it.
    pub tx_hash: B256,
}

/// Why withdrawals cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum WithdrawalIndexError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StateError),
    /// A log of the predeploy is no withdrawal.
    #[error("block {block}: {error}")]
    Log {
        /// Number of the block.
        block: u64,
        /// What is wrong.
        error: WithdrawalError,
    },
    /// The predeploy does not count as weft's does.
    #[error("block {block}: expected withdrawal {expected}, found {found}")]
    Sequence {
        /// Number of the block.
        block: u64,
        /// Index of the next withdrawal.
        expected: u64,
        /// The index that was found.
        found: u64,
    },
}

/// All withdrawals of the chain with their Merkle tree, read from the chain's logs when somebody asks
/// and kept in memory: about 100 bytes a withdrawal.
#[derive(Debug, Clone, Default)]
pub struct WithdrawalIndex(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    tree: WithdrawalTree,
    /// Numbers of the blocks that started them.
    blocks: Vec<u64>,
    by_sender: HashMap<Address, Vec<u64>>,
    /// Blocks below this one have been read; `last_hash` is the hash of the one before it, if any.
    next_block: u64,
    last_hash: Option<B256>,
}

impl WithdrawalIndex {
    /// The withdrawal with this index; `None` when the chain has not so many.
    ///
    /// # Errors
    /// When the store fails.
    pub fn get(
        &self,
        store: &Store,
        index: u64,
    ) -> Result<Option<StartedWithdrawal>, WithdrawalIndexError> {
        let block = {
            let known = self.read_on(store)?;
            usize::try_from(index)
                .ok()
                .and_then(|index| known.blocks.get(index).copied())
        };
        match block {
            None => Ok(None),
            Some(block) => Ok(in_block(store, block)?
                .into_iter()
                .find(|started| started.withdrawal.index == index)),
        }
    }

    /// The withdrawals from this index on, at most `most`.
    ///
    /// # Errors
    /// When the store fails.
    pub fn range(
        &self,
        store: &Store,
        from: u64,
        most: usize,
    ) -> Result<Vec<StartedWithdrawal>, WithdrawalIndexError> {
        let mut blocks: Vec<u64> = {
            let known = self.read_on(store)?;
            let first = usize::try_from(from).unwrap_or(usize::MAX);
            known
                .blocks
                .iter()
                .skip(first)
                .take(most)
                .copied()
                .collect()
        };
        let end = from.saturating_add(blocks.len() as u64);
        blocks.dedup();
        let mut found = Vec::new();
        for block in blocks {
            let started = in_block(store, block)?.into_iter();
            found.extend(started.filter(|started| (from..end).contains(&started.withdrawal.index)));
        }
        Ok(found)
    }

    /// Indices of an account's withdrawals from `from` on, at most `most`.
    ///
    /// # Errors
    /// When the store fails.
    pub fn of_sender(
        &self,
        store: &Store,
        sender: Address,
        from: u64,
        most: usize,
    ) -> Result<Vec<u64>, WithdrawalIndexError> {
        let known = self.read_on(store)?;
        let indices = known.by_sender.get(&sender).map_or(&[][..], Vec::as_slice);
        let first = indices.partition_point(|&index| index < from);
        Ok(indices.iter().skip(first).take(most).copied().collect())
    }

    /// The siblings of a withdrawal's leaf, from below upwards, and the root, in the tree as it was
    /// after `block`; `None` when the withdrawal was not there yet.
    ///
    /// # Errors
    /// When the store fails.
    pub fn proof(
        &self,
        store: &Store,
        index: u64,
        block: u64,
    ) -> Result<Option<([B256; WITHDRAWAL_TREE_DEPTH], B256)>, WithdrawalIndexError> {
        let known = self.read_on(store)?;
        let count = known.blocks.partition_point(|&started| started <= block) as u64;
        Ok(known.tree.proof(index, count).zip(known.tree.root(count)))
    }

    /// The tree's root after `block`, or after the head when that is lower; zero before the first
    /// withdrawal.
    ///
    /// # Errors
    /// When the store fails.
    pub fn root_after(&self, store: &Store, block: u64) -> Result<B256, WithdrawalIndexError> {
        let known = self.read_on(store)?;
        let count = known.blocks.partition_point(|&started| started <= block) as u64;
        // The tree has a root for every size that it has had.
        Ok(known.tree.root(count).unwrap_or_default())
    }

    fn read_on(
        &self,
        store: &Store,
    ) -> Result<parking_lot::MutexGuard<'_, Known>, WithdrawalIndexError> {
        let mut known = self.0.lock();
        known.read_on(store)?;
        Ok(known)
    }
}

impl Known {
    fn read_on(&mut self, store: &Store) -> Result<(), WithdrawalIndexError> {
        let head = store.head()?;
        let last = self.next_block.checked_sub(1);
        let still_there = match last {
            Some(last) => store.header(last)?.map(|header| header.hash()) == self.last_hash,
            None => true,
        };
        if !still_there {
            // The chain went back behind what was read, and on another way.
            *self = Self::default();
        }
        let query = LogQuery::new([&predeploys::WITHDRAWALS], [[&MESSAGE_PASSED_TOPIC]]);
        while self.next_block <= head.number {
            let (blocks, next) = store.blocks_with_logs(&query, self.next_block, head.number)?;
            if next <= self.next_block {
                break;
            }
            for block in blocks {
                for started in in_block(store, block)? {
                    self.add(&started)?;
                }
            }
            self.next_block = next;
            self.last_hash = store
                .header(next.saturating_sub(1))?
                .map(|header| header.hash());
        }
        Ok(())
    }

    fn add(&mut self, started: &StartedWithdrawal) -> Result<(), WithdrawalIndexError> {
        let withdrawal = &started.withdrawal;
        let expected = self.tree.len();
        if withdrawal.index != expected {
            return Err(WithdrawalIndexError::Sequence {
                block: started.block,
                expected,
                found: withdrawal.index,
            });
        }
        self.tree.push(withdrawal.hash());
        self.blocks.push(started.block);
        let of_sender = self.by_sender.entry(withdrawal.sender).or_default();
        of_sender.push(withdrawal.index);
        Ok(())
    }
}

/// The withdrawals that a block has started, in order.
///
/// # Errors
/// When the store fails, or the predeploy is not weft's.
pub fn in_block(
    store: &Store,
    number: u64,
) -> Result<Vec<StartedWithdrawal>, WithdrawalIndexError> {
    let Some(bundle) = store.block_with_receipts(number)? else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    let transactions = bundle.block.transactions.iter().zip(&bundle.receipts);
    for (transaction, receipt) in transactions {
        for log in &receipt.logs {
            let Some(parsed) = Withdrawal::from_log(log) else {
                continue;
            };
            found.push(StartedWithdrawal {
                withdrawal: parsed.map_err(|error| WithdrawalIndexError::Log {
                    block: number,
                    error,
                })?,
                block: number,
                tx_hash: transaction.hash(),
            });
        }
    }
    Ok(found)
}
