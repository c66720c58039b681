//! A JSON-RPC proxy in front of a real L1 that a test can make lie.

use std::sync::Arc;

use axum::{Json, Router, body::Body, http::StatusCode, response::Response, routing::post};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// What becomes of a request.
pub(crate) enum Fate {
    /// It goes to the L1, and its answer comes back.
    Pass,
    /// This request goes to the L1 in its place.
    Ask(Value),
    /// It is answered with this result, and the L1 never sees it.
    Answer(Value),
    /// It is answered with an error.
    Refuse(&'static str),
    /// The L1 gets it, and the connection breaks before the answer.
    LoseAnswer,
    /// It goes to the L1, and this is made of the result.
    Alter(Box<dyn Fn(Value) -> Value + Send>),
    /// The HTTP answer is this body.
    Body(String),
}

pub(crate) struct RpcProxy {
    pub(crate) url: String,
    serving: JoinHandle<()>,
}

impl Drop for RpcProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl RpcProxy {
    /// A proxy that asks `fate` about each request: its method and its parameters.
    pub(crate) async fn start(
        target: &str,
        fate: impl Fn(&str, &Value) -> Fate + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (fate, target) = (Arc::new(fate), target.to_owned());
        let http = reqwest::Client::new();
        let handler = move |Json(request): Json<Value>| {
            let (fate, target, http) = (Arc::clone(&fate), target.clone(), http.clone());
            async move {
                let method = request["method"].as_str().unwrap_or_default().to_owned();
                let decided = fate(&method, &request["params"]);
                let ask = |request: Value| {
                    let sent = http.post(&target).json(&request).send();
                    async move { sent.await.unwrap().json::<Value>().await.unwrap() }
                };
                let id = request["id"].clone();
                let answer = match decided {
                    Fate::Pass => ask(request).await,
                    Fate::Ask(other) => ask(other).await,
                    Fate::Answer(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
                    Fate::Refuse(message) => {
                        json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32000, "message": message}})
                    }
                    Fate::LoseAnswer => {
                        ask(request).await;
                        return Response::builder()
                            .status(StatusCode::BAD_GATEWAY)
                            .body(Body::empty())
                            .unwrap();
                    }
                    Fate::Alter(change) => {
                        let mut answer = ask(request).await;
                        if let Some(result) = answer.get("result").cloned() {
                            answer["result"] = change(result);
                        }
                        answer
                    }
                    Fate::Body(text) => return Response::new(Body::from(text)),
                };
                Response::new(Body::from(answer.to_string()))
            }
        };
        // Blobs are larger than axum's own limit.
        let router = Router::new()
            .route("/", post(handler))
            .layer(axum::extract::DefaultBodyLimit::max(8 << 20));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, serving }
    }
}
