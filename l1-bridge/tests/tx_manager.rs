//! The transaction manager against a real L1: what it sends, replaces, adopts and waits for.
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
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use alloy_primitives::{TxKind, U256};
use common::{
    Anvil, key,
    rpc_proxy::{Fate, RpcProxy},
    transactions::{ensure_paid, hasty, recipient, send_all, start, transfer},
};
use serde_json::json;
use tokio::sync::Notify;
use weft_l1_bridge::{
    L1Client, L1ClientConfig, Payload, SendError, SentTransaction, TransactionManager,
    TxManagerConfig,
};

fn client(url: &str) -> L1Client {
    L1Client::new(url, L1ClientConfig::default()).unwrap()
}

/// Like a pool's rule for transactions without blobs, with the eighth that the manager adds.
fn outbids(new: &SentTransaction, old: &SentTransaction) -> bool {
    new.nonce == old.nonce
        && new.max_fee_per_gas * 8 >= old.max_fee_per_gas * 9
        && new.max_priority_fee_per_gas * 8 >= old.max_priority_fee_per_gas * 9
}

/// A transaction that nobody mines is replaced by one that pays more, also one that another process
/// left; in the end the caller is told.
#[tokio::test]
async fn stuck_transactions_are_replaced_and_reported() {
    let Some(anvil) = Anvil::start(&["--no-mining"]).await else {
        return;
    };
    let config = TxManagerConfig {
        stuck_after: Duration::from_millis(100),
        ..hasty()
    };
    let manager = TransactionManager::new(anvil.client(), key(0), config);
    let slot = manager.settle().await.unwrap();
    let mut status = manager.status();
    let mut sending = start(&manager, slot, transfer(1));
    let one = sending.attempts.recv().await.unwrap();
    let two = sending.attempts.recv().await.unwrap();
    assert!(outbids(&two, &one), "{one:?} {two:?}");
    let alarm = status
        .wait_for(|status| status.alarm.is_some())
        .await
        .unwrap()
        .alarm
        .unwrap();
    assert_eq!(alarm.kind(), "stuck", "{alarm}");
    drop(sending);
    status
        .wait_for(|status| *status == Default::default())
        .await
        .unwrap();

    let impatient = TxManagerConfig {
        give_up_after: Some(Duration::from_millis(500)),
        ..config
    };
    let successor = TransactionManager::new(anvil.client(), key(0), impatient);
    let slot = successor.settle().await.unwrap();
    let (stuck, theirs) = send_all(&successor, slot, transfer(2)).await;
    assert!(outbids(&theirs[0], &two), "{two:?} {:?}", theirs[0]);
    assert!(
        matches!(stuck, Err(SendError::Stuck { nonce: 0, .. })),
        "{stuck:?}"
    );

    anvil.mine(1).await;
    let (late, _) = send_all(&manager, slot, transfer(1)).await;
    assert!(matches!(late, Err(SendError::NonceTaken { nonce: 0, .. })));
    assert_eq!(anvil.balance(recipient(1)).await, U256::ZERO);
    assert_eq!(anvil.balance(recipient(2)).await, U256::from(1));
}

/// The base fee rises a hundredfold while a transaction waits: it is replaced by one that pays it.
#[tokio::test]
async fn a_base_fee_that_rises_is_followed() {
    let Some(anvil) = Anvil::start(&["--no-mining"]).await else {
        return;
    };
    let manager = TransactionManager::new(anvil.client(), key(0), hasty());
    let slot = manager.settle().await.unwrap();
    let mut sending = start(&manager, slot, transfer(1));
    let first = sending.attempts.recv().await.unwrap();
    let high = first.max_fee_per_gas * 100;
    anvil
        .rpc(
            "anvil_setNextBlockBaseFeePerGas",
            json!([format!("{high:#x}")]),
        )
        .await;
    anvil.mine(1).await;
    assert_eq!(anvil.nonce(key(0).address()).await, 0);
    // The last attempt before the rise may still be on its way here.
    let second = loop {
        let attempt = sending.attempts.recv().await.unwrap();
        if attempt.max_fee_per_gas >= high {
            break attempt;
        }
    };
    assert!(outbids(&second, &first));
    let receipt = anvil
        .mine_until(&mut sending.outcome)
        .await
        .unwrap()
        .unwrap();
    assert!(receipt.status());
    assert_eq!(anvil.balance(recipient(1)).await, U256::from(1));
}

