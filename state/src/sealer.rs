use std::{
    collections::VecDeque,
    fmt, mem,
    sync::{Arc, atomic::Ordering},
};

use alloy_primitives::B256;
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, nodes::RlpNode};
use rayon::prelude::*;
use weft_executor_core::ChangeSet;

use crate::{
    StateError, Store, TrieUpdates,
    store::Inner,
    trie::{
        TrieLayer,
        live::{AccountLeaf, Link, Output, PLACES, Scope, apply, fold_at, seal},
    },
};

/// Changed accounts from which on their addresses are hashed by several threads.
const PARALLEL_FROM: usize = 256;

/// Computes the state roots of one block after another, with the trie's used part in memory.
///
/// A block may be applied while the ones before it are not durable yet. All applied blocks must be
/// committed, in order; a block that turns out not to be wanted must not be applied at all. How much
/// memory it takes is [`StoreOptions::trie_bytes`](crate::StoreOptions::trie_bytes).
pub struct Sealer {
    store: Arc<Inner>,
    root: Link,
    /// The durable block at the start, and what lay over the tables then. It is of use until the
    /// tables have the nodes of that block.
    started_at: u64,
    started_on: Vec<Arc<TrieLayer>>,
    /// Number and state root of the last block that was found durable, and of those applied since.
    blocks: VecDeque<(u64, B256)>,
    memory: Memory,
    /// How often the chain had been unwound at the start.
    unwindings: u64,
    failed: bool,
}

/// What of the trie stays in memory. A hand goes round the places of the trie and folds what was
/// not used since it was there last.
#[derive(Debug)]
struct Memory {
    limit: u64,
    bytes: i64,
    hand: u8,
    /// What was last used before this block is folded in this round.
    before: u64,
    /// The same for the next round: the block at which this one began.
    next_before: u64,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer")
            .field("blocks", &self.blocks)
            .field("memory", &self.memory)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Starts to compute state roots on top of the last durable block.
    pub fn sealer(&self) -> Sealer {
        let head = self.head_state();
        let (number, root) = (head.header.number, head.header.state_root);
        let reference = if root == EMPTY_ROOT_HASH {
            RlpNode::default()
        } else {
            RlpNode::word_rlp(&root)
        };
        Sealer {
            store: self.inner.clone(),
            root: Link::folded(reference),
            started_at: number,
            started_on: head.trie.layers(),
            blocks: [(number, root)].into(),
            memory: Memory {
                limit: self.inner.trie_bytes,
                bytes: 0,
                hand: 0,
                before: number,
                next_before: number,
            },
            unwindings: head.unwindings,
            failed: false,
        }
    }
}

impl Sealer {
    /// State root after the last block that was applied.
    pub fn root(&self) -> B256 {
        self.blocks
            .back()
            .map_or(EMPTY_ROOT_HASH, |(_, root)| *root)
    }

    /// Bytes of memory that trie nodes take, about.
    pub fn memory_bytes(&self) -> u64 {
        u64::try_from(self.memory.bytes).unwrap_or_default()
    }

    /// State root after the block that follows on the last one applied, and the trie nodes to commit
    /// with it. A large block is shared among the threads of the calling rayon pool.
    ///
    /// # Errors
    /// [`StateError::TrieBase`] when blocks were made durable that were not applied here,
    /// [`StateError::SealerUnwound`] when the chain was unwound, and when the trie cannot be read. After that it is of no use any more.
    pub fn apply(&mut self, changes: &ChangeSet) -> Result<(B256, TrieUpdates), StateError> {
        if mem::replace(&mut self.failed, true) {
            return Err(StateError::SealerFailed);
        }
        let head = self.store.head.read().clone();
        if head.unwindings != self.unwindings {
            return Err(StateError::SealerUnwound);
        }
        let durable = head.header.number;
        while self.blocks.len() > 1 && self.blocks.front().is_some_and(|(at, _)| *at < durable) {
            self.blocks.pop_front();
        }
        let base = self.blocks.front().copied().unwrap_or_default();
        if base != (durable, head.header.state_root) {
            return Err(StateError::TrieBase {
                expected: head.header.state_root,
                found: base.1,
            });
        }
        let (parent, parent_root) = self.blocks.back().copied().unwrap_or_default();
        let scope = Scope {
            tables: &self.store.tables,
            snapshot: &head.snapshot,
            block: parent.saturating_add(1),
            owner: None,
            layers: match head.trie.written() < self.started_at {
                true => &self.started_on,
                false => &[],
            },
        };
        let leaves = hashed(changes);
        let mut out = Output::default();
        apply(&mut self.root, 0, &leaves, &scope, &mut out)?;
        let parallel = leaves.len() >= PARALLEL_FROM;
        seal(&mut self.root, &Nibbles::new(), parallel, &mut out);
        let root = self.root.root().unwrap_or(EMPTY_ROOT_HASH);

        self.blocks.push_back((scope.block, root));
        self.memory.bytes = self.memory.bytes.saturating_add(out.bytes);
        self.store.trie_depths.store(out.depths, Ordering::Relaxed);
        self.memory
            .shrink(&mut self.root, scope.block, head.trie.written());
        self.failed = false;
        // In the order of their keys, so that the database finds each one's place next to the last.
        let mut accounts = out.nodes;
        accounts.sort_unstable_by(|(left, _), (right, _)| {
            left.len().cmp(&right.len()).then_with(|| left.cmp(right))
        });
        let updates = TrieUpdates {
            parent_root,
            root,
            accounts,
            storage: out.storage,
        };
        Ok((root, updates))
    }
}

/// The changed accounts in the order of the trie.
fn hashed(changes: &ChangeSet) -> Vec<AccountLeaf<'_>> {
    let mut leaves = Vec::with_capacity(changes.accounts.len());
    for part in changes.accounts.slices() {
        if part.len() < PARALLEL_FROM {
            leaves.extend(part.iter().map(AccountLeaf::new));
        } else {
            leaves.par_extend(part.par_iter().map(AccountLeaf::new));
        }
    }
    leaves.sort_unstable_by_key(|leaf| leaf.key);
    leaves
}

impl Memory {
    /// Goes on round the trie until it is small enough. Nodes that are not on disk stay.
    fn shrink(&mut self, root: &mut Link, block: u64, written: u64) {
        let fits = |bytes: i64, limit: u64| u64::try_from(bytes).unwrap_or_default() <= limit;
        let mut steps = 0;
        // Three rounds come to all that was not used by this block.
        while !fits(self.bytes, self.limit) && steps < 3 * PLACES {
            if self.hand == 0 {
                self.before = mem::replace(&mut self.next_before, block);
            }
            let before = self.before.min(written.saturating_add(1));
            let freed = fold_at(root, self.hand, before);
            self.bytes = self.bytes.saturating_sub_unsigned(freed as u64);
            self.hand = self.hand.wrapping_add(1);
            steps += 1;
        }
    }
}
