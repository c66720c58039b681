use std::{io, num::NonZeroUsize, sync::Arc};

use alloy_primitives::Bytes;
use weft_executor_parallel::Engine;
use weft_primitives::RecoveredTransaction;
use weft_state::{PreloadCounters, Store};

use super::Layers;

/// Has what transactions are expected to look at read into memory before they are executed: from the
/// moment of admission on.
#[derive(Debug, Clone)]
pub struct Preloader {
    engine: Arc<Engine>,
    state: Arc<weft_state::Preloader>,
}

impl Preloader {
    /// Starts this many threads that read, for which at most `queue_keys` accounts and slots wait.
    /// `engine` is the one that will execute the transactions, and knows what to expect, and `layers`
    /// those on which it will: they hear of the code that is read.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn start(
        store: &Store,
        engine: Arc<Engine>,
        layers: Arc<Layers>,
        threads: NonZeroUsize,
        queue_keys: usize,
    ) -> io::Result<Self> {
        let on_code = Box::new(move |hash, code: &Bytes| layers.prepare(hash, code));
        let state = Arc::new(store.preloader(threads, queue_keys, on_code)?);
        Ok(Self { engine, state })
    }

    /// Has read what an admitted transaction is expected to look at, unless it is in memory. It waits
    /// for nothing, and takes a microsecond, or a few for a call of a contract: not for the threads
    /// that serve sockets.
    pub fn transaction(&self, transaction: &RecoveredTransaction) {
        self.state.load(self.engine.predicted_keys(transaction));
    }

    /// What it has done since it was started.
    pub fn counters(&self) -> PreloadCounters {
        self.state.counters()
    }
}
