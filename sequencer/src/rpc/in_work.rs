//! Messages that the server has taken on and not answered yet, of all clients together: bounded, so
//! that what is too much is answered at once and not kept.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::RpcError;
use crate::metrics::{Refused, refused};

/// The bounds, and how much of them is taken.
#[derive(Debug)]
pub(super) struct InWork {
    most: usize,
    most_bytes: usize,
    messages: AtomicUsize,
    bytes: AtomicUsize,
}

/// A message in work. Dropped, it makes room.
#[derive(Debug)]
pub(super) struct Taken {
    all: Arc<InWork>,
    bytes: usize,
}

impl InWork {
    pub(super) fn new(most: usize, most_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_bytes,
            messages: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
        })
    }

    /// Takes a message on, none of which has been read yet.
    ///
    /// # Errors
    /// [`RpcError::LimitExceeded`] when as many are in work as may be.
    pub(super) fn take(self: &Arc<Self>) -> Result<Taken, RpcError> {
        if add(&self.messages, 1, self.most) {
            return Ok(Taken {
                all: Arc::clone(self),
                bytes: 0,
            });
        }
        refused(Refused::Busy);
        Err(RpcError::LimitExceeded(format!(
            "server is busy with {} messages, try later",
            self.most
        )))
    }
}

impl Taken {
    /// Counts bytes of the message.
    ///
    /// # Errors
    /// [`RpcError::LimitExceeded`] when the messages in work have as many as they may.
    pub(super) fn read(&mut self, bytes: usize) -> Result<(), RpcError> {
        if add(&self.all.bytes, bytes, self.all.most_bytes) {
            self.bytes += bytes;
            return Ok(());
        }
        refused(Refused::Busy);
        Err(RpcError::LimitExceeded(format!(
            "server is busy with {} bytes of messages, try later",
            self.all.most_bytes
        )))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.all.messages.fetch_sub(1, Ordering::Relaxed);
        self.all.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Adds to a count unless it would be above `most` then.
fn add(count: &AtomicUsize, more: usize, most: usize) -> bool {
    count
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            count.checked_add(more).filter(|count| *count <= most)
        })
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bounds_are_kept_and_room_comes_back() {
        let all = InWork::new(2, 100);
        let mut first = all.take().unwrap();
        let mut second = all.take().unwrap();
        let error = all.take().unwrap_err().to_string();
        assert_eq!(
            error,
            "limit exceeded: server is busy with 2 messages, try later"
        );
        first.read(60).unwrap();
        second.read(40).unwrap();
        assert!(second.read(1).is_err());
        drop(first);
        second.read(60).unwrap();
        drop(second);
        assert_eq!(all.bytes.load(Ordering::Relaxed), 0);
        assert_eq!(all.messages.load(Ordering::Relaxed), 0);
    }
}
