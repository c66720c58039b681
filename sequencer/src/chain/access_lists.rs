use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_primitives::U64;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::runtime::Handle;
use weft_executor_parallel::{AccessListVerdict, BlockAccessList, FalseAccessList};
use weft_l1_bridge::{L1Client, L1ClientConfig};

use crate::{error::NodeError, metrics};

/// How long a list may keep a block waiting.
const TIMEOUT: Duration = Duration::from_millis(500);
/// How long nobody is asked after a request that failed.
const PAUSE: Duration = Duration::from_secs(30);
/// Largest answer, in bytes.
const MAX_ANSWER_BYTES: usize = 32 << 20;
/// Transactions from which on a block is worth a request.
const MIN_TRANSACTIONS: usize = 16;

/// Asks a node for the access lists of blocks that are about to be executed. It need not be
/// trusted: a list can only help to be faster.
#[derive(Debug)]
pub struct AccessListSource {
    client: L1Client,
    paused_until: Mutex<Option<Instant>>,
}

/// The part of the answer of `weft_getBlockAccessList` that matters.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    access_list: BlockAccessList,
}

impl AccessListSource {
    /// A source at the JSON-RPC endpoint of a node that has `weft_getBlockAccessList`. Nothing is
    /// asked yet.
    ///
    /// # Errors
    /// When the URL cannot be used.
    pub fn new(url: &str) -> Result<Self, NodeError> {
        let config = L1ClientConfig {
            timeout: TIMEOUT,
            max_response_bytes: MAX_ANSWER_BYTES,
            ..L1ClientConfig::default()
        };
        Ok(Self {
            client: L1Client::new(url, config)?,
            paused_until: Mutex::new(None),
        })
    }

    /// The list of a block with so many transactions, if it comes in time. Waits: not for tokio's
    /// own threads, but for one that belongs to a runtime.
    pub(super) fn get(&self, number: u64, transactions: usize) -> Option<BlockAccessList> {
        if transactions < MIN_TRANSACTIONS || self.is_paused() {
            return None;
        }
        let params = (U64::from(number),);
        let request = self
            .client
            .request::<_, Option<Answer>>("weft_getBlockAccessList", params);
        match Handle::current().block_on(request) {
            Ok(answer) => answer.map(|answer| answer.access_list),
            Err(error) => {
                tracing::warn!(%error, block = number, "no access list; executing without");
                *self.paused_until.lock() = Instant::now().checked_add(PAUSE);
                None
            }
        }
    }

    fn is_paused(&self) -> bool {
        self.paused_until
            .lock()
            .is_some_and(|until| Instant::now() < until)
    }
}

/// What became of the access lists that this process was given. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct AccessListRecord {
    inner: Arc<Mutex<AccessListCounts>>,
}

/// Numbers of access lists since the process started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccessListCounts {
    /// Lists that were true.
    pub right: u64,
    /// Lists that were false.
    pub wrong: u64,
    /// Block of the last false list, and what was wrong with it.
    pub last_wrong: Option<(u64, FalseAccessList)>,
}

impl AccessListRecord {
    /// Takes note of a list that was checked.
    pub(super) fn add(&self, chain_id: u64, number: u64, verdict: AccessListVerdict) {
        metrics::access_list(chain_id, verdict.is_ok());
        let mut counts = self.inner.lock();
        match verdict {
            Ok(()) => counts.right = counts.right.saturating_add(1),
            Err(error) => {
                tracing::warn!(block = number, %error, "false access list; not believed");
                counts.wrong = counts.wrong.saturating_add(1);
                counts.last_wrong = Some((number, error));
            }
        }
    }

    /// The numbers as of now.
    pub fn counts(&self) -> AccessListCounts {
        self.inner.lock().clone()
    }
}
