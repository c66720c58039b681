//! Each bound, and the answer of what is beyond it.

use std::time::Duration;

use alloy_primitives::{Address, Bytes};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use weft_sequencer::rpc::{NoL1, RpcConfig, RpcContext, RpcServer, RpcServerError};

use crate::{
    harness::{LOOP, Node, PATIENCE, config, error_of},
    transactions,
};

fn request(id: usize) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "eth_chainId"})
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let node = Node::start().await;
    let (status, answer) = node.raw(vec![b' '; (5 << 20) + 1]).await;
    assert_eq!(status, 413);
    let (code, message, _) = error_of(&answer).unwrap();
    assert_eq!(code, -32600);
    assert!(message.contains("request body too large"), "{message}");
    // As large as allowed is fine.
    let mut body = request(1).to_string().into_bytes();
    body.resize(5 << 20, b' ');
    let (status, answer) = node.raw(body).await;
    assert_eq!((status, &answer["result"]), (200, &json!("0x7a6a")));
    let (status, _) = node.raw(vec![b'x'; 100 << 20]).await;
    assert_eq!(status, 413);
}

#[tokio::test]
async fn a_batch_that_is_too_long_is_refused_as_a_whole() {
    let node = Node::start().await;
    let full: Vec<_> = (0..1000).map(request).collect();
    let (_, answer) = node.raw(json!(full).to_string()).await;
    assert_eq!(answer.as_array().unwrap().len(), 1000);
    let over: Vec<_> = (0..1001).map(request).collect();
    let (_, answer) = node.raw(json!(over).to_string()).await;
    let (code, message, _) = error_of(&answer).unwrap();
    assert_eq!(code, -32600);
    assert!(
        message.contains("batch too large: 1001 requests"),
        "{message}"
    );
    let (_, answer) = node.raw(format!("[{}1]", "1,".repeat(2_000_000))).await;
    assert!(
        error_of(&answer)
            .unwrap()
            .1
            .contains("batch too large: 2000001")
    );
}

#[tokio::test]
async fn answers_are_bounded() {
    let node = Node::start_with(
        RpcConfig {
            max_response_bytes: 3000,
            max_batch_response_bytes: 5000,
            ..config()
        },
        true,
    )
    .await;
    let (code, message, _) = node
        .error("eth_getProof", json!([LOOP, vec!["0x0"; 60]]))
        .await;
    assert_eq!((code, message.as_str()), (-32008, "Response is too big"));
    let block = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": ["0x0", false]});
    let (_, answer) = node.raw(json!(vec![block; 9]).to_string()).await;
    let (code, message, _) = error_of(&answer).unwrap();
    assert_eq!(code, -32005);
    assert!(
        message.contains("batch response is over 5000 bytes"),
        "{message}"
    );
}

#[tokio::test]
async fn calls_are_bounded_in_gas_and_in_time() {
    let node = Node::start_with(
        RpcConfig {
            call_gas: 100_000,
            ..config()
        },
        true,
    )
    .await;
    let endless = json!({"to": LOOP, "input": Bytes::from(vec![0xff; 32]), "gas": "0xffffffff"});
    let (code, message, _) = node.error("eth_call", json!([endless])).await;
    assert_eq!((code, message.as_str()), (-32000, "out of gas"));

    let node = Node::start_with(
        RpcConfig {
            call_timeout: Duration::from_millis(1),
            call_gas: 1 << 33,
            threads: 2,
            ..config()
        },
        true,
    )
    .await;
    let slow = json!({"to": LOOP, "input": Bytes::from([vec![0; 29], vec![0x05, 0, 0]].concat())});
    let (code, message, _) = node.error("eth_call", json!([slow])).await;
    assert_eq!(
        (code, message.as_str()),
        (-32000, "execution aborted (timeout = 1ms)")
    );
    // Short work goes on while the call that nobody waits for ends.
    assert_eq!(
        node.call("eth_getBalance", json!([Address::ZERO])).await,
        "0x0"
    );
}

#[tokio::test]
async fn calls_that_wait_are_bounded() {
    let node = Node::start_with(
        RpcConfig {
            threads: 2,
            max_waiting_calls: 1,
            call_gas: 1 << 33,
            ..config()
        },
        true,
    )
    .await;
    let slow =
        json!([{"to": LOOP, "input": Bytes::from([vec![0; 29], vec![0x05, 0, 0]].concat())}]);
    let answers =
        futures::future::join_all((0..4).map(|_| node.request("eth_call", slow.clone()))).await;
    let refused = answers
        .iter()
        .filter_map(error_of)
        .filter(|(code, message, _)| *code == -32005 && message.contains("too many calls"))
        .count();
    assert_eq!(refused, 2, "{answers:?}");
}

#[tokio::test]
async fn filters_are_bounded() {
    let node = Node::start_with(
        RpcConfig {
            max_filters: 2,
            ..config()
        },
        true,
    )
    .await;
    let first = node.call("eth_newBlockFilter", json!([])).await;
    node.call("eth_newFilter", json!([{}])).await;
    let (code, message, _) = node.error("eth_newBlockFilter", json!([])).await;
    assert_eq!(code, -32005);
    assert!(message.contains("at most 2 filters"), "{message}");
    node.call("eth_uninstallFilter", json!([first])).await;
    node.call("eth_newBlockFilter", json!([])).await;
}

