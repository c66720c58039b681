//! Input that is not what it should be: always a clear answer, never a panic.

use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};

use crate::harness::{COUNTER, Node, config, error_of};

#[tokio::test]
async fn malformed_messages_are_refused_as_json_rpc_says() {
    let node = Node::start().await;
    let nested = "[".repeat(100_000);
    let nested_params = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"eth_call","params":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let nested_object = format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    let request =
        |rest: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_chainId"{rest}}}"#);
    let cases: Vec<(String, i64)> = vec![
        (String::new(), -32700),
        ("{".into(), -32700),
        ("nonsense".into(), -32700),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}}"#.into(),
            -32700,
        ),
        (nested, -32700),
        ("\"text\"".into(), -32600),
        ("5".into(), -32600),
        ("null".into(), -32600),
        ("{}".into(), -32600),
        ("[]".into(), -32600),
        (nested_object, -32600),
        (
            r#"{"jsonrpc":"1.0","id":1,"method":"eth_chainId"}"#.into(),
            -32600,
        ),
        (r#"{"id":1,"method":"eth_chainId"}"#.into(), -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#.into(), -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":5}"#.into(), -32600),
        (
            r#"{"jsonrpc":"2.0","id":{},"method":"eth_chainId"}"#.into(),
            -32600,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1.5,"method":"eth_chainId"}"#.into(),
            -32600,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"eth_chainId"}"#.into(),
            -32600,
        ),
        (request(r#","params":{"a":1}"#), -32602),
        (request(r#","params":5"#), -32602),
        (request(r#","params":[1]"#), -32602),
        (nested_params, -32602),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"eth_nothing"}"#.into(),
            -32601,
        ),
        (r#"{"jsonrpc":"2.0","id":1,"method":""}"#.into(), -32601),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}"#.into(),
            -32601,
        ),
    ];
    for (body, expected) in cases {
        let shown: String = body.chars().take(80).collect();
        let (status, answer) = node.raw(body).await;
        assert_eq!(status, 200, "{shown}");
        let (code, _, _) = error_of(&answer).unwrap_or_else(|| panic!("{shown}: {answer}"));
        assert_eq!(code, expected, "{shown}: {answer}");
        assert_eq!(answer["jsonrpc"], "2.0");
        assert!(answer.get("id").is_some());
    }
    let (_, message, _) = node.error("eth_nothing", json!([])).await;
    assert_eq!(
        message,
        "the method eth_nothing does not exist/is not available"
    );
    let (status, _) = node.raw(vec![0xff, 0xfe, 0x00]).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn wrong_arguments_say_what_was_expected() {
    let node = Node::start().await;
    for (method, params, expected) in [
        (
            "eth_getBalance",
            json!([]),
            "missing value for required argument 0: expected a 20-byte address",
        ),
        (
            "eth_getBalance",
            json!(["0x12"]),
            "invalid argument 0: expected a 20-byte address",
        ),
        (
            "eth_getBalance",
            json!([COUNTER, "soon"]),
            "invalid argument 1: expected a block number",
        ),
        ("eth_getBalance", json!([COUNTER, 5]), "invalid argument 1"),
        (
            "eth_getBalance",
            json!([COUNTER, "latest", 1]),
            "too many arguments, want at most 2",
        ),
        (
            "eth_getStorageAt",
            json!([COUNTER, format!("0x{}", "1".repeat(66))]),
            "invalid argument 1",
        ),
        (
            "eth_call",
            json!(["0x"]),
            "invalid argument 0: expected a transaction object",
        ),
        ("eth_call", json!([{"gas": "lots"}]), "invalid argument 0"),
        (
            "eth_getLogs",
            json!([{"topics": [[[[]]]]}]),
            "invalid argument 0: expected a filter",
        ),
        (
            "eth_getLogs",
            json!([{"topics": [null, null, null, null, null]}]),
            "exceeded maximum topics",
        ),
        (
            "eth_getTransactionReceipt",
            json!(["0x1234"]),
            "expected a 32-byte transaction hash",
        ),
        (
            "eth_feeHistory",
            json!(["0x1", "latest", "all"]),
            "expected a list of percentiles",
        ),
        ("weft_getBatch", json!(["first"]), "expected a batch index"),
    ] {
        let (code, message, _) = node.error(method, params.clone()).await;
        assert_eq!(code, -32602, "{method} {params}");
        assert!(message.contains(expected), "{method} {params}: {message}");
    }
}

#[tokio::test]
async fn batches_are_answered_in_order_and_notifications_are_not() {
    let node = Node::start().await;
    let batch = json!([
        {"jsonrpc": "2.0", "id": "a", "method": "eth_chainId"},
        {"jsonrpc": "2.0", "method": "eth_chainId"},
        5,
        [],
        {"jsonrpc": "2.0", "id": null, "method": "eth_blockNumber"},
        {"jsonrpc": "2.0", "id": 2, "method": "eth_nothing"},
    ]);
    let (_, answers) = node.raw(batch.to_string()).await;
    let answers = answers.as_array().unwrap();
    let ids: Vec<_> = answers.iter().map(|answer| answer["id"].clone()).collect();
    assert_eq!(
        ids,
        [json!("a"), Value::Null, Value::Null, Value::Null, json!(2)]
    );
    assert_eq!(answers[0]["result"], "0x7a6a");
    assert_eq!(answers[1]["error"]["code"], -32600);
    assert_eq!(answers[3]["result"], "0x0");
    assert_eq!(answers[4]["error"]["code"], -32601);
    for only_notifications in [
        json!({"jsonrpc": "2.0", "method": "eth_chainId"}),
        json!([{"jsonrpc": "2.0", "method": "eth_chainId"}]),
    ] {
        let (status, answer) = node.raw(only_notifications.to_string()).await;
        assert_eq!((status, answer), (200, Value::Null));
    }
}

#[tokio::test]
async fn any_content_type_is_taken() {
    let node = Node::start().await;
    for content_type in [
        "application/json",
        "text/plain",
        "application/json; charset=utf-8",
        "x",
    ] {
        let response = node
            .client()
            .post(node.url())
            .header("content-type", content_type)
            .body(r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#)
            .send()
            .await
            .unwrap();
        assert_eq!(response.headers()["content-type"], "application/json");
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["result"], "0x7a6a");
    }
}

const METHODS: &[&str] = &[
    "eth_call",
    "eth_estimateGas",
    "eth_createAccessList",
    "eth_getBalance",
    "eth_getBlockByNumber",
    "eth_getBlockByHash",
    "eth_getBlockReceipts",
    "eth_getCode",
    "eth_getFilterChanges",
    "eth_getFilterLogs",
    "eth_getLogs",
    "eth_getProof",
    "eth_getStorageAt",
    "eth_getTransactionByBlockHashAndIndex",
    "eth_getTransactionByBlockNumberAndIndex",
    "eth_getTransactionByHash",
    "eth_getTransactionCount",
    "eth_getTransactionReceipt",
    "eth_feeHistory",
    "eth_newFilter",
    "eth_newPendingTransactionFilter",
    "eth_sendRawTransaction",
    "eth_sendRawTransactionSync",
    "eth_subscribe",
    "eth_unsubscribe",
    "eth_uninstallFilter",
    "debug_getRawBlock",
    "debug_getRawReceipts",
    "txpool_contentFrom",
    "web3_sha3",
    "weft_getBatch",
    "weft_getBatchAttempts",
    "weft_getBatchByBlock",
    "weft_getL1Origin",
];

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "0x[0-9a-f]{0,70}".prop_map(Value::from),
        Just(json!("latest")),
        Just(json!("pending")),
        Just(json!("0x0")),
        Just(json!(COUNTER)),
        Just(json!(alloy_primitives::B256::ZERO)),
    ];
    let name = prop_oneof![
        Just("to".to_owned()),
        Just("from".to_owned()),
        Just("gas".to_owned()),
        Just("value".to_owned()),
        Just("input".to_owned()),
        Just("nonce".to_owned()),
        Just("gasPrice".to_owned()),
        Just("accessList".to_owned()),
        Just("fromBlock".to_owned()),
        Just("toBlock".to_owned()),
        Just("topics".to_owned()),
        Just("address".to_owned()),
        Just("blockHash".to_owned()),
        "\\PC{0,6}",
    ];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(name.clone(), inner, 0..5).prop_map(|map| json!(map)),
        ]
    })
}

