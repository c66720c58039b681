//! Chain types and their encodings: no I/O, no async.
//!
//! Everything that a block is made of, and the pure rules that tie a block to its parent, live
//! here, so that the node which makes a block and the watcher which rebuilds it from L1 share them.

mod block;
mod chain_spec;
mod deposit;
mod fork;
pub mod predeploys;
mod receipt;
mod transaction;
mod withdrawal;
mod withdrawal_tree;

pub use block::{
    Block, BlockAttributes, L1Origin, SealedBlock, child_header, unlinked_child_header,
};
pub use chain_spec::{ChainSpec, ChainSpecError};
pub use deposit::{
    ATTRIBUTES_GAS_LIMIT, DepositError, attributes_deposit, parse_attributes_deposit,
    user_deposit_from_log,
};
pub use fork::{Fork, UnknownFork};
pub use op_alloy_consensus::TxDeposit;
pub use receipt::Receipt;
pub use transaction::{
    RecoveredTransaction, Transaction, TransactionError, TransactionType, TypedTransaction,
};
pub use withdrawal::{MESSAGE_PASSED_TOPIC, Withdrawal, WithdrawalError};
pub use withdrawal_tree::{WITHDRAWAL_TREE_DEPTH, WithdrawalTree, withdrawal_proof_leads_to};
