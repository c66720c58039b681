use std::{borrow::Cow, time::Duration};

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_json_rpc::{RpcError, RpcRecv, RpcSend};
use alloy_primitives::{Address, B256, Bytes, U64, U128};
use alloy_provider::{
    Provider, RootProvider,
    transport::{TransportError, TransportErrorKind},
};
use alloy_rpc_client::RpcClient;
use alloy_rpc_types_eth::{
    Block, Filter, Log, Transaction, TransactionReceipt, TransactionRequest,
};
use alloy_sol_types::SolCall;
use reqwest::Url;
use weft_primitives::L1Origin;

use crate::{
    BlobReader, L1Error,
    error::{causes, shorten},
    transport::{BoundedHttp, ResponseTooLarge},
};

/// Bounds of the conversation with L1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct L1ClientConfig {
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// Largest answer, in bytes.
    pub max_response_bytes: usize,
    /// Most L1 blocks that one request for logs spans.
    pub max_log_range: u64,
}

impl Default for L1ClientConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(15),
            max_response_bytes: 64 << 20,
            max_log_range: 1_000,
        }
    }
}

/// What weft needs to know of an L1 block: what an L2 block can have as its origin.
pub type L1Block = L1Origin;

/// Asks an L1 node. What it answers is not trusted: every answer is bounded, and checked as far as
/// one node's answers allow. Clones share the connection.
#[derive(Debug, Clone)]
pub struct L1Client {
    provider: RootProvider,
    config: L1ClientConfig,
    blobs: BlobReader,
}

