//! What is looked at again and again and reported.

use std::time::Duration;

use metrics::{counter, gauge};
use tokio::time;

use crate::{
    chain::{ChainHandle, Preloader},
    error::NodeError,
    mempool::Mempool,
    tasks::Tasks,
};

/// How often the mempool's size is reported.
const MEMPOOL_PERIOD: Duration = Duration::from_secs(1);

/// How often the state's memory is reported.
const STATE_PERIOD: Duration = Duration::from_secs(1);

/// How often the independence of a block's transactions is computed, at most.
const PARALLELISM_PERIOD: Duration = Duration::from_secs(1);
/// Least time between two reports about how far back states are kept.
const HISTORY_PERIOD: Duration = Duration::from_secs(1);

/// Reports the mempool's size at regular intervals.
pub(crate) fn watch_mempool(tasks: &mut Tasks, chain: &ChainHandle, mempool: Mempool) {
    let chain_id = chain.spec().chain_id().to_string();
    let stop = tasks.stop().clone();
    tasks.spawn("mempool metrics", async move {
        loop {
            let (pending, queued) = mempool.status();
            gauge!("weft_mempool_pending_transactions", "chain_id" => chain_id.clone())
                .set(pending as f64);
            gauge!("weft_mempool_queued_transactions", "chain_id" => chain_id.clone())
                .set(queued as f64);
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = time::sleep(MEMPOOL_PERIOD) => {}
            }
        }
    });
}

/// Reports what was found in memory, and what was read ahead, at regular intervals.
pub(crate) fn watch_state(tasks: &mut Tasks, chain: &ChainHandle, preloader: Option<Preloader>) {
    let chain = chain.clone();
    let stop = tasks.stop().clone();
    tasks.spawn("state metrics", async move {
        let chain_id = chain.spec().chain_id().to_string();
        let cache = |outcome: &'static str| {
            counter!("weft_state_cache_total", "chain_id" => chain_id.clone(), "outcome" => outcome)
        };
        let preload = |outcome: &'static str| {
            counter!("weft_preload_total", "chain_id" => chain_id.clone(), "outcome" => outcome)
        };
        let (hits, misses) = (cache("hit"), cache("miss"));
        let bytes = gauge!("weft_state_cache_bytes", "chain_id" => chain_id.clone());
        let outcomes = ["cached", "loaded", "dropped", "failed"].map(preload);
        loop {
            let found = chain.store().cache_counters();
            hits.absolute(found.hits);
            misses.absolute(found.misses);
            bytes.set(found.bytes as f64);
            if let Some(preloader) = &preloader {
                let done = preloader.counters();
                let done = [done.cached, done.loaded, done.dropped, done.failed];
                for (outcome, keys) in outcomes.iter().zip(done) {
                    outcome.absolute(keys);
                }
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = time::sleep(STATE_PERIOD) => {}
            }
        }
    });
}

/// Reports how far the transactions of the newest block are independent, at most once in a period.
pub(crate) fn watch_parallelism(tasks: &mut Tasks, chain: &ChainHandle) {
    let chain = chain.clone();
    let chain_id = chain.spec().chain_id().to_string();
    let stop = tasks.stop().clone();
    tasks.spawn("parallelism metrics", async move {
        let mut head = chain.watch_head();
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = head.changed() => if changed.is_err() {
                    return Ok(());
                },
            }
            if let Some(record) = chain.recent_record() {
                let computed = tokio::task::spawn_blocking(move || {
                    let parallelism = record.parallelism();
                    (parallelism.lanes, parallelism.speed_up_bound)
                });
                let (lanes, bound) = computed.await.map_err(|error| {
                    NodeError::Setup(format!("parallelism metrics panicked: {error}"))
                })?;
                gauge!("weft_block_lanes", "chain_id" => chain_id.clone()).set(lanes as f64);
                gauge!("weft_block_speed_up_bound", "chain_id" => chain_id.clone()).set(bound);
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = time::sleep(PARALLELISM_PERIOD) => {}
            }
        }
    });
}

/// Reports how far back states are kept, at most once in a period.
pub(crate) fn watch_history(tasks: &mut Tasks, chain: &ChainHandle) {
    let chain = chain.clone();
    let chain_id = chain.spec().chain_id().to_string();
    let stop = tasks.stop().clone();
    tasks.spawn("history metrics", async move {
        let mut head = chain.watch_head();
        loop {
            let store = chain.store().clone();
            let read = tokio::task::spawn_blocking(move || store.oldest_state());
            let oldest = read.await.map_err(|error| {
                NodeError::Setup(format!("history metrics panicked: {error}"))
            })??;
            gauge!("weft_oldest_state_block_number", "chain_id" => chain_id.clone())
                .set(oldest as f64);
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = time::sleep(HISTORY_PERIOD) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = head.changed() => if changed.is_err() {
                    return Ok(());
                },
            }
        }
    });
}
