//! `eth_sendRawTransaction` in the form that nearly all clients use: nothing is copied but the
//! transaction, and what a batch sends is admitted together.

use alloy_primitives::{Bytes, hex};
use jsonrpsee_core::server::MethodResponse;
use jsonrpsee_types::{ErrorObjectOwned, Id};
use serde_json::value::RawValue;

use super::{
    RpcError,
    api::{Api, Origin},
    dispatch::Envelope,
    ingress::{Admitted, Ingress},
};
use crate::metrics::{Refused, refused};

/// Name of the method.
pub(super) const SEND: &str = "eth_sendRawTransaction";

/// A request to send a transaction.
#[derive(Debug)]
pub(super) struct SendRequest<'a> {
    /// The request's id as it stands there.
    pub(super) id: &'a RawValue,
    /// The signed transaction.
    pub(super) bytes: Bytes,
}

impl<'a> SendRequest<'a> {
    /// `None` for any other request, and for one that is not plainly right: whoever answers all
    /// requests knows what is wrong with it.
    pub(super) fn parse(request: &'a RawValue) -> Option<Self> {
        let text = request.get();
        if !text.starts_with('{') || !text.contains(SEND) {
            return None;
        }
        let envelope: Envelope<'a> = serde_json::from_str(text).ok()?;
        let named = envelope
            .method?
            .get()
            .strip_prefix('"')?
            .strip_suffix('"')?;
        if named != SEND || envelope.jsonrpc?.get() != "\"2.0\"" {
            return None;
        }
        let id = envelope.id?;
        serde_json::from_str::<Id<'_>>(id.get()).ok()?;
        let [transaction]: [&str; 1] = serde_json::from_str(envelope.params?.get()).ok()?;
        let bytes = hex::decode(transaction.strip_prefix("0x")?).ok()?;
        Some(Self {
            id,
            bytes: bytes.into(),
        })
    }
}

/// Has transactions admitted that came in one message, as many as their sender's limit allows. What
/// becomes of each comes back in their order.
pub(super) async fn submit(
    api: &Api,
    ingress: &Ingress,
    mut transactions: Vec<Bytes>,
    origin: Origin,
) -> Vec<Admitted> {
    let count = transactions.len();
    let (granted, wait) = api.limits.take_sends(origin.client, count);
    transactions.truncate(granted);
    let mut admitted = ingress
        .submit(origin.connection, origin.received, transactions)
        .await;
    for _ in granted..count {
        refused(Refused::Sends);
        admitted.push(Err(RpcError::LimitExceeded(format!(
            "too many transactions, one in {} ms is taken",
            wait.as_millis().max(1)
        ))));
    }
    admitted
}

/// Writes the answer to a request with this id.
pub(super) fn write_sent(json: &mut String, id: &RawValue, admitted: Admitted) {
    match admitted {
        Ok(pooled) => {
            json.push_str("{\"jsonrpc\":\"2.0\",\"id\":");
            json.push_str(id.get());
            json.push_str(",\"result\":\"0x");
            json.push_str(&hex::encode(pooled.hash));
            json.push_str("\"}");
        }
        Err(error) => {
            // It was parsed before.
            let id = serde_json::from_str(id.get()).unwrap_or(Id::Null);
            let error = ErrorObjectOwned::from(error);
            json.push_str(MethodResponse::error(id, error).as_ref());
        }
    }
}
