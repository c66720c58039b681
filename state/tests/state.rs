//! The state that the store answers with, against a model in memory and alloy's trie.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use common::{
    Chain,
    random::{assert_proofs_verify, assert_state_equals, blocks},
};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Roots, flat state, history and proofs of random chains, across a restart.
    #[test]
    fn random_chains_agree_with_the_model(blocks in blocks(), restart in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let mut chain = Chain::create(folder.path());
        let mut old_readers = vec![chain.store.latest_state().unwrap()];
        for edits in &blocks {
            chain.push(edits);
            let head = chain.store.head().unwrap();
            prop_assert_eq!(head.state_root, common::oracle_root(chain.model()));
            assert_proofs_verify(chain.model(), |address, slots| {
                chain.store.proof(address, slots).unwrap()
            });
            old_readers.push(chain.store.latest_state().unwrap());
        }
        for (reader, model) in old_readers.into_iter().zip(&chain.models) {
            assert_state_equals(reader, model);
        }
        if restart {
            chain = chain.reopen(folder.path()).unwrap();
        }
        for (number, model) in (0..).zip(&chain.models) {
            assert_state_equals(chain.store.state_at(number).unwrap().unwrap(), model);
        }
        let next = chain.models.len() as u64;
        prop_assert!(chain.store.state_at(next).unwrap().is_none());
    }
}
