use std::{
    task::{Context, Poll},
    time::Duration,
};

use alloy_json_rpc::{RequestPacket, ResponsePacket};
use alloy_provider::transport::{TransportError, TransportErrorKind, TransportFut};
use reqwest::{Client, Url};
use tower::Service;

/// JSON-RPC over HTTP whose answers are bounded in time and size (I7); alloy's own transport reads
/// whatever the other side sends.
#[derive(Debug, Clone)]
pub(crate) struct BoundedHttp {
    client: Client,
    url: Url,
    max_response_bytes: usize,
}

/// The answer is larger than allowed.
#[derive(Debug, thiserror::Error)]
#[error("the answer is larger than {limit} bytes")]
pub(crate) struct ResponseTooLarge {
    pub(crate) limit: usize,
}

/// The answer is an HTTP error without a JSON-RPC body.
#[derive(Debug, thiserror::Error)]
#[error("HTTP status {0}")]
struct HttpStatus(u16);

impl BoundedHttp {
    pub(crate) fn new(
        url: Url,
        timeout: Duration,
        max_response_bytes: usize,
    ) -> Result<Self, reqwest::Error> {
        let client = Client::builder().timeout(timeout).build()?;
        Ok(Self {
            client,
            url,
            max_response_bytes,
        })
    }

    async fn exchange(self, request: RequestPacket) -> Result<ResponsePacket, TransportError> {
        // The URL may hold an access key, so it stays out of errors.
        let broken = |error: reqwest::Error| TransportErrorKind::custom(error.without_url());
        let mut response = self
            .client
            .post(self.url)
            .json(&request)
            .send()
            .await
            .map_err(broken)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if body.len().saturating_add(chunk.len()) > self.max_response_bytes {
                return Err(TransportErrorKind::custom(ResponseTooLarge {
                    limit: self.max_response_bytes,
                }));
            }
            body.extend_from_slice(&chunk);
        }
        match serde_json::from_slice(&body) {
            Ok(packet) => Ok(packet),
            Err(_) if !response.status().is_success() => Err(TransportErrorKind::custom(
                HttpStatus(response.status().as_u16()),
            )),
            Err(error) => Err(TransportError::deser_err(
                error,
                String::from_utf8_lossy(&body),
            )),
        }
    }
}

impl Service<RequestPacket> for BoundedHttp {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: RequestPacket) -> Self::Future {
        Box::pin(self.clone().exchange(request))
    }
}
