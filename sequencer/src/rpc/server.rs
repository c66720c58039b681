use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::StreamExt;
use jsonrpsee_core::RegisterMethodError;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

use crate::open_files::affordable_connections;

use super::{
    RpcConfig, RpcContext, RpcError,
    api::Api,
    api_keys::{ApiKeyError, ApiKeys},
    client::Client,
    dispatch::{Dispatcher, Reply},
    in_work::{InWork, Taken},
    listener::{BoundedListener, Peer},
    rate_limit::{RateLimits, TooMany},
    websocket,
};

/// How much of a body that is too large is read and thrown away, so that the client is done sending
/// and sees the answer.
const DISCARD_BYTES: usize = 256 << 20;
/// How long open requests may take to end when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum RpcServerError {
    /// The address cannot be listened on.
    #[error("RPC server: cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The worker threads did not start.
    #[error("RPC server: worker threads did not start: {0}")]
    Threads(String),
    /// Two methods have one name.
    #[error("RPC server: {0}")]
    Method(#[from] RegisterMethodError),
    /// The keys of clients cannot be used.
    #[error("RPC server: {0}")]
    Keys(#[from] ApiKeyError),
    /// An allowed origin is no header value.
    #[error(
        "RPC server: cors origin {0:?} is not a header value, expected \"*\" or an origin like \"https://example.org\""
    )]
    Cors(String),
}

/// The JSON-RPC server: HTTP and WebSocket on one port.
#[derive(Debug)]
pub struct RpcServer;

/// A running server. It stops when this is dropped.
#[derive(Debug)]
pub struct RpcServerHandle {
    address: SocketAddr,
    stop: CancellationToken,
    connections: TaskTracker,
    server: Option<JoinHandle<io::Result<()>>>,
}

#[derive(Clone)]
struct Shared {
    dispatcher: Arc<Dispatcher>,
    config: Arc<RpcConfig>,
    stop: CancellationToken,
    connections: TaskTracker,
    keys: Arc<ApiKeys>,
    work: Arc<InWork>,
}

impl Shared {
    fn client(&self, peer: Peer, headers: &HeaderMap) -> Client {
        Client::of(
            peer.0.ip(),
            headers,
            &self.keys,
            self.config.trusted_proxies,
        )
    }
}

impl RpcServer {
    /// Listens and serves. `extra` are further routes on the same port, such as health checks; `/`
    /// is JSON-RPC.
    ///
    /// # Errors
    /// When the address cannot be listened on or the configuration cannot be used.
    pub async fn start(
        config: RpcConfig,
        context: RpcContext,
        extra: Router,
    ) -> Result<RpcServerHandle, RpcServerError> {
        let cors = cors(&config.cors)?;
        let chain_id = context.chain.spec().chain_id();
        let keys = ApiKeys::load(&config, |name| std::env::var(name).ok())?;
        let limits = RateLimits::new(&config, &keys);
        let work = InWork::new(config.max_messages_in_work, config.max_bytes_in_work);
        let api = Api::new(config.clone(), context, limits)
            .map_err(|error| RpcServerError::Threads(error.to_string()))?;
        let dispatcher = Arc::new(Dispatcher::new(Arc::new(api), chain_id, &config)?);
        let address = SocketAddr::new(config.host, config.port);
        let bind_error = |source| RpcServerError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind_error)?;
        let local_address = listener.local_addr().map_err(bind_error)?;
        let listener = BoundedListener::new(
            listener,
            affordable_connections(config.max_connections),
            config.idle_timeout,
        );
        let stop = CancellationToken::new();
        let connections = TaskTracker::new();
        let router = Router::new()
            .route("/", get(websocket_or_hint).post(post))
            .with_state(Shared {
                dispatcher,
                config: Arc::new(config),
                stop: stop.clone(),
                connections: connections.clone(),
                keys: Arc::new(keys),
                work,
            })
            .merge(extra)
            .layer(cors);
        let stopped = stop.clone();
        let server = tokio::spawn(async move {
            axum::serve(
                listener,
                router.into_make_service_with_connect_info::<Peer>(),
            )
            .with_graceful_shutdown(stopped.cancelled_owned())
            .await
        });
        Ok(RpcServerHandle {
            address: local_address,
            stop,
            connections,
            server: Some(server),
        })
    }
}

