//! The connections that transactions go through.

use futures::{
    FutureExt,
    future::{Either, select, try_join_all},
    pin_mut,
};

use super::{
    IngestError, Transport,
    http::{Endpoint, HttpConnection},
    load::{Load, Order},
    rpc::{Answer, ErrorObject, parse, push_send, shown},
    websocket::WebSocket,
};

const METHOD: &str = "eth_sendRawTransaction";

/// Open connections.
#[derive(Debug)]
pub(super) enum Lanes {
    /// One request at a time on each.
    Http(Vec<HttpConnection>),
    /// Batches of up to so many requests.
    Batch(Vec<HttpConnection>, usize),
    /// So many requests in flight on each.
    WebSocket(Vec<WebSocket>, usize),
}

impl Lanes {
    /// Opens so many connections, each for so many requests at a time.
    pub(super) async fn open(
        transport: Transport,
        endpoint: &Endpoint,
        connections: usize,
        depth: usize,
    ) -> Result<Self, IngestError> {
        let mut http = Vec::new();
        let mut websockets = Vec::new();
        for _ in 0..connections {
            match transport {
                Transport::Http | Transport::Batch => {
                    http.push(HttpConnection::open(endpoint).await?);
                }
                Transport::WebSocket => websockets.push(WebSocket::open(endpoint).await?),
            }
        }
        Ok(match transport {
            Transport::Http => Self::Http(http),
            Transport::Batch => Self::Batch(http, depth),
            Transport::WebSocket => Self::WebSocket(websockets, depth),
        })
    }

    /// Sends until there is nothing more to send and all answers are in.
    pub(super) async fn run(&mut self, load: &Load) -> Result<(), IngestError> {
        match self {
            Self::Http(connections) => {
                try_join_all(connections.iter_mut().map(|lane| singles(lane, load))).await?;
            }
            Self::Batch(connections, size) => {
                let size = *size;
                try_join_all(connections.iter_mut().map(|lane| batches(lane, size, load))).await?;
            }
            Self::WebSocket(connections, depth) => {
                let depth = *depth;
                try_join_all(
                    connections
                        .iter_mut()
                        .map(|lane| streamed(lane, depth, load)),
                )
                .await?;
            }
        }
        Ok(())
    }
}

/// What the node says about one transaction. A result must be the transaction's hash.
fn take_answer(load: &Load, order: &Order, answer: &Answer<'_>) -> Result<(), IngestError> {
    if let Some(error) = &answer.error {
        return load.answered(order, Err(error));
    }
    let result = answer.result.map_or("", |result| result.get());
    let expected = order.ready.hash();
    let digits = result
        .strip_prefix("\"0x")
        .and_then(|rest| rest.strip_suffix('"'));
    let found = digits.and_then(|digits| digits.parse().ok());
    if found != Some(expected) {
        return Err(IngestError::Answer {
            method: METHOD.to_owned(),
            expected: "the hash of the transaction that was sent",
            found: shown(result.as_bytes()),
        });
    }
    load.answered(order, Ok(()))
}

/// An answer that is none of JSON-RPC refuses all that was asked.
fn refused_by_status(
    load: &Load,
    orders: &[Order],
    status: u16,
    body: &[u8],
) -> Result<(), IngestError> {
    let error = ErrorObject {
        code: i64::from(status),
        message: format!("HTTP status {status}: {}", shown(body)).into(),
    };
    orders
        .iter()
        .try_for_each(|order| load.answered(order, Err(&error)))
}

async fn singles(lane: &mut HttpConnection, load: &Load) -> Result<(), IngestError> {
    let mut orders = Vec::with_capacity(1);
    let mut body = Vec::new();
    while load.wait_take(1, &mut orders).await? {
        body.clear();
        for order in &orders {
            push_send(&mut body, order.number, order.ready.raw());
        }
        let answer = lane.post(&body).await?;
        if answer.status == 200 {
            let answer: Answer<'_> = parse(METHOD, answer.body)?;
            for order in &orders {
                take_answer(load, order, &answer)?;
            }
        } else {
            refused_by_status(load, &orders, answer.status, answer.body)?;
        }
        orders.clear();
    }
    Ok(())
}

