use std::{num::NonZeroUsize, thread};

use weft_executor_parallel::Engine;

use crate::error::NodeError;

/// The engine that executes a node's blocks, on this many threads; 0 takes one for each core.
///
/// # Errors
/// [`NodeError::Threads`] when the system gives no threads.
pub fn engine(threads: usize) -> Result<Engine, NodeError> {
    let threads = NonZeroUsize::new(threads)
        .or_else(|| thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN);
    Engine::new(threads).map_err(NodeError::Threads)
}
