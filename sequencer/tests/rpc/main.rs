//! The RPC server as clients meet it: real HTTP and WebSocket against a real store, mempool and EVM.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests fail by panicking"
)]

mod calls;
mod estimate;
mod harness;
mod history;
mod limits;
mod logs;
mod malformed;
mod methods;
mod parallelism;
mod programs;
mod send;
mod shapes;
mod transactions;
mod websocket;
