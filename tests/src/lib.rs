//! Harness of the whole-system tests: real processes, real sockets, real databases.

pub mod anvil;
pub mod bridge;
pub mod clients;
pub mod compose;
pub mod faults;
pub mod load;
pub mod lying_beacon;
pub mod lying_l1;
pub mod ports;
pub mod postgres;
pub mod power;
pub mod process;
pub mod proxy;
pub mod rollup;
pub mod rpc;
pub mod scenario;
pub mod seed;
pub mod sequencer;
pub mod skip;
pub mod tools;
pub mod wait;
pub mod weft;
pub mod witness;