/// Beyond its cap the manager says so and waits, without asking L1 to take anything; it goes on when
/// fees fall, and a successor with a higher cap does at once.
#[tokio::test]
async fn caps_are_kept_and_reported() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    let offers = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&offers);
    let proxy = RpcProxy::start(&anvil.url, move |method, _| {
        if method == "eth_sendRawTransaction" {
            counter.fetch_add(1, Ordering::SeqCst);
        }
        Fate::Pass
    })
    .await;
    let set_base_fee = async |wei: u64| {
        anvil
            .rpc(
                "anvil_setNextBlockBaseFeePerGas",
                json!([format!("{wei:#x}")]),
            )
            .await;
        anvil.mine(1).await;
    };
    let capped = |cap| {
        let mut config = hasty();
        config.fee_caps.max_fee_per_gas = cap;
        TransactionManager::new(client(&proxy.url), key(0), config)
    };
    let alarm = async |manager: &TransactionManager| {
        let mut status = manager.status();
        let seen =
            status.wait_for(|status| status.alarm.is_some_and(|alarm| alarm.kind() == "fee_cap"));
        tokio::time::timeout(Duration::from_secs(10), seen)
            .await
            .expect("an alarm")
            .unwrap();
    };

    set_base_fee(50_000_000_000).await;
    let manager = capped(20_000_000_000);
    let slot = manager.settle().await.unwrap();
    let mut sending = start(&manager, slot, transfer(1));
    alarm(&manager).await;
    assert_eq!(offers.load(Ordering::SeqCst), 0);
    set_base_fee(5_000_000_000).await;
    let receipt = (&mut sending.outcome).await.unwrap().unwrap();
    assert!(receipt.status());
    assert!(receipt.effective_gas_price <= 20_000_000_000);

    // Raised: what waits is taken over.
    set_base_fee(5_000_000_000).await;
    anvil.automine(false).await;
    let slot = manager.settle().await.unwrap();
    let mut sending = start(&manager, slot, transfer(2));
    sending.attempts.recv().await.unwrap();
    set_base_fee(50_000_000_000).await;
    if anvil.balance(recipient(2)).await == U256::ZERO {
        alarm(&manager).await;
        drop(sending);
        let richer = capped(400_000_000_000);
        let slot = richer.settle().await.unwrap();
        let mut sending = start(&richer, slot, transfer(2));
        anvil
            .mine_until(&mut sending.outcome)
            .await
            .unwrap()
            .unwrap();
    }
    assert_eq!(anvil.balance(recipient(2)).await, U256::from(1));
}

/// The manager is dropped after each of its requests to L1 in turn, and another one starts: one
/// transaction of the content is included, never none or two.
#[tokio::test]
async fn a_restart_at_any_step_sends_once() {
    for automine in [true, false] {
        let arguments: &[&str] = if automine { &[] } else { &["--no-mining"] };
        let Some(anvil) = Anvil::start(arguments).await else {
            return;
        };
        let mut steps = 0;
        for dies_after in 1.. {
            let seed = dies_after as u64;
            let reached = Arc::new(Notify::new());
            let requests = Arc::new(AtomicUsize::new(0));
            let (signal, counter) = (Arc::clone(&reached), Arc::clone(&requests));
            let proxy = RpcProxy::start(&anvil.url, move |_, _| {
                let count = counter.fetch_add(1, Ordering::SeqCst) + 1;
                if count >= dies_after {
                    signal.notify_one();
                }
                if count > dies_after {
                    return Fate::LoseAnswer;
                }
                Fate::Pass
            })
            .await;
            let before = anvil.nonce(key(0).address()).await;
            let payload = transfer(seed);
            let first = TransactionManager::new(client(&proxy.url), key(0), hasty());
            let l1 = anvil.client();
            let finished = {
                let life = ensure_paid(&first, &l1, &payload);
                let life = async {
                    if automine {
                        life.await
                    } else {
                        anvil.mine_until(life).await
                    }
                };
                tokio::select! {
                    outcome = life => { outcome.unwrap(); true }
                    () = reached.notified() => false,
                }
            };
            let second = TransactionManager::new(anvil.client(), key(0), hasty());
            let life = ensure_paid(&second, &l1, &payload);
            if automine {
                life.await.unwrap();
            } else {
                anvil.mine_until(life).await.unwrap();
            }
            second.settle().await.unwrap();
            assert_eq!(
                anvil.balance(recipient(seed)).await,
                U256::from(1),
                "died after request {dies_after}"
            );
            assert_eq!(anvil.nonce(key(0).address()).await, before + 1);
            if finished {
                break;
            }
            steps = dies_after;
            assert!(dies_after < 200);
        }
        eprintln!("automine {automine}: died at each of {steps} steps");
        assert!(steps >= 8, "{steps}");
    }
}

