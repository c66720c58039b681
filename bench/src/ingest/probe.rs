//! One transaction after the other, each sent when the one before it is in a block.

use std::time::{Duration, Instant};

use alloy_primitives::{B256, hex};
use serde_json::{Value, json};

use super::{
    IngestError, Transport,
    http::Endpoint,
    rpc::{Answer, Rpc, parse, result},
    websocket::WebSocket,
};

/// EIP-7966: sends and waits for the receipt.
const SYNC: &str = "eth_sendRawTransactionSync";
/// The same in two steps.
const SEND: &str = "eth_sendRawTransaction";
const RECEIPT: &str = "eth_getTransactionReceipt";
/// JSON-RPC's "method not found".
const NOT_FOUND: i64 = -32601;
/// How long a transaction may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause before a refused transaction is sent again.
const PAUSE: Duration = Duration::from_millis(5);

#[derive(Debug)]
enum Line {
    Http(Rpc),
    WebSocket(WebSocket),
}

/// A connection for one transaction after the other.
#[derive(Debug)]
pub(super) struct Probe {
    line: Line,
    has_sync: bool,
}

impl Line {
    async fn call(&mut self, method: &str, params: Value) -> Result<Value, IngestError> {
        match self {
            Self::Http(rpc) => rpc.call(method, params).await,
            Self::WebSocket(socket) => {
                let request =
                    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
                socket.send(request.to_string().into()).await?;
                let text = socket.receive().await?;
                let answer: Answer<'_> = parse(method, text.as_bytes())?;
                result(method, answer)
            }
        }
    }
}

impl Probe {
    pub(super) async fn open(
        transport: Transport,
        endpoint: &Endpoint,
    ) -> Result<Self, IngestError> {
        let line = match transport {
            Transport::WebSocket => Line::WebSocket(WebSocket::open(endpoint).await?),
            Transport::Http | Transport::Batch => Line::Http(Rpc::open(endpoint).await?),
        };
        Ok(Self {
            line,
            has_sync: true,
        })
    }

    /// What transactions are sent by.
    pub(super) const fn method(&self) -> &'static str {
        if self.has_sync { SYNC } else { SEND }
    }

    /// Sends a transaction and waits until it is in a block.
    pub(super) async fn send(&mut self, hash: B256, raw: &[u8]) -> Result<(), IngestError> {
        let raw = json!([hex::encode_prefixed(raw)]);
        if self.has_sync {
            match self.line.call(SYNC, raw.clone()).await {
                Err(IngestError::Method {
                    code: NOT_FOUND, ..
                }) => self.has_sync = false,
                answer => return check_receipt(SYNC, hash, &answer?),
            }
        }
        self.line.call(SEND, raw).await?;
        self.receipt(hash).await
    }

    /// Asks for the receipt until it is there.
    async fn receipt(&mut self, hash: B256) -> Result<(), IngestError> {
        let started = Instant::now();
        loop {
            let receipt = self.line.call(RECEIPT, json!([hash])).await?;
            if !receipt.is_null() {
                return check_receipt(RECEIPT, hash, &receipt);
            }
            if started.elapsed() > PATIENCE {
                return Err(missing(hash));
            }
        }
    }

    /// Sends a transaction again and again until it is taken and in a block.
    pub(super) async fn insist(&mut self, hash: B256, raw: &[u8]) -> Result<(), IngestError> {
        let started = Instant::now();
        loop {
            match self.send(hash, raw).await {
                Err(IngestError::Method { .. }) if started.elapsed() < PATIENCE => {}
                done => return done,
            }
            // It may have been taken all the same, and the node only did not wait for the block.
            let receipt = self.line.call(RECEIPT, json!([hash])).await?;
            if !receipt.is_null() {
                return check_receipt(RECEIPT, hash, &receipt);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn missing(hash: B256) -> IngestError {
    IngestError::Missing {
        missing: 1,
        accepted: 1,
        waited_s: PATIENCE.as_secs(),
        example: hash,
    }
}

/// A receipt must be the transaction's, of a block, and say success.
fn check_receipt(method: &str, hash: B256, receipt: &Value) -> Result<(), IngestError> {
    let text = |name: &str| receipt.get(name).and_then(Value::as_str);
    let is_its = text("transactionHash").and_then(|found| found.parse().ok()) == Some(hash);
    if is_its && text("blockHash").is_some() && text("status") == Some("0x1") {
        return Ok(());
    }
    Err(IngestError::Answer {
        method: method.to_owned(),
        expected: "the receipt of a transaction that succeeded",
        found: super::rpc::shown(receipt.to_string().as_bytes()),
    })
}
