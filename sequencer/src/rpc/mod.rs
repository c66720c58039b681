//! JSON-RPC over HTTP and WebSocket, on one port.
//!
//! A message goes from the server (`server`, `websocket`) to the dispatcher, which finds its methods
//! and keeps the bounds on batches and answers; the methods (`methods`) read the chain, execute on
//! its state or hand transactions to the mempool (`ingress`). Everything that takes time runs on
//! the server's own threads (`workers`), never on tokio's.

mod api;
mod api_keys;
mod blocks;
mod client;
mod config;
mod context;
mod dispatch;
mod dispatch_sends;
mod error;
mod fair_queue;
mod filters;
mod in_work;
mod ingress;
mod json;
mod listener;
mod logs;
mod methods;
mod overrides;
mod params;
mod rate_limit;
mod server;
mod websocket;
mod workers;

pub use api_keys::ApiKeyError;
pub use config::RpcConfig;
pub use context::{
    AttemptInfo, AttemptStatus, BatchInfo, BatchStatus, L1Info, L1InfoError, L1Status, NoL1,
    RpcContext, WithdrawalOnL1,
};
pub use error::RpcError;
pub use fair_queue::Busy;
pub use server::{RpcServer, RpcServerError, RpcServerHandle};
