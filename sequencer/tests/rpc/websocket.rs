//! The same methods, and subscriptions, over WebSocket.

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async, connect_async, tungstenite::Message,
};
use weft_sequencer::rpc::RpcConfig;

use crate::{
    harness::{BIG_LOG, EMITTER, EMITTER_2, Node, PATIENCE, config, error_of, words},
    transactions::{message, sign},
};

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    async fn connect(node: &Node) -> Self {
        let (socket, _) = connect_async(format!("ws://{}/", node.address()))
            .await
            .unwrap();
        Self(socket)
    }

    async fn send(&mut self, message: Value) {
        self.0
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
    }

    /// The next JSON message; `None` when the connection ends.
    async fn next(&mut self) -> Option<Value> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.0.next()).await.unwrap();
            match message? {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(other) => panic!("{other:?}"),
            }
        }
    }

    async fn request(&mut self, method: &str, params: Value) -> Value {
        self.send(json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
            .await;
        self.next().await.unwrap()
    }

    async fn subscribe(&mut self, params: Value) -> Value {
        self.request("eth_subscribe", params).await["result"].clone()
    }
}

fn notification(id: &Value, result: Value) -> Value {
    json!({"jsonrpc": "2.0", "method": "eth_subscription", "params": {"subscription": id, "result": result}})
}

