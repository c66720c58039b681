//! JSON-RPC: requests as text, and answers checked.

use std::borrow::Cow;

use alloy_primitives::{Address, B256, U64, U256, hex};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json, value::RawValue};

use super::{
    IngestError,
    account::Signed,
    http::{Endpoint, HttpConnection},
};

/// Requests of the preparation that go together.
const TOGETHER: usize = 100;
/// Bytes of an unexpected answer that an error shows.
const SHOWN: usize = 200;

/// One answer.
#[derive(Debug, Deserialize)]
pub(super) struct Answer<'a> {
    #[serde(default)]
    pub(super) id: Option<u64>,
    #[serde(borrow, default)]
    pub(super) result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) error: Option<ErrorObject<'a>>,
}

/// Why a request has no result.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ErrorObject<'a> {
    pub(super) code: i64,
    #[serde(borrow, default)]
    pub(super) message: Cow<'a, str>,
}

/// Appends the request that sends a transaction.
pub(super) fn push_send(text: &mut Vec<u8>, id: usize, raw: &[u8]) {
    text.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    text.extend_from_slice(id.to_string().as_bytes());
    text.extend_from_slice(b",\"method\":\"eth_sendRawTransaction\",\"params\":[\"0x");
    let start = text.len();
    text.resize(start + 2 * raw.len(), 0);
    if let Some(digits) = text.get_mut(start..) {
        // The lengths fit by construction.
        let _ = hex::encode_to_slice(raw, digits);
    }
    text.extend_from_slice(b"\"]}");
}

/// What a block is looked at for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SeenBlock {
    pub(super) transactions: Vec<B256>,
    pub(super) gas_used: U64,
}

/// A connection for one request after another.
#[derive(Debug)]
pub(super) struct Rpc {
    connection: HttpConnection,
    address: String,
}

impl Rpc {
    pub(super) async fn open(endpoint: &Endpoint) -> Result<Self, IngestError> {
        Ok(Self {
            connection: HttpConnection::open(endpoint).await?,
            address: endpoint.address.clone(),
        })
    }

    /// Calls a method.
    pub(super) async fn call<T: DeserializeOwned>(
        &mut self,
        method: &str,
        params: Value,
    ) -> Result<T, IngestError> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = self.connection.post(request.to_string().as_bytes()).await?;
        if answer.status != 200 {
            return Err(IngestError::connection(
                &self.address,
                format!("HTTP status {}: {}", answer.status, shown(answer.body)),
            ));
        }
        result(method, parse(method, answer.body)?)
    }

    /// Calls a method many times, in batches.
    async fn call_each<T: DeserializeOwned>(
        &mut self,
        method: &str,
        params: &[Value],
    ) -> Result<Vec<T>, IngestError> {
        let mut results = Vec::with_capacity(params.len());
        for params in params.chunks(TOGETHER) {
            let requests: Vec<Value> = (0..)
                .zip(params)
                .map(|(id, params): (usize, _)| {
                    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
                })
                .collect();
            let body = serde_json::Value::from(requests).to_string();
            let answer = self.connection.post(body.as_bytes()).await?;
            let mut answers: Vec<Answer<'_>> = parse(method, answer.body)?;
            answers.sort_by_key(|answer| answer.id);
            if answers.len() != params.len() {
                return Err(IngestError::Answer {
                    method: method.to_owned(),
                    expected: "an answer to each request of a batch",
                    found: shown(answer.body),
                });
            }
            for answer in answers {
                results.push(result(method, answer)?);
            }
        }
        Ok(results)
    }

    pub(super) async fn chain_id(&mut self) -> Result<u64, IngestError> {
        let id: U64 = self.call("eth_chainId", json!([])).await?;
        Ok(id.to())
    }

    pub(super) async fn block_number(&mut self) -> Result<u64, IngestError> {
        let number: U64 = self.call("eth_blockNumber", json!([])).await?;
        Ok(number.to())
    }

    /// The block; `None` when it is not there yet.
    pub(super) async fn block(&mut self, number: u64) -> Result<Option<SeenBlock>, IngestError> {
        self.call("eth_getBlockByNumber", json!([U64::from(number), false]))
            .await
    }

    pub(super) async fn nonces(&mut self, accounts: &[Address]) -> Result<Vec<u64>, IngestError> {
        let params: Vec<Value> = accounts
            .iter()
            .map(|account| json!([account, "latest"]))
            .collect();
        let nonces: Vec<U64> = self.call_each("eth_getTransactionCount", &params).await?;
        Ok(nonces.into_iter().map(|nonce| nonce.to()).collect())
    }

    pub(super) async fn balances(
        &mut self,
        accounts: &[Address],
    ) -> Result<Vec<U256>, IngestError> {
        let params: Vec<Value> = accounts
            .iter()
            .map(|account| json!([account, "latest"]))
            .collect();
        self.call_each("eth_getBalance", &params).await
    }

    pub(super) async fn send_each(&mut self, signed: &[Signed]) -> Result<(), IngestError> {
        let params: Vec<Value> = signed
            .iter()
            .map(|signed| json!([hex::encode_prefixed(&signed.raw)]))
            .collect();
        let _: Vec<B256> = self.call_each("eth_sendRawTransaction", &params).await?;
        Ok(())
    }

    pub(super) async fn receipts(&mut self, hashes: &[B256]) -> Result<Vec<Value>, IngestError> {
        let params: Vec<Value> = hashes.iter().map(|hash| json!([hash])).collect();
        self.call_each("eth_getTransactionReceipt", &params).await
    }

    /// The text at a path of the same server; `None` when there is none.
    pub(super) async fn get(&mut self, path: &str) -> Result<Option<String>, IngestError> {
        let answer = self.connection.get(path).await?;
        let text = String::from_utf8_lossy(answer.body).into_owned();
        Ok((answer.status == 200).then_some(text))
    }
}

