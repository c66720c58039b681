//! The execution engine: runs the transactions of a block through an execution layer.
//!
//! [`Engine`] runs them on several threads. [`SequentialExecutor`] runs them one after another. It
//! is the oracle: whatever the engine does to be faster gives the same result in every bit
//! (invariant I1).

mod access;
mod access_list;
mod accesses;
mod block;
mod conflicts;
mod crew;
mod engine;
mod error;
mod false_list;
mod fees;
mod forecast;
mod hash;
mod lanes;
mod learn;
mod listed;
mod memory;
#[cfg(test)]
mod model;
mod plan;
mod planner;
mod predict;
mod replay;
mod schedule;
mod sequential;
mod settlement;
mod space;
mod stats;
mod sync;
mod turn;

pub use alloy_eip7928::BlockAccessList;

pub use accesses::{BlockAccesses, access_list_hash};
pub use conflicts::{Conflict, ConflictGraph, Dependency, Location};
pub use engine::{Engine, PREDICTOR_CAPACITY};
pub use error::{EngineError, StartError};
pub use false_list::{AccessListVerdict, FalseAccessList, ListEntry};
pub use predict::{Predictor, PredictorError};
pub use sequential::{BlockExecution, Pushed, SequentialExecutor, execute_sequential};
pub use stats::ExecutionStats;
