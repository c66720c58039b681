//! eth_getLogs and filters.

use alloy_primitives::{Address, B256, U256};
use alloy_rpc_types_eth::Log;
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};

use crate::{
    harness::{EMITTER, EMITTER_2, Node, config, words},
    transactions::{message, sign},
};

/// Every log of the chain, by way of the receipts.
async fn all_logs(node: &Node) -> Vec<Log> {
    let mut logs = Vec::new();
    for number in 0..=node.chain.head().number {
        let id = format!("{number:#x}");
        let receipts = node.call("eth_getBlockReceipts", json!([id])).await;
        for receipt in receipts.as_array().unwrap() {
            let of_receipt: Vec<Log> = serde_json::from_value(receipt["logs"].clone()).unwrap();
            logs.extend(of_receipt);
        }
    }
    logs
}

fn topic(value: u64) -> B256 {
    U256::from(value).into()
}

/// Whether a filter selects a log, straight from the definition.
fn selects(filter: &Value, log: &Log, head: u64) -> bool {
    let block = log.block_number.unwrap();
    let bound = |field: &str| match filter.get(field).and_then(Value::as_str) {
        None | Some("latest") => head,
        Some("earliest") => 0,
        Some(number) => u64::from_str_radix(&number[2..], 16).unwrap(),
    };
    let any_of = |wanted: &Value, found: &Value| match wanted {
        Value::Null => true,
        Value::Array(values) => values.is_empty() || values.contains(found),
        value => value == found,
    };
    let empty = Vec::new();
    let topics = filter
        .get("topics")
        .and_then(Value::as_array)
        .unwrap_or(&empty);
    bound("fromBlock") <= block
        && block <= bound("toBlock")
        && any_of(
            filter.get("address").unwrap_or(&Value::Null),
            &json!(log.address()),
        )
        && topics.iter().enumerate().all(|(position, wanted)| {
            let is_wildcard = wanted.is_null() || wanted.as_array().is_some_and(Vec::is_empty);
            match log.topics().get(position) {
                Some(found) => any_of(wanted, &json!(found)),
                None => is_wildcard,
            }
        })
}

fn filters(blocks: u64) -> impl Strategy<Value = Value> {
    let block = move || {
        proptest::option::of(prop_oneof![
            4 => (0..=blocks).prop_map(|number| format!("{number:#x}")),
            1 => Just("earliest".to_owned()),
            1 => Just("latest".to_owned()),
        ])
    };
    let address = prop_oneof![
        2 => Just(Value::Null),
        2 => Just(json!(EMITTER)),
        1 => Just(json!([EMITTER, EMITTER_2])),
        1 => Just(json!([])),
        1 => Just(json!(Address::repeat_byte(1))),
    ];
    let position = prop_oneof![
        3 => Just(Value::Null),
        2 => (0..4_u64).prop_map(|value| json!(topic(value))),
        2 => proptest::collection::vec(0..4_u64, 0..3)
            .prop_map(|values| json!(values.into_iter().map(topic).collect::<Vec<_>>())),
    ];
    let topics = proptest::collection::vec(position, 0..4);
    (block(), block(), address, topics).prop_map(|(from, to, address, topics)| {
        let mut filter = json!({"address": address, "topics": topics});
        for (field, value) in [("fromBlock", from), ("toBlock", to)] {
            if let Some(value) = value {
                filter[field] = json!(value);
            }
        }
        filter
    })
}

async fn chain_with_logs(node: &Node, blocks: u64) {
    let mut nonce = 0;
    for block in 0..blocks {
        for index in 0..block % 4 {
            let emitter = if (block + index) % 3 == 0 {
                EMITTER_2
            } else {
                EMITTER
            };
            let input = words(&[block % 4, block, index % 4]);
            node.send(&sign(0, message(nonce, emitter, input))).await;
            nonce += 1;
        }
        node.mine();
    }
}

#[test]
fn logs_are_those_of_a_naive_search() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (node, logs, head) = runtime.block_on(async {
        let node = Node::start().await;
        chain_with_logs(&node, 16).await;
        let logs = all_logs(&node).await;
        let head = node.chain.head().number;
        (node, logs, head)
    });
    assert!(logs.len() > 15);
    let config = ProptestConfig {
        cases: 200,
        ..ProptestConfig::default()
    };
    TestRunner::new(config)
        .run(&filters(head), |filter| {
            let answer = runtime.block_on(node.request("eth_getLogs", json!([filter])));
            let expected: Vec<_> = logs
                .iter()
                .filter(|log| selects(&filter, log, head))
                .collect();
            match answer.get("result") {
                Some(found) => prop_assert_eq!(found, &json!(expected)),
                None => {
                    prop_assert_eq!(&answer["error"]["code"], &json!(-32602));
                    prop_assert!(expected.is_empty());
                }
            }
            Ok(())
        })
        .unwrap();
    runtime.block_on(async {
        let block = node.chain.store().header(7).unwrap().unwrap();
        let found = node
            .call("eth_getLogs", json!([{"blockHash": block.hash()}]))
            .await;
        let expected: Vec<_> = logs
            .iter()
            .filter(|log| log.block_number == Some(7))
            .collect();
        assert_eq!(found, json!(expected));
    });
}

