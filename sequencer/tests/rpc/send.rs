//! Sending transactions.

use std::sync::Arc;

use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, Bytes, U256};
use serde_json::{Value, json};

use crate::{
    harness::{COUNTER, GAS_LIMIT, Node, RICH, key},
    transactions::{legacy, message, raw, sign, transfer},
};

async fn refused(node: &Node, bytes: impl serde::Serialize) -> (i64, String) {
    let (code, message, _) = node.error("eth_sendRawTransaction", json!([bytes])).await;
    (code, message)
}

#[tokio::test]
async fn what_cannot_be_taken_in_is_refused_with_a_reason() {
    let node = Node::start().await;
    node.send(&sign(0, transfer(0))).await;
    node.mine();
    node.send(&sign(0, transfer(1))).await;
    let of = |transaction: TxEip1559| raw(&sign(0, transaction));
    let valid = of(transfer(1));
    let cases = [
        (Bytes::new(), "empty transaction bytes"),
        (Bytes::from_static(&[0x02]), "rlp"),
        (valid.slice(..valid.len() - 1), "rlp"),
        (
            [valid.as_ref(), &[0]].concat().into(),
            "after the transaction",
        ),
        (
            Bytes::from_static(&[0x05, 0xc0]),
            "transaction type not supported",
        ),
        (
            Bytes::from_static(&[0x03, 0xc0]),
            "blob transactions (type 0x03) are not accepted",
        ),
        (
            Bytes::from_static(&[0x7e, 0xc0]),
            "deposit transactions (type 0x7e)",
        ),
        (valid.clone(), "already known"),
        (of(transfer(0)), "nonce too low"),
        (of(transfer(1_000_000)), "nonce"),
        (
            of(TxEip1559 {
                chain_id: 1,
                ..transfer(2)
            }),
            "invalid chain id",
        ),
        (
            of(TxEip1559 {
                gas_limit: 20_999,
                ..transfer(2)
            }),
            "intrinsic gas too low",
        ),
        (
            of(TxEip1559 {
                gas_limit: GAS_LIMIT + 1,
                ..transfer(2)
            }),
            "gas limit",
        ),
        (
            of(TxEip1559 {
                value: U256::from(RICH) * U256::from(RICH),
                ..transfer(2)
            }),
            "insufficient funds",
        ),
        (
            of(TxEip1559 {
                max_fee_per_gas: 1,
                max_priority_fee_per_gas: 2,
                ..transfer(2)
            }),
            "max priority fee per gas higher",
        ),
        (
            of(TxEip1559 {
                max_fee_per_gas: 20_000_000_001,
                ..transfer(1)
            }),
            "replacement transaction underpriced",
        ),
        (
            of(TxEip1559 {
                to: alloy_primitives::TxKind::Create,
                gas_limit: 10_000_000,
                input: vec![0; 49_153].into(),
                ..transfer(2)
            }),
            "max initcode size exceeded",
        ),
        (
            of(TxEip1559 {
                gas_limit: 10_000_000,
                input: vec![0; 200_000].into(),
                ..transfer(2)
            }),
            "oversized data",
        ),
        (
            raw(&sign(
                0,
                alloy_consensus::TxLegacy {
                    chain_id: None,
                    ..legacy(2)
                },
            )),
            "replay-protected",
        ),
    ];
    for (bytes, expected) in cases {
        let (code, message) = refused(&node, &bytes).await;
        assert_eq!(code, -32000, "{message}");
        assert!(
            message.contains(expected),
            "expected {expected}, found {message}"
        );
    }
    for not_bytes in [json!("0xzz"), json!(5), json!(null), json!("0x123")] {
        let (code, _) = refused(&node, &not_bytes).await;
        assert_eq!(code, -32602, "{not_bytes}");
    }
    // A contract cannot send, even with a valid signature over its address's key; the pool is as it
    // was after all this.
    assert_eq!(node.mempool.status(), (1, 0));
    // At least ten percent more replaces.
    node.send(&sign(
        0,
        TxEip1559 {
            max_fee_per_gas: 22_000_000_000,
            max_priority_fee_per_gas: 1_100_000_000,
            ..transfer(1)
        },
    ))
    .await;
    assert_eq!(node.mempool.status(), (1, 0));
}

#[tokio::test]
async fn a_batch_of_transactions_is_taken_in_order() {
    let node = Node::start().await;
    let batch: Vec<_> = (0..100)
        .map(|nonce| json!({"jsonrpc": "2.0", "id": nonce, "method": "eth_sendRawTransaction", "params": [raw(&sign(0, transfer(nonce)))]}))
        .collect();
    let (_, answers) = node.raw(json!(batch).to_string()).await;
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), 100);
    for (index, answer) in answers.iter().enumerate() {
        assert_eq!(answer["id"], index);
        assert!(answer["result"].is_string(), "{answer}");
    }
    assert_eq!(node.mine().block.transactions.len(), 100);
}

#[tokio::test]
async fn a_synchronous_send_answers_with_the_receipt() {
    let node = Arc::new(Node::start().await);
    let producer = node.mine_automatically();
    for nonce in 0..3 {
        let transaction = sign(0, message(nonce, COUNTER, Bytes::new()));
        let receipt = node
            .call("eth_sendRawTransactionSync", json!([raw(&transaction)]))
            .await;
        assert_eq!(receipt["transactionHash"], json!(transaction.hash()));
        assert_eq!(receipt["status"], "0x1");
        let stored = node
            .call("eth_getTransactionReceipt", json!([transaction.hash()]))
            .await;
        assert_eq!(stored, receipt);
    }
    let (code, message, _) = node
        .error(
            "eth_sendRawTransactionSync",
            json!([raw(&sign(0, transfer(0)))]),
        )
        .await;
    assert_eq!(code, -32000);
    assert!(message.contains("nonce too low"), "{message}");
    producer.abort();
}

#[tokio::test]
async fn a_synchronous_send_that_is_not_included_in_time_says_so() {
    let node = Node::start().await;
    let transaction = sign(0, transfer(0));
    for timeout in [json!(20), json!("0x14")] {
        let (code, message, data) = node
            .error(
                "eth_sendRawTransactionSync",
                json!([raw(&transaction), timeout]),
            )
            .await;
        if code == -32000 {
            assert_eq!(message, "already known");
            continue;
        }
        assert_eq!(code, 4);
        assert!(message.contains("wasn't processed in 20ms"), "{message}");
        assert_eq!(data, json!(transaction.hash()));
    }
    let early = sign(1, transfer(3));
    let (code, _, data) = node
        .error("eth_sendRawTransactionSync", json!([raw(&early), 60_000]))
        .await;
    assert_eq!((code, data), (5, json!(early.hash())));
    assert_eq!(node.mempool.status(), (1, 1));
}

#[tokio::test]
async fn an_account_with_a_delegation_may_send_and_one_with_code_may_not() {
    let node = Node::start().await;
    let delegated = key(9);
    node.send(&sign(0, crate::transactions::delegating(0, &delegated)))
        .await;
    node.mine();
    let code = node.call("eth_getCode", json!([delegated.address()])).await;
    assert!(code.as_str().unwrap().starts_with("0xef0100"));
    node.send(&sign(9, transfer(1))).await;
    assert_eq!(node.mine().block.transactions.len(), 1);
    let count = node
        .call("eth_getTransactionCount", json!([delegated.address()]))
        .await;
    assert_eq!(count, "0x2");
    assert_eq!(
        node.call("eth_getCode", json!([Address::repeat_byte(0x77)]))
            .await,
        Value::from("0x")
    );
}
