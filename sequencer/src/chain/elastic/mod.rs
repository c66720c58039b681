//! Elastic blocks: their size and the time between them follow the load, the speed of this machine
//! and the backlog towards L1. [`controller`] decides; this is what asks it and does as it says.

mod backlog;
mod bounds;
mod controller;
#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tokio::time;

use super::{ChainHandle, ProducerConfig, producer::OriginFeed};
use crate::{error::NodeError, mempool::Mempool, metrics::ElasticMetrics, tasks::Tasks};
use backlog::{Backlog, Unsafe};
use bounds::{Bounds, microseconds};
use controller::{BlockObservation, Controller, Decision, L1Observation};

pub use bounds::{ElasticConfig, Ramp};

/// How often the controller decides even when no block is made, so that a chain which L1 has stopped
/// goes on by itself.
const PERIOD: Duration = Duration::from_millis(250);
/// Bytes of blocks behind L1 that are counted at the start, at least: what metrics and ages tell
/// apart.
const LEAST_COUNTED: u64 = 64 << 20;
/// How often a chain whose next block would be empty makes one all the same, while its base fee is
/// above what those who wait can pay, unless its configuration says something else.
const COOLING: Duration = Duration::from_secs(1);

/// The controller of a chain with what it looks at; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Elastic {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    chain: ChainHandle,
    mempool: Mempool,
    origins: OriginFeed,
    cooling: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    controller: Controller,
    backlog: Backlog,
    behind: Unsafe,
    l1_base_fee: u64,
    decision: Decision,
}

/// What the next block may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Its gas limit.
    pub(super) gas_limit: u64,
    /// Most transactions.
    pub(super) max_transactions: usize,
    /// Most bytes of transactions, deposits left out.
    pub(super) max_bytes: usize,
}

/// A block that was made.
#[derive(Debug, Clone, Copy)]
pub(super) struct MadeBlock {
    /// Its number.
    pub(super) number: u64,
    /// Its timestamp, in seconds since the Unix epoch.
    pub(super) timestamp: u64,
    /// Bytes of its transactions, deposits left out.
    pub(super) bytes: u64,
    /// Gas limits of its transactions together, deposits included.
    pub(super) gas_wanted: u64,
    /// Its gas limit.
    pub(super) gas_limit: u64,
    /// Time to execute it.
    pub(super) execution: Duration,
    /// Time to seal, and to write, the last block that was.
    pub(super) later_stages: (Duration, Duration),
    /// Executable transactions that it left behind.
    pub(super) left: usize,
}

impl Elastic {
    /// Reads how far L1 is behind.
    pub(super) fn new(
        chain: ChainHandle,
        mempool: Mempool,
        origins: OriginFeed,
        config: &ProducerConfig,
    ) -> Result<Self, NodeError> {
        let bounds = Bounds::new(config);
        let stop = bounds.backlog_bytes.map_or(0, |ramp| ramp.stop);
        let counted = stop.max(LEAST_COUNTED);
        let backlog = Backlog::read(chain.store(), chain.labels().safe, counted)?;
        let mut controller = Controller::new(bounds);
        let decision = controller.decide(&L1Observation::default());
        let elastic = Self {
            shared: Arc::new(Shared {
                chain,
                mempool,
                origins,
                cooling: config
                    .elastic
                    .as_ref()
                    .map_or(COOLING, |elastic| elastic.max_interval)
                    .max(config.min_interval),
                state: Mutex::new(State {
                    controller,
                    backlog,
                    behind: Unsafe::default(),
                    l1_base_fee: 0,
                    decision,
                }),
            }),
        };
        elastic.decide();
        Ok(elastic)
    }

    /// What the block that is made now may be.
    pub(super) fn plan(&self) -> Plan {
        let decision = self.decide();
        let whole = |number| usize::try_from(number).unwrap_or(usize::MAX);
        Plan {
            gas_limit: decision.gas_limit,
            max_transactions: whole(decision.max_transactions),
            max_bytes: whole(decision.max_bytes),
        }
    }

    /// Least time between the starts of the last block and the next.
    pub(super) fn interval(&self) -> Duration {
        Duration::from_micros(self.shared.state.lock().decision.interval)
    }

    /// Time after which a block is made only so that the base fee falls.
    pub(super) fn cooling(&self) -> Duration {
        self.shared.cooling
    }

    /// Takes in a block that is the newest of the chain now.
    pub(super) fn made(&self, block: &MadeBlock) {
        let mut state = self.shared.state.lock();
        state
            .backlog
            .push(block.number, block.timestamp, block.bytes);
        let (seal, commit) = block.later_stages;
        state.controller.observe(&BlockObservation {
            gas_wanted: block.gas_wanted,
            gas_limit: block.gas_limit,
            execute: microseconds(block.execution),
            seal: microseconds(seal),
            commit: microseconds(commit),
            left: block.left as u64,
        });
    }

    /// Decides again and tells the mempool.
    fn decide(&self) -> Decision {
        let shared = &*self.shared;
        let safe = shared.chain.labels().safe;
        let l1_base_fee = shared
            .origins
            .borrow()
            .as_ref()
            .map(|update| u64::try_from(update.advance.origin.base_fee).unwrap_or(u64::MAX));
        let mut state = shared.state.lock();
        // Without news the last price holds.
        state.l1_base_fee = l1_base_fee.unwrap_or(state.l1_base_fee);
        state.behind = state.backlog.behind(safe);
        let seen = L1Observation {
            backlog_bytes: state.behind.bytes,
            backlog_age: age(state.behind),
            base_fee: state.l1_base_fee,
        };
        state.decision = state.controller.decide(&seen);
        // Under the lock, so that an older decision never follows a newer one.
        shared.mempool.set_pressure(state.decision.admission);
        state.decision
    }

    /// Decides and reports at regular intervals.
    pub(super) fn spawn(&self, tasks: &mut Tasks) {
        let elastic = self.clone();
        let metrics = ElasticMetrics::new(self.shared.chain.spec().chain_id());
        let stop = tasks.stop().clone();
        tasks.spawn("elastic", async move {
            let mut was_closed = false;
            loop {
                let decision = elastic.decide();
                let behind = elastic.shared.state.lock().behind;
                let closed = decision.admission.closed_at.is_some();
                if closed != was_closed {
                    was_closed = closed;
                    if closed {
                        tracing::warn!(
                            blocks = behind.blocks,
                            bytes = behind.bytes,
                            "too much waits for L1: no transactions are taken in"
                        );
                    } else {
                        tracing::info!("L1 has caught up: transactions are taken in again");
                    }
                }
                metrics.decided(
                    decision.gas_limit,
                    Duration::from_micros(decision.interval),
                    decision.pressure,
                );
                metrics.backlog(behind.blocks, behind.bytes, age(behind));
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = time::sleep(PERIOD) => {}
                }
            }
        });
    }
}

/// Seconds since the oldest block that is not safe.
fn age(behind: Unsafe) -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs());
    behind.since.map_or(0, |since| now.saturating_sub(since))
}
