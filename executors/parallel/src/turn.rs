use super::sync::{AtomicUsize, Ordering};

/// Lets one thread at a time do the work that all of them announce, without anybody waiting: who
/// finds it taken leaves the announcement behind, and whoever is at work does not stop before it
/// has looked again.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    announced: AtomicUsize,
}

impl Turn {
    /// Announces work, and does all announced work unless another thread is at it.
    pub(crate) fn run(&self, mut work: impl FnMut()) {
        if self.announced.fetch_add(1, Ordering::AcqRel) != 0 {
            return;
        }
        let mut seen = 1;
        loop {
            work();
            match self
                .announced
                .compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }
}
