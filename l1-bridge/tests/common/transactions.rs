//! What tests of the transaction manager share.

use std::{future, sync::Arc, time::Duration};

use alloy_eips::{
    BlockNumberOrTag,
    eip4844::{Blob, Bytes48},
};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rpc_types_eth::TransactionReceipt;
use c_kzg::ethereum_kzg_settings;
use serde_json::json;
use tokio::sync::mpsc;
use weft_l1_bridge::{
    BlobPayload, L1Client, Payload, SendError, SentTransaction, Slot, TransactionManager,
    TxManagerConfig,
};

use super::Anvil;

/// Quick enough for tests.
pub(crate) fn hasty() -> TxManagerConfig {
    TxManagerConfig {
        poll_interval: Duration::from_millis(20),
        resend_after: Duration::from_millis(300),
        stuck_after: Duration::from_secs(60),
        give_up_after: Some(Duration::from_secs(60)),
        ..TxManagerConfig::default()
    }
}

/// An account that nobody has used, whose balance tells what was included.
pub(crate) fn recipient(seed: u64) -> Address {
    Address::from_word(keccak256(seed.to_be_bytes()))
}

pub(crate) fn transfer(seed: u64) -> Payload {
    Payload::plain(recipient(seed).into(), U256::from(1), Bytes::new())
}

/// A transfer that carries blobs.
pub(crate) fn blob_transfer(seed: u64, count: usize) -> Payload {
    let blobs: Vec<Blob> = (0..count)
        .map(|index| {
            let mut blob = Blob::ZERO;
            for (field, chunk) in blob.0.chunks_exact_mut(32).enumerate().take(40) {
                let word = keccak256((seed, index as u64, field as u64).to_words());
                chunk[1..].copy_from_slice(&word[1..]);
            }
            blob
        })
        .collect();
    let commitments = blobs
        .iter()
        .map(|blob| {
            let blob = c_kzg::Blob::new(blob.0);
            let commitment = ethereum_kzg_settings(0)
                .blob_to_kzg_commitment(&blob)
                .unwrap();
            Bytes48::from(*commitment.to_bytes())
        })
        .collect();
    Payload {
        blobs: Some(Arc::new(BlobPayload::new(blobs, commitments).unwrap())),
        ..transfer(seed)
    }
}

trait Words {
    fn to_words(&self) -> Vec<u8>;
}

impl Words for (u64, u64, u64) {
    fn to_words(&self) -> Vec<u8> {
        [self.0, self.1, self.2]
            .iter()
            .flat_map(|number| number.to_be_bytes())
            .collect()
    }
}

/// Sends a payload and collects its attempts.
pub(crate) async fn send_all(
    manager: &TransactionManager,
    slot: Slot,
    payload: Payload,
) -> (Result<TransactionReceipt, SendError>, Vec<SentTransaction>) {
    let mut attempts = Vec::new();
    let outcome = manager
        .send_in(slot, payload, |sent| {
            attempts.push(sent);
            future::ready(())
        })
        .await;
    (outcome, attempts)
}

/// A send that runs on its own, and its attempts as they are made.
pub(crate) struct Sending {
    pub(crate) attempts: mpsc::UnboundedReceiver<SentTransaction>,
    pub(crate) outcome: tokio::task::JoinHandle<Result<TransactionReceipt, SendError>>,
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.outcome.abort();
    }
}

pub(crate) fn start(manager: &TransactionManager, slot: Slot, payload: Payload) -> Sending {
    let (sender, attempts) = mpsc::unbounded_channel();
    let manager = manager.clone();
    let outcome = tokio::spawn(async move {
        manager
            .send_in(slot, payload, |sent| {
                let _ = sender.send(sent);
                future::ready(())
            })
            .await
    });
    Sending { attempts, outcome }
}

impl Anvil {
    pub(crate) async fn balance(&self, account: Address) -> U256 {
        let balance = self.rpc("eth_getBalance", json!([account, "latest"])).await;
        serde_json::from_value(balance).unwrap()
    }

    pub(crate) async fn nonce(&self, account: Address) -> u64 {
        self.client()
            .nonce(account, BlockNumberOrTag::Latest)
            .await
            .unwrap()
    }

    pub(crate) async fn automine(&self, on: bool) {
        self.rpc("evm_setAutomine", json!([on])).await;
    }

    /// The transaction as the L1 has it.
    pub(crate) async fn transaction(&self, hash: B256) -> serde_json::Value {
        self.rpc("eth_getTransactionByHash", json!([hash])).await
    }

    /// Mines until the task is done.
    pub(crate) async fn mine_until<T>(&self, task: impl Future<Output = T>) -> T {
        let mining = async {
            loop {
                self.mine(1).await;
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        };
        tokio::select! {
            done = tokio::time::timeout(Duration::from_secs(60), task) => done.expect("in time"),
            never = mining => never,
        }
    }
}

/// A caller as the manager wants it: reads L1 after it has taken a slot, and sends only what is not
/// there yet.
pub(crate) async fn ensure_paid(
    manager: &TransactionManager,
    l1: &L1Client,
    payload: &Payload,
) -> Result<Option<TransactionReceipt>, SendError> {
    let slot = manager.settle().await?;
    let to = *payload.to.to().unwrap();
    let balance: U256 = l1
        .request("eth_getBalance", (to, BlockNumberOrTag::Latest))
        .await?;
    if balance > U256::ZERO {
        return Ok(None);
    }
    let sent = manager
        .send_in(slot, payload.clone(), |_| future::ready(()))
        .await;
    sent.map(Some)
}
