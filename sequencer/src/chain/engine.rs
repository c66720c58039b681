use std::{num::NonZeroUsize, sync::Arc, thread};

use weft_executor_parallel::{Engine, Predictor};

use crate::error::NodeError;

/// The engine that executes a node's blocks, on this many threads; 0 takes one for each core.
///
/// # Errors
/// [`NodeError::Engine`] when the system gives no threads.
pub fn engine(threads: usize) -> Result<Arc<Engine>, NodeError> {
    Ok(Arc::new(Engine::new(number_of(threads))?))
}

/// As [`engine`], with what an earlier engine has learned, which is asked for when the engine can
/// make use of it.
pub(super) fn experienced_engine(
    threads: usize,
    learned: impl FnOnce() -> Option<Predictor>,
) -> Result<Arc<Engine>, NodeError> {
    let threads = number_of(threads);
    let learned = (threads > NonZeroUsize::MIN).then(learned).flatten();
    Ok(Arc::new(match learned {
        Some(predictor) => Engine::with_predictor(threads, predictor)?,
        None => Engine::new(threads)?,
    }))
}

fn number_of(threads: usize) -> NonZeroUsize {
    NonZeroUsize::new(threads)
        .or_else(|| thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN)
}
