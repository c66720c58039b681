//! A JSON-RPC proxy in front of a real L1 that delays answers, loses them and gives old ones.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

/// Longest delay of an answer.
const DELAY: Duration = Duration::from_millis(1_500);

/// The proxy. Dropping it closes its port.
#[derive(Debug)]
pub struct LyingL1 {
    url: String,
    state: Arc<Mutex<Lies>>,
    serving: JoinHandle<()>,
}

#[derive(Debug)]
struct Lies {
    /// What decides each answer's fate; `None` while the proxy is honest.
    random: Option<StdRng>,
    /// Questions with this in them are not answered.
    silent_on: Option<String>,
    /// The last true answer to each question.
    answers: HashMap<String, Value>,
    told: u64,
}

/// What becomes of a question.
enum Fate {
    Truth,
    Delayed(Duration),
    /// L1 gets it, and the answer is lost.
    Lost,
    /// L1 does not get it.
    Dropped,
    /// It is answered as it was before, and L1 does not get it.
    Old,
    /// L1 has nothing like that.
    Nothing,
}

impl LyingL1 {
    /// An honest one in front of the node at `target`, a URL.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(target: &str) -> eyre::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let state = Arc::new(Mutex::new(Lies {
            random: None,
            silent_on: None,
            answers: HashMap::new(),
            told: 0,
        }));
        let app = Router::new().route("/", post(answer)).with_state(Server {
            target: target.to_owned(),
            http: reqwest::Client::new(),
            lies: Arc::clone(&state),
        });
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self {
            url,
            state,
            serving,
        })
    }

    /// Where clients connect.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on about half of all answers are late, lost or old, which ones by `seed`.
    pub fn lie(&self, seed: u64) {
        lock(&self.state).random = Some(StdRng::seed_from_u64(seed));
    }

    /// From now on questions with this text in them get no answer.
    pub fn be_silent_on(&self, text: &str) {
        lock(&self.state).silent_on = Some(text.to_owned());
    }

    /// From now on all answers are true. Returns how many were not, since the last time.
    pub fn be_honest(&self) -> u64 {
        let mut lies = lock(&self.state);
        lies.random = None;
        lies.silent_on = None;
        std::mem::take(&mut lies.told)
    }
}

impl Drop for LyingL1 {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[derive(Clone)]
struct Server {
    target: String,
    http: reqwest::Client,
    lies: Arc<Mutex<Lies>>,
}

fn lock(lies: &Mutex<Lies>) -> std::sync::MutexGuard<'_, Lies> {
    lies.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lies {
    fn fate(&mut self, question: &str) -> Fate {
        if let Some(text) = &self.silent_on
            && question.contains(text)
        {
            self.told += 1;
            return Fate::Dropped;
        }
        let Some(random) = &mut self.random else {
            return Fate::Truth;
        };
        let fate = match random.random_range(0..100) {
            0..50 => return Fate::Truth,
            50..65 => Fate::Delayed(random.random_range(Duration::ZERO..DELAY)),
            65..73 => Fate::Lost,
            73..80 => Fate::Dropped,
            80..96 => Fate::Old,
            _ => Fate::Nothing,
        };
        self.told += 1;
        fate
    }
}

async fn answer(State(server): State<Server>, body: String) -> Response {
    match answer_to(&server, &body).await {
        Ok(Some(answer)) => {
            ([("content-type", "application/json")], answer.to_string()).into_response()
        }
        Ok(None) => StatusCode::BAD_GATEWAY.into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

/// The answer; `None` when it is lost.
async fn answer_to(server: &Server, body: &str) -> eyre::Result<Option<Value>> {
    let request: Value = serde_json::from_str(body)?;
    let id = request.get("id").cloned().unwrap_or_default();
    let question = format!("{:?} {:?}", request.get("method"), request.get("params"));
    let result = |result: Value| serde_json::json!({"jsonrpc": "2.0", "id": id, "result": result});
    let fate = lock(&server.lies).fate(body);
    match fate {
        Fate::Dropped => return Ok(None),
        Fate::Nothing => return Ok(Some(result(Value::Null))),
        Fate::Old => {
            if let Some(old) = lock(&server.lies).answers.get(&question) {
                return Ok(Some(result(old.clone())));
            }
        }
        Fate::Delayed(delay) => tokio::time::sleep(delay).await,
        Fate::Truth | Fate::Lost => {}
    }
    let response = server.http.post(&server.target);
    let response = response
        .header("content-type", "application/json")
        .body(body.to_owned());
    let answer: Value = serde_json::from_str(&response.send().await?.text().await?)?;
    if let Some(result) = answer.get("result") {
        let mut lies = lock(&server.lies);
        lies.answers.insert(question, result.clone());
    }
    Ok((!matches!(fate, Fate::Lost)).then_some(answer))
}
