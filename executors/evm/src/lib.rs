//! The EVM as an execution layer, on revm.
//!
//! [`EvmLayer`] executes Ethereum's transactions of all types under the rules of any fork, so that
//! blocks of Ethereum itself can be replayed, and the OP Stack's deposits. It does what belongs to a
//! transaction and nothing else: block rewards, withdrawals and system calls (EIP-4788, EIP-2935,
//! EIP-7002, EIP-7251) are not transactions and are not made here.

mod changes;
mod code_cache;
mod database;
mod environment;
mod evm;
mod frames;
mod handler;
mod intrinsic;
mod keccak;
mod layer;
mod outcome;
mod scratch;
mod transfer;

pub use frames::hooks::{HOOKS, marker::hooked_code_hash};
pub use intrinsic::{IntrinsicGas, MAX_INITCODE_SIZE, intrinsic_gas};
pub use layer::EvmLayer;
