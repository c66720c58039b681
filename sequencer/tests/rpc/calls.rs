//! eth_call and eth_createAccessList.

use alloy_primitives::{Address, B256, Bytes, U256};
use serde_json::{Value, json};

use crate::{
    harness::{CLEARER, COUNTER, NESTED, Node, OBSERVER, REVERTER, key, number, solidity_error},
    transactions::{message, sign},
};

fn words_of(output: &Value) -> Vec<U256> {
    let bytes: Bytes = serde_json::from_value(output.clone()).unwrap();
    bytes.chunks(32).map(U256::from_be_slice).collect()
}

#[tokio::test]
async fn a_call_sees_the_block_it_asks_for() {
    let node = Node::start().await;
    node.send(&sign(0, message(0, COUNTER, Bytes::new()))).await;
    node.mine();
    let call = json!({"to": COUNTER});
    for (block, expected) in [("latest", 2), ("pending", 2), ("0x1", 2), ("0x0", 1)] {
        let output = node.call("eth_call", json!([call, block])).await;
        assert_eq!(words_of(&output), [U256::from(expected)], "{block}");
    }
    assert_eq!(
        words_of(&node.call("eth_call", json!([call])).await),
        [U256::from(2)]
    );
    let observed = words_of(
        &node
            .call("eth_call", json!([{"to": OBSERVER}, "latest"]))
            .await,
    );
    let head = node.chain.head();
    assert_eq!(observed[0], U256::from(head.number));
    assert_eq!(observed[1], U256::from(head.timestamp));
    assert_eq!(
        observed[3],
        U256::from_be_slice(head.beneficiary.into_word().as_slice())
    );
    assert_eq!(observed[7], U256::from(77));
    let pending = words_of(
        &node
            .call("eth_call", json!([{"to": OBSERVER}, "pending"]))
            .await,
    );
    assert_eq!(pending[0], U256::from(head.number + 1));
}

#[tokio::test]
async fn a_revert_carries_its_data() {
    let node = Node::start().await;
    let data = solidity_error();
    for method in ["eth_call", "eth_estimateGas"] {
        let (code, message, found) = node
            .error(method, json!([{"to": REVERTER, "input": data}, "latest"]))
            .await;
        assert_eq!(code, 3, "{method}");
        assert_eq!(message, "execution reverted: no");
        assert_eq!(found, json!(data));
    }
    let (code, message, found) = node.error("eth_call", json!([{"to": REVERTER}])).await;
    assert_eq!(
        (code, message.as_str(), found),
        (3, "execution reverted", json!("0x"))
    );
    let (code, message, _) = node
        .error("eth_call", json!([{"to": COUNTER, "gas": "0x5300"}]))
        .await;
    assert_eq!((code, message.as_str()), (-32000, "out of gas"));
}

#[tokio::test]
async fn overrides_replace_state_and_block() {
    let node = Node::start().await;
    let caller = Address::repeat_byte(0x99);
    let seven = B256::from(U256::from(7));
    let value = B256::from(U256::from(1234));
    let block = json!({
        "number": "0x64", "time": "0x70000000", "baseFeePerGas": "0x5",
        "feeRecipient": COUNTER, "prevRandao": value, "gasLimit": "0x1234567",
        "blockHash": {"7": value},
    });
    let accounts = json!({
        caller.to_string(): {"balance": "0x2a"},
        OBSERVER.to_string(): {"stateDiff": {seven.to_string(): value}},
    });
    let observed = words_of(
        &node
            .call("eth_call", json!([{"from": caller, "to": OBSERVER, "gasPrice": "0x0"}, "latest", accounts, block]))
            .await,
    );
    assert_eq!(observed[0], U256::from(100));
    assert_eq!(observed[1], U256::from(0x7000_0000));
    assert_eq!(
        observed[3],
        U256::from_be_slice(COUNTER.into_word().as_slice())
    );
    assert_eq!(observed[4], U256::from(1234));
    assert_eq!(observed[5], U256::from(0x123_4567));
    assert_eq!(observed[6], U256::from(42));
    assert_eq!(observed[7], U256::from(1234));
    assert_eq!(observed[8], U256::from(1234));

    // `state` replaces all slots; `code` replaces the code, also where there was none.
    let counter: Value = node.call("eth_getCode", json!([COUNTER])).await;
    let fresh = Address::repeat_byte(0x55);
    let accounts =
        json!({fresh.to_string(): {"code": counter, "state": {B256::ZERO.to_string(): value}}});
    let output = node
        .call("eth_call", json!([{"to": fresh}, "latest", accounts]))
        .await;
    assert_eq!(words_of(&output), [U256::from(1235)]);
    let accounts = json!({OBSERVER.to_string(): {"state": {}}});
    let observed = words_of(
        &node
            .call("eth_call", json!([{"to": OBSERVER}, "latest", accounts]))
            .await,
    );
    assert_eq!(observed[7], U256::ZERO);

    for (accounts, block) in [
        (
            json!({fresh.to_string(): {"state": {}, "stateDiff": {}}}),
            Value::Null,
        ),
        (
            json!({fresh.to_string(): {"movePrecompileToAddress": COUNTER}}),
            Value::Null,
        ),
        (json!({fresh.to_string(): {"balanc": "0x1"}}), Value::Null),
        (Value::Null, json!({"number": "0x10000000000000000"})),
    ] {
        let (code, _, _) = node
            .error(
                "eth_call",
                json!([{"to": OBSERVER}, "latest", accounts, block]),
            )
            .await;
        assert_eq!(code, -32602, "{accounts} {block}");
    }
}

