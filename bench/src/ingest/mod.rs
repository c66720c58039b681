//! How fast a node takes transactions in over real sockets, counted when they are in a block that
//! it shows.

mod account;
mod config;
mod drive;
mod error;
mod follower;
mod histogram;
mod http;
mod lanes;
mod limit;
mod load;
mod metrics;
mod node;
mod probe;
mod process;
mod report;
mod rpc;
mod session;
mod setup;
mod supply;
mod websocket;

pub use account::DEV_MNEMONIC;
pub(crate) use account::{Account, Action};
pub use config::{IngestConfig, Pace, TransactionKind, Transport, UnknownName};
pub use error::{IngestError, SigningError};
pub use metrics::{StageReport, StateReport};
pub use report::{IngestReport, LatencyReport, NodeReport, OverloadReport};
pub use session::run_ingest;
pub(crate) use supply::{Plan, Supply};
