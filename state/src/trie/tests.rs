use std::collections::BTreeMap;

use alloy_primitives::B256;
use alloy_trie::{HashBuilder, Nibbles, proof::verify_proof};
use fjall::UserValue;
use proptest::{collection::vec, prelude::*};

use super::{
    NodeSource,
    live::{LeafChange, Link, Output, PLACES, Scope, apply, fold_at, seal},
    partial::PartialTrie,
};
use crate::{StateError, StoreOptions, encoding::storage_node_key, proof::walk, tables::Tables};

/// Nodes by path, as a keyspace holds them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Nodes(BTreeMap<Vec<u8>, UserValue>);

impl Nodes {
    fn apply(&mut self, changes: super::updates::NodeChanges) {
        for (path, node) in changes {
            match node {
                Some(node) => self.0.insert(path.to_vec(), node),
                None => Some(
                    self.0
                        .remove(&path.to_vec())
                        .expect("only a node that is there is deleted"),
                ),
            };
        }
    }
}

impl NodeSource for Nodes {
    fn node(&self, path: &Nibbles) -> Result<Option<UserValue>, StateError> {
        Ok(self.0.get(&path.to_vec()).cloned())
    }

    fn corrupt(&self, path: &Nibbles, reason: String) -> StateError {
        StateError::Corrupt {
            table: "test",
            key: path.to_vec(),
            reason,
        }
    }
}

/// Keys that share long prefixes, so that extensions, deep branches and nodes inside their parents
/// come up: each of the two halves is one of few.
fn key() -> impl Strategy<Value = B256> {
    (
        0u8..4,
        0u8..3,
        prop::sample::select(vec![5usize, 16, 20, 30, 31]),
        any::<u8>(),
    )
        .prop_map(|(first, second, at, last)| {
            let mut key = [0x11 * first; 32];
            key[at..].fill(0x10 * second);
            key[31] = last & 0x13;
            B256::from(key)
        })
}

/// `None` removes.
fn step() -> impl Strategy<Value = Vec<(B256, Option<Vec<u8>>)>> {
    let value = prop_oneof![
        2 => vec(1u8.., 1..3).prop_map(Some),
        1 => vec(any::<u8>(), 33..80).prop_map(Some),
        3 => Just(None),
    ];
    vec((key(), value), 0..12)
}

fn oracle_root(values: &BTreeMap<B256, Vec<u8>>) -> B256 {
    let mut builder = HashBuilder::default();
    for (key, value) in values {
        builder.add_leaf(Nibbles::unpack(key), value);
    }
    builder.root()
}

proptest! {
    /// After every step the root is the one that alloy builds from scratch, the stored nodes are
    /// those of a trie that was built in one go, and every proof verifies.
    #[test]
    fn incremental_trie_equals_one_built_from_scratch(steps in vec(step(), 1..8)) {
        let mut nodes = Nodes::default();
        let mut values = BTreeMap::new();
        for step in steps {
            let mut trie = PartialTrie::open(&nodes).unwrap();
            for (key, value) in step {
                let path = Nibbles::unpack(key);
                prop_assert_eq!(
                    trie.get(&path).unwrap(),
                    values.get(&key).map(Vec::as_slice)
                );
                match value {
                    Some(value) => {
                        trie.insert(&path, value.clone()).unwrap();
                        values.insert(key, value);
                    }
                    None => {
                        trie.remove(&path).unwrap();
                        values.remove(&key);
                    }
                }
            }
            let (root, changes) = trie.finish();
            nodes.apply(changes);
            prop_assert_eq!(root, oracle_root(&values));

            let mut fresh = PartialTrie::open(Nodes::default()).unwrap();
            for (key, value) in &values {
                fresh.insert(&Nibbles::unpack(key), value.clone()).unwrap();
            }
            let mut fresh_nodes = Nodes::default();
            fresh_nodes.apply(fresh.finish().1);
            prop_assert_eq!(&nodes, &fresh_nodes);

            let absent = [B256::ZERO, B256::repeat_byte(0x11), B256::repeat_byte(0xab)];
            for key in values.keys().copied().chain(absent) {
                let path = Nibbles::unpack(key);
                let (proof, value) = walk(&nodes, root, &path).unwrap();
                prop_assert_eq!(&value, &values.get(&key).cloned());
                verify_proof(root, path, value, &proof).unwrap();
            }
        }
    }

    /// Any bytes in place of a node give an error or some node, and never a panic.
    #[test]
    fn damaged_nodes_are_errors(
        step in step(),
        at in any::<prop::sample::Index>(),
        bytes in vec(any::<u8>(), 0..60),
        flip in any::<Option<prop::sample::Index>>(),
        touched in vec(key(), 1..6),
    ) {
        let mut trie = PartialTrie::open(Nodes::default()).unwrap();
        for (key, value) in step {
            trie.insert(&Nibbles::unpack(key), value.unwrap_or_else(|| vec![7])).unwrap();
        }
        let (root, changes) = trie.finish();
        let mut nodes = Nodes::default();
        nodes.apply(changes);
        prop_assume!(!nodes.0.is_empty());
        let path = nodes.0.keys().nth(at.index(nodes.0.len())).unwrap().clone();
        let damaged = match flip {
            None => bytes,
            Some(flip) => {
                let mut bytes = nodes.0[&path].to_vec();
                let bit = flip.index(bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
                bytes
            }
        };
        nodes.0.insert(path, damaged.into());
        for key in touched {
            let path = Nibbles::unpack(key);
            let _ = walk(&nodes, root, &path);
            let Ok(mut trie) = PartialTrie::open(&nodes) else { continue };
            let _ = trie.get(&path);
            if trie.remove(&path).is_ok() {
                let _ = trie.finish();
            }
            let Ok(mut trie) = PartialTrie::open(&nodes) else { continue };
            if trie.insert(&path, vec![9; 40]).is_ok() {
                let _ = trie.finish();
            }
        }
    }
}

/// A value to be set, or to be removed.
struct Set(B256, Option<Vec<u8>>);

impl LeafChange for Set {
    fn key(&self) -> &B256 {
        &self.0
    }

    fn keeps(&self) -> bool {
        self.1.is_some()
    }

    fn value(
        &self,
        _: Option<&[u8]>,
        _: &mut Link,
        _: &Scope<'_>,
        _: &mut Output,
    ) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.1.clone())
    }
}

