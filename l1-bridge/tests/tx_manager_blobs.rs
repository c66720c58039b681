//! Blob transactions against a real L1, before and after Osaka.
#![allow(missing_docs)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Bytes, U256};
use common::{
    Anvil, key,
    rpc_proxy::{Fate, RpcProxy},
    transactions::{blob_transfer, hasty, recipient, send_all, start, transfer},
};
use serde_json::json;
use weft_l1_bridge::{
    L1Client, L1ClientConfig, Payload, SendError, SentTransaction, TransactionManager,
    TxManagerConfig,
};

fn client(url: &str) -> L1Client {
    L1Client::new(url, L1ClientConfig::default()).unwrap()
}

fn outbids(new: &SentTransaction, old: &SentTransaction) -> bool {
    new.nonce == old.nonce
        && new.max_fee_per_gas >= old.max_fee_per_gas * 2
        && new.max_priority_fee_per_gas >= old.max_priority_fee_per_gas * 2
        && new.max_fee_per_blob_gas.unwrap() >= old.max_fee_per_blob_gas.unwrap() * 2
}

/// Both forms of proofs, whatever the L1's fork is taken for at first.
#[tokio::test]
async fn blobs_get_in_before_and_after_osaka() {
    for fork in ["prague", "osaka"] {
        let Some(anvil) = Anvil::start(&["--hardfork", fork]).await else {
            return;
        };
        for (seed, config) in [
            (1, None),
            (2, Some(json!({"current": {"precompiles": {}}}))),
            (
                3,
                Some(json!({"current": {"precompiles": {"P256VERIFY": "0x0100"}}})),
            ),
        ] {
            let handed = Arc::new(AtomicUsize::new(0));
            let counter = Arc::clone(&handed);
            let proxy = RpcProxy::start(&anvil.url, move |method, _| {
                if method == "eth_sendRawTransaction" {
                    counter.fetch_add(1, Ordering::SeqCst);
                }
                match (&config, method) {
                    (Some(config), "eth_config") => Fate::Answer(config.clone()),
                    _ => Fate::Pass,
                }
            })
            .await;
            let manager = TransactionManager::new(client(&proxy.url), key(0), hasty());
            let slot = manager.settle().await.unwrap();
            let payload = blob_transfer(seed, 2);
            let hashes = payload.blobs.as_ref().unwrap().versioned_hashes().to_vec();
            let (outcome, attempts) = send_all(&manager, slot, payload).await;
            let receipt = outcome.unwrap_or_else(|error| panic!("{fork} {seed}: {error}"));
            assert_eq!(attempts.last().unwrap().tx_hash, receipt.transaction_hash);
            let sent = anvil.transaction(receipt.transaction_hash).await;
            assert_eq!(sent["type"], "0x3");
            assert_eq!(sent["blobVersionedHashes"], json!(hashes));
            assert_eq!(receipt.blob_gas_used, Some(2 * 131_072));
            assert_eq!(anvil.balance(recipient(seed)).await, U256::from(1));
            eprintln!(
                "{fork} {seed}: handed over {} times",
                handed.load(Ordering::SeqCst)
            );
        }
    }
}

/// What has blobs stays with blobs, at twice the price each time.
#[tokio::test]
async fn blob_transactions_are_replaced_at_twice_the_price() {
    let Some(anvil) = Anvil::start(&["--no-mining"]).await else {
        return;
    };
    let manager = TransactionManager::new(anvil.client(), key(0), hasty());
    let slot = manager.settle().await.unwrap();
    let payload = blob_transfer(4, 1);
    let mut sending = start(&manager, slot, payload.clone());
    let one = sending.attempts.recv().await.unwrap();
    let two = sending.attempts.recv().await.unwrap();
    assert!(outbids(&two, &one), "{one:?} {two:?}");
    drop(sending);

    // A successor finds it, and goes on from its fees.
    let successor = TransactionManager::new(anvil.client(), key(0), hasty());
    let mut sending = start(&successor, slot, payload);
    let adopted = sending.attempts.recv().await.unwrap();
    assert_eq!(adopted.tx_hash, two.tx_hash);
    let three = sending.attempts.recv().await.unwrap();
    assert!(outbids(&three, &two), "{two:?} {three:?}");
    anvil.mine(1).await;
    let receipt = (&mut sending.outcome).await.unwrap().unwrap();
    assert!(receipt.status());
    assert_eq!(anvil.nonce(key(0).address()).await, 1);
}