impl L1Client {
    /// A client of the node at `url` (`http://` or `https://`). Nothing is asked yet.
    ///
    /// # Errors
    /// When the URL cannot be used.
    pub fn new(url: &str, config: L1ClientConfig) -> Result<Self, L1Error> {
        let url: Url = url
            .parse()
            .map_err(|error| L1Error::Url(format!("{error}")))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(L1Error::Url(format!(
                "expected http:// or https:// and a host, found scheme {:?}",
                url.scheme()
            )));
        }
        let transport = BoundedHttp::new(url, config.timeout, config.max_response_bytes)
            .map_err(|error| L1Error::Url(error.without_url().to_string()))?;
        Ok(Self {
            provider: RootProvider::new(RpcClient::new(transport, true)),
            config,
            blobs: BlobReader::default(),
        })
    }

    /// A client that reads blobs from these sources: the node at its URL, of the execution layer, has
    /// none.
    pub fn with_blobs(self, blobs: BlobReader) -> Self {
        Self { blobs, ..self }
    }

    /// Where blobs are read.
    pub const fn blobs(&self) -> &BlobReader {
        &self.blobs
    }

    /// The bounds that this client keeps to.
    pub const fn config(&self) -> &L1ClientConfig {
        &self.config
    }

    async fn ask<P: RpcSend, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
        asked: impl Fn() -> String,
    ) -> Result<R, L1Error> {
        self.provider
            .raw_request(Cow::Borrowed(method), params)
            .await
            .map_err(|error| classify(error, asked()))
    }

    /// Sends a request of any method that the node may have.
    ///
    /// # Errors
    /// When the node does not answer properly.
    pub async fn request<P: RpcSend, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<R, L1Error> {
        self.ask(method, params, || method.to_owned()).await
    }

    /// The L1's chain id.
    ///
    /// # Errors
    /// When L1 does not answer properly.
    pub async fn chain_id(&self) -> Result<u64, L1Error> {
        let id: U64 = self
            .ask("eth_chainId", (), || "eth_chainId".to_owned())
            .await?;
        Ok(id.to())
    }

    /// Number of the newest L1 block.
    ///
    /// # Errors
    /// When L1 does not answer properly.
    pub async fn block_number(&self) -> Result<u64, L1Error> {
        let number: U64 = self
            .ask("eth_blockNumber", (), || "eth_blockNumber".to_owned())
            .await?;
        Ok(number.to())
    }

    /// The L1 block of this number or tag; `None` when L1 has none.
    ///
    /// # Errors
    /// When L1 does not answer properly.
    pub async fn block(&self, number: BlockNumberOrTag) -> Result<Option<L1Block>, L1Error> {
        let asked = || format!("eth_getBlockByNumber({number})");
        // Headers only: transactions of an L1 may be of types unknown here.
        let block: Option<Block<B256>> = self
            .ask("eth_getBlockByNumber", (number, false), asked)
            .await?;
        let Some(block) = block else { return Ok(None) };
        let header = block.header;
        if let BlockNumberOrTag::Number(number) = number
            && header.number != number
        {
            return Err(L1Error::answer(
                asked(),
                format!("block {number}"),
                format!("block {}", header.number),
            ));
        }
        Ok(Some(L1Block {
            number: header.number,
            hash: header.hash,
            timestamp: header.timestamp,
            base_fee: alloy_primitives::U256::from(header.base_fee_per_gas.unwrap_or_default()),
        }))
    }

    /// The L1 block of this number, which L1 must have.
    ///
    /// # Errors
    /// When L1 does not have it or does not answer properly.
    pub async fn existing_block(&self, number: u64) -> Result<L1Block, L1Error> {
        self.block(number.into()).await?.ok_or_else(|| {
            L1Error::answer(
                format!("eth_getBlockByNumber({number})"),
                "a block below the newest one",
                "null",
            )
        })
    }

    /// Calls a view of a contract at a block.
    ///
    /// # Errors
    /// When L1 does not answer properly, or the call reverts.
    pub async fn view<C: SolCall + Send>(
        &self,
        contract: Address,
        call: &C,
        block: BlockId,
    ) -> Result<C::Return, L1Error> {
        let asked = || format!("eth_call({} of {contract})", C::SIGNATURE);
        let request = TransactionRequest {
            to: Some(contract.into()),
            input: Bytes::from(call.abi_encode()).into(),
            ..TransactionRequest::default()
        };
        let answer: Bytes = self.ask("eth_call", (request, block), asked).await?;
        C::abi_decode_returns(&answer).map_err(|_| {
            L1Error::answer(
                asked(),
                format!("what {} returns", C::SIGNATURE),
                answer.to_string(),
            )
        })
    }

    /// Code of an account at the newest block.
    ///
    /// # Errors
    /// When L1 does not answer properly.
    pub async fn code(&self, address: Address) -> Result<Bytes, L1Error> {
        self.ask("eth_getCode", (address, BlockNumberOrTag::Latest), || {
            format!("eth_getCode({address})")
        })
        .await
    }

    /// Next nonce of an account, in the newest block or with pending transactions.
    ///
    /// # Errors
    /// When L1 does not answer properly.
    pub async fn nonce(&self, address: Address, at: BlockNumberOrTag) -> Result<u64, L1Error> {
        let nonce: U64 = self
            .ask("eth_getTransactionCount", (address, at), || {
                format!("eth_getTransactionCount({address}, {at})")
            })
            .await?;
        Ok(nonce.to())
    }

    /// Tip that L1 suggests, in wei per gas.
    ///
    /// # Errors
    /// When L1 does not answer properly.
    pub async fn suggested_tip(&self) -> Result<u128, L1Error> {
        let tip: U128 = self
            .ask("eth_maxPriorityFeePerGas", (), || {
                "eth_maxPriorityFeePerGas".to_owned()
            })
            .await?;
        Ok(tip.to())
    }

    /// Gas that a transaction would take, found by executing it.
    ///
    /// # Errors
    /// When L1 does not answer properly, or the transaction would revert.
    pub async fn estimate_gas(&self, request: &TransactionRequest) -> Result<u64, L1Error> {
        let gas: U64 = self
            .ask("eth_estimateGas", (request.clone(),), || {
                "eth_estimateGas".to_owned()
            })
            .await?;
        Ok(gas.to())
    }

    /// Sends a signed transaction.
    ///
    /// # Errors
    /// When L1 does not take it or does not answer properly.
    pub async fn send_raw(&self, transaction: &Bytes) -> Result<B256, L1Error> {
        self.ask("eth_sendRawTransaction", (transaction.clone(),), || {
            "eth_sendRawTransaction".to_owned()
        })
        .await
    }

    /// A transaction that is in a block or pending; `None` when L1 does not know it.
    ///
    /// # Errors
    /// When L1 does not answer properly.
    pub async fn transaction(&self, hash: B256) -> Result<Option<Transaction>, L1Error> {
        self.ask("eth_getTransactionByHash", (hash,), || {
            format!("eth_getTransactionByHash({hash})")
        })
        .await
    }

    /// Whether L1 knows a transaction, in a block or pending. Its content is not looked at.
    ///
    /// # Errors
    /// When L1 does not answer properly.
    pub(crate) async fn transaction_is_known(&self, hash: B256) -> Result<bool, L1Error> {
        let found: Option<serde_json::Map<String, serde_json::Value>> = self
            .ask("eth_getTransactionByHash", (hash,), || {
                format!("eth_getTransactionByHash({hash})")
            })
            .await?;
        Ok(found.is_some())
    }

    /// Receipt of a transaction; `None` while it is not in a block.
    ///
    /// # Errors
    /// When L1 does not answer properly.
    pub async fn receipt(&self, hash: B256) -> Result<Option<TransactionReceipt>, L1Error> {
        let asked = || format!("eth_getTransactionReceipt({hash})");
        let receipt: Option<TransactionReceipt> = self
            .ask("eth_getTransactionReceipt", (hash,), asked)
            .await?;
        match receipt {
            Some(receipt) if receipt.transaction_hash != hash => Err(L1Error::answer(
                asked(),
                "the receipt of this transaction",
                receipt.transaction_hash.to_string(),
            )),
            receipt => Ok(receipt),
        }
    }

    pub(crate) async fn raw_logs(
        &self,
        contract: Address,
        topics: &[B256],
        from: u64,
        to: u64,
    ) -> Result<Vec<Log>, L1Error> {
        let filter = Filter::new()
            .address(contract)
            .event_signature(topics.to_vec())
            .from_block(from)
            .to_block(to);
        self.ask("eth_getLogs", (filter,), || {
            format!("eth_getLogs({contract}, blocks {from} to {to})")
        })
        .await
    }
}

fn classify(error: TransportError, asked: String) -> L1Error {
    match error {
        RpcError::ErrorResp(payload) => L1Error::Refused {
            asked,
            code: payload.code,
            message: shorten(&payload.message),
            revert: payload.as_revert_data(),
        },
        RpcError::DeserError { err, text } => {
            L1Error::answer(asked, format!("its result ({err})"), text)
        }
        RpcError::NullResp => L1Error::answer(asked, "a result", "null"),
        RpcError::Transport(TransportErrorKind::Custom(error)) => {
            match error.downcast_ref::<ResponseTooLarge>() {
                Some(&ResponseTooLarge { limit }) => L1Error::TooLarge { asked, limit },
                None => L1Error::NoAnswer {
                    asked,
                    reason: causes(error.as_ref()),
                },
            }
        }
        other => L1Error::NoAnswer {
            asked,
            reason: shorten(&other.to_string()),
        },
    }
}
