//! A consensus node that serves other blobs than there are.

use std::net::{Ipv4Addr, SocketAddr};

use eyre::ContextCompat;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Passes requests on to a real node and changes one bit of the first blob of each answer. Dropping it
/// closes its port.
#[derive(Debug)]
pub struct LyingBeacon {
    url: String,
    accepting: JoinHandle<()>,
}

impl LyingBeacon {
    /// In front of the node at `target`, a URL.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(target: &str) -> eyre::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let target = target.to_owned();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let target = target.clone();
                tokio::spawn(async move {
                    // A client that goes away ends its own connection.
                    let _ = answer(client, &target).await;
                });
            }
        });
        Ok(Self { url, accepting })
    }

    /// Where clients connect.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for LyingBeacon {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn answer(mut client: TcpStream, target: &str) -> eyre::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(client.read_u8().await?);
    }
    let request = String::from_utf8(request)?;
    let path = request.split(' ').nth(1).wrap_err("no path")?;
    let response = reqwest::get(format!("{target}{path}")).await?;
    let status = response.status();
    let body = lie(response.text().await?);
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes()).await?;
    client.write_all(body.as_bytes()).await?;
    Ok(client.shutdown().await?)
}

/// Changes a digit in the middle of the first field element of the first blob.
fn lie(body: String) -> String {
    const BEFORE_BLOBS: &str = "\"data\":[\"0x";
    let Some(start) = body.find(BEFORE_BLOBS) else {
        return body;
    };
    let at = start + BEFORE_BLOBS.len() + 20;
    let (front, rest) = body.split_at(at);
    let other = if rest.starts_with('0') { '1' } else { '0' };
    format!("{front}{other}{}", rest.get(1..).unwrap_or_default())
}
