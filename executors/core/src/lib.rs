//! The contract between the engine, the execution layers and the state.
//!
//! A layer executes one transaction against a [`StateView`] and says what it did in an
//! [`Execution`]; it sees and touches nothing else (invariant I8). The engine decides order and
//! threads, the state decides where values live, and neither knows which layer runs.

mod block_env;
mod call;
mod change_set;
mod execution;
mod layer;
mod machine;
mod overlay;
mod parted_map;
mod sorted_map;
mod state_view;
mod transfer;

pub use block_env::BlockEnv;
pub use call::{AccessedAccount, Call, CallOutcome};
pub use change_set::{
    AccountChange, ChangeSet, TransactionChange, TransactionChanges, WrittenSlot,
};
pub use execution::{Execution, HaltReason, InvalidTransaction, Outcome};
pub use layer::{ExecuteError, ExecutionLayer};
pub use machine::{
    AccountInfo, CallKind, CallRequest, Called, CreateRequest, Created, Frame, FrameEnd, Host,
    Machine, Priced, StateUnread, TransactionInfo, WriteError,
};
pub use overlay::{MemoryState, Overlay, Place};
pub use parted_map::PartedMap;
pub use sorted_map::SortedMap;
pub use state_view::{Account, StateView, credited};
pub use transfer::Transfer;
