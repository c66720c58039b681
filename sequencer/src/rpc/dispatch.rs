use std::{collections::HashMap, sync::Arc, time::Instant};

use jsonrpsee_core::{
    RegisterMethodError,
    server::{
        BoundedSubscriptions, ConnectionId, Extensions, MethodCallback, MethodResponse, MethodSink,
        Methods, SubscriptionState,
    },
    traits::IdProvider,
};
use jsonrpsee_types::{
    ErrorObjectOwned, Id, Params, SubscriptionId,
    error::{ErrorCode, PARSE_ERROR_CODE},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::{
    RpcConfig, RpcError,
    api::{Api, Origin},
    client::Client,
    dispatch_sends::{SEND, SendRequest, submit, write_sent},
    methods,
    params::parse_bounded,
    rate_limit::TooMany,
    websocket::Connection,
};
use crate::metrics::{MethodMetrics, Refused, refused};

/// Notifications of one subscription that wait for the connection. What else is to come waits in the
/// chain's own feed, which all subscriptions share.
const FEED_CAPACITY: usize = 1;
/// Characters of an unknown method's name that the error repeats.
const SHOWN_NAME: usize = 64;

/// Turns the text of a request into the text of its answer.
#[derive(Debug)]
pub(super) struct Dispatcher {
    api: Arc<Api>,
    methods: Methods,
    metrics: HashMap<&'static str, MethodMetrics>,
    max_batch: usize,
    max_response_bytes: usize,
    max_batch_response_bytes: usize,
}

/// What a message is answered with.
#[derive(Debug, Default)]
pub(super) struct Reply {
    /// JSON text; `None` when the message held notifications only.
    pub(super) json: Option<String>,
    /// Notifications of the subscriptions that the message opened. They may be sent only after the
    /// answer.
    pub(super) feeds: Vec<Feed>,
    /// Nothing was done, because the client has asked for too much.
    pub(super) too_many: Option<TooMany>,
}

/// Notifications of one subscription.
pub(super) type Feed = mpsc::Receiver<Box<RawValue>>;

/// The members of a request, unchecked.
#[derive(Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(borrow, default)]
    pub(super) jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) method: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) params: Option<&'a RawValue>,
}

/// Keeps `null` apart from a missing member.
fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Subscription ids as geth makes them: random hexadecimal strings.
#[derive(Debug)]
struct HexIds;

impl IdProvider for HexIds {
    fn next_id(&self) -> SubscriptionId<'static> {
        format!("{:#x}", rand::random::<u128>()).into()
    }
}

impl Dispatcher {
    /// # Errors
    /// When two methods have one name.
    pub(super) fn new(
        api: Arc<Api>,
        chain_id: u64,
        config: &RpcConfig,
    ) -> Result<Self, RegisterMethodError> {
        let methods = methods::all(Arc::clone(&api))?;
        let metrics = methods
            .method_names()
            .map(|name| (name, MethodMetrics::new(chain_id, name)))
            .collect();
        Ok(Self {
            api,
            methods,
            metrics,
            max_batch: config.max_batch,
            max_response_bytes: config.max_response_bytes,
            max_batch_response_bytes: config.max_batch_response_bytes,
        })
    }

    /// Answers a message of this client: one request or a batch. `connection` is where subscriptions
    /// can be opened.
    pub(super) async fn answer(
        &self,
        message: &[u8],
        connection: Option<&Connection>,
        client: Client,
    ) -> Reply {
        let origin = Origin {
            connection: connection.map_or_else(Connection::fresh_key, Connection::key),
            received: Instant::now(),
            client,
        };
        let parsed = std::str::from_utf8(message)
            .map_err(|error| error.to_string())
            .and_then(|text| {
                serde_json::from_str::<&RawValue>(text).map_err(|error| error.to_string())
            });
        let value = match parsed {
            Ok(value) => value,
            Err(error) => return Reply::error(parse_error(&error)),
        };
        if value.get().starts_with('[') {
            return self.batch(value, connection, origin).await;
        }
        if let Err(too_many) = self.api.limits.take_requests(client, 1) {
            return Reply::too_many(id_of(value), too_many);
        }
        if let Some(send) = SendRequest::parse(value) {
            let mut json = String::new();
            self.send(vec![send], origin, &mut json).await;
            return Reply {
                json: Some(json),
                ..Reply::default()
            };
        }
        match self.request(value, connection, origin).await {
            None => Reply::default(),
            Some((response, feed)) => Reply {
                json: Some(String::from(Box::<str>::from(response.into_json()))),
                feeds: feed.into_iter().collect(),
                ..Reply::default()
            },
        }
    }