#[tokio::test]
async fn connections_are_bounded_and_idle_ones_closed() {
    let node = Node::start_with(
        RpcConfig {
            max_connections: 1,
            idle_timeout: Duration::from_millis(100),
            ..config()
        },
        true,
    )
    .await;
    let mut idle = TcpStream::connect(node.address()).await.unwrap();
    // The server has taken the connection once it answers on it.
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut buffer = [0; 1024];
    assert!(idle.read(&mut buffer).await.unwrap() > 0);
    let mut second = TcpStream::connect(node.address()).await.unwrap();
    let mut refusal = String::new();
    tokio::time::timeout(PATIENCE, second.read_to_string(&mut refusal))
        .await
        .unwrap()
        .unwrap();
    assert!(refusal.starts_with("HTTP/1.1 503"), "{refusal}");
    // The first one is closed, which makes room.
    let closed = tokio::time::timeout(PATIENCE, idle.read(&mut buffer))
        .await
        .unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)));
    let answered = tokio::time::timeout(PATIENCE, async {
        while node
            .client()
            .get(format!("{}health", node.url()))
            .send()
            .await
            .is_err()
        {
            tokio::task::yield_now().await;
        }
    });
    answered.await.unwrap();
}

#[tokio::test]
async fn browsers_may_call_from_the_configured_origins() {
    let everywhere = Node::start().await;
    let from = |node: &Node, origin: &str| {
        node.client()
            .post(node.url())
            .header("origin", origin)
            .body(request(1).to_string())
            .send()
    };
    let answer = from(&everywhere, "https://a.example").await.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    let listed = Node::start_with(
        RpcConfig {
            cors: vec!["https://a.example".into()],
            ..config()
        },
        true,
    )
    .await;
    let answer = from(&listed, "https://a.example").await.unwrap();
    assert_eq!(
        answer.headers()["access-control-allow-origin"],
        "https://a.example"
    );
    let answer = from(&listed, "https://b.example").await.unwrap();
    assert!(
        answer
            .headers()
            .get("access-control-allow-origin")
            .is_none()
    );
}

#[tokio::test]
async fn a_port_in_use_is_an_error() {
    let node = Node::start().await;
    let context = RpcContext {
        chain: node.chain.clone(),
        mempool: None,
        preloader: None,
        l1: std::sync::Arc::new(NoL1),
    };
    let config = RpcConfig {
        port: node.address().port(),
        ..config()
    };
    let error = RpcServer::start(config, context, axum::Router::new())
        .await
        .unwrap_err();
    assert!(matches!(error, RpcServerError::Bind { .. }), "{error}");
}

