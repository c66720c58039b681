//! How fast blocks are executed: the same block by the plainest loop over revm, by the sequential
//! oracle and by the engine, side by side.
//!
//! A [`Workload`] is generated from a seed; [`Fixture`]s are real blocks. [`run`] measures what a
//! [`Selection`] names and refuses to give a number when the contestants' results differ.
//!
//! [`programs`] compares contracts that are WASM programs with their twins on the EVM.
//!
//! [`ingest`] measures a whole node, over sockets; [`derive`] how fast a chain is rebuilt from L1;
//! [`run_encode`] what transactions take on L1.

mod accounts;
mod amm;
mod base;
mod check;
mod contracts;
mod crafted;
pub mod derive;
mod encode;
mod environment;
mod erc20;
mod error;
mod fixtures;
pub mod ingest;
mod measure;
mod plain;
pub mod programs;
mod report;
mod run;
mod scenario;
mod selection;
pub mod state_bench;
mod transfers;
mod workload;

pub use check::{check_execution, check_plain};
pub use crafted::Crafted;
pub use encode::{EncodeReport, LevelReport, run_encode};
pub use error::{BenchError, Mismatch};
pub use fixtures::{Fixture, fixture_files};
pub use plain::{PlainBlock, PlainExecution};
pub use report::{BlockRatio, BlockReport, Report};
pub use run::{RunConfig, run};
pub use scenario::Scenario;
pub use selection::{Selection, UnknownSelection};
pub use workload::Workload;
