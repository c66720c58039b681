//! The transaction manager against a real L1 behind a proxy that loses, delays and lies.
#![allow(missing_docs)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use alloy_primitives::{B256, U256, keccak256};
use common::{
    Anvil, key,
    rpc_proxy::{Fate, RpcProxy},
    transactions::{ensure_paid, hasty, recipient, send_all, start, transfer},
};
use serde_json::{Value, json};
use weft_l1_bridge::{L1Client, L1ClientConfig, SendError, TransactionManager, TxManagerConfig};

fn client(url: &str) -> L1Client {
    let config = L1ClientConfig {
        timeout: Duration::from_secs(2),
        max_response_bytes: 1 << 20,
        ..L1ClientConfig::default()
    };
    L1Client::new(url, config).unwrap()
}

/// Chance without a generator's state: the same seed and count give the same fate.
fn dice(seed: u64, count: u64) -> u64 {
    let hash = keccak256([seed.to_be_bytes(), count.to_be_bytes()].concat());
    u64::from_be_bytes(hash[..8].try_into().unwrap())
}

fn trouble(method: &str, roll: u64) -> Fate {
    match roll % 20 {
        0 => Fate::LoseAnswer,
        1 => Fate::Refuse("the node is unwell"),
        2 => Fate::Body("<html>".to_owned()),
        3 => Fate::Answer(json!({"number": []})),
        4 => Fate::Body(format!("\"{}\"", "x".repeat(2 << 20))),
        5 if method == "eth_getTransactionCount" => Fate::Alter(Box::new(|nonce| {
            let nonce = u64::from_str_radix(nonce.as_str().unwrap().trim_start_matches("0x"), 16);
            json!(format!("{:#x}", nonce.unwrap().saturating_sub(1)))
        })),
        6 if method == "eth_getTransactionReceipt" => Fate::Answer(Value::Null),
        7 if method == "eth_getTransactionReceipt" => Fate::Alter(Box::new(|mut receipt| {
            if receipt.is_object() {
                receipt["blockHash"] = json!(B256::repeat_byte(7));
            }
            receipt
        })),
        8 if method == "eth_sendRawTransaction" => Fate::Answer(json!(B256::repeat_byte(9))),
        9 if method == "eth_blockNumber" => Fate::Answer(json!("0x0")),
        _ => Fate::Pass,
    }
}

