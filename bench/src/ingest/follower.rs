//! Watches the node's blocks.

use std::{
    future::pending,
    time::{Duration, Instant},
};

use futures::{
    future::{Either, select},
    pin_mut,
};

use super::{IngestError, http::Endpoint, load::Load, rpc::Rpc, websocket::WebSocket};

/// How long to go on without a block that holds what was sent.
const PATIENCE: Duration = Duration::from_secs(30);

/// When to look for a block.
#[derive(Debug)]
pub(super) enum Signal {
    /// After so long again.
    Every(Duration),
    /// When the node says that there is one; and at times without being told.
    Heads(Box<WebSocket>),
}

impl Signal {
    /// Asks the node to say when there is a block. Where it cannot, it is asked every millisecond.
    pub(super) async fn heads(endpoint: &Endpoint) -> Self {
        let subscribe = async {
            let mut socket = WebSocket::open(endpoint).await?;
            let request =
                r#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}"#;
            socket.send(request.into()).await?;
            let answer = socket.receive().await?;
            Ok::<_, IngestError>(answer.contains("\"result\"").then_some(socket))
        };
        match subscribe.await {
            Ok(Some(socket)) => Self::Heads(Box::new(socket)),
            _ => Self::Every(Duration::from_millis(1)),
        }
    }

    async fn wait(&mut self) -> Result<(), IngestError> {
        let (pause, head) = match self {
            Self::Every(pause) => (*pause, Either::Left(pending())),
            // A head that came between the last look at blocks and this is there to be received.
            Self::Heads(socket) => (
                Duration::from_millis(50),
                Either::Right(async { socket.receive().await.map(drop) }),
            ),
        };
        let pause = tokio::time::sleep(pause);
        pin_mut!(pause, head);
        match select(head, pause).await {
            Either::Left((received, _)) => received,
            Either::Right(_) => Ok(()),
        }
    }
}

/// Looks at every block after `head` until all that was sent is in one.
pub(super) async fn follow(
    rpc: &mut Rpc,
    mut head: u64,
    load: &Load,
    signal: &mut Signal,
) -> Result<(), IngestError> {
    let mut last_progress = Instant::now();
    let mut last_included = 0;
    while !load.all_included() {
        match rpc.block(head + 1).await? {
            Some(block) => {
                head += 1;
                load.seen(&block);
            }
            None => {
                load.retry();
                signal.wait().await?;
            }
        }
        let (accepted, included) = load.progress();
        let waiting = accepted > included || load.all_sent();
        if included > last_included || !waiting {
            last_included = included;
            last_progress = Instant::now();
        }
        if last_progress.elapsed() > PATIENCE {
            return Err(load.missing(PATIENCE));
        }
    }
    Ok(())
}
