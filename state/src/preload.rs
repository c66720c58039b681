use std::{
    collections::VecDeque,
    fmt, io,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use alloy_trie::Nibbles;
use parking_lot::{Condvar, Mutex};
use weft_executor_core::StateView;

use crate::{StateError, StateReader, Store, encoding::account_node_key};

/// An account, or one of its slots.
pub type StateKey = (Address, Option<U256>);

/// Is told the code, with its hash, of each account that a preloader reads, on the preloader's
/// threads.
pub type CodeListener = Box<dyn Fn(B256, &Bytes) + Send + Sync>;

/// Reads accounts and slots that are expected to be needed into the cache that all readers share,
/// and their paths in the trie into the database's, on threads of its own.
///
/// It never makes anybody wait: keys that come while the queue is full are dropped. Dropped itself,
/// it forgets what waits.
pub struct Preloader {
    store: Store,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// How much a preloader was given and has done, in keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PreloadCounters {
    /// Keys that were in memory already.
    pub cached: u64,
    /// Keys that were read from the database, those that are not there included.
    pub loaded: u64,
    /// Keys that were dropped because the queue was full.
    pub dropped: u64,
    /// Keys that could not be read: whoever needs them will see the error.
    pub failed: u64,
    /// Keys that wait or are being read.
    pub waiting: u64,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    on_code: CodeListener,
    /// Most keys that wait.
    limit: usize,
    cached: AtomicU64,
    loaded: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
    waiting: AtomicU64,
}

#[derive(Default)]
struct Queue {
    keys: VecDeque<StateKey>,
    closed: bool,
}

impl fmt::Debug for Preloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preloader")
            .field("threads", &self.threads.len())
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Starts a preloader with this many threads, on which at most `queue_keys` keys wait.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn preloader(
        &self,
        threads: NonZeroUsize,
        queue_keys: usize,
        on_code: CodeListener,
    ) -> io::Result<Preloader> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
            on_code,
            limit: queue_keys,
            cached: AtomicU64::new(0),
            loaded: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
        });
        let mut preloader = Preloader {
            store: self.clone(),
            shared,
            threads: Vec::with_capacity(threads.get()),
        };
        for _ in 0..threads.get() {
            let (store, shared) = (self.clone(), preloader.shared.clone());
            let thread = thread::Builder::new()
                .name("weft-preload".to_owned())
                .spawn(move || work(&store, &shared))?;
            preloader.threads.push(thread);
        }
        Ok(preloader)
    }
}

impl Preloader {
    /// Has these keys read. Those that are in memory already cost a look there.
    pub fn load(&self, keys: impl IntoIterator<Item = StateKey>) {
        let hot = &self.store.head_state().hot;
        let (mut cached, mut missing) = (0, Vec::new());
        for (address, slot) in keys {
            if hot.contains(address, slot) {
                cached += 1;
            } else {
                missing.push((address, slot));
            }
        }
        self.shared.cached.fetch_add(cached, Ordering::Relaxed);
        if missing.is_empty() {
            return;
        }
        let count = missing.len() as u64;
        let mut queue = self.shared.queue.lock();
        if queue.keys.len().saturating_add(missing.len()) > self.shared.limit {
            drop(queue);
            self.shared.dropped.fetch_add(count, Ordering::Relaxed);
            return;
        }
        self.shared.waiting.fetch_add(count, Ordering::Relaxed);
        queue.keys.extend(missing);
        drop(queue);
        if count == 1 {
            self.shared.changed.notify_one();
        } else {
            self.shared.changed.notify_all();
        }
    }

    /// What it has done since it was started.
    pub fn counters(&self) -> PreloadCounters {
        let shared = &self.shared;
        PreloadCounters {
            cached: shared.cached.load(Ordering::Relaxed),
            loaded: shared.loaded.load(Ordering::Relaxed),
            dropped: shared.dropped.load(Ordering::Relaxed),
            failed: shared.failed.load(Ordering::Relaxed),
            waiting: shared.waiting.load(Ordering::Acquire),
        }
    }
}

impl Drop for Preloader {
    fn drop(&mut self) {
        self.shared.queue.lock().closed = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A panic has lost no more than hints.
            let _ = thread.join();
        }
    }
}

fn work(store: &Store, shared: &Shared) {
    loop {
        let key = {
            let mut queue = shared.queue.lock();
            loop {
                if queue.closed {
                    return;
                }
                if let Some(key) = queue.keys.pop_front() {
                    break key;
                }
                shared.changed.wait(&mut queue);
            }
        };
        let counter = match load(store, key, &shared.on_code) {
            Ok(()) => &shared.loaded,
            Err(error) => {
                tracing::debug!(%error, "a value could not be preloaded");
                &shared.failed
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
        shared.waiting.fetch_sub(1, Ordering::Release);
    }
}

fn load(
    store: &Store,
    (address, slot): StateKey,
    on_code: &CodeListener,
) -> Result<(), StateError> {
    let mut state = store.latest_state()?;
    if let Some(slot) = slot {
        return state.storage(address, slot).map(drop);
    }
    let account = state.account(address)?;
    if let Some(account) = account
        && account.code_hash != KECCAK256_EMPTY
    {
        let code = state.code(account.code_hash)?;
        on_code(account.code_hash, &code);
    }
    state.warm_trie(address)
}

impl StateReader {
    /// Reads the nodes of an account's path that are as far down as those which a
    /// [`Sealer`](crate::Sealer) had to read for its last block.
    fn warm_trie(&self, address: Address) -> Result<(), StateError> {
        let (store, snapshot) = self.store_and_snapshot();
        let mut depths = store.trie_depths.load(Ordering::Relaxed);
        if depths == 0 {
            return Ok(());
        }
        let path = Nibbles::unpack(keccak256(address));
        while depths != 0 {
            let depth = depths.trailing_zeros() as usize;
            depths &= depths - 1;
            let key = account_node_key(&path.slice(..depth));
            store.tables.account_trie.get(snapshot, key)?;
        }
        Ok(())
    }
}
