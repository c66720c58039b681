//! Every method at least once.

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use serde_json::{Value, json};
use weft_sequencer::chain::L1Labels;

use crate::{
    harness::{CHAIN_ID, COUNTER, EMITTER, GAS_LIMIT, Node, key, number, words},
    transactions::{deposit, message, raw, sign, transfer},
};

#[tokio::test]
async fn methods_about_the_node() {
    let node = Node::start().await;
    assert_eq!(
        node.call("eth_chainId", json!([])).await,
        json!(format!("{CHAIN_ID:#x}"))
    );
    assert_eq!(
        node.call("net_version", json!([])).await,
        json!(CHAIN_ID.to_string())
    );
    assert_eq!(node.call("net_listening", json!([])).await, json!(true));
    assert_eq!(node.call("net_peerCount", json!([])).await, json!("0x0"));
    let version = node.call("web3_clientVersion", json!([])).await;
    assert!(version.as_str().unwrap().starts_with("weft/v"));
    assert_eq!(
        node.call("web3_sha3", json!(["0x68656c6c6f"])).await,
        json!(keccak256("hello"))
    );
    assert_eq!(node.call("rpc_modules", json!([])).await["eth"], "1.0");
    assert_eq!(node.call("eth_syncing", json!([])).await, json!(false));
    assert_eq!(node.call("eth_accounts", json!([])).await, json!([]));
    assert_eq!(node.call("eth_mining", json!([])).await, json!(false));
    assert_eq!(node.call("eth_hashrate", json!([])).await, json!("0x0"));
    assert_eq!(
        node.call("eth_coinbase", json!([])).await,
        json!(node.chain.head().beneficiary)
    );
    for method in [
        "eth_sign",
        "eth_sendTransaction",
        "eth_signTransaction",
        "personal_sign",
    ] {
        let (code, message, _) = node.error(method, json!([{}])).await;
        assert_eq!(code, -32000);
        assert!(message.starts_with("unknown account"), "{message}");
    }
    // Parameters may be absent or null where none are needed.
    let (_, answer) = node
        .raw(r#"{"jsonrpc":"2.0","id":7,"method":"eth_blockNumber"}"#)
        .await;
    assert_eq!(answer, json!({"jsonrpc": "2.0", "id": 7, "result": "0x0"}));
    let health = node
        .client()
        .get(format!("{}health", node.url()))
        .send()
        .await
        .unwrap();
    assert_eq!(health.text().await.unwrap(), "ok");
    let hint = node.client().get(node.url()).send().await.unwrap();
    assert_eq!(hint.status(), 405);
    node.server.stop().await;
}

#[tokio::test]
async fn methods_about_blocks_and_transactions() {
    let node = Node::start().await;
    let sender = key(0).address();
    let sent = node.send(&sign(0, transfer(0))).await;
    let emitted = node
        .send(&sign(0, message(1, EMITTER, words(&[1, 2, 3]))))
        .await;
    let bundle = node.mine();
    let hash = bundle.block.hash();
    node.mine();

    assert_eq!(node.call("eth_blockNumber", json!([])).await, "0x2");
    let block = node
        .call("eth_getBlockByNumber", json!(["0x1", false]))
        .await;
    assert_eq!(block["hash"], json!(hash));
    assert_eq!(block["transactions"], json!([sent, emitted]));
    assert_eq!(block["uncles"], json!([]));
    assert_eq!(number(&block["gasLimit"]), GAS_LIMIT);
    let by_hash = node.call("eth_getBlockByHash", json!([hash, false])).await;
    assert_eq!(by_hash, block);
    let whole = node
        .call("eth_getBlockByNumber", json!(["0x1", true]))
        .await;
    assert_eq!(whole["transactions"][0]["hash"], json!(sent));
    let header = node.call("eth_getHeaderByNumber", json!(["0x1"])).await;
    assert_eq!(header["hash"], json!(hash));
    assert!(header.get("transactions").is_none());
    assert_eq!(
        node.call("eth_getHeaderByHash", json!([hash])).await,
        header
    );

    for (method, id) in [
        ("eth_getBlockTransactionCountByNumber", json!("0x1")),
        ("eth_getBlockTransactionCountByHash", json!(hash)),
    ] {
        assert_eq!(node.call(method, json!([id])).await, "0x2");
    }
    for (method, id) in [
        ("eth_getUncleCountByBlockNumber", json!("0x1")),
        ("eth_getUncleCountByBlockHash", json!(hash)),
    ] {
        assert_eq!(node.call(method, json!([id])).await, "0x0");
        assert_eq!(
            node.call(
                &method
                    .replace("CountByBlock", "ByBlock")
                    .replace("Number", "NumberAndIndex")
                    .replace("Hash", "HashAndIndex"),
                json!([id, "0x0"])
            )
            .await,
            Value::Null
        );
    }

    let transaction = node
        .call("eth_getTransactionByHash", json!([emitted]))
        .await;
    assert_eq!(
        transaction,
        node.call("eth_getBlockByNumber", json!(["0x1", true]))
            .await["transactions"][1]
    );
    assert_eq!(transaction["from"], json!(sender));
    for (method, id) in [
        ("eth_getTransactionByBlockNumberAndIndex", json!("0x1")),
        ("eth_getTransactionByBlockHashAndIndex", json!(hash)),
    ] {
        assert_eq!(node.call(method, json!([id, "0x1"])).await, transaction);
        assert_eq!(node.call(method, json!([id, "0x2"])).await, Value::Null);
    }
    let receipts = node.call("eth_getBlockReceipts", json!(["0x1"])).await;
    let receipt = node
        .call("eth_getTransactionReceipt", json!([emitted]))
        .await;
    assert_eq!(receipts[1], receipt);
    assert_eq!(receipt["logs"][0]["logIndex"], "0x0");

    let encoded = raw(&sign(0, transfer(0)));
    for (method, params) in [
        ("eth_getRawTransactionByHash", json!([sent])),
        ("debug_getRawTransaction", json!([sent])),
        (
            "eth_getRawTransactionByBlockNumberAndIndex",
            json!(["0x1", "0x0"]),
        ),
        (
            "eth_getRawTransactionByBlockHashAndIndex",
            json!([hash, "0x0"]),
        ),
    ] {
        assert_eq!(node.call(method, params).await, json!(encoded), "{method}");
    }
    let header: Bytes =
        serde_json::from_value(node.call("debug_getRawHeader", json!(["0x1"])).await).unwrap();
    assert_eq!(keccak256(&header), hash);
    let body: Bytes =
        serde_json::from_value(node.call("debug_getRawBlock", json!(["0x1"])).await).unwrap();
    assert_eq!(number(&block["size"]), body.len() as u64);
    let raw_receipts = node.call("debug_getRawReceipts", json!(["0x1"])).await;
    assert_eq!(raw_receipts.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_does_not_exist_is_null_or_a_clear_error() {
    let node = Node::start().await;
    let nothing = B256::repeat_byte(0xab);
    for (method, params) in [
        ("eth_getBlockByNumber", json!(["0x64", true])),
        ("eth_getBlockByHash", json!([nothing, true])),
        ("eth_getBlockReceipts", json!(["0x64"])),
        ("eth_getBlockReceipts", json!([nothing])),
        ("eth_getTransactionByHash", json!([nothing])),
        ("eth_getTransactionReceipt", json!([nothing])),
        (
            "eth_getTransactionByBlockHashAndIndex",
            json!([nothing, "0x0"]),
        ),
        ("eth_getBlockTransactionCountByHash", json!([nothing])),
        ("eth_getUncleCountByBlockHash", json!([nothing])),
        ("eth_getRawTransactionByHash", json!([nothing])),
        ("weft_getBatch", json!(["0x5"])),
        ("weft_getBatchByBlock", json!(["0x64"])),
        ("weft_getBatchByBlock", json!(["0x0"])),
        ("weft_getL1Origin", json!(["latest"])),
    ] {
        assert_eq!(
            node.call(method, params.clone()).await,
            Value::Null,
            "{method} {params}"
        );
    }
    let (code, message, _) = node.error("eth_getBalance", json!([COUNTER, "0x64"])).await;
    assert_eq!((code, message.as_str()), (-32000, "header not found"));
    let (code, message, _) = node.error("eth_call", json!([{}, nothing])).await;
    assert_eq!(
        (code, message.as_str()),
        (-32000, "header for hash not found")
    );
    let (code, message, _) = node
        .error("eth_getLogs", json!([{"blockHash": nothing}]))
        .await;
    assert_eq!((code, message.as_str()), (-32000, "unknown block"));
}

#[tokio::test]
async fn methods_about_accounts() {
    let node = Node::start().await;
    let sender = key(0).address();
    let before: U256 =
        serde_json::from_value(node.call("eth_getBalance", json!([sender, "latest"])).await)
            .unwrap();
    node.send(&sign(0, message(0, COUNTER, Bytes::new()))).await;
    let waiting = json!([sender, "pending"]);
    assert_eq!(
        node.call("eth_getTransactionCount", waiting.clone()).await,
        "0x1"
    );
    assert_eq!(
        node.call("eth_getTransactionCount", json!([sender, "latest"]))
            .await,
        "0x0"
    );
    let first = node.mine().block.hash();
    node.send(&sign(0, message(1, COUNTER, Bytes::new()))).await;
    node.mine();

    let zero = B256::ZERO;
    let two = B256::from(U256::from(2));
    assert_eq!(
        node.call("eth_getStorageAt", json!([COUNTER, "0x0", "latest"]))
            .await,
        json!(two)
    );
    assert_eq!(
        node.call("eth_getStorageAt", json!([COUNTER, zero, "0x0"]))
            .await,
        json!(zero)
    );
    // EIP-1898, with a hash and with a number.
    let one = B256::from(U256::from(1));
    for id in [
        json!({"blockHash": first, "requireCanonical": true}),
        json!({"blockNumber": "0x1"}),
        json!(first),
        json!("0x1"),
    ] {
        assert_eq!(
            node.call("eth_getStorageAt", json!([COUNTER, "0x0", id]))
                .await,
            json!(one)
        );
    }
    assert_eq!(
        node.call("eth_getTransactionCount", json!([sender])).await,
        "0x2"
    );
    let after: U256 =
        serde_json::from_value(node.call("eth_getBalance", json!([sender])).await).unwrap();
    assert!(after < before);
    let code = node.call("eth_getCode", json!([COUNTER, "latest"])).await;
    assert_eq!(code, "0x60005460010160005560005460005260206000f3");
    assert_eq!(node.call("eth_getCode", json!([sender])).await, "0x");

    let proof = node
        .call("eth_getProof", json!([COUNTER, ["0x0", zero], "latest"]))
        .await;
    assert_eq!(proof["storageProof"][0]["key"], "0x0");
    assert_eq!(proof["storageProof"][0]["value"], "0x2");
    assert_eq!(proof["storageProof"][1]["key"], json!(zero));
    assert_eq!(
        proof["codeHash"],
        json!(keccak256(code.as_str().unwrap().parse::<Bytes>().unwrap()))
    );
    let nodes: Vec<Bytes> = serde_json::from_value(proof["accountProof"].clone()).unwrap();
    assert_eq!(keccak256(&nodes[0]), node.chain.head().state_root);
}

#[tokio::test]
async fn labels_are_the_chains() {
    let node = Node::start().await;
    for _ in 0..5 {
        node.mine();
    }
    node.labels.send_replace(L1Labels {
        safe: 3,
        finalized: 2,
    });
    for (tag, expected) in [
        ("earliest", 0),
        ("finalized", 2),
        ("safe", 3),
        ("latest", 5),
    ] {
        let block = node.call("eth_getBlockByNumber", json!([tag, false])).await;
        assert_eq!(number(&block["number"]), expected, "{tag}");
    }
    node.send(&sign(0, transfer(0))).await;
    let pending = node
        .call("eth_getBlockByNumber", json!(["pending", true]))
        .await;
    assert_eq!(number(&pending["number"]), 6);
    assert_eq!(pending["parentHash"], json!(node.chain.head().hash()));
    assert_eq!(pending["transactions"][0]["nonce"], "0x0");
    assert_eq!(pending["transactions"][0]["blockHash"], Value::Null);
    assert_eq!(
        node.call("eth_getBlockTransactionCountByNumber", json!(["pending"]))
            .await,
        "0x1"
    );
    let (code, _, _) = node.error("eth_getBlockReceipts", json!(["pending"])).await;
    assert_eq!(code, -32602);
}

#[tokio::test]
async fn methods_about_fees() {
    let node = Node::start().await;
    let base_fee = |value: &Value| number(value);
    node.send(&sign(0, transfer(0))).await;
    node.send(&sign(
        1,
        alloy_consensus::TxEip1559 {
            max_priority_fee_per_gas: 3_000_000_000,
            ..transfer(0)
        },
    ))
    .await;
    node.mine();
    assert_eq!(node.call("eth_blobBaseFee", json!([])).await, "0x1");
    let tip = number(&node.call("eth_maxPriorityFeePerGas", json!([])).await);
    assert!((1_000_000_000..=3_000_000_000).contains(&tip), "{tip}");
    let history = node
        .call(
            "eth_feeHistory",
            json!(["0x2", "latest", [0.0, 50.0, 100.0]]),
        )
        .await;
    assert_eq!(history["oldestBlock"], "0x0");
    let fees = history["baseFeePerGas"].as_array().unwrap();
    assert_eq!(fees.len(), 3);
    let head = node.chain.head();
    assert_eq!(base_fee(&fees[1]), head.base_fee_per_gas.unwrap());
    assert_eq!(
        history["gasUsedRatio"][1],
        json!(42_000.0 / GAS_LIMIT as f64)
    );
    assert_eq!(history["reward"][0], json!(["0x0", "0x0", "0x0"]));
    assert_eq!(
        history["reward"][1],
        json!(["0x3b9aca00", "0x3b9aca00", "0xb2d05e00"])
    );
    let price = number(&node.call("eth_gasPrice", json!([])).await);
    assert_eq!(price, base_fee(&fees[2]) + tip);
    for params in [
        json!(["0x1", "latest", [101.0]]),
        json!(["0x1", "latest", [50.0, 10.0]]),
    ] {
        assert_eq!(node.error("eth_feeHistory", params).await.0, -32602);
    }
    let empty = node
        .call("eth_feeHistory", json!(["0x0", "latest", []]))
        .await;
    assert_eq!(empty["oldestBlock"], "0x0");
}

#[tokio::test]
async fn methods_about_the_mempool() {
    let node = Node::start().await;
    let sender = key(0).address();
    let hash = node.send(&sign(0, transfer(0))).await;
    node.send(&sign(0, transfer(5))).await;
    assert_eq!(
        node.call("txpool_status", json!([])).await,
        json!({"pending": "0x1", "queued": "0x1"})
    );
    let content = node.call("txpool_content", json!([])).await;
    let address = sender.to_checksum(None);
    assert_eq!(content["pending"][&address]["0"]["hash"], json!(hash));
    assert_eq!(
        content["pending"][&address]["0"]["blockNumber"],
        Value::Null
    );
    assert_eq!(content["queued"][&address]["5"]["nonce"], "0x5");
    let from = node.call("txpool_contentFrom", json!([sender])).await;
    assert_eq!(from["pending"]["0"], content["pending"][&address]["0"]);
    assert_eq!(
        node.call("txpool_contentFrom", json!([COUNTER])).await,
        json!({"pending": {}, "queued": {}})
    );
    let inspect = node.call("txpool_inspect", json!([])).await;
    assert!(
        inspect["pending"][&address]["0"]
            .as_str()
            .unwrap()
            .contains("1 wei + 21000 gas")
    );
    let waiting = node.call("eth_getTransactionByHash", json!([hash])).await;
    assert_eq!(waiting["blockHash"], Value::Null);
    assert_eq!(waiting["transactionIndex"], Value::Null);
    assert_eq!(
        node.call("eth_getTransactionReceipt", json!([hash])).await,
        Value::Null
    );
    assert_eq!(
        node.call("eth_getRawTransactionByHash", json!([hash]))
            .await,
        json!(raw(&sign(0, transfer(0))))
    );
}

#[tokio::test]
async fn methods_of_weft() {
    let node = Node::start().await;
    node.mine_with(vec![weft_primitives::attributes_deposit(
        &weft_primitives::L1Origin {
            number: 70,
            hash: B256::repeat_byte(7),
            timestamp: 0x6500_0000,
            base_fee: U256::from(9),
        },
    )]);
    let batch = node.call("weft_getBatch", json!(["0x0"])).await;
    assert_eq!(batch["firstBlock"], "0x1");
    assert_eq!(batch["status"], "safe");
    assert_eq!(
        node.call("weft_getBatchByBlock", json!(["latest"])).await,
        batch
    );
    let attempts = node.call("weft_getBatchAttempts", json!(["0x0"])).await;
    assert_eq!(attempts[0]["transactionHash"], batch["l1TransactionHash"]);
    assert_eq!(attempts[0]["status"], "included");
    assert_eq!(
        node.call("weft_getBatchAttempts", json!(["0x1"])).await,
        json!([])
    );
    let origin = node.call("weft_getL1Origin", json!(["latest"])).await;
    assert_eq!(
        origin,
        json!({"number": "0x46", "hash": B256::repeat_byte(7), "timestamp": "0x65000000", "baseFeePerGas": "0x9"})
    );
    assert_eq!(
        node.call("weft_getL1Origin", json!(["0x0"])).await,
        Value::Null
    );
    let status = node.call("weft_nodeStatus", json!([])).await;
    assert_eq!(status["head"]["number"], "0x1");
    assert_eq!(status["l1Origin"], origin);
    assert_eq!(status["l1"]["batches"], "0x1");
    assert_eq!(status["readOnly"], false);
    assert_eq!(
        status["mempool"],
        json!({"pending": "0x0", "queued": "0x0"})
    );
}

#[tokio::test]
async fn a_follower_reads_and_refuses_to_send() {
    let node = Node::start_with(crate::harness::config(), false).await;
    node.mine_with(vec![deposit(TxKind::Call(Address::repeat_byte(5)), 7)]);
    assert_eq!(node.call("eth_blockNumber", json!([])).await, "0x1");
    let sender = key(0).address();
    assert_eq!(
        node.call("eth_getTransactionCount", json!([sender, "pending"]))
            .await,
        "0x0"
    );
    assert_eq!(
        node.call("txpool_status", json!([])).await["pending"],
        "0x0"
    );
    assert_eq!(
        node.call("eth_getBlockByNumber", json!(["pending", true]))
            .await["transactions"],
        json!([])
    );
    assert_eq!(
        node.call("weft_nodeStatus", json!([])).await["mempool"],
        Value::Null
    );
    for method in ["eth_sendRawTransaction", "eth_sendRawTransactionSync"] {
        let (code, message, _) = node
            .error(method, json!([raw(&sign(0, transfer(0)))]))
            .await;
        assert_eq!(code, -32000);
        assert!(message.starts_with("read-only node"), "{message}");
    }
}
