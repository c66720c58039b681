use std::time::Duration;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::{BlockNumberOrTag, eip2718::Encodable2718};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_rpc_types_eth::{TransactionReceipt, TransactionRequest};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use tokio::time::Instant;

use crate::{L1Client, L1Error, contract::Revert};

/// How transactions are brought into L1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderConfig {
    /// L1 blocks, the including one among them, after which a transaction counts as included; at
    /// least 1.
    pub confirmations: u64,
    /// How often L1 is asked for a receipt.
    pub poll_interval: Duration,
    /// How long a transaction may wait before it is replaced by one that pays more.
    pub resend_after: Duration,
    /// Most transactions for one nonce before the account is reported as stuck.
    pub max_attempts: u32,
    /// Highest fee cap that is ever offered, in wei per gas.
    pub max_fee_per_gas: u128,
}

impl Default for SenderConfig {
    fn default() -> Self {
        Self {
            confirmations: 1,
            poll_interval: Duration::from_millis(500),
            resend_after: Duration::from_secs(60),
            max_attempts: 10,
            max_fee_per_gas: 1_000_000_000_000,
        }
    }
}

/// How often a nonce must be seen as used without a receipt of ours before another transaction is
/// blamed: a node may show a block's state before its receipts, and two nodes behind one URL differ
/// by a block.
const LOOKS_BEFORE_NONCE_TAKEN: u32 = 5;

/// Why a transaction did not get into L1.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// L1 did not answer properly.
    #[error(transparent)]
    L1(#[from] L1Error),
    /// The transaction was not sent, because it would revert.
    #[error("the transaction would revert: {0}")]
    WouldRevert(Revert),
    /// The transaction is in a block and reverted there.
    #[error("L1 transaction {tx_hash} reverted in block {l1_block}")]
    Reverted {
        /// The transaction.
        tx_hash: B256,
        /// Its L1 block.
        l1_block: u64,
    },
    /// Another transaction of this account took the nonce.
    #[error("another transaction of {account} took nonce {nonce}")]
    NonceTaken {
        /// The account.
        account: Address,
        /// The nonce.
        nonce: u64,
    },
    /// The transaction waits although its fees were raised as far as they may be.
    #[error(
        "stuck: no transaction with nonce {nonce} of {account} was included after {attempts} attempts, the last with a fee cap of {max_fee_per_gas} wei"
    )]
    Stuck {
        /// The account.
        account: Address,
        /// The nonce.
        nonce: u64,
        /// Transactions sent.
        attempts: u32,
        /// Fee cap of the last, in wei per gas.
        max_fee_per_gas: u128,
    },
    /// The key cannot sign.
    #[error("signing: {0}")]
    Signer(#[from] alloy_signer::Error),
}

/// A transaction that was handed to L1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentTransaction {
    /// Its hash.
    pub tx_hash: B256,
    /// Its nonce.
    pub nonce: u64,
    /// Its gas limit, in gas.
    pub gas_limit: u64,
    /// Its fee cap, in wei per gas.
    pub max_fee_per_gas: u128,
    /// Its tip, in wei per gas.
    pub max_priority_fee_per_gas: u128,
}

/// Sends transactions of one account, one at a time: one nonce lane. It remembers nothing; nonces
/// come from L1.
#[derive(Debug, Clone)]
pub struct TransactionSender {
    client: L1Client,
    signer: PrivateKeySigner,
    config: SenderConfig,
}

impl TransactionSender {
    /// A sender for the account of `signer`.
    pub const fn new(client: L1Client, signer: PrivateKeySigner, config: SenderConfig) -> Self {
        Self {
            client,
            signer,
            config,
        }
    }

    /// The account.
    pub const fn address(&self) -> Address {
        self.signer.address()
    }

    /// Waits until no transaction of the account is pending, or at most as long as a transaction may
    /// wait before it is replaced: what is still pending then will be.
    ///
    /// # Errors
    /// When L1 does not answer properly.
    pub async fn settle(&self) -> Result<(), L1Error> {
        let end = Instant::now() + self.config.resend_after;
        loop {
            let pending = self.nonce(BlockNumberOrTag::Pending).await?;
            let latest = self.nonce(BlockNumberOrTag::Latest).await?;
            if pending <= latest || Instant::now() >= end {
                return Ok(());
            }
            tokio::time::sleep(self.config.poll_interval).await;
        }
    }

