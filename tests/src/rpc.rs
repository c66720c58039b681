//! A JSON-RPC client that hides nothing.

use std::time::Duration;

use alloy_primitives::{Address, U64, U256};
use eyre::{Context, ContextCompat, bail};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// How long one HTTP request may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// One JSON-RPC endpoint over HTTP.
#[derive(Debug, Clone)]
pub struct Rpc {
    url: String,
    client: reqwest::Client,
}

impl Rpc {
    /// A client of the endpoint at `url`.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(url: &str) -> eyre::Result<Self> {
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            client: reqwest::Client::builder().timeout(TIMEOUT).build()?,
        })
    }

    /// The endpoint.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Posts any body and returns the HTTP status and the answer's text.
    ///
    /// # Errors
    /// When no complete answer comes.
    pub async fn post(&self, body: impl Into<reqwest::Body>) -> eyre::Result<(u16, String)> {
        let response = self
            .client
            .post(&self.url)
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await?;
        Ok((response.status().as_u16(), response.text().await?))
    }

    /// Gets a path beside the endpoint (`/ready`).
    ///
    /// # Errors
    /// When no complete answer comes.
    pub async fn get(&self, path: &str) -> eyre::Result<(u16, String)> {
        let response = self
            .client
            .get(format!("{}{path}", self.url))
            .send()
            .await?;
        Ok((response.status().as_u16(), response.text().await?))
    }

    /// The whole answer to one request, error or not.
    ///
    /// # Errors
    /// When no JSON comes back.
    pub async fn raw(&self, method: &str, params: Value) -> eyre::Result<Value> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let (status, text) = self.post(request.to_string()).await?;
        serde_json::from_str(&text).wrap_err_with(|| format!("{method}: HTTP {status}: {text}"))
    }

    /// Calls one method.
    ///
    /// # Errors
    /// When it answers an error, or something of another type.
    pub async fn call<T: DeserializeOwned>(&self, method: &str, params: Value) -> eyre::Result<T> {
        result_of(&self.raw(method, params).await?, method)
    }

    /// Calls one method for many parameters in one HTTP request; the results in the same order.
    ///
    /// # Errors
    /// When one of them fails or is missing.
    pub async fn batch<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Vec<Value>,
    ) -> eyre::Result<Vec<T>> {
        let requests: Vec<Value> = params
            .into_iter()
            .enumerate()
            .map(|(id, params)| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
            .collect();
        let count = requests.len();
        let (status, text) = self.post(Value::Array(requests).to_string()).await?;
        let mut answers: Vec<Value> = serde_json::from_str(&text)
            .wrap_err_with(|| format!("batch of {method}: HTTP {status}: {text}"))?;
        answers.sort_by_key(|answer| answer.get("id").and_then(Value::as_u64));
        if answers.len() != count {
            bail!("batch of {count} {method}: {} answers", answers.len());
        }
        answers
            .iter()
            .map(|answer| result_of(answer, method))
            .collect()
    }

    /// Number of the block with this label.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn block_number(&self, label: &str) -> eyre::Result<u64> {
        let block: Value = self
            .call("eth_getBlockByNumber", json!([label, false]))
            .await?;
        let number = block
            .get("number")
            .wrap_err_with(|| format!("no {label} block"))?;
        Ok(serde_json::from_value::<U64>(number.clone())?.to())
    }

    /// Hash of a block by number.
    ///
    /// # Errors
    /// When the call fails or there is no such block.
    pub async fn block_hash(&self, number: u64) -> eyre::Result<String> {
        let params = json!([format!("{number:#x}"), false]);
        let block: Value = self.call("eth_getBlockByNumber", params).await?;
        let hash = block.get("hash").and_then(Value::as_str);
        Ok(hash
            .wrap_err_with(|| format!("no block {number}"))?
            .to_owned())
    }

    /// Nonce of an account in the latest block.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn nonce(&self, address: Address) -> eyre::Result<u64> {
        let nonce: U64 = self
            .call("eth_getTransactionCount", json!([address, "latest"]))
            .await?;
        Ok(nonce.to())
    }

    /// Balance of an account in the latest block, in wei.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn balance(&self, address: Address) -> eyre::Result<U256> {
        self.call("eth_getBalance", json!([address, "latest"]))
            .await
    }
}

fn result_of<T: DeserializeOwned>(answer: &Value, method: &str) -> eyre::Result<T> {
    if let Some(error) = answer.get("error") {
        bail!("{method}: {error}");
    }
    let result = answer
        .get("result")
        .wrap_err_with(|| format!("{method}: neither result nor error: {answer}"))?;
    serde_json::from_value(result.clone()).wrap_err_with(|| format!("{method}: {result}"))
}