impl RpcServerHandle {
    /// The address that the server listens on.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, closes WebSocket connections, and waits for open requests to end, but not
    /// for long.
    pub async fn stop(mut self) {
        self.stop.cancel();
        self.connections.close();
        let Some(mut server) = self.server.take() else {
            return;
        };
        let ended = tokio::time::timeout(STOP_TIMEOUT, async {
            self.connections.wait().await;
            (&mut server).await
        })
        .await;
        match ended {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::error!(%error, "RPC server failed"),
            Ok(Err(error)) => tracing::error!(%error, "RPC server panicked"),
            Err(_) => {
                tracing::warn!("RPC server: requests were cut off at shutdown");
                server.abort();
            }
        }
    }
}

impl Drop for RpcServerHandle {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn cors(origins: &[String]) -> Result<CorsLayer, RpcServerError> {
    let layer = CorsLayer::new()
        .allow_methods([Method::POST, Method::GET])
        .allow_headers(Any);
    if origins.iter().any(|origin| origin == "*") {
        return Ok(layer.allow_origin(Any));
    }
    let origins = origins
        .iter()
        .map(|origin| {
            HeaderValue::from_str(origin).map_err(|_| RpcServerError::Cors(origin.clone()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(layer.allow_origin(AllowOrigin::list(origins)))
}

async fn websocket_or_hint(
    State(shared): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return (
            StatusCode::METHOD_NOT_ALLOWED,
            [(header::ALLOW, "POST")],
            "JSON-RPC: POST a request, or open a WebSocket\n",
        )
            .into_response();
    };
    let limit = shared.config.max_body_bytes;
    let client = shared.client(peer, &headers);
    upgrade
        .max_message_size(limit)
        .max_frame_size(limit)
        .on_upgrade(move |socket| {
            let Shared {
                dispatcher,
                config,
                stop,
                connections,
                work,
                keys: _,
            } = shared;
            connections.track_future(websocket::serve(
                socket, dispatcher, config, stop, client, work,
            ))
        })
}

async fn post(
    State(shared): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let mut taken = match shared.work.take() {
        Ok(taken) => taken,
        Err(error) => return busy(error),
    };
    let limit = shared.config.max_body_bytes;
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let waits_for_us = headers.contains_key(header::EXPECT);
    if declared.is_some_and(|length| length > limit) && waits_for_us {
        return too_large(limit);
    }
    let body = match read_body(body, limit, &mut taken).await {
        Ok(body) => body,
        Err(BodyError::TooLarge) => return too_large(limit),
        Err(BodyError::Busy(error)) => return busy(error),
        Err(BodyError::Broken(error)) => {
            tracing::debug!(%error, "request body could not be read");
            return StatusCode::BAD_REQUEST.into_response();
        }
    };
    let client = shared.client(peer, &headers);
    let reply = shared.dispatcher.answer(&body, None, client).await;
    let json = reply.json.unwrap_or_default();
    match reply.too_many {
        None => json_response(StatusCode::OK, json),
        Some(too_many) => too_many_requests(too_many, json),
    }
}

/// Why a body is not there.
enum BodyError {
    /// It is larger than allowed. The rest has been read and thrown away, up to a bound.
    TooLarge,
    /// There is no room for it.
    Busy(RpcError),
    /// The connection broke.
    Broken(axum::Error),
}

async fn read_body(body: Body, limit: usize, taken: &mut Taken) -> Result<Vec<u8>, BodyError> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut total = 0_usize;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(BodyError::Broken)?;
        total = total.saturating_add(chunk.len());
        if total > DISCARD_BYTES {
            break;
        }
        if total > limit {
            bytes = Vec::new();
        } else {
            taken.read(chunk.len()).map_err(BodyError::Busy)?;
            bytes.extend_from_slice(&chunk);
        }
    }
    if total > limit {
        return Err(BodyError::TooLarge);
    }
    Ok(bytes)
}

fn too_large(limit: usize) -> Response {
    let error = RpcError::InvalidRequest(format!(
        "request body too large: at most {limit} bytes are read"
    ));
    let reply = Reply::error(error.into());
    json_response(
        StatusCode::PAYLOAD_TOO_LARGE,
        reply.json.unwrap_or_default(),
    )
}

fn busy(error: RpcError) -> Response {
    let reply = Reply::error(error.into());
    json_response(
        StatusCode::SERVICE_UNAVAILABLE,
        reply.json.unwrap_or_default(),
    )
}

fn too_many_requests(too_many: TooMany, json: String) -> Response {
    let mut response = json_response(StatusCode::TOO_MANY_REQUESTS, json);
    if let Some(wait) = too_many.retry_after {
        // Whole seconds, and not too few.
        let seconds = wait.as_secs().saturating_add(1);
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn json_response(status: StatusCode, json: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], json).into_response()
}