    async fn nonce(&self, at: BlockNumberOrTag) -> Result<u64, L1Error> {
        self.client.nonce(self.address(), at).await
    }

    /// Prepares a transaction: simulates it, and takes the account's next nonce.
    ///
    /// # Errors
    /// When it would revert or L1 does not answer properly.
    pub async fn prepare(
        &self,
        to: TxKind,
        value: U256,
        input: Bytes,
    ) -> Result<Lane<'_>, SendError> {
        let request = TransactionRequest {
            from: Some(self.address()),
            to: Some(to),
            value: Some(value),
            input: input.clone().into(),
            ..TransactionRequest::default()
        };
        let gas = match self.client.estimate_gas(&request).await {
            Ok(gas) => gas,
            Err(L1Error::Refused {
                revert: Some(data), ..
            }) => return Err(SendError::WouldRevert(Revert::from_data(&data))),
            Err(error) => return Err(error.into()),
        };
        Ok(Lane {
            sender: self,
            attempts: Vec::new(),
            transaction: TxEip1559 {
                chain_id: self.client.chain_id().await?,
                nonce: self.nonce(BlockNumberOrTag::Latest).await?,
                // State may move between the estimate and the block.
                gas_limit: gas.saturating_add(gas / 5),
                max_fee_per_gas: 0,
                max_priority_fee_per_gas: 0,
                to,
                value,
                access_list: Default::default(),
                input,
            },
        })
    }

    /// Sends a transaction and waits for its receipt.
    ///
    /// # Errors
    /// When the transaction cannot be brought into L1, or reverts there.
    pub async fn send(
        &self,
        to: TxKind,
        value: U256,
        input: Bytes,
    ) -> Result<TransactionReceipt, SendError> {
        let mut lane = self.prepare(to, value, input).await?;
        loop {
            lane.broadcast().await?;
            if let Some(receipt) = lane.wait().await? {
                return Ok(receipt);
            }
        }
    }
}

/// One transaction on its way into L1: the same content and nonce, each attempt with higher fees.
#[derive(Debug)]
pub struct Lane<'a> {
    sender: &'a TransactionSender,
    transaction: TxEip1559,
    attempts: Vec<SentTransaction>,
}