pub(super) fn parse<'a, T: Deserialize<'a>>(
    method: &str,
    body: &'a [u8],
) -> Result<T, IngestError> {
    serde_json::from_slice(body).map_err(|_| IngestError::Answer {
        method: method.to_owned(),
        expected: "JSON-RPC",
        found: shown(body),
    })
}

/// The result, or the node's error as one.
pub(super) fn result<T: DeserializeOwned>(
    method: &str,
    answer: Answer<'_>,
) -> Result<T, IngestError> {
    if let Some(error) = answer.error {
        return Err(IngestError::Method {
            method: method.to_owned(),
            code: error.code,
            message: error.message.into_owned(),
        });
    }
    // `null` is a result too, and looks like none.
    let text = answer.result.map_or("null", RawValue::get);
    serde_json::from_str(text).map_err(|_| IngestError::Answer {
        method: method.to_owned(),
        expected: "a result of its kind",
        found: shown(text.as_bytes()),
    })
}

/// The beginning of a text.
pub(super) fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(text.get(..SHOWN).unwrap_or(text)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_json() {
        let mut text = Vec::new();
        push_send(&mut text, 17, &[1, 0xfe]);
        let request: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(
            request,
            json!({"jsonrpc": "2.0", "id": 17, "method": "eth_sendRawTransaction", "params": ["0x01fe"]})
        );
    }

    #[test]
    fn answers_in_any_order_of_members() {
        let text = br#"{"result":"0x1","id":3,"jsonrpc":"2.0"}"#;
        let answer: Answer<'_> = parse("m", text).unwrap();
        assert_eq!((answer.id, answer.error.is_none()), (Some(3), true));
        assert_eq!(result::<U64>("m", answer).unwrap(), U64::from(1));
        let text = br#"{"jsonrpc":"2.0","id":null,"error":{"code":-5,"message":"a \"b\""}}"#;
        let answer: Answer<'_> = parse("m", text).unwrap();
        let error = result::<U64>("m", answer).unwrap_err().to_string();
        assert_eq!(error, "m: a \"b\" (code -5)");
        let none: Answer<'_> = parse("m", br#"{"id":1,"result":null}"#).unwrap();
        assert_eq!(result::<Option<U64>>("m", none).unwrap(), None);
        assert!(parse::<Answer<'_>>("m", b"<html>").is_err());
    }
}
