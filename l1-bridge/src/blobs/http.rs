use std::{fmt, time::Duration};

use reqwest::{Client, Method, StatusCode, Url};

use super::BlobSourceError;

/// How long one request may take: half a megabyte a second brings a whole block of blobs.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A server of blobs, with answers that are bounded in time and size (I7). Its URL may hold an access
/// key, so errors show the path below it only.
#[derive(Clone)]
pub(super) struct BlobServer {
    client: Client,
    base: Url,
}

impl fmt::Debug for BlobServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobServer")
            .field("host", &self.base.host_str())
            .finish_non_exhaustive()
    }
}

/// An answer: its status, and its body when the status is a success.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

impl BlobServer {
    pub(super) fn new(base: &str) -> Result<Self, BlobSourceError> {
        let wrong = |reason: String| BlobSourceError::Source(reason);
        let base: Url = base.parse().map_err(|error| wrong(format!("{error}")))?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(wrong(format!(
                "expected http:// or https:// and a host, found scheme {:?}",
                base.scheme()
            )));
        }
        let client = Client::builder()
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| wrong(error.without_url().to_string()))?;
        Ok(Self { client, base })
    }

    fn url(&self, path: &str, query: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        let below = format!("{}/{path}", url.path().trim_end_matches('/'));
        url.set_path(&below);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// GETs a path below the base; an answer of more than `limit` bytes is an error.
    pub(super) async fn get(
        &self,
        path: &str,
        query: &[(&str, String)],
        limit: usize,
    ) -> Result<Answer, String> {
        self.exchange(Method::GET, self.url(path, query), None, limit)
            .await
            .map_err(|error| format!("GET {path}: {error}"))
    }

    /// PUTs a body at a path below the base.
    pub(super) async fn put(&self, path: &str, body: Vec<u8>) -> Result<StatusCode, String> {
        self.exchange(Method::PUT, self.url(path, &[]), Some(body), 0)
            .await
            .map(|answer| answer.status)
            .map_err(|error| format!("PUT {path}: {error}"))
    }

    async fn exchange(
        &self,
        method: Method,
        url: Url,
        body: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Answer, String> {
        let broken = |error: reqwest::Error| crate::error::causes(&error.without_url());
        let reads = method == Method::GET;
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/octet-stream")
                .body(body);
        }
        let mut response = request.send().await.map_err(broken)?;
        let status = response.status();
        let mut body = Vec::new();
        if reads && status.is_success() {
            while let Some(chunk) = response.chunk().await.map_err(broken)? {
                if body.len().saturating_add(chunk.len()) > limit {
                    return Err(format!("the answer is larger than {limit} bytes"));
                }
                body.extend_from_slice(&chunk);
            }
        }
        Ok(Answer { status, body })
    }
}
