use std::{fmt, sync::Arc};

use tokio::sync::watch;

use crate::SubmitterStatus;

/// What the submitter was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Orders {
    /// Begin no further batch.
    pub(crate) paused: bool,
    /// Batches that begin at this block or below are not kept open.
    pub(crate) flush_up_to: u64,
}

/// Pauses and hurries a running submitter, and shows what it does. Clones speak to the same one.
#[derive(Clone)]
pub struct SubmitterControl {
    orders: watch::Sender<Orders>,
    status: watch::Sender<SubmitterStatus>,
    head: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl fmt::Debug for SubmitterControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubmitterControl")
            .field("orders", &self.orders)
            .finish_non_exhaustive()
    }
}

/// Why a flush did not end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FlushError {
    /// Nothing is posted while the submitter is paused.
    #[error("the batcher is paused: resume it first")]
    Paused,
    /// The submitter does not run any more.
    #[error("the batcher has stopped")]
    Stopped,
}

impl SubmitterControl {
    pub(crate) fn new(
        orders: watch::Sender<Orders>,
        status: watch::Sender<SubmitterStatus>,
        head: Arc<dyn Fn() -> u64 + Send + Sync>,
    ) -> Self {
        Self {
            orders,
            status,
            head,
        }
    }

    /// Begins no further batch. One that is on its way to L1 already is brought there.
    pub fn pause(&self) {
        self.set_paused(true);
    }

    /// Goes on after [`Self::pause`].
    pub fn resume(&self) {
        self.set_paused(false);
    }

    fn set_paused(&self, paused: bool) {
        self.status.send_modify(|status| status.paused = paused);
        self.orders.send_modify(|orders| orders.paused = paused);
    }

    /// Posts all blocks that the chain has now, whatever their age, and waits until they are on L1
    /// with the configured confirmations. Returns the last of them. Failures of L1 are waited out;
    /// dropping the call ends the waiting, and the blocks are posted all the same.
    ///
    /// # Errors
    /// When the submitter is or gets paused, or stops.
    pub async fn flush(&self) -> Result<u64, FlushError> {
        let target = (self.head)();
        if self.orders.borrow().paused {
            return Err(FlushError::Paused);
        }
        self.orders
            .send_modify(|orders| orders.flush_up_to = orders.flush_up_to.max(target));
        let mut status = self.status.subscribe();
        let posted = |status: &SubmitterStatus| {
            let last = status.last_batch.map(|last| last.last_block);
            last.is_some_and(|last| last >= target)
        };
        loop {
            {
                let now = status.borrow_and_update();
                if posted(&now) {
                    return Ok(target);
                }
                if now.paused {
                    return Err(FlushError::Paused);
                }
            }
            // This handle keeps the channel open: whether anybody listens to orders is what counts.
            tokio::select! {
                changed = status.changed() => changed.map_err(|_| FlushError::Stopped)?,
                () = self.orders.closed() => return Err(FlushError::Stopped),
            }
        }
    }

    /// Follows what the submitter is doing.
    pub fn status(&self) -> watch::Receiver<SubmitterStatus> {
        self.status.subscribe()
    }
}