#[tokio::test]
async fn requests_and_batches_work_over_websocket() {
    let node = Node::start().await;
    let mut client = Client::connect(&node).await;
    assert_eq!(
        client.request("eth_chainId", json!([])).await["result"],
        "0x7a6a"
    );
    client
        .send(json!([{"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}, {"jsonrpc": "2.0", "id": 2, "method": "eth_nothing"}]))
        .await;
    let answers = client.next().await.unwrap();
    assert_eq!(answers[0]["result"], "0x7a6a");
    assert_eq!(answers[1]["error"]["code"], -32601);
    client.0.send(Message::text("{")).await.unwrap();
    assert_eq!(error_of(&client.next().await.unwrap()).unwrap().0, -32700);
    client
        .0
        .send(Message::binary(
            json!({"jsonrpc": "2.0", "id": 9, "method": "eth_blockNumber"}).to_string(),
        ))
        .await
        .unwrap();
    assert_eq!(client.next().await.unwrap()["id"], 9);
}

#[tokio::test]
async fn subscriptions_send_what_happens() {
    let node = Node::start().await;
    let mut heads = Client::connect(&node).await;
    let heads_id = heads.subscribe(json!(["newHeads"])).await;
    let mut logs = Client::connect(&node).await;
    let logs_id = logs.subscribe(json!(["logs", {"address": EMITTER}])).await;
    let mut hashes = Client::connect(&node).await;
    let hashes_id = hashes.subscribe(json!(["newPendingTransactions"])).await;
    let mut whole = Client::connect(&node).await;
    let whole_id = whole
        .subscribe(json!(["newPendingTransactions", true]))
        .await;

    let other = node
        .send(&sign(0, message(0, EMITTER_2, words(&[1, 2, 3]))))
        .await;
    let sent = node
        .send(&sign(0, message(1, EMITTER, words(&[1, 2, 3]))))
        .await;
    assert_eq!(
        hashes.next().await.unwrap(),
        notification(&hashes_id, json!(other))
    );
    assert_eq!(
        hashes.next().await.unwrap(),
        notification(&hashes_id, json!(sent))
    );
    let pending = whole.next().await.unwrap();
    assert_eq!(pending["params"]["subscription"], whole_id);
    assert_eq!(pending["params"]["result"]["hash"], json!(other));

    let block = node.mine();
    let head = heads.next().await.unwrap();
    assert_eq!(head["params"]["subscription"], heads_id);
    assert_eq!(head["params"]["result"]["hash"], json!(block.block.hash()));
    assert!(head["params"]["result"].get("transactions").is_none());
    let expected = node
        .call("eth_getLogs", json!([{"address": EMITTER}]))
        .await;
    assert_eq!(
        logs.next().await.unwrap(),
        notification(&logs_id, expected[0].clone())
    );

    assert_eq!(
        heads.request("eth_unsubscribe", json!([heads_id])).await["result"],
        true
    );
    assert_eq!(
        heads.request("eth_unsubscribe", json!([heads_id])).await["result"],
        false
    );
    // Another connection's subscription cannot be closed.
    assert_eq!(
        heads.request("eth_unsubscribe", json!([logs_id])).await["result"],
        false
    );
    node.mine();
    assert_eq!(
        heads.request("eth_blockNumber", json!([])).await["result"],
        "0x2"
    );
}

#[tokio::test]
async fn a_subscription_in_a_batch_is_answered_before_it_sends() {
    let node = Node::start().await;
    let mut client = Client::connect(&node).await;
    client
        .send(json!([
            {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]},
            {"jsonrpc": "2.0", "id": 2, "method": "eth_chainId"},
        ]))
        .await;
    let answers = client.next().await.unwrap();
    assert_eq!(answers[1]["result"], "0x7a6a");
    node.mine();
    assert_eq!(
        client.next().await.unwrap()["params"]["subscription"],
        answers[0]["result"]
    );
}

#[tokio::test]
async fn what_cannot_be_subscribed_to_is_refused() {
    let node = Node::start_with(
        RpcConfig {
            max_subscriptions_per_connection: 2,
            ..config()
        },
        true,
    )
    .await;
    let mut client = Client::connect(&node).await;
    for params in [
        json!([]),
        json!(["everything"]),
        json!(["logs", {"adress": 1}]),
        json!([5]),
        json!(["newHeads", 1, 2]),
    ] {
        let answer = client.request("eth_subscribe", params.clone()).await;
        assert_eq!(error_of(&answer).unwrap().0, -32602, "{params}");
    }
    let first = client.subscribe(json!(["newHeads"])).await;
    client.subscribe(json!(["logs"])).await;
    let answer = client.request("eth_subscribe", json!(["newHeads"])).await;
    let (code, text, _) = error_of(&answer).unwrap();
    assert_eq!(code, -32005);
    assert!(text.contains("at most 2 subscriptions"), "{text}");
    // A place that becomes free can be taken again.
    client.request("eth_unsubscribe", json!([first])).await;
    let mut result = Value::Null;
    while result.is_null() {
        result = client.request("eth_subscribe", json!(["newHeads"])).await["result"].clone();
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_closes_the_connection() {
    let node = Node::start_with(
        RpcConfig {
            max_body_bytes: 1000,
            ..config()
        },
        true,
    )
    .await;
    let mut client = Client::connect(&node).await;
    client
        .0
        .send(Message::text("x".repeat(1001)))
        .await
        .unwrap();
    assert!(client.next().await.is_none());
}

#[tokio::test]
async fn a_subscriber_that_falls_behind_is_told_by_a_closed_connection() {
    let node = Node::start_with(
        RpcConfig {
            max_websocket_buffer_bytes: 1 << 16,
            ..config()
        },
        true,
    )
    .await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(1 << 14).unwrap();
    let stream = socket.connect(node.address()).await.unwrap();
    let url = format!("ws://{}/", node.address());
    let (socket, _) = client_async(url, MaybeTlsStream::Plain(stream))
        .await
        .unwrap();
    let mut slow = Client(socket);
    slow.subscribe(json!(["logs"])).await;

    // More than the buffers of both ends take, then more blocks than the feed remembers.
    let (big_blocks, empty_blocks) = (40, 300);
    for nonce in 0..big_blocks {
        let transaction = alloy_consensus::TxEip1559 {
            gas_limit: 4_000_000,
            ..message(nonce, BIG_LOG, words(&[200_000]))
        };
        node.send(&sign(0, transaction)).await;
        node.mine();
    }
    for _ in 0..empty_blocks {
        node.mine();
    }
    let mut received = 0;
    let reason = loop {
        match tokio::time::timeout(PATIENCE, slow.0.next()).await.unwrap() {
            Some(Ok(Message::Text(_))) => received += 1,
            Some(Ok(Message::Close(Some(frame)))) => break frame.reason.to_string(),
            Some(Ok(Message::Ping(_))) => {}
            other => panic!("{other:?} after {received} logs"),
        }
    };
    assert_eq!(reason, "subscriber too slow");
    assert!(received < big_blocks, "nothing was missed");
    // The others do not notice.
    assert_eq!(node.call("eth_blockNumber", json!([])).await, "0x154");
}

#[tokio::test]
async fn a_server_that_stops_closes_its_connections() {
    let node = Node::start().await;
    let mut client = Client::connect(&node).await;
    client.subscribe(json!(["newHeads"])).await;
    let address = node.address();
    node.server.stop().await;
    assert!(client.next().await.is_none());
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn messages_count_in_the_limits_of_the_address() {
    let node = Node::start_with(
        RpcConfig {
            rate_limit_per_ip: 1,
            rate_limit_burst_s: 60,
            ..config()
        },
        true,
    )
    .await;
    let (mut one, mut other) = (Client::connect(&node).await, Client::connect(&node).await);
    let chain_id = json!({"jsonrpc": "2.0", "id": 5, "method": "eth_chainId"});
    one.send(json!(vec![chain_id.clone(); 60])).await;
    assert_eq!(one.next().await.unwrap().as_array().unwrap().len(), 60);
    for client in [&mut one, &mut other] {
        let mut refused = None;
        for _ in 0..200 {
            client.send(chain_id.clone()).await;
            let answer = client.next().await.unwrap();
            assert_eq!(answer["id"], 5);
            refused = error_of(&answer).map(|(code, _, _)| code);
            if refused.is_some() {
                break;
            }
        }
        assert_eq!(refused, Some(-32005));
    }
}