/// Two managers with one key and one intention: each round, one of them gets it done.
#[tokio::test]
async fn two_managers_with_one_key_send_once() {
    let Some(anvil) = Anvil::start(&["--no-mining"]).await else {
        return;
    };
    let l1 = anvil.client();
    // Different fees, so that their transactions differ.
    let proxy = RpcProxy::start(&anvil.url, |method, _| match method {
        "eth_maxPriorityFeePerGas" => Fate::Answer(json!("0x77359400")),
        _ => Fate::Pass,
    })
    .await;
    let one = TransactionManager::new(anvil.client(), key(0), hasty());
    let two = TransactionManager::new(client(&proxy.url), key(0), hasty());
    let account = key(0).address();
    for seed in 0..10 {
        let payload = transfer(seed);
        let before = anvil.nonce(account).await;
        let until_paid = async |manager: &TransactionManager| {
            loop {
                match ensure_paid(manager, &l1, &payload).await {
                    Ok(_) => return,
                    Err(error @ (SendError::NonceTaken { .. } | SendError::NonceBehind { .. })) => {
                        eprintln!("{seed}: {error}");
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        };
        anvil
            .mine_until(async { tokio::join!(until_paid(&one), until_paid(&two)) })
            .await;
        assert_eq!(anvil.balance(recipient(seed)).await, U256::from(1));
        assert_eq!(anvil.nonce(account).await, before + 1);
    }
}

/// L1 drops the block that held the transaction: the same transaction is in a later block.
#[tokio::test]
async fn a_reorganised_transaction_is_sent_again() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    anvil.mine(5).await;
    let config = TxManagerConfig {
        confirmations: 3,
        resend_after: Duration::from_secs(30),
        ..hasty()
    };
    let manager = TransactionManager::new(anvil.client(), key(0), config);
    let slot = manager.settle().await.unwrap();
    let mut sending = start(&manager, slot, transfer(1));
    let first = sending.attempts.recv().await.unwrap();
    anvil.mine(1).await;
    assert_eq!(anvil.balance(recipient(1)).await, U256::from(1));
    anvil.automine(false).await;
    anvil.rpc("anvil_reorg", json!([2, []])).await;
    assert_eq!(anvil.balance(recipient(1)).await, U256::ZERO);
    anvil.rpc("anvil_dropAllTransactions", json!([])).await;
    let receipt = anvil
        .mine_until(&mut sending.outcome)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(receipt.transaction_hash, first.tx_hash);
    assert!(sending.attempts.try_recv().is_err());
    let head = anvil.client().block_number().await.unwrap();
    assert!(head >= receipt.block_number.unwrap() + 2);
    assert_eq!(anvil.balance(recipient(1)).await, U256::from(1));
}

/// What reverts is not sent; what reverts in a block all the same is an error.
#[tokio::test]
async fn reverts_are_told_before_and_after() {
    let Some(anvil) = Anvil::start(&["--no-mining"]).await else {
        return;
    };
    let manager = TransactionManager::new(anvil.client(), key(0), hasty());
    let reverting = json!([recipient(9), "0x5f5ffd"]);
    let slot = manager.settle().await.unwrap();
    let mut sending = start(&manager, slot, transfer(9));
    sending.attempts.recv().await.unwrap();
    anvil.rpc("anvil_setCode", reverting).await;
    let outcome = anvil.mine_until(&mut sending.outcome).await.unwrap();
    assert!(
        matches!(outcome, Err(SendError::Reverted { .. })),
        "{outcome:?}"
    );
    let (outcome, attempts) =
        send_all(&manager, manager.settle().await.unwrap(), transfer(9)).await;
    assert!(
        matches!(outcome, Err(SendError::WouldRevert(_))),
        "{outcome:?}"
    );
    assert_eq!(attempts, []);
    // No money: L1 refuses, and the caller is told at once.
    let poor = TransactionManager::new(
        anvil.client(),
        alloy_signer_local::PrivateKeySigner::random(),
        hasty(),
    );
    let payload = Payload::plain(
        TxKind::Call(recipient(3)),
        U256::from(1),
        Default::default(),
    );
    let (outcome, _) = send_all(&poor, poor.settle().await.unwrap(), payload).await;
    assert!(matches!(outcome, Err(SendError::L1(_))), "{outcome:?}");
}

/// A node that shows nothing of its pool: what holds the nonce is outbid step by step, and the same
/// content is included once.
#[tokio::test]
async fn a_pool_that_is_not_shown_is_outbid() {
    let Some(anvil) = Anvil::start(&["--no-mining"]).await else {
        return;
    };
    let proxy = RpcProxy::start(&anvil.url, |method, params| match method {
        "txpool_contentFrom" => Fate::Refuse("the method does not exist"),
        "eth_getBlockByNumber" if params[0] == "pending" => Fate::Answer(json!(null)),
        _ => Fate::Pass,
    })
    .await;
    let first = TransactionManager::new(client(&proxy.url), key(0), hasty());
    let slot = first.settle().await.unwrap();
    let mut sending = start(&first, slot, transfer(1));
    let mut last = sending.attempts.recv().await.unwrap();
    for _ in 0..5 {
        last = sending.attempts.recv().await.unwrap();
    }
    drop(sending);
    for seed in [1, 2] {
        let successor = TransactionManager::new(client(&proxy.url), key(0), hasty());
        let slot = successor.settle().await.unwrap();
        let mut sending = start(&successor, slot, transfer(seed));
        let next = sending.attempts.recv().await.unwrap();
        // The same content, raised from the same fees, may be the same transaction.
        let is_same = seed == 1 && next == last;
        assert!(is_same || outbids(&next, &last), "{last:?} {next:?}");
        last = next;
    }
    anvil.mine(1).await;
    assert_eq!(anvil.nonce(key(0).address()).await, 1);
    assert_eq!(anvil.balance(recipient(1)).await, U256::ZERO);
    assert_eq!(anvil.balance(recipient(2)).await, U256::from(1));
}

/// The content is pending behind a nonce that nobody uses, as after a reorganisation: the gap is
/// filled, and the content is not sent a second time.
#[tokio::test]
async fn a_gap_below_the_content_is_filled() {
    let Some(anvil) = Anvil::start(&["--no-mining"]).await else {
        return;
    };
    let ahead = RpcProxy::start(&anvil.url, |method, _| match method {
        "eth_getTransactionCount" => Fate::Answer(json!("0x1")),
        _ => Fate::Pass,
    })
    .await;
    let first = TransactionManager::new(client(&ahead.url), key(0), hasty());
    let mut sending = start(&first, first.settle().await.unwrap(), transfer(1));
    let queued = sending.attempts.recv().await.unwrap();
    assert_eq!(queued.nonce, 1);
    drop(sending);

    let manager = TransactionManager::new(anvil.client(), key(0), hasty());
    let slot = manager.settle().await.unwrap();
    assert_eq!(slot.nonce(), 0);
    let mut sending = start(&manager, slot, transfer(1));
    let receipt = anvil
        .mine_until(&mut sending.outcome)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(sending.attempts.recv().await.unwrap(), queued);
    assert!(receipt.status());
    assert_eq!(anvil.nonce(key(0).address()).await, 2);
    assert_eq!(anvil.balance(recipient(1)).await, U256::from(1));
}
