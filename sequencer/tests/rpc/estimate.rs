//! An estimate is the smallest gas limit that is enough.

use alloy_primitives::{Address, Bytes};
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};

use crate::{
    harness::{CLEARER, COUNTER, EMITTER, LOOP, NESTED, Node, init_code, key, number, words},
    transactions::{message, sign},
};

async fn estimate(node: &Node, request: &Value) -> u64 {
    number(&node.call("eth_estimateGas", json!([request])).await)
}

async fn is_enough(node: &Node, request: &Value, gas: u64) -> bool {
    let mut request = request.clone();
    request["gas"] = json!(format!("{gas:#x}"));
    node.request("eth_call", json!([request]))
        .await
        .get("result")
        .is_some()
}

#[tokio::test]
async fn estimates_suffice_and_are_tight() {
    let node = Node::start().await;
    let sender = key(0).address();
    let mut requests = vec![
        json!({"from": sender, "to": Address::repeat_byte(0x77), "value": "0x1"}),
        json!({"from": sender, "to": COUNTER}),
        json!({"from": sender, "to": NESTED}),
        json!({"from": sender, "to": CLEARER}),
        json!({"from": sender, "input": init_code()}),
        json!({"from": sender, "to": NESTED, "gasPrice": "0x77359400"}),
        json!({"from": sender, "to": Address::with_last_byte(2), "input": "0x010203"}),
        json!({"from": sender, "to": COUNTER, "input": Bytes::from(vec![1; 3000])}),
    ];
    for count in [0, 1, 1000, 40_000] {
        requests.push(json!({"from": sender, "to": LOOP, "input": words(&[count])}));
    }
    for request in requests {
        let gas = estimate(&node, &request).await;
        assert!(
            is_enough(&node, &request, gas).await,
            "{request}: {gas} is not enough"
        );
        assert!(
            !is_enough(&node, &request, gas - 1).await,
            "{request}: {gas} is more than needed"
        );
    }
    let transfer = json!({"from": sender, "to": Address::repeat_byte(0x77), "value": "0x1"});
    assert_eq!(estimate(&node, &transfer).await, 21_000);
}

#[test]
fn estimates_of_any_message_suffice_and_are_tight() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let node = runtime.block_on(Node::start());
    let config = ProptestConfig {
        cases: 24,
        ..ProptestConfig::default()
    };
    let input = proptest::collection::vec(any::<u8>(), 0..400);
    let target = prop_oneof![Just(EMITTER), Just(COUNTER), Just(NESTED), Just(CLEARER)];
    TestRunner::new(config)
        .run(&(target, input), |(to, input)| {
            let request = json!({"from": key(1).address(), "to": to, "input": Bytes::from(input)});
            runtime.block_on(async {
                let gas = estimate(&node, &request).await;
                prop_assert!(is_enough(&node, &request, gas).await);
                prop_assert!(!is_enough(&node, &request, gas - 1).await);
                Ok(())
            })
        })
        .unwrap();
}

#[tokio::test]
async fn a_transaction_with_the_estimate_as_limit_succeeds() {
    let node = Node::start().await;
    for (nonce, to) in [NESTED, COUNTER, CLEARER, EMITTER].into_iter().enumerate() {
        let request = json!({"from": key(0).address(), "to": to});
        let gas = estimate(&node, &request).await;
        let transaction = alloy_consensus::TxEip1559 {
            gas_limit: gas,
            ..message(nonce as u64, to, Bytes::new())
        };
        node.send(&sign(0, transaction)).await;
        let bundle = node.mine();
        assert!(bundle.receipts[0].success, "{to} with {gas} gas");
    }
}

#[tokio::test]
async fn an_estimate_beyond_all_allowance_is_refused() {
    let node = Node::start().await;
    let endless = json!({"to": LOOP, "input": Bytes::from(vec![0xff; 32])});
    let (code, message, _) = node.error("eth_estimateGas", json!([endless])).await;
    assert_eq!(code, -32000);
    assert_eq!(message, "gas required exceeds allowance (16777216)");
    let limited = json!({"to": COUNTER, "gas": "0x5300"});
    let (_, message, _) = node.error("eth_estimateGas", json!([limited])).await;
    assert_eq!(message, "gas required exceeds allowance (21248)");
    let poor = json!({"from": Address::repeat_byte(0x11), "to": COUNTER, "gasPrice": "0x77359400"});
    let (_, message, _) = node.error("eth_estimateGas", json!([poor])).await;
    assert_eq!(message, "gas required exceeds allowance (0)");
}
