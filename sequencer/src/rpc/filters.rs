use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_rpc_types_eth::Filter;
use parking_lot::Mutex;
use tokio::sync::broadcast;

use super::RpcError;
use crate::mempool::PooledTransaction;

/// The open filters of all clients. A filter is a cursor and holds no results, so that one that is
/// never polled costs nothing but its place.
#[derive(Debug)]
pub(super) struct Filters {
    open: Mutex<HashMap<u128, Entry>>,
    max: usize,
    ttl: Duration,
}

#[derive(Debug)]
struct Entry {
    used: Instant,
    /// Shared, so that a poll that reads from disk does not hold the lock over all filters.
    filter: Arc<Mutex<OpenFilter>>,
}

/// What a filter reports when it is polled.
#[derive(Debug)]
pub(super) enum OpenFilter {
    /// Hashes of blocks from `next` on.
    Blocks {
        /// First block not yet reported.
        next: u64,
    },
    /// Matching logs of blocks from `next` on.
    Logs {
        /// What to select.
        filter: Box<Filter>,
        /// First block not yet reported.
        next: u64,
    },
    /// Transactions that became executable. The channel is bounded: when the client polls too
    /// rarely, the oldest are gone.
    Transactions {
        /// Transactions not yet reported.
        pending: broadcast::Receiver<Arc<PooledTransaction>>,
        /// Whether to report whole transactions instead of hashes.
        whole: bool,
    },
}

impl Filters {
    pub(super) fn new(max: usize, ttl: Duration) -> Self {
        Self {
            open: Mutex::default(),
            max,
            ttl,
        }
    }

    /// Opens a filter and gives its id.
    ///
    /// # Errors
    /// [`RpcError::LimitExceeded`] when too many are open.
    pub(super) fn open(&self, filter: OpenFilter) -> Result<u128, RpcError> {
        let now = Instant::now();
        let mut open = self.open.lock();
        if open.len() >= self.max {
            open.retain(|_, entry| now.duration_since(entry.used) < self.ttl);
        }
        if open.len() >= self.max {
            return Err(RpcError::LimitExceeded(format!(
                "at most {} filters are open at a time: uninstall one or wait for it to expire",
                self.max
            )));
        }
        let id = rand::random();
        open.insert(
            id,
            Entry {
                used: now,
                filter: Arc::new(Mutex::new(filter)),
            },
        );
        Ok(id)
    }

    /// The filter with this id, whose life begins anew.
    ///
    /// # Errors
    /// [`RpcError::UnknownFilter`] when there is none or it has expired.
    pub(super) fn get(&self, id: u128) -> Result<Arc<Mutex<OpenFilter>>, RpcError> {
        let now = Instant::now();
        let mut open = self.open.lock();
        let entry = open.get_mut(&id).ok_or(RpcError::UnknownFilter)?;
        if now.duration_since(entry.used) >= self.ttl {
            open.remove(&id);
            return Err(RpcError::UnknownFilter);
        }
        entry.used = now;
        Ok(Arc::clone(&entry.filter))
    }

    /// Closes a filter; `false` when there is none.
    pub(super) fn close(&self, id: u128) -> bool {
        self.open.lock().remove(&id).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_filters_are_bounded_and_expire() {
        let blocks = || OpenFilter::Blocks { next: 0 };
        let filters = Filters::new(2, Duration::from_secs(60));
        let first = filters.open(blocks()).unwrap();
        filters.open(blocks()).unwrap();
        assert!(matches!(
            filters.open(blocks()),
            Err(RpcError::LimitExceeded(_))
        ));
        assert!(filters.close(first));
        assert!(!filters.close(first));
        assert!(matches!(filters.get(first), Err(RpcError::UnknownFilter)));
        filters.open(blocks()).unwrap();

        let short = Filters::new(1, Duration::ZERO);
        let expired = short.open(blocks()).unwrap();
        assert!(matches!(short.get(expired), Err(RpcError::UnknownFilter)));
        short.open(blocks()).unwrap();
        short.open(blocks()).unwrap();
    }
}
