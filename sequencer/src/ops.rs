//! `/health`, `/ready` and `/metrics`, on the same port as JSON-RPC.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;

use crate::chain::ChainHandle;

/// What the endpoints report; clones share it.
#[derive(Clone)]
pub(crate) struct Ops {
    chain: ChainHandle,
    ready: Arc<AtomicBool>,
    metrics: Option<PrometheusHandle>,
}

impl Ops {
    /// A node that is not ready yet. Without `metrics`, `/metrics` answers 404.
    pub(crate) fn new(chain: ChainHandle, metrics: Option<PrometheusHandle>) -> Self {
        Self {
            chain,
            ready: Arc::new(AtomicBool::new(false)),
            metrics,
        }
    }

    /// Says whether the node can serve: `/ready` answers 200 or 503 accordingly.
    pub(crate) fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// The routes.
    pub(crate) fn router(&self) -> Router {
        let router = Router::new()
            .route("/health", get(health))
            .route("/ready", get(ready));
        let router = if self.metrics.is_some() {
            router.route("/metrics", get(metrics))
        } else {
            router
        };
        router.with_state(self.clone())
    }
}

async fn health() -> impl IntoResponse {
    Json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

async fn ready(State(ops): State<Ops>) -> impl IntoResponse {
    let ready = ops.ready.load(Ordering::Acquire);
    let labels = ops.chain.labels();
    let body = Json(json!({
        "ready": ready,
        "head": ops.chain.head().number,
        "safe": labels.safe,
        "finalized": labels.finalized,
    }));
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, body)
}

async fn metrics(State(ops): State<Ops>) -> impl IntoResponse {
    ops.metrics
        .map(|handle| handle.render())
        .ok_or(StatusCode::NOT_FOUND)
}
