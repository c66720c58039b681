use std::{borrow::Cow, fmt, time::Duration};

use alloy_consensus::{TxEnvelope, TypedTransaction};
use alloy_eips::eip2718::Decodable2718;
use alloy_json_rpc::RpcError;
use alloy_primitives::{Address, Bytes};
use alloy_provider::{Provider, RootProvider, transport::TransportError};
use alloy_rpc_client::RpcClient;
use alloy_rpc_types_eth::TransactionRequest;
use reqwest::Url;
use serde_json::Value;

use super::SignerError;
use crate::{error::shorten, transport::BoundedHttp};

/// Largest answer of a signer, in bytes. It holds a transaction with its input, and blobs where the
/// signer repeats them.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// A server that signs with a key that this process does not have: JSON-RPC `eth_signTransaction`,
/// as web3signer, clef and go-ethereum answer it. It is not trusted: see [`super::L1Signer`].
#[derive(Clone)]
pub struct RemoteSigner {
    provider: RootProvider,
    address: Address,
}

impl fmt::Debug for RemoteSigner {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteSigner")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl RemoteSigner {
    /// The signer at `url` (`http://` or `https://`) that holds the key of `address`. An answer may
    /// take `timeout`. Nothing is asked yet.
    ///
    /// # Errors
    /// When the URL cannot be used.
    pub fn new(url: &str, address: Address, timeout: Duration) -> Result<Self, SignerError> {
        let url: Url = url
            .parse()
            .map_err(|error| SignerError::Url(format!("{error}")))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(SignerError::Url(format!(
                "expected http:// or https:// and a host, found scheme {:?}",
                url.scheme()
            )));
        }
        let transport = BoundedHttp::new(url, timeout, MAX_ANSWER_BYTES)
            .map_err(|error| SignerError::Url(error.without_url().to_string()))?;
        Ok(Self {
            provider: RootProvider::new(RpcClient::new(transport, true)),
            address,
        })
    }

    /// The account.
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Asks for a signature. The answer may be any signed transaction.
    pub(super) async fn sign(
        &self,
        transaction: &TypedTransaction,
    ) -> Result<TxEnvelope, SignerError> {
        let request = request(transaction, self.address);
        let answer: Value = self
            .provider
            .raw_request(Cow::Borrowed("eth_signTransaction"), (request,))
            .await
            .map_err(refusal)?;
        // web3signer answers with the bytes, clef and go-ethereum with an object around them.
        let raw = answer.get("raw").unwrap_or(&answer);
        let unusable = || SignerError::Answer(shorten(&answer.to_string()));
        let raw: Bytes = raw
            .as_str()
            .and_then(|text| text.parse().ok())
            .ok_or_else(unusable)?;
        TxEnvelope::decode_2718_exact(&raw).map_err(|_| unusable())
    }
}

fn request(transaction: &TypedTransaction, from: Address) -> TransactionRequest {
    let request: TransactionRequest = transaction.clone().into();
    request.from(from)
}

fn refusal(error: TransportError) -> SignerError {
    match error {
        RpcError::ErrorResp(payload) => SignerError::Refused {
            code: payload.code,
            message: shorten(&payload.message),
        },
        RpcError::DeserError { text, .. } => SignerError::Answer(shorten(&text)),
        RpcError::NullResp => SignerError::Answer("null".to_owned()),
        other => SignerError::NoAnswer(shorten(&other.to_string())),
    }
}