    /// Answers the requests of a batch one after another, in order; transactions that are sent one
    /// after another are admitted together.
    async fn batch(
        &self,
        batch: &RawValue,
        connection: Option<&Connection>,
        origin: Origin,
    ) -> Reply {
        let requests = match parse_bounded::<&RawValue>(batch.get(), self.max_batch) {
            Ok(requests) => requests,
            Err(error) => return Reply::error(parse_error(&error.to_string())),
        };
        if requests.total == 0 {
            return Reply::error(RpcError::InvalidRequest("empty batch".into()).into());
        }
        if requests.total > self.max_batch {
            return Reply::error(
                RpcError::InvalidRequest(format!(
                    "batch too large: {} requests, at most {} are answered",
                    requests.total, self.max_batch
                ))
                .into(),
            );
        }
        let limits = &self.api.limits;
        if let Err(too_many) = limits.take_requests(origin.client, requests.total) {
            return Reply::too_many(Id::Null, too_many);
        }
        let mut json = String::from("[");
        let mut feeds = Vec::new();
        let mut requests = requests.items.into_iter().peekable();
        while let Some(request) = requests.next() {
            if json.len() > self.max_batch_response_bytes {
                return Reply::error(
                    RpcError::LimitExceeded(format!(
                        "batch response is over {} bytes, send fewer requests",
                        self.max_batch_response_bytes
                    ))
                    .into(),
                );
            }
            if let Some(send) = SendRequest::parse(request) {
                let mut sends = vec![send];
                while let Some(send) = requests
                    .peek()
                    .and_then(|request| SendRequest::parse(request))
                {
                    sends.push(send);
                    requests.next();
                }
                if json.len() > 1 {
                    json.push(',');
                }
                self.send(sends, origin, &mut json).await;
            } else if let Some((response, feed)) = self.request(request, connection, origin).await {
                if json.len() > 1 {
                    json.push(',');
                }
                json.push_str(response.as_ref());
                feeds.extend(feed);
            }
        }
        if json.len() == 1 {
            return Reply::default();
        }
        json.push(']');
        Reply {
            json: Some(json),
            feeds,
            ..Reply::default()
        }
    }

    /// Has transactions admitted together and writes the answers, separated by commas.
    async fn send(&self, sends: Vec<SendRequest<'_>>, origin: Origin, json: &mut String) {
        let (ids, transactions): (Vec<_>, Vec<_>) =
            sends.into_iter().map(|send| (send.id, send.bytes)).unzip();
        let count = ids.len();
        let admitted = match self.api.ingress() {
            Ok(ingress) => submit(&self.api, ingress, transactions, origin).await,
            Err(_) => (0..count).map(|_| Err(RpcError::ReadOnly)).collect(),
        };
        let metrics = self.metrics.get(SEND);
        for (id, admitted) in ids.into_iter().zip(admitted) {
            if let Some(metrics) = metrics {
                metrics.answered(admitted.is_ok(), origin.received.elapsed());
            }
            if !json.is_empty() && !json.ends_with([',', '[']) {
                json.push(',');
            }
            write_sent(json, id, admitted);
        }
    }

