//! Signed transfers in number.

use std::time::Duration;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use eyre::bail;
use serde_json::{Value, json};

use crate::{rpc::Rpc, wait::until, weft::Account};

/// Chain id of `weft dev`'s L2.
pub const L2_CHAIN_ID: u64 = 31338;

/// Highest price that test transactions pay, in wei per gas.
const MAX_FEE: u128 = 20_000_000_000;

/// Their tip, in wei per gas.
pub const TIP: u128 = 1_000_000_000;

/// Requests in one HTTP request.
const BATCH: usize = 100;

/// One account's key and next nonce.
#[derive(Debug, Clone)]
pub struct Sender {
    signer: PrivateKeySigner,
    chain_id: u64,
    /// Nonce of the next transaction.
    pub nonce: u64,
}

/// A signed transaction.
#[derive(Debug, Clone)]
pub struct Signed {
    /// Its hash.
    pub hash: B256,
    /// Its EIP-2718 encoding.
    pub raw: Bytes,
}

impl Sender {
    /// A sender that goes on at the account's nonce in the latest block.
    ///
    /// # Errors
    /// When the nonce cannot be read.
    pub async fn new(account: &Account, chain_id: u64, rpc: &Rpc) -> eyre::Result<Self> {
        let signer = PrivateKeySigner::from_bytes(&account.private_key)?;
        let nonce = rpc.nonce(signer.address()).await?;
        Ok(Self {
            signer,
            chain_id,
            nonce,
        })
    }

    /// Its address.
    pub fn address(&self) -> Address {
        self.signer.address()
    }

    /// Signs the next transaction.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn sign(
        &mut self,
        to: TxKind,
        value: U256,
        input: Bytes,
        gas_limit: u64,
    ) -> eyre::Result<Signed> {
        let transaction = TxEip1559 {
            chain_id: self.chain_id,
            nonce: self.nonce,
            gas_limit,
            max_fee_per_gas: MAX_FEE,
            max_priority_fee_per_gas: TIP,
            to,
            value,
            access_list: Default::default(),
            input,
        };
        let signature = self.signer.sign_hash_sync(&transaction.signature_hash())?;
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        self.nonce += 1;
        Ok(Signed {
            hash: *envelope.tx_hash(),
            raw: envelope.encoded_2718().into(),
        })
    }

    /// Signs the next transaction as a plain transfer.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn transfer(&mut self, to: Address, value: U256) -> eyre::Result<Signed> {
        self.sign(to.into(), value, Bytes::new(), 21_000)
    }
}

/// Signs `count` transfers of one wei to an account that nobody uses.
///
/// # Errors
/// When the key cannot sign.
pub fn transfers(sender: &mut Sender, count: usize) -> eyre::Result<Vec<Signed>> {
    let to = sink(sender.address());
    (0..count)
        .map(|_| sender.transfer(to, U256::from(1)))
        .collect()
}

/// Where [`transfers`] go.
pub fn sink(sender: Address) -> Address {
    Address::from_word(alloy_primitives::keccak256(sender))
}

/// Sends transactions in JSON-RPC batches; each must be taken and answered with its own hash.
///
/// # Errors
/// When one is refused.
pub async fn send_all(rpc: &Rpc, transactions: &[Signed]) -> eyre::Result<()> {
    for chunk in transactions.chunks(BATCH) {
        let params = chunk.iter().map(|signed| json!([signed.raw])).collect();
        let hashes: Vec<B256> = rpc.batch("eth_sendRawTransaction", params).await?;
        for (signed, hash) in chunk.iter().zip(hashes) {
            if signed.hash != hash {
                bail!(
                    "eth_sendRawTransaction: expected {}, found {hash}",
                    signed.hash
                );
            }
        }
    }
    Ok(())
}

/// Waits until every transaction has a receipt that says success, and returns the receipts in the
/// same order.
///
/// # Errors
/// When one failed, or has no receipt within `limit`.
pub async fn all_included(
    rpc: &Rpc,
    transactions: &[Signed],
    limit: Duration,
) -> eyre::Result<Vec<Value>> {
    let mut receipts = Vec::with_capacity(transactions.len());
    for chunk in transactions.chunks(BATCH) {
        let found = until("receipts of sent transactions", limit, || async {
            let params = chunk.iter().map(|signed| json!([signed.hash])).collect();
            let found: Vec<Value> = rpc.batch("eth_getTransactionReceipt", params).await?;
            match found.iter().filter(|receipt| receipt.is_null()).count() {
                0 => Ok(Some(found)),
                missing => bail!("{missing} of {} have none", chunk.len()),
            }
        })
        .await?;
        for receipt in &found {
            if receipt.get("status").and_then(Value::as_str) != Some("0x1") {
                bail!("expected a successful transfer, found {receipt}");
            }
        }
        receipts.extend(found);
    }
    Ok(receipts)
}
