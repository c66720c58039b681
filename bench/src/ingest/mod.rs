//! How fast a node takes transactions in over real sockets, counted when they are in a block that
//! it shows.

mod account;
mod config;
mod error;
mod follower;
mod histogram;
mod http;
mod lanes;
mod load;
mod node;
mod process;
mod report;
mod rpc;
mod session;
mod setup;
mod supply;

pub use account::DEV_MNEMONIC;
pub use config::{IngestConfig, Pace, TransactionKind, Transport, UnknownName};
pub use error::{IngestError, SigningError};
pub use report::IngestReport;
pub use session::run_ingest;
