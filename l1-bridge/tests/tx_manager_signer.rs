//! Remote signers: a real one over HTTP, and ones that lie.
#![allow(missing_docs)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::{sync::Arc, time::Duration};

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip4844, TxEnvelope, TypedTransaction};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Bytes, U256, hex};
use alloy_rpc_types_eth::TransactionRequest;
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use axum::{Json, Router, routing::post};
use common::{
    Anvil, key,
    transactions::{blob_transfer, hasty, recipient, send_all, transfer},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use weft_l1_bridge::{
    L1Client, L1ClientConfig, L1Signer, RemoteSigner, SendError, Severity, SignerError,
    TransactionManager,
};

/// The transaction that a signer is asked for, out of the JSON alone.
fn asked_for(request: &Value) -> TypedTransaction {
    let request: TransactionRequest = serde_json::from_value(request.clone()).unwrap();
    let fees = (
        request.max_fee_per_gas.unwrap(),
        request.max_priority_fee_per_gas.unwrap(),
    );
    let input = request.input.input().cloned().unwrap_or_default();
    match request.blob_versioned_hashes {
        None => TxEip1559 {
            chain_id: request.chain_id.unwrap(),
            nonce: request.nonce.unwrap(),
            gas_limit: request.gas.unwrap(),
            max_fee_per_gas: fees.0,
            max_priority_fee_per_gas: fees.1,
            to: request.to.unwrap(),
            value: request.value.unwrap(),
            access_list: request.access_list.unwrap_or_default(),
            input,
        }
        .into(),
        Some(hashes) => TxEip4844 {
            chain_id: request.chain_id.unwrap(),
            nonce: request.nonce.unwrap(),
            gas_limit: request.gas.unwrap(),
            max_fee_per_gas: fees.0,
            max_priority_fee_per_gas: fees.1,
            to: *request.to.unwrap().to().unwrap(),
            value: request.value.unwrap(),
            access_list: request.access_list.unwrap_or_default(),
            blob_versioned_hashes: hashes,
            max_fee_per_blob_gas: request.max_fee_per_blob_gas.unwrap(),
            input,
        }
        .into(),
    }
}

fn signed(transaction: TypedTransaction, key: &PrivateKeySigner) -> Bytes {
    let signature = key.sign_hash_sync(&transaction.signature_hash()).unwrap();
    let envelope: TxEnvelope = transaction.into_envelope(signature);
    envelope.encoded_2718().into()
}

type Behaviour = Arc<dyn Fn(TypedTransaction) -> Value + Send + Sync>;

/// A JSON-RPC server that answers `eth_signTransaction` with the object that `behaviour` makes:
/// what stands beside `jsonrpc` and `id`.
async fn signer(behaviour: Behaviour) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let handler = move |Json(request): Json<Value>| {
        let behaviour = Arc::clone(&behaviour);
        async move {
            assert_eq!(request["method"], "eth_signTransaction");
            let mut answer = behaviour(asked_for(&request["params"][0]));
            answer["jsonrpc"] = json!("2.0");
            answer["id"] = request["id"].clone();
            Json(answer)
        }
    };
    let router = Router::new().route("/", post(handler));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

fn remote(url: &str) -> RemoteSigner {
    RemoteSigner::new(url, key(0).address(), Duration::from_secs(2)).unwrap()
}

/// Both shapes of answers, with and without blobs.
#[tokio::test]
async fn a_remote_signer_signs_all_that_is_sent() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    let bare: Behaviour = Arc::new(|asked| json!({"result": signed(asked, &key(0))}));
    let wrapped: Behaviour = Arc::new(
        |asked| json!({"result": {"raw": signed(asked, &key(0)), "tx": {"nonce": "0x0"}}}),
    );
    let mut seed = 0;
    for behaviour in [bare, wrapped] {
        let url = signer(behaviour).await;
        let manager = TransactionManager::new(anvil.client(), remote(&url), hasty());
        assert_eq!(manager.address(), key(0).address());
        for payload in [transfer(seed), blob_transfer(seed + 1, 1)] {
            let slot = manager.settle().await.unwrap();
            let (outcome, attempts) = send_all(&manager, slot, payload).await;
            let receipt = outcome.unwrap();
            assert!(receipt.status());
            assert_eq!(attempts[0].tx_hash, receipt.transaction_hash);
            assert_eq!(anvil.balance(recipient(seed)).await, U256::from(1));
            seed += 1;
        }
    }
}

