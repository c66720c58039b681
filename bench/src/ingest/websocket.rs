use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, Utf8Bytes, protocol::WebSocketConfig},
};

use super::{IngestError, http::Endpoint};

/// An open WebSocket connection.
#[derive(Debug)]
pub(super) struct WebSocket {
    stream: WebSocketStream<TcpStream>,
    address: String,
}

impl WebSocket {
    pub(super) async fn open(endpoint: &Endpoint) -> Result<Self, IngestError> {
        let stream = endpoint.connect().await?;
        let url = format!("ws://{}{}", endpoint.address, endpoint.path);
        let config = WebSocketConfig::default()
            .max_message_size(None)
            .max_frame_size(None);
        let (stream, _) = client_async_with_config(url, stream, Some(config))
            .await
            .map_err(|error| IngestError::connection(&endpoint.address, error))?;
        Ok(Self {
            stream,
            address: endpoint.address.clone(),
        })
    }

    pub(super) async fn send(&mut self, text: Utf8Bytes) -> Result<(), IngestError> {
        let sent = self.stream.send(Message::Text(text)).await;
        sent.map_err(|error| IngestError::connection(&self.address, error))
    }

    /// The next message with text.
    pub(super) async fn receive(&mut self) -> Result<Utf8Bytes, IngestError> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Close(frame))) => {
                    let reason = frame.map_or_else(String::new, |frame| frame.to_string());
                    let reason = format!("closed by the node: {reason}");
                    return Err(IngestError::connection(&self.address, reason));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(IngestError::connection(&self.address, error)),
                None => return Err(IngestError::connection(&self.address, "closed by the node")),
            }
        }
    }

    /// Puts a message, which is text, into the queue.
    pub(super) async fn feed(&mut self, text: &[u8]) -> Result<(), IngestError> {
        let message = String::from_utf8_lossy(text).into_owned();
        let fed = self.stream.feed(Message::Text(message.into())).await;
        fed.map_err(|error| IngestError::connection(&self.address, error))
    }

    /// Sends what is in the queue.
    pub(super) async fn flush(&mut self) -> Result<(), IngestError> {
        let flushed = self.stream.flush().await;
        flushed.map_err(|error| IngestError::connection(&self.address, error))
    }
}