#[tokio::test]
async fn a_call_that_pays_needs_funds_and_a_sufficient_price() {
    let node = Node::start().await;
    let poor = Address::repeat_byte(0x98);
    let (code, message, _) = node
        .error(
            "eth_call",
            json!([{"from": poor, "to": COUNTER, "value": "0x1"}]),
        )
        .await;
    assert_eq!(code, -32000);
    assert!(message.contains("insufficient funds"), "{message}");
    for (request, expected) in [
        (
            json!({"to": COUNTER, "gasPrice": "0x1", "maxFeePerGas": "0x1"}),
            "both gasPrice and",
        ),
        (
            json!({"to": COUNTER, "maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x2"}),
            "maxFeePerGas (1) < maxPriorityFeePerGas (2)",
        ),
        (
            json!({"to": COUNTER, "chainId": "0x1"}),
            "chainId does not match",
        ),
        (
            json!({"to": COUNTER, "input": "0x01", "data": "0x02"}),
            "not equal",
        ),
        (
            json!({"to": COUNTER, "blobVersionedHashes": [B256::ZERO]}),
            "blob transactions",
        ),
    ] {
        let (code, message, _) = node.error("eth_call", json!([request])).await;
        assert_eq!(code, -32602);
        assert!(message.contains(expected), "{message}");
    }
    let (_, message, _) = node
        .error(
            "eth_call",
            json!([{"from": key(0).address(), "to": COUNTER, "maxFeePerGas": "0x1"}]),
        )
        .await;
    assert!(
        message.contains("max fee per gas less than block base fee"),
        "{message}"
    );
    let output = node
        .call("eth_call", json!([{"from": key(0).address(), "to": COUNTER, "gas": "0x186a0", "maxFeePerGas": "0x77359400"}]))
        .await;
    assert_eq!(words_of(&output), [U256::from(1)]);
}

#[tokio::test]
async fn an_access_list_names_what_is_accessed() {
    let node = Node::start().await;
    let result = node
        .call(
            "eth_createAccessList",
            json!([{"from": key(0).address(), "to": NESTED}, "latest"]),
        )
        .await;
    assert_eq!(
        result["accessList"],
        json!([{"address": COUNTER, "storageKeys": [B256::ZERO]}])
    );
    let listed = number(&result["gasUsed"]);
    // A transaction with that list uses just that gas.
    let transaction = alloy_consensus::TxEip1559 {
        access_list: serde_json::from_value(result["accessList"].clone()).unwrap(),
        ..message(0, NESTED, Bytes::new())
    };
    node.send(&sign(0, transaction)).await;
    node.mine();
    // The counter's slot was zero both times.
    assert_eq!(node.chain.head().gas_used, listed);
    let own = node
        .call("eth_createAccessList", json!([{"to": CLEARER}]))
        .await;
    assert_eq!(
        own["accessList"],
        json!([{"address": CLEARER, "storageKeys": [B256::ZERO]}])
    );
    let none = node
        .call(
            "eth_createAccessList",
            json!([{"to": Address::repeat_byte(9)}]),
        )
        .await;
    assert_eq!(none["accessList"], json!([]));
    let failed = node
        .call(
            "eth_createAccessList",
            json!([{"to": REVERTER, "input": solidity_error()}]),
        )
        .await;
    assert_eq!(failed["error"], "execution reverted: no");
}
