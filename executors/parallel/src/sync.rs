//! The primitives that the threads of a block meet at while they execute it.
//!
//! In unit tests they are a model checker's and work in its runs only (see `model/mod.rs`).

#[cfg(not(test))]
pub(crate) use parking_lot::{Condvar, Mutex};
#[cfg(not(test))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[cfg(test)]
pub(crate) use crate::model::sync::{AtomicBool, AtomicUsize, Condvar, Mutex, Ordering};
