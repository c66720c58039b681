use std::fmt;

use alloy_primitives::{Address, B256, U256};
use serde::Serialize;
use weft_l1_bridge::{BatchFault, PostedBatch};

use crate::error::Mismatch;

/// Where what was posted first differs from what its data gives, as exactly as can be known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Index of the batch.
    pub batch: u64,
    /// Hash of the batch.
    pub batch_hash: B256,
    /// First block of the batch, as posted.
    pub first_block: u64,
    /// Last block of the batch, as posted.
    pub last_block: u64,
    /// L1 transaction that posted it.
    pub l1_transaction: B256,
    /// What kind of difference it is.
    pub kind: DifferenceKind,
    /// What is wrong, in words.
    pub reason: String,
    /// The first block that is known not to be right; `None` when none of the batch can be told.
    pub block: Option<u64>,
    /// Index in that block of the first transaction that is known not to be right.
    pub transaction: Option<u64>,
    /// What the batch's header claims and what its data gives, when both are known.
    pub claim: Option<FieldDifference>,
    /// What a node with the posted chain has in the place of these blocks, when one was asked.
    pub node: Option<NodeComparison>,
}

/// Kinds of [`Difference`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// The data does not give blocks that follow the chain.
    Data,
    /// A transaction cannot stand in its block.
    InvalidTransaction,
    /// A block cannot be executed at all.
    Unexecutable,
    /// The state root after the last block is another.
    StateRoot,
    /// The last block is another.
    BlockHash,
    /// The root of the tree of withdrawals after the last block is another.
    WithdrawalsRoot,
}

/// One value that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldDifference {
    /// Name of the value, as in JSON-RPC.
    pub field: &'static str,
    /// What the data gives.
    pub derived: String,
    /// What was posted, or what the asked node has.
    pub claimed: String,
}

/// What a node with the posted chain has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum NodeComparison {
    /// It did not answer properly.
    Unreadable {
        /// Why.
        reason: String,
    },
    /// It has the same blocks as derived, as far as they could be executed: the batch is not what
    /// it has.
    SameBlocks {
        /// The last block that was compared.
        last_block: u64,
    },
    /// It has another block.
    Differs(Box<BlockDifference>),
}

/// The first block that differs between the data and a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BlockDifference {
    /// Number of the block.
    pub block: u64,
    /// Whether the node has the block that the batch claims as its last: it is then of the posted
    /// chain.
    pub has_posted_block: bool,
    /// Fields of the header that differ.
    pub header: Vec<FieldDifference>,
    /// The first transaction whose receipt differs.
    pub transaction: Option<TransactionDifference>,
    /// The first account or slot that differs.
    pub state: Option<StateDifference>,
}

/// A transaction whose outcome differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TransactionDifference {
    /// Its index in the block.
    pub index: u64,
    /// Its hash, by the data or else by the node.
    pub hash: Option<B256>,
    /// What differs of its receipt.
    pub receipt: Vec<FieldDifference>,
}

/// A value of the state that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StateDifference {
    /// Index in the block of the transaction after which it differs; `None` before the first one.
    pub transaction: Option<u64>,
    /// The account.
    pub address: Address,
    /// Which of its values.
    pub value: StateValue,
    /// The slot of its storage.
    pub slot: Option<U256>,
    /// What the data gives; `None` when the block has not changed it so far.
    pub derived: Option<String>,
    /// What the node has; `None` when the block has not changed it so far.
    pub claimed: Option<String>,
}

/// A value of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StateValue {
    /// Its nonce.
    Nonce,
    /// Its balance, in wei.
    Balance,
    /// Its code.
    Code,
    /// A slot of its storage.
    Storage,
}

impl Difference {
    fn new(posted: &PostedBatch, kind: DifferenceKind, reason: String) -> Self {
        Self {
            batch: posted.index,
            batch_hash: posted.batch_hash,
            first_block: posted.header.first_block,
            last_block: posted.header.last_block,
            l1_transaction: posted.tx_hash,
            kind,
            reason,
            block: None,
            transaction: None,
            claim: None,
            node: None,
        }
    }

    /// Of a batch that does not give blocks that follow the chain.
    pub(super) fn of_fault(posted: &PostedBatch, fault: &BatchFault) -> Self {
        Self {
            block: match fault {
                BatchFault::Timestamp { block, .. } | BatchFault::Origin { block, .. } => {
                    Some(*block)
                }
                _ => None,
            },
            ..Self::new(posted, DifferenceKind::Data, fault.to_string())
        }
    }

