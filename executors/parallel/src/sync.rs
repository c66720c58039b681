//! The primitives that threads meet at. A model checker takes their place under `cfg(weft_model)`.

pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
pub(crate) use std::sync::atomic::{AtomicUsize, Ordering};
