use std::{future::Future, thread, time::Duration};

use tokio::{
    sync::oneshot,
    task::{JoinError, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::error::NodeError;

/// How long the next part may take to end when one has failed: longer than the RPC server waits for
/// its requests.
const AFTER_FAILURE: Duration = Duration::from_secs(15);

/// The running parts of a node. They live and die together: when one ends, for whatever reason,
/// the others are told to stop, and the first error is the node's.
#[derive(Debug)]
pub(crate) struct Tasks {
    running: JoinSet<(&'static str, Result<(), NodeError>)>,
    stop: CancellationToken,
}

impl Tasks {
    pub(crate) fn new(stop: CancellationToken) -> Self {
        Self {
            running: JoinSet::new(),
            stop,
        }
    }

    /// What every part watches.
    pub(crate) const fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    pub(crate) fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), NodeError>> + Send + 'static,
    ) {
        self.running.spawn(async move { (name, task.await) });
    }

    /// As [`Self::spawn`], for a part that may be dropped at any time: it need not watch the token,
    /// and a request that hangs does not hold up the end of the node.
    pub(crate) fn spawn_droppable(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), NodeError>> + Send + 'static,
    ) {
        let stop = self.stop.clone();
        self.spawn(name, async move {
            stop.run_until_cancelled(task).await.unwrap_or(Ok(()))
        });
    }

    /// Runs a part on a thread of its own, for work that must not be on tokio's threads.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn spawn_thread(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Result<(), NodeError> + Send + 'static,
    ) -> Result<(), NodeError> {
        let (done, result) = oneshot::channel();
        thread::Builder::new()
            .name(format!("weft-{name}"))
            .spawn(move || {
                let _ = done.send(work());
            })
            .map_err(|error| NodeError::Setup(format!("cannot start thread {name}: {error}")))?;
        self.spawn(name, async move {
            // A sender that was dropped without a result means that the thread panicked.
            result
                .await
                .unwrap_or_else(|_| Err(NodeError::Setup(format!("{name} panicked"))))
        });
        Ok(())
    }

    /// Waits until every part has ended; after a failure not for long, because the part that failed may
    /// hold up another one for good.
    ///
    /// # Errors
    /// The first error of any part.
    pub(crate) async fn join(&mut self) -> Result<(), NodeError> {
        self.join_or_leave(AFTER_FAILURE).await
    }

    async fn join_or_leave(&mut self, after_failure: Duration) -> Result<(), NodeError> {
        let mut first: Result<(), NodeError> = Ok(());
        loop {
            let next = self.running.join_next();
            let ended = if first.is_ok() {
                next.await
            } else {
                timeout(after_failure, next).await.unwrap_or_else(|_| {
                    tracing::warn!("parts of the node do not end: leaving them");
                    None
                })
            };
            let Some(ended) = ended else {
                return first;
            };
            let (name, result) = ended.unwrap_or_else(|error: JoinError| {
                (
                    "task",
                    Err(NodeError::Setup(format!("a task panicked: {error}"))),
                )
            });
            if let Err(error) = &result {
                tracing::error!(part = name, %error, "stopping");
            }
            if first.is_ok() {
                first = result;
            }
            self.stop.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_ends_the_node_though_another_part_hangs() {
        let mut tasks = Tasks::new(CancellationToken::new());
        tasks.spawn("hanging", std::future::pending());
        tasks.spawn("failing", async {
            Err(NodeError::Setup("it failed".to_owned()))
        });
        let error = tasks.join_or_leave(Duration::ZERO).await.unwrap_err();
        assert_eq!(error.to_string(), "it failed");
        assert!(tasks.stop().is_cancelled());
    }
}
