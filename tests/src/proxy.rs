//! A TCP proxy that plays a bad network in front of a real L1.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// What the proxy does with every connection, open ones included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Passes bytes both ways.
    Clear,
    /// Closes each connection at once.
    Down,
    /// Takes requests and never answers.
    Silent,
    /// Answers each request with HTTP 500.
    Errors,
    /// Answers each request with HTTP 200 and bytes that are no JSON.
    Nonsense,
    /// Answers each request with JSON-RPC whose result has a wrong type.
    WrongTypes,
}

/// A proxy on a port that the system chose. Dropping it closes everything.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    weather: watch::Sender<Weather>,
    met: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A proxy in front of `target` (`host:port`).
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(target: &str) -> eyre::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (weather, seen) = watch::channel(Weather::Clear);
        let target = target.to_owned();
        let met = Arc::new(AtomicU64::new(0));
        let counter = met.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(client, target.clone(), seen.clone()));
            }
        });
        Ok(Self {
            url,
            weather,
            met,
            accepting,
        })
    }

    /// Where clients connect.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Changes what happens, to open connections too: those are closed.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
        self.met.store(0, Ordering::SeqCst);
    }

    /// Connections that were opened since the last change.
    pub fn met(&self) -> u64 {
        self.met.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One connection, until its end or the next change of weather.
async fn serve(client: TcpStream, target: String, mut weather: watch::Receiver<Weather>) {
    let now = *weather.borrow_and_update();
    let unchanged = weather.clone();
    let connection = async {
        match now {
            Weather::Clear => pass(client, &target, unchanged).await,
            Weather::Down => Ok(()),
            Weather::Silent => swallow(client).await,
            Weather::Errors => {
                answer(client, "500 Internal Server Error", "the L1 is unwell").await
            }
            Weather::Nonsense => answer(client, "200 OK", "\u{0}\u{7f}{]\"nonsense").await,
            Weather::WrongTypes => {
                answer(
                    client,
                    "200 OK",
                    r#"{"jsonrpc":"2.0","id":0,"result":{"number":[]}}"#,
                )
                .await
            }
        }
    };
    tokio::select! {
        _ = connection => {}
        _ = weather.changed() => {}
    }
}

async fn pass(
    client: TcpStream,
    target: &str,
    weather: watch::Receiver<Weather>,
) -> std::io::Result<()> {
    let server = TcpStream::connect(target).await?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        done = copy(from_client, to_server, &weather) => done,
        done = copy(from_server, to_client, &weather) => done,
    }
}

/// Nothing that was sent after a change of weather passes: the change is looked for between reading
/// and writing.
async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    weather: &watch::Receiver<Weather>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 || weather.has_changed().unwrap_or(true) {
            return Ok(());
        }
        to.write_all(buffer.get(..count).unwrap_or_default())
            .await?;
    }
}

async fn swallow(mut client: TcpStream) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    while client.read(&mut buffer).await? > 0 {}
    Ok(())
}

async fn answer(mut client: TcpStream, status: &str, body: &str) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    let _ = client.read(&mut buffer).await?;
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes()).await?;
    client.write_all(body.as_bytes()).await?;
    client.shutdown().await
}
