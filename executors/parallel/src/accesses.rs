use alloy_eip7928::{BlockAccessList, compute_block_access_list_hash};
use alloy_primitives::{Address, B256};
use weft_executor_core::ChangeSet;

use crate::{
    access::TransactionAccess,
    access_list::AccessListBuilder,
    conflicts::{ConflictGraph, GraphBuilder},
    lanes::record::LaneRecord,
    replay::Replay,
};

/// What the transactions of a block looked at and wrote, as it was written down while they ran.
/// What follows from it is computed when it is asked for; it is the same whoever executed the block.
#[derive(Debug, Default)]
pub struct BlockAccesses {
    pub(crate) beneficiary: Address,
    pub(crate) record: AccessRecord,
}

/// What was written down.
#[derive(Debug)]
pub(crate) enum AccessRecord {
    /// For each included transaction, in order.
    Transactions(Vec<TransactionAccess>),
    Lanes(LaneRecord),
}

impl Default for AccessRecord {
    fn default() -> Self {
        Self::Transactions(Vec::new())
    }
}

impl BlockAccesses {
    /// The block's access list (EIP-7928). Index 0 is before the transactions, the included ones
    /// have 1 and up. `changes` is what the block changed.
    pub fn access_list(&self, changes: &ChangeSet) -> BlockAccessList {
        let mut replay = Replay::new(self, changes);
        let mut list = AccessListBuilder::default();
        while let Some(effects) = replay.next() {
            list.add(&effects);
        }
        list.finish(&changes.code)
    }

    /// Which transactions had to wait for which. `changes` is what the block changed.
    pub fn conflicts(&self, changes: &ChangeSet) -> ConflictGraph {
        let mut replay = Replay::new(self, changes);
        let mut graph = GraphBuilder::default();
        while let Some(effects) = replay.next() {
            graph.add(&effects);
        }
        graph.finish()
    }

    /// Memory that it takes, in bytes, roughly. Code that came into being is shared with the block's
    /// change set and does not count.
    pub fn size(&self) -> usize {
        match &self.record {
            AccessRecord::Transactions(transactions) => transactions
                .iter()
                .map(TransactionAccess::size)
                .fold(0, usize::saturating_add),
            AccessRecord::Lanes(record) => record.size(),
        }
    }
}

/// Hash of a block access list: keccak-256 of its RLP (EIP-7928).
pub fn access_list_hash(list: &BlockAccessList) -> B256 {
    compute_block_access_list_hash(list)
}