/// Status, headers and JSON of a message with these headers.
async fn post(node: &Node, body: &Value, headers: &[(&str, &str)]) -> (u16, Option<String>, Value) {
    let mut request = node.client().post(node.url()).body(body.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let retry = answer.headers().get("retry-after");
    let retry = retry.map(|value| value.to_str().unwrap().to_owned());
    (status, retry, answer.json().await.unwrap())
}

/// Sixty requests at once, and one a second afterwards: what takes most of it is not let through
/// twice, however slow the machine is.
fn sixty() -> RpcConfig {
    RpcConfig {
        rate_limit_per_ip: 1,
        rate_limit_burst_s: 60,
        ..config()
    }
}

fn batch(requests: usize) -> Value {
    json!((0..requests).map(request).collect::<Vec<_>>())
}

#[tokio::test]
async fn requests_of_one_address_are_bounded() {
    let node = Node::start_with(sixty(), true).await;
    // Each request of a batch counts.
    let (status, _, answer) = post(&node, &batch(50), &[]).await;
    assert_eq!((status, answer.as_array().unwrap().len()), (200, 50));
    let (status, retry, answer) = post(&node, &batch(50), &[]).await;
    let (code, message, _) = error_of(&answer).unwrap();
    assert_eq!((status, code), (429, -32005));
    assert!(
        message.starts_with("limit exceeded: too many requests"),
        "{message}"
    );
    assert!((1..=60).contains(&retry.unwrap().parse::<u64>().unwrap()));
    // The refused batch took nothing from the rest.
    assert_eq!(post(&node, &batch(10), &[]).await.0, 200);
    let mut refused = None;
    for _ in 0..200 {
        let (status, _, answer) = post(&node, &request(77), &[]).await;
        if status != 200 {
            refused = Some((status, answer["id"].clone()));
            break;
        }
    }
    assert_eq!(refused, Some((429, json!(77))));
    // More than ever fits.
    let (status, retry, answer) = post(&node, &batch(61), &[]).await;
    assert_eq!((status, retry), (429, None));
    assert!(error_of(&answer).unwrap().1.contains("send fewer"));
}

#[tokio::test]
async fn a_proxy_is_believed_only_when_it_is_trusted() {
    let from = |address| [("x-forwarded-for", address)];
    let node = Node::start_with(sixty(), true).await;
    assert_eq!(post(&node, &batch(50), &from("1.1.1.1")).await.0, 200);
    assert_eq!(post(&node, &batch(50), &from("2.2.2.2")).await.0, 429);

    let trusting = RpcConfig {
        trusted_proxies: 1,
        ..sixty()
    };
    let node = Node::start_with(trusting, true).await;
    for address in [
        "1.1.1.1",
        "9.9.9.9, 2.2.2.2",
        "2001:db8::1",
        "2001:db8:0:1::1",
    ] {
        assert_eq!(post(&node, &batch(50), &from(address)).await.0, 200);
    }
    for address in ["3.3.3.3, 1.1.1.1", "9.9.9.9, 2.2.2.2", "2001:db8::2:2"] {
        assert_eq!(post(&node, &batch(50), &from(address)).await.0, 429);
    }
}

#[tokio::test]
async fn a_known_key_has_limits_of_its_own() {
    let keys = NamedTempFile::new().unwrap();
    std::fs::write(
        keys.path(),
        "the-key-of-a-partner 0 0\nthe-key-of-a-tester 1 1\n",
    )
    .unwrap();
    let node = Node::start_with(
        RpcConfig {
            rate_limit_keys_path: Some(keys.path().to_owned()),
            ..sixty()
        },
        true,
    )
    .await;
    let partner = [("x-api-key", "the-key-of-a-partner")];
    let tester = [("authorization", "Bearer the-key-of-a-tester")];
    let stranger = [("x-api-key", "the-key-of-nobody-here")];
    for _ in 0..5 {
        assert_eq!(post(&node, &batch(50), &partner).await.0, 200);
    }
    for expected in [200, 429] {
        assert_eq!(post(&node, &batch(50), &tester).await.0, expected);
    }
    // Strangers count by their address, as those without a key do.
    for expected in [200, 429] {
        assert_eq!(post(&node, &batch(50), &stranger).await.0, expected);
    }
    assert_eq!(post(&node, &batch(50), &[]).await.0, 429);
}

#[tokio::test]
async fn keys_that_cannot_be_used_stop_the_start() {
    let node = Node::start().await;
    let keys = NamedTempFile::new().unwrap();
    std::fs::write(keys.path(), "short 1 1").unwrap();
    let context = RpcContext {
        chain: node.chain.clone(),
        mempool: None,
        l1: std::sync::Arc::new(NoL1),
        preloader: None,
    };
    let config = RpcConfig {
        rate_limit_keys_path: Some(keys.path().to_owned()),
        ..config()
    };
    let error = RpcServer::start(config, context, axum::Router::new())
        .await
        .unwrap_err();
    assert!(matches!(error, RpcServerError::Keys(_)), "{error}");
}

#[tokio::test]
async fn sent_transactions_have_a_limit_of_their_own() {
    let node = Node::start_with(
        RpcConfig {
            send_limit_per_ip: 1,
            rate_limit_burst_s: 60,
            ..config()
        },
        true,
    )
    .await;
    let send = |nonce: u64| {
        let signed = transactions::raw(&transactions::sign(0, transactions::transfer(nonce)));
        json!({"jsonrpc": "2.0", "id": nonce, "method": "eth_sendRawTransaction", "params": [signed]})
    };
    // Of a batch as many are taken as are allowed, and the rest is answered.
    let batch: Vec<_> = (0..64).map(send).chain([request(99)]).collect();
    let (status, _, answer) = post(&node, &json!(batch), &[]).await;
    let answers = answer.as_array().unwrap();
    assert_eq!((status, answers.len()), (200, 65));
    for (index, answer) in answers.iter().enumerate() {
        let refused = error_of(answer).map(|(code, message, _)| {
            assert!(message.contains("too many transactions"), "{message}");
            code
        });
        let expected = (60..64).contains(&index).then_some(-32005);
        assert_eq!(refused, expected, "{answer}");
    }
    assert_eq!(node.mempool.status(), (60, 0));
}

#[tokio::test]
async fn what_is_more_than_the_server_works_on_is_refused_at_once() {
    let node = Node::start_with(
        RpcConfig {
            max_messages_in_work: 1,
            ..config()
        },
        true,
    )
    .await;
    // A request that has not all come yet is in work.
    let body = request(1).to_string();
    let (begin, end) = body.split_at(5);
    let mut slow = TcpStream::connect(node.address()).await.unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{begin}",
        body.len()
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let refused = async {
        loop {
            let (status, _, answer) = post(&node, &request(2), &[]).await;
            if status != 200 {
                return (status, answer);
            }
        }
    };
    let (status, answer) = tokio::time::timeout(PATIENCE, refused).await.unwrap();
    let (code, message, _) = error_of(&answer).unwrap();
    assert_eq!((status, code), (503, -32005));
    assert_eq!(
        message,
        "limit exceeded: server is busy with 1 messages, try later"
    );
    slow.write_all(end.as_bytes()).await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("0x7a6a"), "{answer}");
    assert_eq!(post(&node, &request(3), &[]).await.0, 200);
}
