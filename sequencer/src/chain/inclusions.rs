use std::{
    collections::{HashMap, hash_map::Entry},
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use alloy_primitives::B256;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use weft_state::BlockBundle;

/// A durable block and the index of a transaction in it.
type Place = (Arc<BlockBundle>, usize);

/// Those who wait for transactions to be in a durable block. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Inclusions {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    next_id: AtomicU64,
    /// `None` once the chain has ended.
    waiting: Mutex<Option<HashMap<B256, Vec<Waiting>>>>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            next_id: AtomicU64::default(),
            waiting: Mutex::new(Some(HashMap::new())),
        }
    }
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    place: oneshot::Sender<Place>,
}

/// Takes who waited out again.
struct Registration {
    shared: Arc<Shared>,
    hash: B256,
    id: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut waiting = self.shared.waiting.lock();
        let entry = waiting.as_mut().map(|waiting| waiting.entry(self.hash));
        if let Some(Entry::Occupied(mut entry)) = entry {
            entry.get_mut().retain(|waiting| waiting.id != self.id);
            if entry.get().is_empty() {
                entry.remove();
            }
        }
    }
}

impl Inclusions {
    /// Waits, from this call on, for the block that includes a transaction; `None` when the chain
    /// ends before.
    pub(super) fn wait(&self, hash: B256) -> impl Future<Output = Option<Place>> + Send + use<> {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let (place, placed) = oneshot::channel();
        if let Some(waiting) = self.shared.waiting.lock().as_mut() {
            waiting.entry(hash).or_default().push(Waiting { id, place });
        }
        let registration = Registration {
            shared: Arc::clone(&self.shared),
            hash,
            id,
        };
        async move {
            let placed = placed.await.ok();
            drop(registration);
            placed
        }
    }

    /// Tells of a durable block.
    pub(super) fn publish(&self, bundle: &Arc<BlockBundle>) {
        let mut waiting = self.shared.waiting.lock();
        let Some(waiting) = waiting.as_mut().filter(|waiting| !waiting.is_empty()) else {
            return;
        };
        for (index, transaction) in bundle.block.transactions.iter().enumerate() {
            for waiting in waiting.remove(&transaction.hash()).into_iter().flatten() {
                // Whoever waited may be gone.
                let _ = waiting.place.send((Arc::clone(bundle), index));
            }
        }
    }

    /// No further block becomes durable: whoever waits is told so, and whoever comes later.
    pub(super) fn end(&self) {
        self.shared.waiting.lock().take();
    }
}
