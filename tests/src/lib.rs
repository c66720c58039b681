//! Harness of the whole-system tests: real processes, real sockets, real databases.

pub mod ports;
pub mod postgres;
pub mod wait;
