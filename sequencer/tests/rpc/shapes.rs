//! The JSON forms: what geth writes, and what alloy's types, which cast uses, read.

use alloy_consensus::TxLegacy;
use alloy_primitives::{Address, Bytes, TxKind, U256};
use alloy_rpc_types_eth::{Block, TransactionReceipt};
use serde_json::{Value, json};

use crate::{
    harness::{COUNTER, EMITTER, Node, init_code, key, number, words},
    transactions::{delegating, deposit, legacy, message, sign, transfer, with_access_list},
};

async fn mined(node: &Node, transactions: &[weft_primitives::Transaction]) -> (Value, Value) {
    for transaction in transactions {
        node.send(transaction).await;
    }
    let block = node.mine();
    let id = json!(block.block.hash());
    let whole = node.call("eth_getBlockByHash", json!([id, true])).await;
    let receipts = node.call("eth_getBlockReceipts", json!([id])).await;
    (whole, receipts)
}

#[tokio::test]
async fn every_type_of_transaction_is_read_by_alloy() {
    let node = Node::start().await;
    let transactions = [
        sign(0, legacy(0)),
        sign(0, with_access_list(1)),
        sign(0, transfer(2)),
        sign(0, delegating(3, &key(9))),
        sign(0, message(4, EMITTER, words(&[1, 2, 3]))),
        sign(
            0,
            TxLegacy {
                to: TxKind::Create,
                input: init_code(),
                ..legacy(5)
            },
        ),
    ];
    let (block, receipts) = mined(&node, &transactions).await;
    let parsed: Block = serde_json::from_value(block.clone()).unwrap();
    let head = node.chain.head();
    assert_eq!(parsed.header.hash, head.hash());
    assert_eq!(parsed.header.inner, *head.inner());
    let types: Vec<_> = block["transactions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["type"].clone())
        .collect();
    assert_eq!(types, ["0x0", "0x1", "0x2", "0x4", "0x2", "0x0"]);
    for ((json, sent), parsed) in block["transactions"]
        .as_array()
        .unwrap()
        .iter()
        .zip(&transactions)
        .zip(parsed.transactions.txns())
    {
        assert_eq!(json["hash"], json!(sent.hash()));
        assert_eq!(parsed.block_hash, Some(head.hash()));
        assert_eq!(json["from"], json!(key(0).address()));
        assert!(json.get("to").is_some() && json.get("v").is_some());
        if json["type"] != "0x0" {
            assert!(json.get("yParity").is_some() && json.get("accessList").is_some());
            assert_eq!(json["chainId"], json!("0x7a6a"));
        }
    }
    assert_eq!(
        block["transactions"][3]["authorizationList"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let base_fee = number(&block["baseFeePerGas"]);
    assert_eq!(
        number(&block["transactions"][2]["gasPrice"]),
        base_fee + 1_000_000_000
    );
    assert_eq!(block["transactions"][5]["to"], Value::Null);

    let parsed: Vec<TransactionReceipt> = serde_json::from_value(receipts.clone()).unwrap();
    assert!(
        parsed.iter().all(|receipt| receipt.inner.status()),
        "{receipts}"
    );
    assert_eq!(
        parsed.last().unwrap().inner.cumulative_gas_used(),
        head.gas_used
    );
    assert_eq!(
        parsed.iter().map(|r| r.gas_used).sum::<u64>(),
        head.gas_used
    );
    assert_eq!(
        receipts[5]["contractAddress"],
        json!(key(0).address().create(5))
    );
    assert_eq!(receipts[4]["contractAddress"], Value::Null);
    assert_eq!(
        number(&receipts[2]["effectiveGasPrice"]),
        base_fee + 1_000_000_000
    );
    let log = &receipts[4]["logs"][0];
    assert_eq!(log["removed"], false);
    assert_eq!(log["transactionIndex"], "0x4");
    assert_eq!(log["blockHash"], json!(head.hash()));
    let expected_keys = [
        "blockHash",
        "blockNumber",
        "contractAddress",
        "cumulativeGasUsed",
        "effectiveGasPrice",
        "from",
        "gasUsed",
        "logs",
        "logsBloom",
        "status",
        "to",
        "transactionHash",
        "transactionIndex",
        "type",
    ];
    for receipt in receipts.as_array().unwrap() {
        let mut keys: Vec<_> = receipt.as_object().unwrap().keys().collect();
        keys.sort_unstable();
        assert_eq!(keys, expected_keys);
    }
    for key in [
        "baseFeePerGas",
        "blobGasUsed",
        "difficulty",
        "excessBlobGas",
        "extraData",
        "gasLimit",
        "gasUsed",
        "hash",
        "logsBloom",
        "miner",
        "mixHash",
        "nonce",
        "number",
        "parentBeaconBlockRoot",
        "parentHash",
        "receiptsRoot",
        "requestsHash",
        "sha3Uncles",
        "size",
        "stateRoot",
        "timestamp",
        "transactions",
        "transactionsRoot",
        "uncles",
        "withdrawals",
        "withdrawalsRoot",
    ] {
        assert!(block.get(key).is_some(), "{key}");
    }
}

#[tokio::test]
async fn deposits_have_the_fields_of_the_op_stack() {
    let node = Node::start().await;
    let bundle = node.mine_with(vec![
        deposit(TxKind::Call(Address::repeat_byte(5)), 1000),
        deposit(TxKind::Create, 0),
    ]);
    let block = node
        .call("eth_getBlockByHash", json!([bundle.block.hash(), true]))
        .await;
    let transaction = &block["transactions"][0];
    let zero = json!("0x0");
    for (field, expected) in [
        ("type", json!("0x7e")),
        (
            "sourceHash",
            json!(
                bundle.block.transactions[0]
                    .as_deposit()
                    .unwrap()
                    .source_hash
            ),
        ),
        ("mint", json!("0x3e8")),
        ("gasPrice", zero.clone()),
        ("nonce", zero.clone()),
        ("v", zero.clone()),
        ("r", zero.clone()),
        ("s", zero.clone()),
        ("depositReceiptVersion", json!("0x1")),
        ("from", json!(Address::repeat_byte(0x31))),
        ("hash", json!(bundle.block.transactions[0].hash())),
    ] {
        assert_eq!(transaction[field], expected, "{field}: {transaction}");
    }
    let created = &block["transactions"][1];
    assert_eq!(created["to"], Value::Null);
    assert_eq!(created["nonce"], "0x1");
    let receipts = node.call("eth_getBlockReceipts", json!(["latest"])).await;
    assert_eq!(receipts[0]["depositNonce"], "0x0");
    assert_eq!(receipts[0]["depositReceiptVersion"], "0x1");
    assert_eq!(receipts[0]["effectiveGasPrice"], "0x0");
    assert_eq!(
        receipts[1]["contractAddress"],
        json!(Address::repeat_byte(0x31).create(1))
    );
    assert_eq!(receipts[1]["type"], "0x7e");
}

#[tokio::test]
async fn a_failed_transaction_says_so() {
    let node = Node::start().await;
    let failing = alloy_consensus::TxEip1559 {
        gas_limit: 22_000,
        ..message(0, COUNTER, Bytes::new())
    };
    let (block, receipts) = mined(&node, &[sign(0, failing)]).await;
    assert_eq!(receipts[0]["status"], "0x0");
    assert_eq!(receipts[0]["gasUsed"], "0x55f0");
    assert_eq!(block["transactions"][0]["value"], json!(U256::ZERO));
}