    /// Of a batch whose blocks, executed, are not what was posted.
    pub(super) fn of_mismatch(posted: &PostedBatch, mismatch: &Mismatch) -> Self {
        let reason = mismatch.to_string();
        let claim = |kind, number: u64, field, derived: &B256, claimed: &B256| {
            // A batch of one block has no other that could be wrong.
            let only = posted.header.first_block == posted.header.last_block;
            Self {
                block: only.then_some(number),
                claim: Some(FieldDifference {
                    field,
                    derived: derived.to_string(),
                    claimed: claimed.to_string(),
                }),
                ..Self::new(posted, kind, reason.clone())
            }
        };
        match mismatch {
            Mismatch::InvalidTransaction { number, index, .. } => Self {
                block: Some(*number),
                transaction: Some(*index as u64),
                ..Self::new(posted, DifferenceKind::InvalidTransaction, reason)
            },
            Mismatch::Unexecutable { number, .. } => Self {
                block: Some(*number),
                ..Self::new(posted, DifferenceKind::Unexecutable, reason)
            },
            Mismatch::BlockHash {
                number,
                derived,
                posted,
                ..
            } => claim(DifferenceKind::BlockHash, *number, "hash", derived, posted),
            Mismatch::StateRoot {
                number,
                derived,
                posted,
                ..
            } => claim(
                DifferenceKind::StateRoot,
                *number,
                "stateRoot",
                derived,
                posted,
            ),
            Mismatch::WithdrawalsRoot {
                number,
                derived,
                posted,
                ..
            } => claim(
                DifferenceKind::WithdrawalsRoot,
                *number,
                "withdrawalsRoot",
                derived,
                posted,
            ),
        }
    }

    /// Adds what a node has in the place of the blocks.
    pub(super) fn with_node(mut self, node: NodeComparison) -> Self {
        if let NodeComparison::Differs(difference) = &node
            && self.block.is_none_or(|block| difference.block <= block)
        {
            self.block = Some(difference.block);
            let receipt = difference.transaction.as_ref().map(|found| found.index);
            let state = difference
                .state
                .as_ref()
                .and_then(|found| found.transaction);
            self.transaction = match (receipt, state) {
                (Some(receipt), Some(state)) => Some(receipt.min(state)),
                (found, other) => found.or(other),
            };
        }
        self.node = Some(node);
        self
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch {}: {}", self.batch, self.reason)?;
        match &self.node {
            None => Ok(()),
            Some(node) => write!(f, "; {node}"),
        }
    }
}

impl fmt::Display for FieldDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} here, {} there",
            self.field, self.derived, self.claimed
        )
    }
}

impl fmt::Display for NodeComparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { reason } => {
                write!(f, "the node to compare with cannot be read: {reason}")
            }
            Self::SameBlocks { last_block } => {
                write!(f, "the asked node has the same blocks up to {last_block}")
            }
            Self::Differs(difference) => difference.fmt(f),
        }
    }
}

impl fmt::Display for BlockDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the asked node differs first in block {}", self.block)?;
        if let Some(transaction) = &self.transaction {
            write!(f, ", transaction {}", transaction.index)?;
            list(f, &transaction.receipt)?;
        } else {
            list(f, &self.header)?;
        }
        if let Some(state) = &self.state {
            write!(f, ", {state}")?;
        }
        if !self.has_posted_block {
            f.write_str("; it does not have the posted block either")?;
        }
        Ok(())
    }
}

impl fmt::Display for StateDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transaction {
            Some(index) => write!(f, "after transaction {index} ")?,
            None => f.write_str("before the first transaction ")?,
        }
        match (self.value, &self.slot) {
            (StateValue::Storage, Some(slot)) => write!(f, "slot {slot:#x} of {}", self.address)?,
            (value, _) => write!(f, "{value} of {}", self.address)?,
        }
        let or_unchanged = |value: &Option<String>| match value {
            Some(value) => value.clone(),
            None => "unchanged".to_owned(),
        };
        write!(
            f,
            " is {} here, {} there",
            or_unchanged(&self.derived),
            or_unchanged(&self.claimed)
        )
    }
}

impl fmt::Display for StateValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nonce => "nonce",
            Self::Balance => "balance",
            Self::Code => "code",
            Self::Storage => "storage",
        })
    }
}

/// The differences of a block or a receipt, in brackets.
fn list(f: &mut fmt::Formatter<'_>, fields: &[FieldDifference]) -> fmt::Result {
    for (index, field) in fields.iter().enumerate() {
        f.write_str(if index == 0 { " (" } else { ", " })?;
        write!(f, "{field}")?;
    }
    if fields.is_empty() {
        return Ok(());
    }
    f.write_str(")")
}