impl Lane<'_> {
    /// Signs and sends the transaction; each call raises the fees by an eighth at least, which is
    /// what nodes ask of a replacement.
    ///
    /// # Errors
    /// When L1 does not take it, or the fees reach their limit.
    pub async fn broadcast(&mut self) -> Result<SentTransaction, SendError> {
        let client = &self.sender.client;
        let head = client
            .block(BlockNumberOrTag::Latest)
            .await?
            .ok_or_else(|| L1Error::answer("eth_getBlockByNumber(latest)", "a block", "null"))?;
        // Not every L1 suggests a tip.
        let tip = client.suggested_tip().await.unwrap_or(1_000_000_000);
        let base_fee: u128 = head.base_fee.saturating_to();
        let mut market = base_fee.saturating_mul(2).saturating_add(tip);
        let mut market_tip = tip;
        let mut tries = 0;
        loop {
            let sent = self.sign_and_send(market, market_tip).await;
            match sent {
                Err(SendError::L1(L1Error::Refused { message, .. }))
                    if is_underpriced(&message) && tries < 64 =>
                {
                    // An earlier process left a transaction with higher fees at this nonce.
                    tries += 1;
                    market = self.transaction.max_fee_per_gas;
                    market_tip = self.transaction.max_priority_fee_per_gas;
                }
                other => return other,
            }
        }
    }

    async fn sign_and_send(&mut self, fee: u128, tip: u128) -> Result<SentTransaction, SendError> {
        let config = &self.sender.config;
        let account = self.sender.address();
        let raised = |fee: u128| fee.saturating_add(fee.div_ceil(8));
        let transaction = &mut self.transaction;
        let previous = transaction.max_fee_per_gas;
        let nonce = transaction.nonce;
        transaction.max_fee_per_gas = fee.max(raised(previous)).min(config.max_fee_per_gas);
        transaction.max_priority_fee_per_gas = tip
            .max(raised(transaction.max_priority_fee_per_gas))
            .min(transaction.max_fee_per_gas);
        let attempts = u32::try_from(self.attempts.len()).unwrap_or(u32::MAX);
        let at_limit = previous > 0 && transaction.max_fee_per_gas < raised(previous);
        if at_limit || attempts >= config.max_attempts {
            return Err(SendError::Stuck {
                account,
                nonce,
                attempts,
                max_fee_per_gas: previous,
            });
        }
        let signature = self
            .sender
            .signer
            .sign_hash_sync(&transaction.signature_hash())?;
        let signed = TxEnvelope::from(transaction.clone().into_signed(signature));
        let sent = SentTransaction {
            tx_hash: *signed.tx_hash(),
            nonce,
            gas_limit: transaction.gas_limit,
            max_fee_per_gas: transaction.max_fee_per_gas,
            max_priority_fee_per_gas: transaction.max_priority_fee_per_gas,
        };
        match self
            .sender
            .client
            .send_raw(&signed.encoded_2718().into())
            .await
        {
            Ok(_) => {}
            Err(L1Error::Refused { message, .. }) if is_known(&message) => {}
            Err(L1Error::Refused { message, .. }) if message.contains("nonce too low") => {
                // One of the earlier attempts may be what took the nonce.
                return self
                    .attempts
                    .last()
                    .copied()
                    .ok_or(SendError::NonceTaken { account, nonce });
            }
            Err(error) => return Err(error.into()),
        }
        if let Some(replaced) = self.attempts.last() {
            tracing::warn!(
                nonce,
                replaced = %replaced.tx_hash,
                tx_hash = %sent.tx_hash,
                max_fee_per_gas = sent.max_fee_per_gas,
                "L1 transaction replaced by one that pays more"
            );
        }
        self.attempts.push(sent);
        Ok(sent)
    }

    /// Waits until one of the attempts is included with the configured confirmations; `None` when it
    /// is time for another attempt.
    ///
    /// # Errors
    /// When L1 does not answer properly, the transaction reverted, or another took its nonce.
    pub async fn wait(&self) -> Result<Option<TransactionReceipt>, SendError> {
        let config = &self.sender.config;
        let client = &self.sender.client;
        let end = Instant::now() + config.resend_after;
        let mut used_without_receipt = 0;
        loop {
            let next_nonce = self.sender.nonce(BlockNumberOrTag::Latest).await?;
            match self.receipt().await? {
                Some((receipt, l1_block)) => {
                    let depth = config.confirmations.max(1) - 1;
                    if client.block_number().await? >= l1_block.saturating_add(depth) {
                        return if receipt.status() {
                            Ok(Some(receipt))
                        } else {
                            Err(SendError::Reverted {
                                tx_hash: receipt.transaction_hash,
                                l1_block,
                            })
                        };
                    }
                }
                None if next_nonce > self.transaction.nonce => {
                    used_without_receipt += 1;
                    if used_without_receipt >= LOOKS_BEFORE_NONCE_TAKEN {
                        return Err(SendError::NonceTaken {
                            account: self.sender.address(),
                            nonce: self.transaction.nonce,
                        });
                    }
                }
                None if Instant::now() >= end => return Ok(None),
                None => {}
            }
            tokio::time::sleep(config.poll_interval).await;
        }
    }

    async fn receipt(&self) -> Result<Option<(TransactionReceipt, u64)>, L1Error> {
        for attempt in self.attempts.iter().rev() {
            if let Some(receipt) = self.sender.client.receipt(attempt.tx_hash).await?
                && let Some(l1_block) = receipt.block_number
            {
                return Ok(Some((receipt, l1_block)));
            }
        }
        Ok(None)
    }
}

fn is_underpriced(message: &str) -> bool {
    message.to_lowercase().contains("underpriced")
}

fn is_known(message: &str) -> bool {
    let message = message.to_lowercase();
    message.contains("already known") || message.contains("already imported")
}
