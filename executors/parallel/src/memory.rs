use weft_executor_core::OverlayMemory;

use crate::sync::Mutex;

/// Memory of earlier blocks for the next ones.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<Vec<OverlayMemory>>);

/// Most parts that are kept: those of the shards of one block.
const MAX_PARTS: usize = 256;

impl Memory {
    pub(crate) fn take(&self) -> OverlayMemory {
        self.0.lock().pop().unwrap_or_default()
    }

    pub(crate) fn give_back(&self, memory: OverlayMemory) {
        let mut parts = self.0.lock();
        if parts.len() < MAX_PARTS {
            parts.push(memory);
        }
    }
}