/// A third of all requests goes wrong in some way; each transfer is still made, once, and its receipt
/// is the true one.
#[tokio::test]
async fn an_l1_that_fails_and_lies_at_random_gets_each_transaction_once() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    let seed = std::env::var("WEFT_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("WEFT_SEED={seed}");
    let count = AtomicU64::new(0);
    let proxy = RpcProxy::start(&anvil.url, move |method, _| {
        trouble(method, dice(seed, count.fetch_add(1, Ordering::SeqCst)))
    })
    .await;
    let manager = TransactionManager::new(client(&proxy.url), key(0), hasty());
    let truth = anvil.client();
    let account = key(0).address();
    for number in 0..8 {
        let payload = transfer(number);
        let tries = async {
            loop {
                match ensure_paid(&manager, &truth, &payload).await {
                    Ok(receipt) => return receipt,
                    Err(error) => {
                        let passes = matches!(
                            error,
                            SendError::L1(_)
                                | SendError::NonceTaken { .. }
                                | SendError::NonceBehind { .. }
                        );
                        assert!(passes, "{error}");
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            }
        };
        let receipt = tokio::time::timeout(Duration::from_secs(60), tries)
            .await
            .expect("in time");
        assert_eq!(anvil.balance(recipient(number)).await, U256::from(1));
        assert_eq!(anvil.nonce(account).await, number + 1);
        if let Some(receipt) = receipt {
            let real = truth.receipt(receipt.transaction_hash).await.unwrap();
            assert_eq!(real.unwrap(), receipt);
        }
    }
}

/// Receipts that the chain does not bear out are never believed.
#[tokio::test]
async fn invented_receipts_are_not_believed() {
    type Lie = fn(&mut Value);
    let lies: [Lie; 5] = [
        |_| {},
        |receipt| receipt["blockHash"] = json!(B256::repeat_byte(1)),
        |receipt| receipt["blockNumber"] = json!("0x7fffffff"),
        |receipt| receipt["transactionHash"] = json!(B256::repeat_byte(2)),
        |receipt| receipt["transactionIndex"] = json!("0x5"),
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        let Some(anvil) = Anvil::start(&[]).await else {
            return;
        };
        // A true receipt of another transaction is what the lies are made of.
        let other = TransactionManager::new(anvil.client(), key(1), hasty());
        let (other, _) = send_all(&other, other.settle().await.unwrap(), transfer(50)).await;
        let template = serde_json::to_value(other.unwrap()).unwrap();
        anvil.automine(false).await;
        let proxy = RpcProxy::start(&anvil.url, move |method, params| {
            let mut receipt = template.clone();
            receipt["transactionHash"] = params[0].clone();
            receipt["from"] = json!(key(0).address());
            lie(&mut receipt);
            match method {
                "eth_getTransactionReceipt" => Fate::Answer(receipt),
                _ => Fate::Pass,
            }
        })
        .await;
        let config = TxManagerConfig {
            give_up_after: Some(Duration::from_secs(1)),
            ..hasty()
        };
        let manager = TransactionManager::new(client(&proxy.url), key(0), config);
        let slot = manager.settle().await.unwrap();
        let (outcome, _) = send_all(&manager, slot, transfer(1)).await;
        assert!(
            matches!(outcome, Err(SendError::Stuck { .. })),
            "lie {number}: {outcome:?}"
        );
    }
}

/// A node that says it has taken a transaction and has not is given it again.
#[tokio::test]
async fn what_is_dropped_silently_is_sent_again() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    let swallowed = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&swallowed);
    let proxy = RpcProxy::start(&anvil.url, move |method, params| {
        if method != "eth_sendRawTransaction" || counter.fetch_add(1, Ordering::SeqCst) >= 3 {
            return Fate::Pass;
        }
        let raw: alloy_primitives::Bytes = serde_json::from_value(params[0].clone()).unwrap();
        Fate::Answer(json!(keccak256(&raw)))
    })
    .await;
    let config = TxManagerConfig {
        resend_after: Duration::from_secs(60),
        ..hasty()
    };
    let manager = TransactionManager::new(client(&proxy.url), key(0), config);
    let slot = manager.settle().await.unwrap();
    let (outcome, attempts) = send_all(&manager, slot, transfer(1)).await;
    assert!(outcome.unwrap().status());
    assert_eq!(attempts.len(), 1);
    assert_eq!(anvil.balance(recipient(1)).await, U256::from(1));
}

/// L1 goes away while a transaction waits, and comes back.
#[tokio::test]
async fn an_l1_that_is_away_for_a_while_is_waited_for() {
    let Some(anvil) = Anvil::start(&["--no-mining"]).await else {
        return;
    };
    let away = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&away);
    let failed = Arc::new(AtomicUsize::new(0));
    let failures = Arc::clone(&failed);
    let proxy = RpcProxy::start(&anvil.url, move |_, _| {
        if seen.load(Ordering::SeqCst) == 0 {
            return Fate::Pass;
        }
        failures.fetch_add(1, Ordering::SeqCst);
        Fate::Body(String::new())
    })
    .await;
    let manager = TransactionManager::new(client(&proxy.url), key(0), hasty());
    let slot = manager.settle().await.unwrap();
    let mut sending = start(&manager, slot, transfer(1));
    sending.attempts.recv().await.unwrap();
    away.store(1, Ordering::SeqCst);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while failed.load(Ordering::SeqCst) < 30 {
        assert!(tokio::time::Instant::now() < deadline);
        assert!(!sending.outcome.is_finished());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    away.store(0, Ordering::SeqCst);
    let receipt = anvil
        .mine_until(&mut sending.outcome)
        .await
        .unwrap()
        .unwrap();
    assert!(receipt.status());
    // Before anything was sent, the caller is told instead.
    away.store(1, Ordering::SeqCst);
    let (outcome, attempts) = send_all(&manager, slot, transfer(2)).await;
    assert!(matches!(outcome, Err(SendError::L1(_))), "{outcome:?}");
    assert_eq!(attempts, []);
}
