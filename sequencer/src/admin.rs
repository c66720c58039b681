//! The operator's JSON-RPC: a port of its own, and a token that every request has to bring. It tells
//! and steers what posts batches, and nothing else.

use std::{future::IntoFuture, io, net::SocketAddr, sync::Arc};

use alloy_primitives::{B256, keccak256};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use jsonrpsee_core::{RegisterMethodError, server::RpcModule};
use jsonrpsee_types::{ErrorObjectOwned, error::ErrorCode};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use weft_batcher::{FlushError, SubmitterControl, SubmitterStatus};

use crate::config::Secret;

/// Largest request, in bytes.
const MAX_BODY_BYTES: usize = 1 << 16;

/// Shortest token: a shorter one could be guessed.
pub(crate) const LEAST_TOKEN_LENGTH: usize = 16;

/// Where the operator's JSON-RPC is served.
#[derive(Debug, Clone)]
pub struct AdminConfig {
    /// Host or address to listen on.
    pub host: String,
    /// Port; 0 lets the system choose.
    pub port: u16,
    /// What a request must bring as `Authorization: Bearer TOKEN`.
    pub token: Secret,
}

/// Why the operator's JSON-RPC could not start.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address cannot be listened on.
    #[error("admin: cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The system does not let it listen any more.
    #[error("admin: {0}")]
    Serve(io::Error),
    /// Two methods have one name.
    #[error("admin: {0}")]
    Methods(#[from] RegisterMethodError),
}

/// The running server.
#[derive(Debug)]
pub(crate) struct AdminServer {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
}

/// What posts batches, once it runs; `None` on a node that posts none.
pub(crate) type Batcher = watch::Receiver<Option<SubmitterControl>>;

/// What a request is answered from.
#[derive(Clone)]
struct Admin {
    methods: Arc<RpcModule<Batcher>>,
    /// Hash of the token: comparing hashes tells nothing about the token by the time it takes.
    token: B256,
}

impl AdminServer {
    /// Listens; [`Self::run`] serves.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub(crate) async fn bind(config: &AdminConfig, batcher: Batcher) -> Result<Self, AdminError> {
        let address = format!("{}:{}", config.host, config.port);
        let unusable = |source| AdminError::Bind {
            address: address.clone(),
            source,
        };
        let listener = TcpListener::bind((config.host.as_str(), config.port))
            .await
            .map_err(unusable)?;
        let local = listener.local_addr().map_err(unusable)?;
        let admin = Admin {
            methods: Arc::new(methods(batcher)?),
            token: keccak256(config.token.expose()),
        };
        let router = Router::new()
            .route("/", post(answer))
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .with_state(admin);
        Ok(Self {
            listener,
            address: local,
            router,
        })
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`.
    ///
    /// # Errors
    /// When the system does not let it listen any more.
    pub(crate) async fn run(self, stop: CancellationToken) -> Result<(), AdminError> {
        // A flush may be waited for as long as L1 is away: a stop does not wait for it.
        let serving = axum::serve(self.listener, self.router).into_future();
        match stop.run_until_cancelled(serving).await {
            Some(ended) => ended.map_err(AdminError::Serve),
            None => Ok(()),
        }
    }
}

fn methods(batcher: Batcher) -> Result<RpcModule<Batcher>, RegisterMethodError> {
    let mut module = RpcModule::new(batcher);
    module.register_method("admin_batcherStatus", |_, batcher, _| status(batcher))?;
    module.register_method("admin_batcherPause", |_, batcher, _| {
        running(batcher)?.pause();
        tracing::warn!("the operator paused the batcher");
        status(batcher)
    })?;
    module.register_method("admin_batcherResume", |_, batcher, _| {
        running(batcher)?.resume();
        tracing::info!("the operator resumed the batcher");
        status(batcher)
    })?;
    module.register_async_method("admin_batcherFlush", |_, batcher, _| async move {
        running(&batcher)?
            .flush()
            .await
            .map_err(|error: FlushError| refused(&error.to_string()))?;
        status(&batcher)
    })?;
    Ok(module)
}

fn running(batcher: &Batcher) -> Result<SubmitterControl, ErrorObjectOwned> {
    let control = batcher.borrow().clone();
    control.ok_or_else(|| refused("this node posts no batches"))
}

fn status(batcher: &Batcher) -> Result<SubmitterStatus, ErrorObjectOwned> {
    Ok(running(batcher)?.status().borrow().clone())
}

fn refused(message: &str) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(ErrorCode::ServerError(-32000).code(), message, None::<()>)
}

async fn answer(State(admin): State<Admin>, headers: HeaderMap, body: Bytes) -> Response {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    if token.map(keccak256) != Some(admin.token) {
        return (
            StatusCode::UNAUTHORIZED,
            [(header::WWW_AUTHENTICATE, "Bearer")],
            "expected Authorization: Bearer TOKEN with the node's admin token\n",
        )
            .into_response();
    }
    let Ok(request) = std::str::from_utf8(&body) else {
        return (StatusCode::BAD_REQUEST, "expected JSON\n").into_response();
    };
    match admin.methods.raw_json_request(request, 1).await {
        Ok((answer, _)) => (
            [(header::CONTENT_TYPE, "application/json")],
            answer.to_string(),
        )
            .into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}
