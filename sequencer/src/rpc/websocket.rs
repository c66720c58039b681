use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Bytes,
    extract::ws::{CloseFrame, Message, WebSocket, close_code},
};
use futures::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use jsonrpsee_core::server::{BoundedSubscriptions, ConnectionId};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    RpcConfig, RpcError,
    client::Client,
    dispatch::{Dispatcher, Feed, Reply},
    fair_queue::ConnectionKey,
    in_work::{InWork, Taken},
};

/// How often an idle connection is pinged; a live client's answer keeps it from the idle timeout.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long the close frame may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Most messages that are sent at once.
const SENT_TOGETHER: usize = 64;
/// Most messages that wait to be sent.
const OUTBOX_MESSAGES: usize = 1024;

/// A WebSocket connection, as the methods that it calls see it; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    id: ConnectionId,
    subscriptions: BoundedSubscriptions,
    closing: CancellationToken,
    reason: Arc<OnceLock<(u16, &'static str)>>,
    /// Whose limits its messages count in.
    client: Client,
    work: Arc<InWork>,
}

/// The next number of a connection, or of a message that came without one.
static NEXT_ID: AtomicUsize = AtomicUsize::new(1);

impl Connection {
    fn new(
        max_subscriptions: u32,
        stop: &CancellationToken,
        client: Client,
        work: Arc<InWork>,
    ) -> Self {
        Self {
            id: ConnectionId(NEXT_ID.fetch_add(1, Ordering::Relaxed)),
            subscriptions: BoundedSubscriptions::new(max_subscriptions),
            closing: stop.child_token(),
            reason: Arc::default(),
            client,
            work,
        }
    }

    /// Tells its subscriptions from those of others.
    pub(super) const fn id(&self) -> ConnectionId {
        self.id
    }

    /// Its place in queues that all connections share.
    pub(super) const fn key(&self) -> ConnectionKey {
        ConnectionKey(self.id.0 as u64)
    }

    /// The place of a message that came by itself, over HTTP.
    pub(super) fn fresh_key() -> ConnectionKey {
        ConnectionKey(NEXT_ID.fetch_add(1, Ordering::Relaxed) as u64)
    }

    /// Takes a message of so many bytes on.
    fn take(&self, bytes: usize) -> Result<Taken, RpcError> {
        let mut taken = self.work.take()?;
        taken.read(bytes)?;
        Ok(taken)
    }

    /// Bounds its subscriptions.
    pub(super) const fn subscriptions(&self) -> &BoundedSubscriptions {
        &self.subscriptions
    }

    /// Closes the connection because its client takes notifications more slowly than they come:
    /// it must know that it has missed some.
    pub(super) fn close_slow(&self) {
        self.close(close_code::POLICY, "subscriber too slow");
    }

    fn close(&self, code: u16, reason: &'static str) {
        // The first reason is the one that counts.
        let _ = self.reason.set((code, reason));
        self.closing.cancel();
    }
}

/// What waits to be sent, bounded in messages and in bytes.
#[derive(Debug, Clone)]
struct Outbox {
    messages: mpsc::Sender<(String, OwnedSemaphorePermit)>,
    bytes: Arc<Semaphore>,
    capacity: u32,
}

impl Outbox {
    /// Waits until there is room; `false` when the connection is gone.
    async fn send(&self, text: String) -> bool {
        let size = u32::try_from(text.len()).unwrap_or(u32::MAX);
        // A message larger than the buffer takes all of it.
        let room = Arc::clone(&self.bytes).acquire_many_owned(size.min(self.capacity));
        let Ok(room) = room.await else { return false };
        self.messages.send((text, room)).await.is_ok()
    }
}

/// Serves one WebSocket connection until the client leaves or `stop` is cancelled.
pub(super) async fn serve(
    socket: WebSocket,
    dispatcher: Arc<Dispatcher>,
    config: Arc<RpcConfig>,
    stop: CancellationToken,
    client: Client,
    work: Arc<InWork>,
) {
    let connection = Connection::new(config.max_subscriptions_per_connection, &stop, client, work);
    let capacity = permits(config.max_websocket_buffer_bytes);
    let intake_bytes = permits(config.max_body_bytes);
    let (messages, queue) = mpsc::channel(OUTBOX_MESSAGES);
    let outbox = Outbox {
        messages,
        bytes: Arc::new(Semaphore::new(usize::try_from(capacity).unwrap_or(1))),
        capacity,
    };
    let (sender, receiver) = socket.split();
    let writer = tokio::spawn(write(sender, queue, connection.clone()));
    let intake = Intake {
        slots: Arc::new(Semaphore::new(config.max_requests_per_connection.max(1))),
        bytes: Arc::new(Semaphore::new(usize::try_from(intake_bytes).unwrap_or(1))),
        capacity: intake_bytes,
    };
    read(receiver, &connection, &dispatcher, &outbox, &intake).await;
    connection.closing.cancel();
    drop(outbox);
    if writer.await.is_err() {
        tracing::error!("a WebSocket writer panicked");
    }
}

