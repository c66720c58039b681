use weft_executor_core::OverlayMemory;

use crate::{space::Space, sync::Mutex};

/// Memory of the last block for the next one.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    overlay: Mutex<Option<OverlayMemory>>,
    space: Mutex<Option<Space>>,
}

impl Memory {
    pub(crate) fn overlay(&self) -> OverlayMemory {
        self.overlay.lock().take().unwrap_or_default()
    }

    pub(crate) fn keep_overlay(&self, memory: OverlayMemory) {
        *self.overlay.lock() = Some(memory);
    }

    /// An empty space for this many threads, which is the same number each time.
    pub(crate) fn space(&self, threads: usize) -> Space {
        let kept = self.space.lock().take();
        kept.unwrap_or_else(|| Space::new(threads))
    }

    pub(crate) fn keep_space(&self, space: Space) {
        *self.space.lock() = Some(space);
    }
}