/// Pools take no replacement of the other kind: what stands in the way is cancelled by its own kind.
#[tokio::test]
async fn what_stands_in_the_way_is_cancelled_by_its_own_kind() {
    let plain: Payload = transfer(5);
    let with_blobs = blob_transfer(6, 1);
    for (first, second, kind) in [
        (plain.clone(), with_blobs.clone(), "0x2"),
        (with_blobs, plain, "0x3"),
    ] {
        let Some(anvil) = Anvil::start(&["--no-mining"]).await else {
            return;
        };
        let account = key(0).address();
        // As go-ethereum's pools do it: the kind of what is pending at a nonce does not change.
        let pending = Mutex::new(HashMap::new());
        let proxy = RpcProxy::start(&anvil.url, move |method, params| {
            if method != "eth_sendRawTransaction" {
                return Fate::Pass;
            }
            let raw: Bytes = serde_json::from_value(params[0].clone()).unwrap();
            let sent = TxEnvelope::decode_2718(&mut raw.as_ref()).unwrap();
            let kind = sent.tx_type();
            match *pending.lock().unwrap().entry(sent.nonce()).or_insert(kind) == kind {
                true => Fate::Pass,
                false => Fate::Refuse("address already reserved"),
            }
        })
        .await;
        let patient = TxManagerConfig {
            resend_after: Duration::from_secs(300),
            ..hasty()
        };
        let manager = TransactionManager::new(client(&proxy.url), key(0), patient);
        let slot = manager.settle().await.unwrap();
        let mut sending = start(&manager, slot, first);
        let first = sending.attempts.recv().await.unwrap();
        drop(sending);

        let successor = TransactionManager::new(client(&proxy.url), key(0), hasty());
        let sending = start(&successor, slot, second);
        // Nothing is mined until the first is replaced.
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while !anvil.transaction(first.tx_hash).await.is_null() {
            assert!(tokio::time::Instant::now() < deadline, "not cancelled");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut sending = sending;
        let receipt = anvil
            .mine_until(&mut sending.outcome)
            .await
            .unwrap()
            .unwrap();
        assert!(receipt.status());
        assert_eq!(anvil.nonce(account).await, 2);
        let block = anvil
            .rpc("eth_getBlockByNumber", json!(["0x1", true]))
            .await;
        let cancelled = &block["transactions"][0];
        assert_eq!(cancelled["type"], kind);
        assert_eq!(cancelled["to"], json!(account));
        assert_eq!(cancelled["value"], "0x0");
    }
}

/// Code that reverts without a blob: PUSH0 BLOBHASH PUSH1 6 JUMPI PUSH0 PUSH0 REVERT.. JUMPDEST STOP.
const NEEDS_BLOB: &str = "0x5f496008575f5ffd5b00";

/// A node that shows calls no blob hashes is found out, and not believed that everything reverts.
#[tokio::test]
async fn a_node_that_cannot_simulate_blobs_is_found_out() {
    let Some(anvil) = Anvil::start(&["--hardfork", "osaka"]).await else {
        return;
    };
    let code = NEEDS_BLOB.to_owned();
    anvil
        .rpc("anvil_setCode", json!([recipient(7), code]))
        .await;
    let manager = TransactionManager::new(anvil.client(), key(0), hasty());
    let slot = manager.settle().await.unwrap();
    let with_blobs = Payload {
        fallback_gas_limit: Some(123_456),
        ..blob_transfer(7, 1)
    };
    let (outcome, attempts) = send_all(&manager, slot, with_blobs.clone()).await;
    assert!(outcome.unwrap().status());
    let simulated = attempts[0].gas_limit;

    // Without blobs it reverts, and is not sent.
    let slot = manager.settle().await.unwrap();
    let (outcome, attempts) = send_all(&manager, slot, transfer(7)).await;
    assert!(
        matches!(outcome, Err(SendError::WouldRevert(_))),
        "{outcome:?}"
    );
    assert_eq!(attempts, []);

    let proxy = RpcProxy::start(&anvil.url, |method, params| {
        if !matches!(method, "eth_call" | "eth_estimateGas") {
            return Fate::Pass;
        }
        let mut params = params.clone();
        params[0]
            .as_object_mut()
            .unwrap()
            .remove("blobVersionedHashes");
        params[0]
            .as_object_mut()
            .unwrap()
            .remove("maxFeePerBlobGas");
        Fate::Ask(json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
    })
    .await;
    let blind = TransactionManager::new(client(&proxy.url), key(0), hasty());
    let without_limit = Payload {
        fallback_gas_limit: None,
        ..with_blobs.clone()
    };
    let (outcome, _) = send_all(&blind, slot, without_limit).await;
    assert!(
        matches!(outcome, Err(SendError::CannotSimulate)),
        "{outcome:?}"
    );
    let (outcome, attempts) = send_all(&blind, slot, with_blobs).await;
    assert!(outcome.unwrap().status());
    assert_eq!(attempts[0].gas_limit, 123_456);
    eprintln!("simulated {simulated} gas");
}

/// Blobs that cost a hundred times more while a transaction waits.
#[tokio::test]
async fn blob_fees_that_rise_are_followed() {
    let Some(anvil) = Anvil::start(&["--no-mining"]).await else {
        return;
    };
    let factor = Arc::new(AtomicUsize::new(1));
    let seen = Arc::clone(&factor);
    let proxy = RpcProxy::start(&anvil.url, move |method, _| match method {
        "eth_blobBaseFee" => Fate::Answer(json!(format!("{:#x}", seen.load(Ordering::SeqCst)))),
        _ => Fate::Pass,
    })
    .await;
    let mut config = hasty();
    config.fee_caps.max_fee_per_blob_gas = 100_000;
    let manager = TransactionManager::new(client(&proxy.url), key(0), config);
    let slot = manager.settle().await.unwrap();
    let mut sending = start(&manager, slot, blob_transfer(8, 1));
    let first = sending.attempts.recv().await.unwrap();
    assert_eq!(first.max_fee_per_blob_gas, Some(2));
    factor.store(100, Ordering::SeqCst);
    let second = sending.attempts.recv().await.unwrap();
    assert_eq!(second.max_fee_per_blob_gas, Some(200));
    assert!(outbids(&second, &first));

    // Beyond the cap it waits and says so, and goes on when blobs are cheap again.
    factor.store(200_000, Ordering::SeqCst);
    let mut status = manager.status();
    let alarmed = status.wait_for(|status| {
        status
            .alarm
            .is_some_and(|alarm| alarm.kind() == "fee_cap" && alarm.to_string().contains("blob"))
    });
    tokio::time::timeout(Duration::from_secs(10), alarmed)
        .await
        .unwrap()
        .unwrap();
    factor.store(1, Ordering::SeqCst);
    let receipt = anvil
        .mine_until(&mut sending.outcome)
        .await
        .unwrap()
        .unwrap();
    assert!(receipt.status());
}
