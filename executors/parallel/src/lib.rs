//! The execution engine: runs the transactions of a block through an execution layer.
//!
//! [`SequentialExecutor`] runs them one after another. It is the oracle: whatever else the engine
//! does to be faster gives the same result in every bit (invariant I1).

mod error;
mod sequential;

pub use error::EngineError;
pub use sequential::{BlockExecution, Pushed, SequentialExecutor, execute_sequential};
