//! The transaction manager against a real L1: what it sends, replaces, adopts and cancels.
#![allow(missing_docs)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::{future, time::Duration};

use alloy_primitives::{Address, U256};
use common::{Anvil, key, manager_config};
use tokio::sync::mpsc;
use weft_l1_bridge::{Payload, SendError, SentTransaction, TransactionManager, TxManagerConfig};

fn transfer(wei: u64) -> Payload {
    Payload::plain(
        Address::repeat_byte(5).into(),
        U256::from(wei),
        Default::default(),
    )
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
        resend_after: Duration::from_millis(60),
        ..manager_config()
    };
    let manager = TransactionManager::new(anvil.client(), key(0), config);
    let slot = manager.settle().await.unwrap();
    let (attempts, mut sent) = mpsc::unbounded_channel();
    let first = tokio::spawn({
        let manager = manager.clone();
        async move {
            manager
                .send_in(slot, transfer(1), |sent| {
                    attempts.send(sent).unwrap();
                    future::ready(())
                })
                .await
        }
    });
    let one = sent.recv().await.unwrap();
    let two = sent.recv().await.unwrap();
    assert!(outbids(&two, &one), "{one:?} {two:?}");
    first.abort();
    let _ = first.await;

    let impatient = TxManagerConfig {
        give_up_after: Some(Duration::from_millis(500)),
        ..config
    };
    let successor = TransactionManager::new(anvil.client(), key(0), impatient);
    let mut theirs = Vec::new();
    let slot = successor.settle().await.unwrap();
    let stuck = successor
        .send_in(slot, transfer(2), |sent| {
            theirs.push(sent);
            future::ready(())
        })
        .await
        .unwrap_err();
    assert!(outbids(&theirs[0], &two), "{two:?} {:?}", theirs[0]);
    assert!(
        matches!(stuck, SendError::Stuck { nonce: 0, .. }),
        "{stuck}"
    );

    anvil.mine(1).await;
    let late = manager
        .send_in(slot, transfer(1), |_| future::ready(()))
        .await;
    assert!(matches!(late, Err(SendError::NonceTaken { nonce: 0, .. })));
}
