//! An L1 that answers nonsense: a server that is wrong on purpose (I7).
#![allow(missing_docs)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use weft_l1_bridge::{
    Derivation, DerivationConfig, L1Client, L1ClientConfig, L1Error, L1LabelSource, OriginConfig,
    OriginSource, ResumePoint, RollupInfo, TransactionManager, TxManagerConfig,
};

/// How the server answers each request.
#[derive(Clone)]
enum Answer {
    /// With this body, `ID` replaced by the request's id.
    Body(&'static str, String),
    /// With more and more bytes.
    Endless,
    /// Not at all.
    Silence,
}

async fn serve(answer: Answer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = Vec::new();
                let mut part = [0; 4096];
                // A request is one JSON object, which ends the bytes.
                while !request.ends_with(b"}") {
                    match stream.read(&mut part).await {
                        Ok(0) | Err(_) => return,
                        Ok(read) => request.extend_from_slice(&part[..read]),
                    }
                }
                let body = String::from_utf8_lossy(&request).into_owned();
                let json = &body[body.find("\r\n\r\n").unwrap() + 4..];
                let json: serde_json::Value = serde_json::from_str(json).unwrap();
                match answer {
                    Answer::Body(status, body) => {
                        let body = body.replace("ID", &json["id"].to_string());
                        let head = format!(
                            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                            body.len()
                        );
                        let _ = stream.write_all((head + &body).as_bytes()).await;
                    }
                    Answer::Endless => {
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n\"").await;
                        while stream.write_all(&[b'x'; 65_536]).await.is_ok() {}
                    }
                    Answer::Silence => std::future::pending().await,
                }
            });
        }
    });
    url
}

fn client(url: &str) -> L1Client {
    let config = L1ClientConfig {
        timeout: Duration::from_millis(500),
        max_response_bytes: 1 << 20,
        ..L1ClientConfig::default()
    };
    L1Client::new(url, config).unwrap()
}

fn info() -> RollupInfo {
    RollupInfo {
        contract: Address::repeat_byte(1),
        deployment_block: 1,
        genesis_block_hash: B256::ZERO,
        chain_spec_hash: B256::ZERO,
        chain_spec: None,
        forced_inclusion_delay: 1,
    }
}

/// Everything that is asked of an L1, each of which has to fail.
async fn failures(url: &str) -> Vec<String> {
    let client = client(url);
    let mut errors = Vec::new();
    let mut note = |error: String| errors.push(error);
    note(client.chain_id().await.unwrap_err().to_string());
    note(client.block_number().await.unwrap_err().to_string());
    note(client.existing_block(3).await.unwrap_err().to_string());
    note(client.suggested_tip().await.unwrap_err().to_string());
    note(
        RollupInfo::load(&client, Address::repeat_byte(1))
            .await
            .unwrap_err()
            .to_string(),
    );
    note(
        L1LabelSource::new(client.clone(), &info(), 1)
            .labels()
            .await
            .unwrap_err()
            .to_string(),
    );
    note(
        OriginSource::new(client.clone(), &info(), OriginConfig::default())
            .newest(None, 0)
            .await
            .unwrap_err()
            .to_string(),
    );
    let start = ResumePoint::start(&info(), 0);
    let mut derivation =
        Derivation::new(client.clone(), info(), start, DerivationConfig::default());
    let error = derivation.next_batch().await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    note(error.to_string());
    let sender = TransactionManager::new(
        client,
        alloy_signer_local::PrivateKeySigner::random(),
        TxManagerConfig::default(),
    );
    note(
        sender
            .send(Address::ZERO.into(), U256::ZERO, Bytes::new())
            .await
            .unwrap_err()
            .to_string(),
    );
    errors
}

#[tokio::test]
async fn nonsense_is_an_error_that_names_the_question() {
    let result = |value: &str| format!(r#"{{"jsonrpc":"2.0","id":ID,"result":{value}}}"#);
    let deep = "[".repeat(100_000);
    let answers = [
        Answer::Body("200 OK", "<html>not json".to_owned()),
        Answer::Body("200 OK", String::new()),
        Answer::Body("500 Internal Server Error", "oops".to_owned()),
        Answer::Body("200 OK", deep),
        Answer::Body("200 OK", result("\"0xzz\"")),
        Answer::Body("200 OK", result("{\"number\":\"0x1\"}")),
        Answer::Body("200 OK", result("[[[]]]")),
        Answer::Body("200 OK", result(&format!("\"0x{}\"", "f".repeat(70)))),
        Answer::Body(
            "200 OK",
            r#"{"jsonrpc":"2.0","id":ID,"error":{"code":-32000,"message":"no"}}"#.to_owned(),
        ),
        Answer::Endless,
    ];
    for answer in answers {
        let url = serve(answer).await;
        for error in failures(&url).await {
            // A result of the right form but without sense is the contract's fault.
            let named = error.contains("L1: eth_") || error.contains("is not a weft rollup");
            assert!(named, "{error}");
            assert!(error.len() < 1_000, "{error}");
        }
    }
}

#[tokio::test]
async fn silence_and_size_are_bounded() {
    let url = serve(Answer::Silence).await;
    assert!(matches!(
        client(&url).block_number().await,
        Err(L1Error::NoAnswer { .. })
    ));
    let url = serve(Answer::Endless).await;
    assert!(matches!(
        client(&url).block_number().await,
        Err(L1Error::TooLarge { limit, .. }) if limit == 1 << 20
    ));
}

/// Logs of another contract, of other blocks, or out of order are refused.
#[tokio::test]
async fn logs_that_were_not_asked_for_are_refused() {
    let topic = "0xb3813568d9991fc951961fcb4c784893574240a28925604d09fc577c55bb7c32";
    let log = |address: &str, topic: &str, block: u64, removed: bool| {
        format!(
            r#"{{"address":"{address}","topics":["{topic}"],"data":"0x","blockNumber":"{block:#x}","blockHash":"{hash}","transactionHash":"{hash}","transactionIndex":"0x0","logIndex":"0x0","removed":{removed}}}"#,
            hash = B256::repeat_byte(2),
        )
    };
    let ours = Address::repeat_byte(1).to_string();
    let other = Address::repeat_byte(2).to_string();
    let cases = [
        (log(&other, topic, 3, false), "expected logs of event"),
        (
            log(&ours, &B256::ZERO.to_string(), 3, false),
            "expected logs of event",
        ),
        (log(&ours, topic, 9, false), "a log of block 9"),
        (log(&ours, topic, 3, true), "pending or removed"),
        (
            format!(
                "{},{}",
                log(&ours, topic, 4, false),
                log(&ours, topic, 3, false)
            ),
            "in the order of one chain",
        ),
        (log(&ours, topic, 3, false), "a deposit event"),
    ];
    for (logs, expected) in cases {
        let body = format!(r#"{{"jsonrpc":"2.0","id":ID,"result":[{logs}]}}"#);
        let url = serve(Answer::Body("200 OK", body)).await;
        let error = client(&url)
            .deposits(Address::repeat_byte(1), 1, 5)
            .await
            .unwrap_err();
        assert!(matches!(error, L1Error::Answer { .. }));
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn urls_that_cannot_be_used_are_refused() {
    for url in ["", "not a url", "ws://127.0.0.1:1", "file:///etc/passwd"] {
        assert!(matches!(
            L1Client::new(url, L1ClientConfig::default()),
            Err(L1Error::Url(_))
        ));
    }
}
