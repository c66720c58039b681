use alloy_primitives::{B256, U128};
use alloy_rpc_types_eth::{Filter, FilterBlockOption, Log};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::broadcast::error::TryRecvError;

use super::logs::FILTER;
use crate::rpc::{
    RpcError,
    api::{Api, Registry},
    filters::OpenFilter,
    json::{self, json_size},
    logs::check_filter,
    params::Arguments,
    workers::Deadline,
};

const FILTER_ID: &str = "a filter id";
/// Most block hashes or transactions in one answer; the rest comes with the next poll.
const MAX_CHANGES: usize = 10_000;

/// Filters that a client polls.
pub(super) fn register(registry: &mut Registry) {
    registry.quick("eth_newFilter", 1, |api, mut arguments| {
        let filter: Filter = arguments.required(FILTER)?;
        check_filter(&filter)?;
        let next = next_block(api);
        open(
            api,
            OpenFilter::Logs {
                filter: Box::new(filter),
                next,
            },
        )
    });
    registry.quick("eth_newBlockFilter", 0, |api, _| {
        open(
            api,
            OpenFilter::Blocks {
                next: next_block(api),
            },
        )
    });
    registry.quick(
        "eth_newPendingTransactionFilter",
        1,
        |api, mut arguments| {
            let whole = arguments
                .optional("true for whole transactions")?
                .unwrap_or(false);
            let pending = api.mempool()?.subscribe();
            open(api, OpenFilter::Transactions { pending, whole })
        },
    );
    registry.quick("eth_uninstallFilter", 1, |api, mut arguments| {
        let id: U128 = arguments.required(FILTER_ID)?;
        Ok(api.filters.close(id.to()))
    });
    registry.long("eth_getFilterChanges", 1, changes);
    registry.long("eth_getFilterLogs", 1, all_logs);
}

fn open(api: &Api, filter: OpenFilter) -> Result<U128, RpcError> {
    api.filters.open(filter).map(U128::from)
}

fn next_block(api: &Api) -> u64 {
    api.chain.head().number.saturating_add(1)
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Changes {
    Hashes(Vec<B256>),
    Logs(Vec<Log>),
    Transactions(Vec<Value>),
}

/// What is new since the last poll.
fn changes(api: &Api, mut arguments: Arguments, deadline: Deadline) -> Result<Changes, RpcError> {
    let id: U128 = arguments.required(FILTER_ID)?;
    let filter = api.filters.get(id.to())?;
    let mut filter = filter.lock();
    match &mut *filter {
        OpenFilter::Blocks { next } => {
            let mut hashes = Vec::new();
            while hashes.len() < MAX_CHANGES {
                let Some(header) = api.header_at(*next)? else {
                    break;
                };
                hashes.push(header.hash());
                *next = next.saturating_add(1);
            }
            Ok(Changes::Hashes(hashes))
        }
        OpenFilter::Logs { filter, next } => {
            let (first, last) = numbers(api, filter, *next);
            if first > last {
                return Ok(Changes::Logs(Vec::new()));
            }
            let last = last.min(first.saturating_add(api.config.max_log_range - 1));
            let (logs, searched) =
                api.collect_logs(filter, first, last, deadline, |_, _| Ok(()))?;
            *next = searched;
            Ok(Changes::Logs(logs))
        }
        OpenFilter::Transactions { pending, whole } => {
            let mut received = Vec::new();
            let mut bytes = 0_usize;
            while received.len() < MAX_CHANGES && bytes < api.config.max_response_bytes / 2 {
                match pending.try_recv() {
                    Ok(pooled) => {
                        bytes = bytes.saturating_add(json_size(&pooled));
                        received.push(pooled);
                    }
                    Err(TryRecvError::Lagged(_)) => {}
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
            if !*whole {
                let hashes = received.iter().map(|pooled| pooled.hash).collect();
                return Ok(Changes::Hashes(hashes));
            }
            received
                .iter()
                .map(|pooled| {
                    let sender = pooled.transaction.signer();
                    json::transaction(pooled.transaction.inner(), sender, None)
                })
                .collect::<Result<_, _>>()
                .map(Changes::Transactions)
        }
    }
}

/// First and last new block that a log filter looks at.
fn numbers(api: &Api, filter: &Filter, next: u64) -> (u64, u64) {
    let head = api.chain.head().number;
    match filter.block_option {
        // A block of the past has no news.
        FilterBlockOption::AtBlockHash(_) => (next, 0),
        FilterBlockOption::Range {
            from_block,
            to_block,
        } => {
            let number =
                |tag: Option<alloy_eips::BlockNumberOrTag>| tag.and_then(|tag| tag.as_number());
            let first = number(from_block).map_or(next, |from| from.max(next));
            let last = number(to_block).map_or(head, |to| to.min(head));
            (first, last)
        }
    }
}

/// All logs that a log filter selects, old and new.
fn all_logs(api: &Api, mut arguments: Arguments, deadline: Deadline) -> Result<Vec<Log>, RpcError> {
    let id: U128 = arguments.required(FILTER_ID)?;
    let filter = api.filters.get(id.to())?;
    let selected = match &*filter.lock() {
        OpenFilter::Logs { filter, .. } => (**filter).clone(),
        OpenFilter::Blocks { .. } | OpenFilter::Transactions { .. } => {
            return Err(RpcError::UnknownFilter);
        }
    };
    api.logs(&selected, deadline)
}