/// Messages that are worked on, bounded in number and in bytes.
#[derive(Debug)]
struct Intake {
    slots: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    capacity: u32,
}

impl Intake {
    /// Waits until a message of this size may be worked on.
    async fn admit(
        &self,
        size: usize,
    ) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), AcquireError> {
        let size = u32::try_from(size).unwrap_or(u32::MAX).min(self.capacity);
        let slot = Arc::clone(&self.slots).acquire_owned().await?;
        let room = Arc::clone(&self.bytes).acquire_many_owned(size).await?;
        Ok((slot, room))
    }
}

/// A number of bytes as a number of permits.
fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes)
        .unwrap_or(u32::MAX)
        .clamp(1, u32::MAX >> 3)
}

/// Reads messages and has each answered.
async fn read(
    mut receiver: SplitStream<WebSocket>,
    connection: &Connection,
    dispatcher: &Arc<Dispatcher>,
    outbox: &Outbox,
    intake: &Intake,
) {
    loop {
        let received = tokio::select! {
            () = connection.closing.cancelled() => return,
            received = receiver.next() => received,
        };
        let bytes: Bytes = match received {
            Some(Ok(Message::Text(text))) => text.into(),
            Some(Ok(Message::Binary(bytes))) => bytes,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            Some(Ok(Message::Close(_))) | None => return,
            Some(Err(error)) => {
                tracing::debug!(%error, "WebSocket connection failed");
                connection.close(close_code::SIZE, "message too large or malformed");
                return;
            }
        };
        let admitted = tokio::select! {
            () = connection.closing.cancelled() => return,
            admitted = intake.admit(bytes.len()) => admitted,
        };
        let (connection, dispatcher, outbox) =
            (connection.clone(), Arc::clone(dispatcher), outbox.clone());
        tokio::spawn(async move {
            let _admitted = admitted;
            let closing = connection.closing.clone();
            let answer = async {
                let reply = match connection.take(bytes.len()) {
                    Ok(_taken) => {
                        let answer =
                            dispatcher.answer(&bytes, Some(&connection), connection.client);
                        answer.await
                    }
                    Err(error) => Reply::refusal(&bytes, error),
                };
                let sent = match reply.json {
                    Some(json) => outbox.send(json).await,
                    None => true,
                };
                if sent {
                    for feed in reply.feeds {
                        tokio::spawn(forward(feed, outbox.clone(), connection.clone()));
                    }
                }
            };
            tokio::select! {
                () = closing.cancelled() => {}
                () = answer => {}
            }
        });
    }
}

/// Passes the notifications of one subscription on. When the client is slow they pile up behind
/// this, and the subscription closes the connection.
async fn forward(mut feed: Feed, outbox: Outbox, connection: Connection) {
    let pass = async {
        while let Some(notification) = feed.recv().await {
            if !outbox
                .send(String::from(Box::<str>::from(notification)))
                .await
            {
                break;
            }
        }
    };
    tokio::select! {
        () = connection.closing.cancelled() => {}
        () = pass => {}
    }
}

async fn write(
    mut sender: SplitSink<WebSocket, Message>,
    mut queue: mpsc::Receiver<(String, OwnedSemaphorePermit)>,
    connection: Connection,
) {
    let mut ping = tokio::time::interval(PING_INTERVAL);
    loop {
        let first = tokio::select! {
            () = connection.closing.cancelled() => break,
            message = queue.recv() => match message {
                Some(message) => Some(message),
                None => break,
            },
            _ = ping.tick() => None,
        };
        let sending = async {
            let Some(first) = first else {
                return sender.send(Message::Ping(Default::default())).await;
            };
            // What has piled up goes out together. The room is given back once it has gone.
            let mut rooms = Vec::new();
            let mut next = Some(first);
            while let Some((text, room)) = next {
                sender.feed(Message::Text(text.into())).await?;
                rooms.push(room);
                next = if rooms.len() < SENT_TOGETHER {
                    queue.try_recv().ok()
                } else {
                    None
                };
            }
            sender.flush().await
        };
        let sent = tokio::select! {
            () = connection.closing.cancelled() => break,
            sent = sending => sent,
        };
        if sent.is_err() {
            connection.closing.cancel();
            return;
        }
    }
    connection.closing.cancel();
    let (code, reason) = connection
        .reason
        .get()
        .copied()
        .unwrap_or((close_code::AWAY, ""));
    let frame = CloseFrame {
        code,
        reason: reason.into(),
    };
    // A client that does not take it is cut off.
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, sender.send(Message::Close(Some(frame)))).await;
}