#[tokio::test]
async fn a_search_is_bounded() {
    let node = Node::start_with(
        weft_sequencer::rpc::RpcConfig {
            max_log_range: 4,
            max_log_results: 3,
            ..config()
        },
        true,
    )
    .await;
    chain_with_logs(&node, 6).await;
    let (code, message, _) = node
        .error(
            "eth_getLogs",
            json!([{"fromBlock": "0x0", "toBlock": "0x6"}]),
        )
        .await;
    assert_eq!(code, -32005);
    assert!(message.contains("at most 4 blocks"), "{message}");
    let (code, message, _) = node
        .error(
            "eth_getLogs",
            json!([{"fromBlock": "0x3", "toBlock": "0x6"}]),
        )
        .await;
    assert_eq!(code, -32005);
    assert!(message.contains("at most 3 in"), "{message}");
    assert_eq!(
        node.call(
            "eth_getLogs",
            json!([{"fromBlock": "0x4", "toBlock": "0x4"}])
        )
        .await
        .as_array()
        .unwrap()
        .len(),
        3
    );
    // Beyond the head there is nothing yet.
    assert_eq!(
        node.call(
            "eth_getLogs",
            json!([{"fromBlock": "0x9", "toBlock": "0xa"}])
        )
        .await,
        json!([])
    );
    let many: Vec<_> = (0..1001)
        .map(|n| Address::left_padding_from(&u32::to_be_bytes(n)))
        .collect();
    let (code, _, _) = node.error("eth_getLogs", json!([{"address": many}])).await;
    assert_eq!(code, -32005);
    let (code, _, _) = node
        .error(
            "eth_getLogs",
            json!([{"fromBlock": "0x1", "blockHash": B256::ZERO}]),
        )
        .await;
    assert_eq!(code, -32602);
}

#[tokio::test]
async fn filters_report_what_is_new() {
    let node = Node::start().await;
    chain_with_logs(&node, 4).await;
    let logs = node
        .call(
            "eth_newFilter",
            json!([{"address": EMITTER, "fromBlock": "earliest"}]),
        )
        .await;
    let blocks = node.call("eth_newBlockFilter", json!([])).await;
    let hashes = node
        .call("eth_newPendingTransactionFilter", json!([]))
        .await;
    let whole = node
        .call("eth_newPendingTransactionFilter", json!([true]))
        .await;
    for id in [&logs, &blocks, &hashes, &whole] {
        assert_eq!(
            node.call("eth_getFilterChanges", json!([id])).await,
            json!([])
        );
    }
    let sent = node
        .send(&sign(1, message(0, EMITTER, words(&[9, 8, 7]))))
        .await;
    let other = node
        .send(&sign(1, message(1, EMITTER_2, words(&[9, 8, 7]))))
        .await;
    assert_eq!(
        node.call("eth_getFilterChanges", json!([hashes])).await,
        json!([sent, other])
    );
    let transactions = node.call("eth_getFilterChanges", json!([whole])).await;
    assert_eq!(transactions[1]["hash"], json!(other));
    let first = node.mine().block.hash();
    let second = node.mine().block.hash();
    assert_eq!(
        node.call("eth_getFilterChanges", json!([blocks])).await,
        json!([first, second])
    );
    assert_eq!(
        node.call("eth_getFilterChanges", json!([blocks])).await,
        json!([])
    );
    let new: Vec<Log> =
        serde_json::from_value(node.call("eth_getFilterChanges", json!([logs])).await).unwrap();
    assert_eq!(new.len(), 1);
    assert_eq!(new[0].transaction_hash, Some(sent));
    assert_eq!(
        node.call("eth_getFilterChanges", json!([logs])).await,
        json!([])
    );
    let all: Vec<Log> =
        serde_json::from_value(node.call("eth_getFilterLogs", json!([logs])).await).unwrap();
    let expected: Vec<_> = all_logs(&node)
        .await
        .into_iter()
        .filter(|log| log.address() == EMITTER)
        .collect();
    assert_eq!(all, expected);
    assert_eq!(
        node.error("eth_getFilterLogs", json!([blocks])).await.1,
        "filter not found"
    );

    assert_eq!(
        node.call("eth_uninstallFilter", json!([logs])).await,
        json!(true)
    );
    assert_eq!(
        node.call("eth_uninstallFilter", json!([logs])).await,
        json!(false)
    );
    let (code, message, _) = node.error("eth_getFilterChanges", json!([logs])).await;
    assert_eq!((code, message.as_str()), (-32000, "filter not found"));
}

#[tokio::test]
async fn a_filter_that_was_left_behind_catches_up_in_bounded_steps() {
    let node = Node::start_with(
        weft_sequencer::rpc::RpcConfig {
            max_log_results: 4,
            max_log_range: 3,
            ..config()
        },
        true,
    )
    .await;
    let id = node.call("eth_newFilter", json!([{}])).await;
    chain_with_logs(&node, 12).await;
    let mut collected: Vec<Log> = Vec::new();
    for _ in 0..12 {
        let new = node.call("eth_getFilterChanges", json!([id])).await;
        let new: Vec<Log> = serde_json::from_value(new).unwrap();
        assert!(new.len() <= 4);
        collected.extend(new);
    }
    assert_eq!(collected, all_logs(&node).await);
}
