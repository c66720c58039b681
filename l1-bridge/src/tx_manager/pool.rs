//! What of an account is pending, as far as an L1 node says.

use std::collections::BTreeMap;

use alloy_consensus::{Transaction as _, TxEnvelope, transaction::SignerRecoverable};
use alloy_eips::BlockNumberOrTag;
use alloy_primitives::Address;
use alloy_rpc_types_eth::Transaction;
use serde::Deserialize;
use serde_json::Value;

use crate::{L1Client, L1Error};

/// Pending transactions of one account, by nonce.
#[derive(Debug, Default)]
pub(super) struct Pending {
    by_nonce: BTreeMap<u64, TxEnvelope>,
    /// Next nonce behind all that is pending.
    next_nonce: u64,
}

/// Who holds a nonce of the account.
#[derive(Debug)]
pub(super) enum Holder<'a> {
    /// Nobody, as far as the node knows.
    Nobody,
    /// This transaction.
    Transaction(&'a TxEnvelope),
    /// A transaction that the node does not show.
    Hidden,
}

/// What a pool holds of one account, by nonce.
#[derive(Debug, Deserialize)]
struct Content {
    #[serde(default)]
    pending: BTreeMap<String, Value>,
    #[serde(default)]
    queued: BTreeMap<String, Value>,
}

/// What a pool holds, by account and nonce.
#[derive(Debug, Deserialize)]
struct WholeContent {
    #[serde(default)]
    pending: BTreeMap<Address, BTreeMap<String, Value>>,
    #[serde(default)]
    queued: BTreeMap<Address, BTreeMap<String, Value>>,
}

/// JSON-RPC error code of a method that does not exist.
const METHOD_NOT_FOUND: i64 = -32601;

/// What the pool holds of the account; `None` where the node does not say. Nodes for development know
/// the method for the whole pool alone, and theirs are small.
async fn content(client: &L1Client, account: Address) -> Option<Content> {
    match client.request("txpool_contentFrom", (account,)).await {
        Ok(content) => Some(content),
        Err(L1Error::Refused {
            code: METHOD_NOT_FOUND,
            ..
        }) => {
            let mut whole: WholeContent = client.request("txpool_content", ()).await.ok()?;
            Some(Content {
                pending: whole.pending.remove(&account).unwrap_or_default(),
                queued: whole.queued.remove(&account).unwrap_or_default(),
            })
        }
        Err(_) => None,
    }
}

#[derive(Debug, Deserialize)]
struct PendingBlock {
    #[serde(default)]
    transactions: Vec<Value>,
}

impl Pending {
    /// Asks for everything that is pending from nonce `next` on, the next one to be used in a block.
    /// Only the nonce is certain: go-ethereum's pool does not
    /// list blob transactions, many hosted nodes do not list anything.
    pub(super) async fn read(
        client: &L1Client,
        account: Address,
        next: u64,
    ) -> Result<Self, L1Error> {
        let mut pending = Self {
            next_nonce: client.nonce(account, BlockNumberOrTag::Pending).await?,
            ..Self::default()
        };
        if let Some(shown) = content(client, account).await {
            pending.add(
                account,
                shown
                    .pending
                    .into_values()
                    .chain(shown.queued.into_values()),
            );
        }
        if pending.by_nonce.is_empty() && pending.next_nonce > next {
            let block: Result<Option<PendingBlock>, _> = client
                .request("eth_getBlockByNumber", (BlockNumberOrTag::Pending, true))
                .await;
            if let Ok(Some(block)) = block {
                pending.add(account, block.transactions);
            }
        }
        Ok(pending)
    }

    /// Takes in what is really a transaction that the account signed, whatever the node claims.
    fn add(&mut self, account: Address, shown: impl IntoIterator<Item = Value>) {
        for value in shown {
            let Ok(shown) = serde_json::from_value::<Transaction>(value) else {
                continue;
            };
            // The hash as it was shown is not taken over.
            let transaction = rehashed(shown.inner.into_inner());
            if transaction.recover_signer().ok() == Some(account) {
                self.by_nonce.insert(transaction.nonce(), transaction);
            }
        }
    }

    /// Who holds this nonce, which is not used in a block.
    pub(super) fn holder(&self, nonce: u64) -> Holder<'_> {
        match self.by_nonce.get(&nonce) {
            Some(transaction) => Holder::Transaction(transaction),
            None if nonce < self.next_nonce => Holder::Hidden,
            None => Holder::Nobody,
        }
    }

    /// The transaction for which `wanted` holds, at this nonce or a later one.
    pub(super) fn find(
        &self,
        from: u64,
        wanted: impl Fn(&TxEnvelope) -> bool,
    ) -> Option<&TxEnvelope> {
        self.by_nonce
            .range(from..)
            .map(|(_, transaction)| transaction)
            .find(|transaction| wanted(transaction))
    }
}

fn rehashed(transaction: TxEnvelope) -> TxEnvelope {
    let signature = *transaction.signature();
    TxEnvelope::new_unhashed(transaction.into(), signature)
}
