//! How the transactions of blocks get along.

use std::sync::Arc;

use alloy_primitives::{B256, U256};
use serde_json::{Value, json};
use weft_executor_parallel::{BlockAccessList, access_list_hash};
use weft_sequencer::{
    chain::{ChainWriter, ExecutionMode, LabelSource, Layers, engine},
    metrics::BlockSource,
};

use crate::{
    harness::{COUNTER, Node, key, number},
    transactions::{message, sign, transfer},
};

/// Two senders who count, one after the other, and one who has nothing to do with them.
async fn counted(node: &Node) {
    for signer in 0..2 {
        node.send(&sign(signer, message(0, COUNTER, []))).await;
    }
    node.send(&sign(2, transfer(0))).await;
    node.mine();
}

#[tokio::test]
async fn the_access_list_of_a_block() {
    let node = Node::start().await;
    counted(&node).await;
    let answer = node.call("weft_getBlockAccessList", json!(["0x1"])).await;
    assert_eq!(answer["blockNumber"], "0x1");
    assert_eq!(answer["blockHash"], json!(node.chain.head().hash()));
    let list: BlockAccessList = serde_json::from_value(answer["accessList"].clone()).unwrap();
    assert_eq!(answer["accessListHash"], json!(access_list_hash(&list)));
    let counter = list
        .iter()
        .find(|account| account.address == COUNTER)
        .unwrap();
    let changes: Vec<_> = counter.storage_changes[0]
        .changes
        .iter()
        .map(|change| (change.block_access_index.get(), change.new_value))
        .collect();
    // The pool decides where the transfer is among them.
    assert_eq!(
        changes.iter().map(|(_, value)| *value).collect::<Vec<_>>(),
        [U256::from(1), U256::from(2)]
    );
    assert!(list.is_sorted_by_key(|account| account.address));
    for signer in 0..3 {
        let sender = key(signer).address();
        let account = list
            .iter()
            .find(|account| account.address == sender)
            .unwrap();
        assert_eq!(account.nonce_changes.len(), 1);
    }
    // By hash, by tag and without an argument.
    for block in [
        json!([node.chain.head().hash()]),
        json!(["latest"]),
        json!([]),
    ] {
        assert_eq!(node.call("weft_getBlockAccessList", block).await, answer);
    }
}

#[tokio::test]
async fn the_parallelism_of_a_block() {
    let node = Node::start().await;
    counted(&node).await;
    let answer = node.call("weft_getBlockParallelism", json!(["0x1"])).await;
    assert_eq!(answer["transactions"], "0x3");
    assert_eq!(answer["lanes"], "0x2");
    assert_eq!(answer["dependencies"], "0x1", "the counter's slot");
    let (gas, path) = (
        number(&answer["gasUsed"]),
        number(&answer["criticalPathGas"]),
    );
    assert_eq!(gas - path, 21_000, "the transfer waits for nobody");
    let bound = answer["speedUpBound"].as_f64().unwrap();
    assert!((bound - gas as f64 / path as f64).abs() < 1e-9, "{bound}");
    assert!(number(&answer["execution"]["threads"]) >= 1);

    let genesis = node.call("weft_getBlockParallelism", json!(["0x0"])).await;
    assert_eq!(genesis["transactions"], "0x0");
    assert_eq!(genesis["speedUpBound"], json!(1.0));
    assert_eq!(genesis["execution"], Value::Null);
}

#[tokio::test]
async fn the_conflicts_of_the_last_blocks() {
    let node = Node::start().await;
    counted(&node).await;
    for nonce in 1..3 {
        for signer in 0..2 {
            node.send(&sign(signer, message(nonce, COUNTER, []))).await;
        }
        node.mine();
    }
    let answer = node.call("weft_getConflicts", json!(["0x2"])).await;
    assert_eq!(
        (&answer["firstBlock"], &answer["lastBlock"]),
        (&json!("0x2"), &json!("0x3"))
    );
    let conflicts = answer["conflicts"].as_array().unwrap();
    assert_eq!(conflicts[0]["address"], json!(COUNTER));
    assert_eq!(conflicts[0]["slot"], "0x0");
    assert_eq!(conflicts[0]["blocks"], "0x2");
    assert_eq!(conflicts[0]["transactions"], "0x2");
    assert_eq!(number(&answer["gasUsed"]), 2 * number(&conflicts[0]["gas"]));
    let all = node.call("weft_getConflicts", json!([])).await;
    assert_eq!(all["firstBlock"], "0x0");
    assert_eq!(all["conflicts"][0]["blocks"], "0x3");

    let (code, text, _) = node.error("weft_getConflicts", json!(["0x0"])).await;
    assert_eq!(
        (code, text.as_str()),
        (-32602, "invalid argument 0: expected at least one block")
    );
    let (code, text, _) = node.error("weft_getConflicts", json!(["0x41"])).await;
    assert_eq!(
        (code, text.as_str()),
        (-32005, "limit exceeded: at most 64 blocks, found 65")
    );
}

#[tokio::test]
async fn what_is_not_there_is_null() {
    let node = Node::start().await;
    for method in ["weft_getBlockAccessList", "weft_getBlockParallelism"] {
        for block in [json!("0x64"), json!(B256::repeat_byte(1))] {
            assert_eq!(node.call(method, json!([block])).await, Value::Null);
        }
        let (code, _, _) = node.error(method, json!(["no block"])).await;
        assert_eq!(code, -32602);
    }
}

/// After a restart nothing is remembered, and the blocks are executed again.
#[tokio::test]
async fn blocks_from_before_a_restart_are_answered_the_same() {
    let node = Node::start().await;
    counted(&node).await;
    for nonce in 1..6 {
        node.send(&sign(0, message(nonce, COUNTER, []))).await;
        node.send(&sign(1, transfer(nonce))).await;
        node.mine();
    }
    let (_writer, restarted) = ChainWriter::new(
        Arc::new(node.chain.spec().clone()),
        node.chain.store().clone(),
        Arc::new(Layers::new(ExecutionMode::default(), None).unwrap()),
        engine(1).unwrap(),
        LabelSource::Durable,
        BlockSource::Produced,
    )
    .unwrap();
    for number in 0..=node.chain.head().number {
        let before = node.chain.record(number).unwrap().unwrap();
        let after = restarted.record(number).unwrap().unwrap();
        assert_eq!(after.stats(), None);
        assert_eq!(before.stats().is_some(), number > 0);
        assert_eq!(
            (before.number(), before.hash()),
            (after.number(), after.hash())
        );
        assert_eq!(before.access_list(), after.access_list());
        assert_eq!(before.parallelism(), after.parallelism());
    }
    assert!(
        restarted
            .record(node.chain.head().number + 1)
            .unwrap()
            .is_none()
    );
}
