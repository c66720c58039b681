use std::sync::Arc;

use alloy_rpc_types_eth::Filter;
use jsonrpsee_core::server::{PendingSubscriptionSink, SubscriptionSink};
use jsonrpsee_types::{ErrorObjectOwned, Params};
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use weft_state::BlockBundle;

use super::logs::FILTER;
use crate::{
    mempool::PooledTransaction,
    rpc::{
        RpcError,
        api::{Api, Registry, to_json},
        json::{self, BlockParts},
        logs::check_filter,
        params::Arguments,
        websocket::Connection,
    },
};

/// What a subscription sends.
enum Subscription {
    NewHeads(Receiver<Arc<BlockBundle>>),
    Logs(Box<Filter>, Receiver<Arc<BlockBundle>>),
    Transactions {
        pending: Receiver<Arc<PooledTransaction>>,
        whole: bool,
    },
}

/// `eth_subscribe` and `eth_unsubscribe`.
pub(super) fn register(registry: &mut Registry) {
    registry.with_module(|module| {
        module.register_subscription(
            "eth_subscribe",
            "eth_subscription",
            "eth_unsubscribe",
            |params, pending, api, extensions| async move {
                let connection = extensions.get::<Connection>().cloned();
                subscribe(&api, &params, pending, connection).await;
            },
        )?;
        Ok(())
    });
}

async fn subscribe(
    api: &Api,
    params: &Params<'static>,
    pending: PendingSubscriptionSink,
    connection: Option<Connection>,
) {
    let (Some(connection), parsed) = (connection, parse(api, params)) else {
        pending
            .reject(ErrorObjectOwned::from(RpcError::NotificationsUnsupported))
            .await;
        return;
    };
    let subscription = match parsed {
        Ok(subscription) => subscription,
        Err(error) => {
            pending.reject(ErrorObjectOwned::from(error)).await;
            return;
        }
    };
    // The connection may be gone by now.
    let Ok(sink) = pending.accept().await else {
        return;
    };
    let too_slow = tokio::select! {
        () = sink.closed() => false,
        too_slow = run(subscription, &sink) => too_slow,
    };
    if too_slow {
        connection.close_slow();
    }
}

/// Reads what is subscribed to, and starts to listen for it.
fn parse(api: &Api, params: &Params<'static>) -> Result<Subscription, RpcError> {
    let mut arguments = Arguments::parse(params, 2)?;
    let kind: String = arguments.required("newHeads, logs or newPendingTransactions")?;
    match kind.as_str() {
        "newHeads" => Ok(Subscription::NewHeads(api.chain.subscribe())),
        "logs" => {
            let filter: Filter = arguments.optional(FILTER)?.unwrap_or_default();
            check_filter(&filter)?;
            Ok(Subscription::Logs(Box::new(filter), api.chain.subscribe()))
        }
        "newPendingTransactions" => {
            let whole = arguments
                .optional("true for whole transactions")?
                .unwrap_or(false);
            Ok(Subscription::Transactions {
                pending: api.mempool()?.subscribe(),
                whole,
            })
        }
        _ => Err(RpcError::InvalidParams(
            "no such subscription: expected newHeads, logs or newPendingTransactions".into(),
        )),
    }
}

/// Sends notifications until the client is gone; `true` when it was too slow for them.
async fn run(subscription: Subscription, sink: &SubscriptionSink) -> bool {
    match subscription {
        Subscription::NewHeads(mut blocks) => loop {
            let bundle = match blocks.recv().await {
                Ok(bundle) => bundle,
                Err(error) => return is_lag(&error),
            };
            if !send(sink, to_json(json::header(&bundle.block.header))).await {
                return false;
            }
        },
        Subscription::Logs(filter, mut blocks) => loop {
            let bundle = match blocks.recv().await {
                Ok(bundle) => bundle,
                Err(error) => return is_lag(&error),
            };
            if !filter.matches_bloom(bundle.block.header.logs_bloom) {
                continue;
            }
            let parts = BlockParts {
                block: &bundle.block,
                senders: &bundle.senders,
                receipts: &bundle.receipts,
            };
            for log in parts.logs(|log| filter.matches(log)) {
                if !send(sink, to_json(Ok(log))).await {
                    return false;
                }
            }
        },
        Subscription::Transactions { mut pending, whole } => loop {
            let pooled = match pending.recv().await {
                Ok(pooled) => pooled,
                Err(error) => return is_lag(&error),
            };
            let notification = if whole {
                let sender = pooled.transaction.signer();
                json::transaction(pooled.transaction.inner(), sender, None)
                    .and_then(|json| to_json(Ok(json)))
            } else {
                to_raw_value(&pooled.hash)
                    .map_err(|_| RpcError::Internal("a hash could not be written"))
            };
            if !send(sink, notification).await {
                return false;
            }
        },
    }
}

const fn is_lag(error: &RecvError) -> bool {
    matches!(error, RecvError::Lagged(_))
}

/// `false` when nothing more can be sent.
async fn send(sink: &SubscriptionSink, notification: Result<Box<RawValue>, RpcError>) -> bool {
    match notification {
        Ok(json) => sink.send(json).await.is_ok(),
        Err(error) => {
            tracing::error!(%error, "notification could not be written");
            false
        }
    }
}
