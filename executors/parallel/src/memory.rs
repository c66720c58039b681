use crate::{lanes::LaneMemory, space::Space, sync::Mutex};

/// Memory of the last block for the next one.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    lanes: Mutex<Option<LaneMemory>>,
    space: Mutex<Option<Space>>,
}

impl Memory {
    /// Memory for lanes on this many threads, which is the same number each time.
    pub(crate) fn lanes(&self, threads: usize) -> LaneMemory {
        let kept = self.lanes.lock().take();
        kept.unwrap_or_else(|| LaneMemory::new(threads))
    }

    pub(crate) fn keep_lanes(&self, memory: LaneMemory) {
        *self.lanes.lock() = Some(memory);
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
