use std::{fmt, num::NonZeroUsize};

use rayon::ThreadPoolBuildError;
#[cfg(not(test))]
use {
    parking_lot::Mutex,
    rayon::{ThreadPool, ThreadPoolBuilder},
};

/// The threads that work on a block: the one that asks, and those that help it. These stay from
/// block to block.
///
/// Whoever asks works itself instead of handing everything over and going to sleep: on a machine
/// with as many cores as threads, the thread that it wakes would wait for its core.
pub(crate) struct Crew {
    #[cfg(not(test))]
    helpers: ThreadPool,
    threads: usize,
}

impl fmt::Debug for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crew")
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

impl Crew {
    /// A crew of this many threads with the one that asks.
    pub(crate) fn new(threads: NonZeroUsize) -> Result<Self, ThreadPoolBuildError> {
        let threads = threads.get();
        Ok(Self {
            #[cfg(not(test))]
            helpers: ThreadPoolBuilder::new()
                .num_threads(threads.saturating_sub(1).max(1))
                .thread_name(|index| format!("weft-engine-{}", index.saturating_add(1)))
                .build()?,
            threads,
        })
    }

    pub(crate) const fn threads(&self) -> usize {
        self.threads
    }

    /// Wakes the helpers, who have work soon.
    pub(crate) fn wake(&self) {
        #[cfg(not(test))]
        for _ in 1..self.threads {
            self.helpers.spawn(|| {});
        }
    }

    /// Does the work for each item, side by side, and gives what came out in their order. Whoever is
    /// done with an item takes the next one.
    #[cfg(not(test))]
    pub(crate) fn each<T: Send, R: Send>(
        &self,
        items: Vec<T>,
        work: impl Fn(T) -> R + Sync,
    ) -> Vec<R> {
        let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
        let helpers = self.threads.min(items.len()).saturating_sub(1);
        let tasks = Mutex::new(items.into_iter().zip(&mut results));
        let work_on = || {
            // Apart from the work, so that nobody waits for it.
            let next = || tasks.lock().next();
            while let Some((item, result)) = next() {
                *result = Some(work(item));
            }
        };
        self.helpers.in_place_scope(|scope| {
            for _ in 0..helpers {
                scope.spawn(|_| work_on());
            }
            work_on();
        });
        // All are there: the scope waits, and passes a panic on.
        results.into_iter().flatten().collect()
    }

    /// On threads of the model checker.
    #[cfg(test)]
    pub(crate) fn each<T: Send, R: Send>(
        &self,
        items: Vec<T>,
        work: impl Fn(T) -> R + Sync,
    ) -> Vec<R> {
        let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
        shuttle::thread::scope(|scope| {
            for (item, result) in items.into_iter().zip(&mut results) {
                let work = &work;
                scope.spawn(move || *result = Some(work(item)));
            }
        });
        results.into_iter().flatten().collect()
    }
}
