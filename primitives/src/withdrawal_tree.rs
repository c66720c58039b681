use alloy_primitives::{B256, keccak256};

/// Height of the withdrawals tree: it has room for 2^32 withdrawals.
pub const WITHDRAWAL_TREE_DEPTH: usize = 32;

/// The Merkle tree over all withdrawals of a chain, in the order in which they were started, that the
/// withdrawals predeploy keeps the root of: binary, of a fixed height, keccak-256, with zero in the
/// place of leaves that are not there yet (the deposit contract's tree without the length mixed in).
///
/// It keeps every node whose leaves are all there, 64 bytes a leaf, and with them answers for the
/// tree as it was at any size: leaves are only ever added.
#[derive(Debug, Clone, Default)]
pub struct WithdrawalTree {
    /// Nodes whose leaves are all there, by height; level 0 has the leaves.
    levels: Vec<Vec<B256>>,
}

impl WithdrawalTree {
    /// Number of leaves.
    pub fn len(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// Whether there is no leaf.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds the next leaf, the withdrawal's hash.
    pub fn push(&mut self, leaf: B256) {
        let mut node = leaf;
        for height in 0.. {
            if self.levels.len() == height {
                self.levels.push(Vec::new());
            }
            let Some(level) = self.levels.get_mut(height) else {
                return;
            };
            level.push(node);
            if level.len() % 2 == 1 {
                return;
            }
            let Some(&left) = level.len().checked_sub(2).and_then(|at| level.get(at)) else {
                return;
            };
            node = parent(left, node);
        }
    }

    /// The root when the tree had `len` leaves, as the predeploy has it: zero for none. `None` when
    /// it has fewer.
    pub fn root(&self, len: u64) -> Option<B256> {
        if len == 0 {
            return Some(B256::ZERO);
        }
        (len <= self.len()).then(|| self.node(WITHDRAWAL_TREE_DEPTH, 0, len, &zeros()))
    }

    /// The siblings of a leaf from below upwards when the tree had `len` leaves; `None` when it had
    /// no such leaf.
    pub fn proof(&self, index: u64, len: u64) -> Option<[B256; WITHDRAWAL_TREE_DEPTH]> {
        if index >= len || len > self.len() {
            return None;
        }
        let zeros = zeros();
        Some(std::array::from_fn(|height| {
            self.node(height, (index >> height) ^ 1, len, &zeros)
        }))
    }

    fn node(&self, height: usize, position: u64, len: u64, zeros: &Zeros) -> B256 {
        let zero = zeros.get(height).copied().unwrap_or_default();
        let first_leaf = u128::from(position) << height;
        if first_leaf >= u128::from(len) {
            return zero;
        }
        // Complete nodes never change, so that they are right for every size that they fit into.
        if first_leaf + (1 << height) <= u128::from(len)
            && let Some(node) = usize::try_from(position)
                .ok()
                .and_then(|position| self.levels.get(height)?.get(position))
        {
            return *node;
        }
        match height.checked_sub(1) {
            None => zero,
            Some(below) => parent(
                self.node(below, position * 2, len, zeros),
                self.node(below, position * 2 + 1, len, zeros),
            ),
        }
    }
}

/// Whether `proof` (siblings from below upwards) leads from a leaf to a root.
pub fn withdrawal_proof_leads_to(leaf: B256, index: u64, proof: &[B256], root: B256) -> bool {
    let mut node = leaf;
    for (height, &sibling) in proof.iter().enumerate() {
        let is_right = index.checked_shr(height as u32).unwrap_or(0) % 2 == 1;
        node = if is_right {
            parent(sibling, node)
        } else {
            parent(node, sibling)
        };
    }
    proof.len() == WITHDRAWAL_TREE_DEPTH && index >> WITHDRAWAL_TREE_DEPTH == 0 && node == root
}

/// Roots of empty trees, by height.
type Zeros = [B256; WITHDRAWAL_TREE_DEPTH + 1];

fn zeros() -> Zeros {
    let mut node = B256::ZERO;
    std::array::from_fn(|height| {
        if height > 0 {
            node = parent(node, node);
        }
        node
    })
}

fn parent(left: B256, right: B256) -> B256 {
    let mut pair = [0; 64];
    let (low, high) = pair.split_at_mut(32);
    low.copy_from_slice(left.as_slice());
    high.copy_from_slice(right.as_slice());
    keccak256(pair)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The root by the definition: all leaves, padded, level by level up to the height at which one
    /// node is left, then with empty trees.
    fn root_by_definition(leaves: &[B256]) -> B256 {
        if leaves.is_empty() {
            return B256::ZERO;
        }
        let (mut level, mut empty) = (leaves.to_vec(), B256::ZERO);
        for _ in 0..WITHDRAWAL_TREE_DEPTH {
            if level.len() % 2 == 1 {
                level.push(empty);
            }
            level = level
                .chunks(2)
                .map(|pair| parent(pair[0], pair[1]))
                .collect();
            empty = parent(empty, empty);
        }
        level[0]
    }

    fn leaves(count: usize) -> Vec<B256> {
        (0..count).map(|n| keccak256(n.to_be_bytes())).collect()
    }

    proptest! {
        #[test]
        fn roots_and_proofs_hold_at_every_size(count in 1usize..130) {
            let leaves = leaves(count);
            let mut tree = WithdrawalTree::default();
            leaves.iter().for_each(|&leaf| tree.push(leaf));
            for len in [1, count / 2, count] {
                let root = tree.root(len as u64).unwrap();
                prop_assert_eq!(root, root_by_definition(&leaves[..len]));
                for index in [0, len / 3, len.saturating_sub(1)] {
                    let Some(proof) = tree.proof(index as u64, len as u64) else {
                        prop_assert_eq!(len, 0);
                        continue;
                    };
                    let leads = |leaf, index| withdrawal_proof_leads_to(leaf, index, &proof, root);
                    prop_assert!(leads(leaves[index], index as u64));
                    prop_assert!(!leads(leaves[index], index as u64 ^ 1));
                    prop_assert!(!leads(leaves[index], index as u64 | 1 << 32));
                    prop_assert!(!leads(B256::repeat_byte(1), index as u64));
                }
            }
            prop_assert_eq!(tree.root(count as u64 + 1), None);
            prop_assert_eq!(tree.proof(count as u64, count as u64), None);
        }
    }
}
