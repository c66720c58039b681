//! The bridge against a real L1 that is slow, forgets, or goes away.
#![allow(missing_docs)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::sync::Arc;

use alloy_primitives::{Address, U256};
use common::{
    Anvil, GENESIS_TIMESTAMP, TestChain, deposit_eth, derivation, derive_all, origin_source,
    policy, poster, retry, submit_all,
};
use tokio::{sync::mpsc, task::JoinHandle};
use weft_batcher::{BatchPoster, EventSink, PostError, Submitter, SubmitterEvent};
use weft_l1_bridge::{DerivationError, L1Error, OriginError, ResumePoint};

/// A submitter that dies after it has sent a batch: its successor waits for the pending transaction
/// and goes on behind it.
#[tokio::test]
async fn a_pending_batch_is_not_posted_twice() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    let chain = TestChain::new(6);
    let info = anvil.deploy(&chain).await;
    chain.extend(None, 1);
    anvil
        .rpc("evm_setAutomine", serde_json::json!([false]))
        .await;

    let start = || -> (JoinHandle<_>, mpsc::Receiver<SubmitterEvent>, _) {
        let (events, received) = mpsc::channel(16);
        let submitter = Submitter::new(
            Arc::clone(&chain),
            poster(&anvil, &info),
            policy(1),
            retry(),
            EventSink::new(events),
        );
        let status = submitter.status();
        (tokio::spawn(submitter.run()), received, status)
    };
    let (first, mut events, _) = start();
    let Some(SubmitterEvent::Attempt { tx_hash, .. }) = events.recv().await else {
        panic!("expected an attempt");
    };
    first.abort();
    let _ = first.await;

    chain.extend(None, 1);
    let (second, mut events, mut status) = start();
    // The pending transaction holds it back until it is mined; then only block 2 is left.
    anvil.mine(1).await;
    anvil
        .rpc("evm_setAutomine", serde_json::json!([true]))
        .await;
    status
        .wait_for(|status| status.last_batch.is_some_and(|last| last.last_block == 2))
        .await
        .unwrap();
    let Some(SubmitterEvent::Attempt { header, .. }) = events.recv().await else {
        panic!("expected an attempt");
    };
    assert_eq!((header.first_block, header.last_block), (2, 2));
    let Some(SubmitterEvent::Included { posted, .. }) = events.recv().await else {
        panic!("expected the inclusion");
    };
    assert!(posted.gas_used > 21_000);
    second.abort();
    let mut derivation = derivation(
        anvil.client(),
        &info,
        ResumePoint::start(&info, GENESIS_TIMESTAMP),
    );
    let batches = derive_all(&mut derivation).await;
    assert_eq!(batches.len(), 2);
    assert_eq!(batches[0].posted.tx_hash, tx_hash);
    assert_eq!(batches[1].posted.tx_hash, posted.tx_hash);
    assert_eq!(batches[1].posted.l1_block, posted.l1_block);
}

/// The chain stops taking in deposits when L1 has forgotten its origin; a node that hides or invents
/// deposits is found out by the contract's count.
#[tokio::test]
async fn reorganised_and_incomplete_l1_is_noticed() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    let chain = TestChain::new(7);
    let info = anvil.deploy(&chain).await;
    anvil.mine(3).await;
    let client = anvil.client();
    let mut origins = origin_source(client.clone(), &info, u64::MAX);
    let sender = anvil.sender(0);
    deposit_eth(&sender, info.contract, Address::ZERO, U256::from(1))
        .await
        .unwrap();
    assert!(matches!(
        origins.newest(None, 1).await,
        Err(OriginError::L1(L1Error::Answer { .. }))
    ));
    let advance = origins.newest(None, 0).await.unwrap().unwrap();
    let origin = advance.origin;
    assert_eq!(advance.deposits.len(), 1);

    chain.extend(None, 0);
    submit_all(&anvil, &info, &chain, 1).await;
    let start = ResumePoint::start(&info, GENESIS_TIMESTAMP);
    let mut derivation = derivation(client, &info, start);
    assert_eq!(derive_all(&mut derivation).await.len(), 1);

    anvil.rpc("anvil_reorg", serde_json::json!([2, []])).await;
    anvil.mine(1).await;
    match origins.newest(Some(origin), 1).await {
        Err(OriginError::Reorg {
            number, expected, ..
        }) => assert_eq!((number, expected), (origin.number, origin.hash)),
        other => panic!("expected a reorganisation, found {other:?}"),
    }
    assert!(matches!(
        derivation.next_batch().await,
        Err(DerivationError::Reorg { .. })
    ));
}

#[tokio::test]
async fn an_l1_that_goes_down_is_waited_for() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    let chain = TestChain::new(8);
    let info = anvil.deploy(&chain).await;
    let client = anvil.client();
    let poster = poster(&anvil, &info);
    anvil.stop().await;

    let start = ResumePoint::start(&info, GENESIS_TIMESTAMP);
    let error = derivation(client.clone(), &info, start)
        .next_batch()
        .await
        .unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert!(matches!(
        origin_source(client, &info, 1).newest(None, 0).await,
        Err(OriginError::L1(L1Error::NoAnswer { .. }))
    ));
    assert!(matches!(
        poster.last_batch().await,
        Err(PostError::Retry(_))
    ));
    let submitter = Submitter::new(chain, poster, policy(1), retry(), EventSink::default());
    let mut status = submitter.status();
    let failing = status.wait_for(|status| status.failures >= 3);
    tokio::select! {
        error = submitter.run() => panic!("gave up: {error:?}"),
        status = failing => assert!(status.unwrap().last_error.is_some()),
    }
}
