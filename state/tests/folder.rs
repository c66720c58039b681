//! Whose data folder it is: what is refused, and in which words.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use std::{collections::BTreeMap, fs, path::Path};

use alloy_primitives::Address;
use common::{Chain, bundle_on, changes, options, spec, spec_with_chain_id, write};
use serde_json::{Value, json};
use weft_state::{StateError, Store};

fn refusal(path: &Path) -> StateError {
    Store::open_with(path, &spec(), &options()).unwrap_err()
}

fn edit_identity(path: &Path, edit: impl FnOnce(&mut Value)) {
    let path = path.join("weft.json");
    let mut identity = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut identity);
    fs::write(path, identity.to_string()).unwrap();
}

/// A closed store with one block after genesis.
fn closed() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = Chain::create(folder.path());
    chain.push(&BTreeMap::from([(Address::ZERO, write(1, 1, &[(1, 1)]))]));
    folder
}

#[test]
fn a_foreign_folder_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.tex"), "text").unwrap();
    let error = refusal(folder.path());
    assert!(matches!(error, StateError::ForeignFolder(_)));
    assert!(error.to_string().contains("expected an empty folder"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn another_chain_is_refused() {
    let folder = closed();
    let error = Store::open_with(folder.path(), &spec_with_chain_id(5), &options()).unwrap_err();
    assert!(matches!(
        error,
        StateError::OtherChain {
            expected_chain_id: 5,
            found_chain_id: 31338,
            ..
        }
    ));
    // The same id with other accounts is another chain too.
    let json =
        br#"{"config":{"chainId":31338},"gasLimit":"0x1c9c380","difficulty":"0x0","alloc":{}}"#;
    let other = weft_primitives::ChainSpec::from_json(json).unwrap();
    let error = Store::open_with(folder.path(), &other, &options()).unwrap_err();
    assert!(matches!(error, StateError::OtherChain { .. }));
    assert_eq!(
        Store::open_with(folder.path(), &spec(), &options())
            .unwrap()
            .head()
            .unwrap()
            .number,
        1
    );
}

#[test]
fn another_format_is_refused() {
    let folder = closed();
    edit_identity(folder.path(), |identity| {
        *identity = json!({ "format_version": 1, "something": "new" });
    });
    let error = refusal(folder.path());
    assert!(matches!(
        error,
        StateError::FormatVersion {
            expected: 3,
            found: 1,
            ..
        }
    ));
    assert!(error.to_string().contains("weft follow"));
}

#[test]
fn damaged_identity_is_refused() {
    let folder = closed();
    for text in ["", "{", "[]", "{\"format_version\": 3}", "\u{0}\u{0}"] {
        fs::write(folder.path().join("weft.json"), text).unwrap();
        assert!(matches!(
            refusal(folder.path()),
            StateError::Identity { .. }
        ));
    }
    fs::remove_file(folder.path().join("weft.json")).unwrap();
    assert!(matches!(
        refusal(folder.path()),
        StateError::ForeignFolder(_)
    ));
}

#[test]
fn a_folder_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let chain = Chain::create(folder.path());
    assert!(matches!(refusal(folder.path()), StateError::Locked(_)));
    // A reader keeps the store open.
    let reader = chain.store.latest_state().unwrap();
    drop(chain);
    assert!(matches!(refusal(folder.path()), StateError::Locked(_)));
    drop(reader);
    Store::open_with(folder.path(), &spec(), &options()).unwrap();
}

#[test]
fn a_missing_database_is_refused() {
    let folder = closed();
    fs::remove_dir_all(folder.path().join("db")).unwrap();
    let error = refusal(folder.path());
    assert!(matches!(error, StateError::Damaged { .. }));
    assert!(error.to_string().contains("weft follow"));
    assert!(!folder.path().join("db").exists());
    fs::create_dir(folder.path().join("db")).unwrap();
    assert!(matches!(refusal(folder.path()), StateError::Damaged { .. }));
}

#[test]
fn lost_blocks_are_noticed() {
    let folder = closed();
    let record = folder.path().join("acknowledged");
    let good = fs::read(&record).unwrap();
    let mut ahead = [0; 16];
    for (byte, value) in ahead
        .iter_mut()
        .zip([2u64.to_be_bytes(), (!2u64).to_be_bytes()].concat())
    {
        *byte = value;
    }
    for bytes in [&ahead[..], &[], &good[..15], &[0; 16]] {
        fs::write(&record, bytes).unwrap();
        assert!(matches!(refusal(folder.path()), StateError::Damaged { .. }));
    }
    fs::remove_file(&record).unwrap();
    assert!(matches!(refusal(folder.path()), StateError::Damaged { .. }));
    fs::write(&record, good).unwrap();
    Store::open_with(folder.path(), &spec(), &options()).unwrap();
}

/// What a creation leaves that was cut off before the genesis block was durable.
#[test]
fn an_unfinished_creation_is_made_anew() {
    let folder = closed();
    edit_identity(folder.path(), |identity| {
        identity["genesis_hash"] = Value::Null;
    });
    let store = Store::open_with(folder.path(), &spec(), &options()).unwrap();
    assert_eq!(store.head().unwrap().number, 0);
    drop(store);

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("weft.json.new"), "{\"form").unwrap();
    fs::write(folder.path().join("lock"), "").unwrap();
    let store = Store::open_with(folder.path(), &spec(), &options()).unwrap();
    drop(store);
    Store::open_with(folder.path(), &spec(), &options()).unwrap();
}

/// I2, I6: what goes into removed files is gone when the process ends.
#[test]
fn nothing_is_acknowledged_in_a_folder_that_was_removed() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = Chain::create(folder.path());
    let edits = BTreeMap::from([(Address::ZERO, write(1, 1, &[(1, 1)]))]);
    chain.push(&edits);
    fs::remove_dir_all(folder.path()).unwrap();

    let edits = BTreeMap::from([(Address::ZERO, write(2, 2, &[]))]);
    let next = bundle_on(&chain.store, changes(chain.model(), &edits), Vec::new());
    let error = chain.store.commit(&next).unwrap_err();
    assert!(error.to_string().contains("removed"), "{error}");
    assert!(matches!(
        chain.store.commit(&next),
        Err(StateError::Poisoned)
    ));
    assert_eq!(chain.store.head().unwrap().number, 1);
}
