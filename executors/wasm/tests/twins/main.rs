//! Contracts in both forms, as WASM programs and on the EVM, do the same and call each other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod arguments;
mod chain;
mod mixed;
mod openzeppelin;
mod same;
