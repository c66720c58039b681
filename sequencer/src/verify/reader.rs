use std::time::Duration;

use tokio::{sync::mpsc, time};
use tokio_util::task::AbortOnDropHandle;
use weft_l1_bridge::{Derivation, DerivationError, DerivedBatch, PostedBatch};

/// Batches that are handed out by derivation and wait to be executed, beside those that it reads
/// ahead itself.
const QUEUE: usize = 2;

/// What reading L1 came to.
#[derive(Debug)]
pub(super) enum Read {
    /// The next batch.
    Batch(Box<DerivedBatch>),
    /// L1 has no more.
    CaughtUp,
    /// L1 could not be read, or the data of the batch that is waited for; the same is tried again.
    Unreadable(Option<Box<PostedBatch>>, DerivationError),
    /// L1 is not what was read before: this reader has ended.
    Changed(DerivationError),
    /// A batch that cannot be right: this reader has ended.
    Wrong(Box<PostedBatch>, DerivationError),
    /// Nothing can be read: this reader has ended.
    Failed(DerivationError),
}

/// Derives batches on a task of its own, while earlier ones are executed. Dropped, it ends.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) read: mpsc::Receiver<Read>,
    _task: AbortOnDropHandle<()>,
}

impl Reader {
    pub(super) fn start(derivation: Derivation, poll_interval: Duration) -> Self {
        let (sender, read) = mpsc::channel(QUEUE);
        Self {
            read,
            _task: AbortOnDropHandle::new(tokio::spawn(run(derivation, sender, poll_interval))),
        }
    }
}

async fn run(mut derivation: Derivation, sender: mpsc::Sender<Read>, poll_interval: Duration) {
    loop {
        let read = match derivation.next_batch().await {
            Ok(Some(batch)) => Read::Batch(Box::new(batch)),
            Ok(None) => Read::CaughtUp,
            Err(error) if error.is_retryable() => {
                Read::Unreadable(derivation.waiting().copied().map(Box::new), error)
            }
            Err(error @ (DerivationError::Reorg { .. } | DerivationError::Rejected { .. })) => {
                Read::Changed(error)
            }
            Err(error @ DerivationError::Batch { .. }) => match derivation.waiting() {
                Some(posted) => Read::Wrong(Box::new(*posted), error),
                None => Read::Failed(error),
            },
            Err(error) => Read::Failed(error),
        };
        let (pause, end) = match &read {
            Read::Batch(_) => (false, false),
            Read::CaughtUp | Read::Unreadable(..) => (true, false),
            Read::Changed(_) | Read::Wrong(..) | Read::Failed(_) => (false, true),
        };
        if sender.send(read).await.is_err() || end {
            return;
        }
        if pause {
            time::sleep(poll_interval).await;
        }
    }
}