/// The trie that stays in memory, with parts of it folded between the steps: its roots, and what it
/// writes, are those of tries that are read and built anew.
#[test]
fn live_trie_equals_one_that_is_read_for_every_block() {
    let folder = tempfile::tempdir().unwrap();
    let tables = Tables::open(folder.path(), &StoreOptions::default()).unwrap();
    let owner = std::cell::Cell::new(0u64);
    let steps = vec((step(), 0u64..4, any::<bool>()), 1..10);
    proptest!(|(steps in steps)| {
        owner.set(owner.get() + 1);
        let owner = B256::left_padding_from(&owner.get().to_be_bytes());
        let mut nodes = Nodes::default();
        let mut live = Link::default();
        let mut bytes = 0i64;
        for (block, (step, kept, fold)) in (10u64..).zip(steps) {
            let step: BTreeMap<_, _> = step.into_iter().collect();
            let mut read = PartialTrie::open(&nodes).unwrap();
            for (key, value) in &step {
                let path = Nibbles::unpack(key);
                match value {
                    Some(value) => read.insert(&path, value.clone()).unwrap(),
                    None => read.remove(&path).unwrap(),
                }
            }
            let (root, expected) = read.finish();
            nodes.apply(expected.clone());

            let snapshot = tables.database.snapshot();
            let scope = Scope { tables: &tables, snapshot: &snapshot, block, owner: Some(owner), layers: &[] };
            let sets: Vec<_> = step.into_iter().map(|(key, value)| Set(key, value)).collect();
            let mut out = Output::default();
            apply(&mut live, 0, &sets, &scope, &mut out).unwrap();
            seal(&mut live, &Nibbles::new(), fold, &mut out);
            prop_assert_eq!(live.root().unwrap_or(alloy_trie::EMPTY_ROOT_HASH), root);
            let count = out.nodes.len();
            let found: BTreeMap<_, _> = out.nodes.iter().cloned().collect();
            prop_assert_eq!(found.len(), count);
            prop_assert_eq!(found, expected.into_iter().collect::<BTreeMap<_, _>>());

            let mut batch = tables.database.batch();
            for (path, node) in out.nodes {
                let key = storage_node_key(owner, &path);
                match node {
                    Some(node) => tables.storage_trie.put(&mut batch, key, node),
                    None => tables.storage_trie.delete(&mut batch, key),
                }
            }
            batch.commit().unwrap();
            bytes += out.bytes;
            if fold {
                for place in 0..PLACES {
                    let place = u8::try_from(place).unwrap();
                    bytes -= i64::try_from(fold_at(&mut live, place, block + 1 - kept)).unwrap();
                }
            }
            prop_assert_eq!(bytes, i64::try_from(live.bytes()).unwrap());
        }
    });
}