async fn batches(lane: &mut HttpConnection, size: usize, load: &Load) -> Result<(), IngestError> {
    let mut orders = Vec::with_capacity(size);
    let mut body = Vec::new();
    while load.wait_take(size, &mut orders).await? {
        body.clear();
        for order in &orders {
            body.push(if body.is_empty() { b'[' } else { b',' });
            push_send(&mut body, order.number, order.ready.raw());
        }
        body.push(b']');
        let answer = lane.post(&body).await?;
        match answer.body.first() {
            Some(b'[') if answer.status == 200 => {
                let answers: Vec<Answer<'_>> = parse(METHOD, answer.body)?;
                let mut in_order = answers.len() == orders.len();
                for (order, answer) in orders.iter().zip(&answers) {
                    in_order &= answer.id == Some(order.number as u64);
                }
                if in_order {
                    for (order, answer) in orders.iter().zip(&answers) {
                        take_answer(load, order, answer)?;
                    }
                } else {
                    match_answers(load, &orders, &answers)?;
                }
            }
            // One error for the whole batch.
            Some(b'{') if answer.status == 200 => {
                let answer: Answer<'_> = parse(METHOD, answer.body)?;
                for order in &orders {
                    take_answer(load, order, &answer)?;
                }
            }
            _ => refused_by_status(load, &orders, answer.status, answer.body)?,
        }
        orders.clear();
    }
    Ok(())
}

/// Answers of a batch may come in any order.
fn match_answers(load: &Load, orders: &[Order], answers: &[Answer<'_>]) -> Result<(), IngestError> {
    for order in orders {
        let mut matching = answers
            .iter()
            .filter(|answer| answer.id == Some(order.number as u64));
        match (matching.next(), matching.next()) {
            (Some(answer), None) => take_answer(load, order, answer)?,
            (found, _) => {
                return Err(IngestError::Answer {
                    method: METHOD.to_owned(),
                    expected: "one answer to each request of a batch",
                    found: if found.is_some() { "several" } else { "none" }.to_owned(),
                });
            }
        }
    }
    Ok(())
}

async fn streamed(lane: &mut WebSocket, depth: usize, load: &Load) -> Result<(), IngestError> {
    let mut in_flight: Vec<Order> = Vec::with_capacity(depth);
    let mut text = Vec::new();
    loop {
        let before = in_flight.len();
        load.take(depth, &mut in_flight)?;
        for order in in_flight.iter().skip(before) {
            text.clear();
            push_send(&mut text, order.number, order.ready.raw());
            lane.feed(&text).await?;
        }
        if in_flight.len() > before {
            lane.flush().await?;
        }
        if in_flight.is_empty() && load.all_sent() {
            load.wake();
            return Ok(());
        }
        let first = {
            let changed = load.changed();
            let receive = lane.receive();
            pin_mut!(changed, receive);
            match select(receive, changed).await {
                Either::Left((text, _)) => text?,
                // What has been received stays in the stream until it is asked for.
                Either::Right(_) => continue,
            }
        };
        take_message(load, &mut in_flight, first.as_bytes())?;
        // All that is there, so that what takes its place goes out together.
        while let Some(text) = lane.receive().now_or_never() {
            take_message(load, &mut in_flight, text?.as_bytes())?;
        }
    }
}

/// What the node says over WebSocket about one of the transactions on their way.
fn take_message(load: &Load, in_flight: &mut Vec<Order>, text: &[u8]) -> Result<(), IngestError> {
    let answer: Answer<'_> = parse(METHOD, text)?;
    let position = in_flight
        .iter()
        .position(|order| answer.id == Some(order.number as u64));
    let Some(position) = position else {
        return Err(IngestError::Answer {
            method: METHOD.to_owned(),
            expected: "the id of a request that was sent",
            found: shown(text),
        });
    };
    let order = in_flight.swap_remove(position);
    take_answer(load, &order, &answer)
}