/// Whether this is one answer of JSON-RPC 2.0.
fn is_answer(answer: &Value) -> bool {
    let has_result = answer.get("result").is_some();
    let error = answer.get("error");
    let error_is_whole = error.is_none_or(|error| {
        error["code"].is_i64()
            && error["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
    });
    answer["jsonrpc"] == "2.0"
        && answer.get("id").is_some()
        && has_result != error.is_some()
        && error_is_whole
        // A panic in a worker is answered with this.
        && error.is_none_or(|error| error["code"] != -32603)
}

#[test]
fn any_json_gets_a_valid_answer() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let node = runtime.block_on(async {
        let node = Node::start_with(
            weft_sequencer::rpc::RpcConfig {
                max_sync_timeout: std::time::Duration::from_millis(5),
                ..config()
            },
            true,
        )
        .await;
        node.mine();
        node
    });
    let config = ProptestConfig {
        cases: 800,
        ..ProptestConfig::default()
    };
    let params = proptest::collection::vec(any_json(), 0..4).prop_map(Value::from);
    let strategy = prop_oneof![
        1 => any_json(),
        6 => (proptest::sample::select(METHODS), params)
            .prop_map(|(method, params)| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})),
    ];
    TestRunner::new(config)
        .run(&strategy, |message| {
            let (status, answer) = runtime.block_on(node.raw(message.to_string()));
            prop_assert_eq!(status, 200);
            let answers = match &answer {
                Value::Array(answers) => answers.clone(),
                one => vec![one.clone()],
            };
            for answer in answers {
                prop_assert!(is_answer(&answer), "{}", answer);
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(
        runtime.block_on(node.call("eth_blockNumber", json!([]))),
        "0x1"
    );
}