    /// Answers one request; `None` when it is a notification.
    async fn request(
        &self,
        request: &RawValue,
        connection: Option<&Connection>,
        origin: Origin,
    ) -> Option<(MethodResponse, Option<Feed>)> {
        let refuse = |id: Id<'_>, error: RpcError| {
            Some((
                MethodResponse::error(id, ErrorObjectOwned::from(error)),
                None,
            ))
        };
        let invalid = |text: &str| RpcError::InvalidRequest(text.to_owned());
        if !request.get().starts_with('{') {
            return refuse(Id::Null, invalid("expected an object"));
        }
        let envelope: Envelope<'_> = match serde_json::from_str(request.get()) {
            Ok(envelope) => envelope,
            Err(error) => {
                return refuse(Id::Null, RpcError::InvalidRequest(error.to_string()));
            }
        };
        let id = match envelope
            .id
            .map(|id| serde_json::from_str::<Id<'_>>(id.get()))
        {
            None => None,
            Some(Ok(id)) => Some(id),
            Some(Err(_)) => {
                return refuse(
                    Id::Null,
                    invalid("id must be a string, a non-negative integer or null"),
                );
            }
        };
        let answer_to = || id.clone().unwrap_or(Id::Null);
        if envelope.jsonrpc.map(RawValue::get) != Some("\"2.0\"") {
            return refuse(answer_to(), invalid("jsonrpc must be \"2.0\""));
        }
        let method: String = match envelope
            .method
            .map(|method| serde_json::from_str(method.get()))
        {
            Some(Ok(method)) => method,
            _ => return refuse(answer_to(), invalid("method must be a string")),
        };
        let params = Params::new(envelope.params.map(RawValue::get));
        let notification = id.is_none();
        let answer = self
            .call(answer_to(), &method, params, connection, origin)
            .await;
        (!notification).then_some(answer)
    }

    async fn call(
        &self,
        id: Id<'_>,
        name: &str,
        params: Params<'_>,
        connection: Option<&Connection>,
        origin: Origin,
    ) -> (MethodResponse, Option<Feed>) {
        let Some((name, callback)) = self.methods.method_with_name(name) else {
            let shown: String = name.chars().take(SHOWN_NAME).collect();
            let error = ErrorObjectOwned::owned::<()>(
                ErrorCode::MethodNotFound.code(),
                format!("the method {shown} does not exist/is not available"),
                None,
            );
            return (MethodResponse::error(id, error), None);
        };
        let started = Instant::now();
        let connection_id = connection.map_or(ConnectionId(0), |connection| connection.id());
        let limit = self.max_response_bytes;
        let (response, feed) = match callback {
            MethodCallback::Sync(callback) => {
                (callback(id, params, limit, Extensions::new()), None)
            }
            MethodCallback::Async(callback) => {
                let (id, params) = (id.into_owned(), params.into_owned());
                let mut extensions = Extensions::new();
                extensions.insert(origin);
                let answer = callback(id, params, connection_id, limit, extensions);
                (answer.await, None)
            }
            MethodCallback::Unsubscription(callback) => (
                callback(id, params, connection_id, limit, Extensions::new()),
                None,
            ),
            MethodCallback::Subscription(callback) => match connection {
                None => {
                    let error = ErrorObjectOwned::from(RpcError::NotificationsUnsupported);
                    (MethodResponse::error(id, error), None)
                }
                Some(connection) => match connection.subscriptions().acquire() {
                    None => (too_many_subscriptions(id, connection.subscriptions()), None),
                    Some(subscription_permit) => {
                        let (sink, mut feed) = mpsc::channel(FEED_CAPACITY);
                        let state = SubscriptionState {
                            conn_id: connection_id,
                            id_provider: &HexIds,
                            subscription_permit,
                        };
                        let mut extensions = Extensions::new();
                        extensions.insert(connection.clone());
                        let sink = MethodSink::new(sink);
                        let response = callback(id, params, sink, state, extensions).await;
                        // The answer itself comes first on the feed too.
                        let accepted = response.is_success() && feed.recv().await.is_some();
                        (response, accepted.then_some(feed))
                    }
                },
            },
        };
        if let Some(metrics) = self.metrics.get(name) {
            metrics.answered(response.is_success(), started.elapsed());
        }
        (response, feed)
    }
}

impl Reply {
    /// An error about the whole message.
    pub(super) fn error(error: ErrorObjectOwned) -> Self {
        Self::error_to(Id::Null, error)
    }

    /// The answer to a message that is not worked on.
    pub(super) fn refusal(message: &[u8], error: RpcError) -> Self {
        let value = serde_json::from_slice::<&RawValue>(message);
        Self::error_to(value.map_or(Id::Null, id_of), error.into())
    }

    fn error_to(id: Id<'_>, error: ErrorObjectOwned) -> Self {
        let response = MethodResponse::error(id, error);
        Self {
            json: Some(String::from(Box::<str>::from(response.into_json()))),
            ..Self::default()
        }
    }

    fn too_many(id: Id<'_>, too_many: TooMany) -> Self {
        refused(Refused::Requests);
        Self {
            too_many: Some(too_many),
            ..Self::error_to(id, RpcError::from(too_many).into())
        }
    }
}

/// The id of a request; null for a batch and for what is no request.
fn id_of(request: &RawValue) -> Id<'_> {
    serde_json::from_str::<Envelope<'_>>(request.get())
        .ok()
        .and_then(|envelope| serde_json::from_str(envelope.id?.get()).ok())
        .unwrap_or(Id::Null)
}

fn parse_error(error: &str) -> ErrorObjectOwned {
    ErrorObjectOwned::owned::<()>(PARSE_ERROR_CODE, format!("parse error: {error}"), None)
}

fn too_many_subscriptions(id: Id<'_>, subscriptions: &BoundedSubscriptions) -> MethodResponse {
    let error = RpcError::LimitExceeded(format!(
        "at most {} subscriptions on one connection",
        subscriptions.max()
    ));
    MethodResponse::error(id, ErrorObjectOwned::from(error))
}