/// Nothing that a signer makes up gets to L1.
#[tokio::test]
async fn a_lying_signer_is_found_out() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    let change = |change: fn(&mut TxEip1559)| -> Behaviour {
        Arc::new(move |asked| {
            let TypedTransaction::Eip1559(mut transaction) = asked else {
                panic!("expected a plain transaction");
            };
            change(&mut transaction);
            json!({"result": signed(transaction.into(), &key(0))})
        })
    };
    let other_transaction =
        |error: &SignerError| matches!(error, SignerError::OtherTransaction { .. });
    type Check = fn(&SignerError) -> bool;
    let lies: Vec<(Behaviour, Check, Severity)> = vec![
        (
            change(|tx| tx.value += U256::from(1)),
            other_transaction,
            Severity::Stop,
        ),
        (
            change(|tx| tx.to = recipient(99).into()),
            other_transaction,
            Severity::Stop,
        ),
        (
            change(|tx| tx.nonce += 1),
            other_transaction,
            Severity::Stop,
        ),
        (
            change(|tx| tx.max_fee_per_gas *= 2),
            other_transaction,
            Severity::Stop,
        ),
        (
            change(|tx| tx.chain_id = 1),
            other_transaction,
            Severity::Stop,
        ),
        (
            change(|tx| tx.input = Bytes::from_static(b"x")),
            other_transaction,
            Severity::Stop,
        ),
        (
            Arc::new(|asked| json!({"result": signed(asked, &key(1))})),
            |error| {
                matches!(error, SignerError::OtherAccount { expected, found: Some(found) }
                if *expected == key(0).address() && *found == key(1).address())
            },
            Severity::Stop,
        ),
        (
            Arc::new(|_| json!({"result": "0x02c0"})),
            |error| matches!(error, SignerError::Answer(_)),
            Severity::Alarm,
        ),
        (
            Arc::new(|_| json!({"result": {"raw": 5}})),
            |error| matches!(error, SignerError::Answer(_)),
            Severity::Alarm,
        ),
        (
            Arc::new(|_| json!({"result": null})),
            |error| matches!(error, SignerError::Answer(_)),
            Severity::Alarm,
        ),
        (
            Arc::new(|_| json!({"error": {"code": -32000, "message": "request denied"}})),
            |error| matches!(error, SignerError::Refused { code: -32000, message } if message == "request denied"),
            Severity::Alarm,
        ),
        (
            Arc::new(|_| json!({"result": "x".repeat(5 << 20)})),
            |error| matches!(error, SignerError::NoAnswer(_)),
            Severity::Retry,
        ),
    ];
    for (number, (behaviour, check, severity)) in lies.into_iter().enumerate() {
        let url = signer(behaviour).await;
        let manager = TransactionManager::new(anvil.client(), remote(&url), hasty());
        let slot = manager.settle().await.unwrap();
        let (outcome, attempts) = send_all(&manager, slot, transfer(1)).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.severity(), severity, "lie {number}: {error}");
        let SendError::Signer(error) = error else {
            panic!("lie {number}: {error}");
        };
        assert!(check(&error), "lie {number}: {error}");
        assert!(error.to_string().len() < 500);
        assert_eq!(attempts, []);
    }
    assert_eq!(anvil.nonce(key(0).address()).await, 0);
}

#[tokio::test]
async fn a_signer_that_is_away_is_an_error_that_passes() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://user:w0rd@{}/w0rd", listener.local_addr().unwrap());
    let config = remote(&url);
    let manager = TransactionManager::new(anvil.client(), config, hasty());
    let slot = manager.settle().await.unwrap();
    // It listens and never answers; then nobody listens.
    let (silent, _) = send_all(&manager, slot, transfer(1)).await;
    drop(listener);
    let (gone, _) = send_all(&manager, slot, transfer(1)).await;
    for outcome in [silent, gone] {
        let error = outcome.unwrap_err();
        assert!(
            matches!(error, SendError::Signer(SignerError::NoAnswer(_))),
            "{error}"
        );
        assert_eq!(error.severity(), Severity::Retry);
        assert!(!format!("{error} {error:?}").contains("w0rd"), "{error}");
    }
    assert!(!format!("{manager:?}").contains("w0rd"));
    for url in ["", "ws://w0rd", "file:///w0rd"] {
        let error = RemoteSigner::new(url, key(0).address(), Duration::from_secs(1)).unwrap_err();
        assert!(matches!(error, SignerError::Url(_)));
        assert!(!error.to_string().contains("w0rd"));
    }
}

/// A local key is in no text that this crate makes.
#[tokio::test]
async fn keys_are_never_shown() {
    let signer = key(0);
    let secret = signer.to_bytes();
    let client = L1Client::new("http://127.0.0.1:1", L1ClientConfig::default()).unwrap();
    let manager = TransactionManager::new(client, signer.clone(), hasty());
    let error = manager
        .send(recipient(1).into(), U256::ZERO, Bytes::new())
        .await
        .unwrap_err();
    let texts = [
        format!("{:?}", L1Signer::from(signer)),
        format!("{manager:?}"),
        format!("{error} {error:?}"),
    ];
    let decimal = format!("{:?}", secret.0);
    for text in texts {
        let text = text.to_lowercase();
        assert!(!text.contains(&hex::encode(secret)), "{text}");
        assert!(!text.contains(&decimal[1..decimal.len() - 1]), "{text}");
    }
}
