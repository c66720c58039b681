use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{Semaphore, oneshot};

use super::RpcError;

/// Threads for what must not run on tokio's: execution and reads from disk. Sent transactions have
/// threads of their own.
///
/// One thread is always left for short work, so that long calls cannot keep it waiting.
#[derive(Debug)]
pub(super) struct Workers {
    pool: rayon::ThreadPool,
    /// Permits of long work; one for each thread but one.
    long: Arc<Semaphore>,
    /// Permits of long work that runs or waits.
    admitted: Arc<Semaphore>,
    timeout: Duration,
}

/// When a caller stops waiting for long work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    /// `None` when the clock does not reach that far.
    at: Option<Instant>,
    timeout: Duration,
}

impl Deadline {
    /// # Errors
    /// [`RpcError::Timeout`] once the deadline is over.
    pub(super) fn check(&self) -> Result<(), RpcError> {
        match self.at {
            Some(at) if Instant::now() >= at => Err(RpcError::Timeout(self.timeout)),
            _ => Ok(()),
        }
    }
}

impl Workers {
    /// Starts the threads. `threads` of 0 takes one for each core; there are at least two.
    pub(super) fn new(
        threads: usize,
        timeout: Duration,
        max_waiting: usize,
    ) -> Result<Self, rayon::ThreadPoolBuildError> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let threads = if threads == 0 { cores } else { threads }.max(2);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("rpc-{index}"))
            .panic_handler(|_| tracing::error!("a request panicked"))
            .build()?;
        let long = threads.saturating_sub(1);
        Ok(Self {
            pool,
            long: Arc::new(Semaphore::new(long)),
            admitted: Arc::new(Semaphore::new(long.saturating_add(max_waiting))),
            timeout,
        })
    }

    /// How many threads there are.
    pub(super) fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Runs short work.
    ///
    /// # Errors
    /// [`RpcError::Internal`] when the work panicked.
    pub(super) async fn short<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RpcError> {
        let (answer, answered) = oneshot::channel();
        self.pool.spawn(move || {
            // Whoever asked may be gone; then nobody wants the answer.
            let _ = answer.send(work());
        });
        answered
            .await
            .map_err(|_| RpcError::Internal("the request panicked"))
    }

    /// Runs work that may take long, as soon as a thread for it is free. Work that is over its
    /// deadline keeps its thread until it ends by itself; only the caller stops waiting.
    ///
    /// # Errors
    /// [`RpcError::LimitExceeded`] when too much is waiting already, [`RpcError::Timeout`] when
    /// there is no answer in time, [`RpcError::Internal`] when the work panicked.
    pub(super) async fn long<T: Send + 'static>(
        &self,
        work: impl FnOnce(Deadline) -> T + Send + 'static,
    ) -> Result<T, RpcError> {
        let admitted = Arc::clone(&self.admitted)
            .try_acquire_owned()
            .map_err(|_| RpcError::LimitExceeded("too many calls are waiting, try later".into()))?;
        let timeout = self.timeout;
        let deadline = Deadline {
            at: Instant::now().checked_add(timeout),
            timeout,
        };
        let run = async {
            let running = Arc::clone(&self.long)
                .acquire_owned()
                .await
                .map_err(|_| RpcError::Internal("the server is stopping"))?;
            self.short(move || {
                let _permits = (running, admitted);
                work(deadline)
            })
            .await
        };
        tokio::time::timeout(timeout, run)
            .await
            .unwrap_or(Err(RpcError::Timeout(timeout)))
    }
}
