//! The contract between the layer that carries transactions and the machines that run code in them.
//!
//! The layer does what all transactions share: checks, nonces, fees, value, the journal that takes
//! back what a reverted call did. A [`Machine`] runs the code of one kind of contract, and reaches
//! state and other contracts, of whatever kind, through its [`Host`] and nothing else (invariant I8).

mod host;

pub use host::{
    AccountInfo, CallKind, CallRequest, Called, CreateRequest, Created, Host, Priced, StateUnread,
    TransactionInfo, WriteError,
};

use alloy_primitives::{Address, B256, Bytes, U256};

use crate::HaltReason;

/// A way to run contract code. A value of this type is shared by all threads.
///
/// Everything is pure in its arguments and in what the host answers: no clock, no randomness, no
/// memory of earlier frames that could change a result. Time, memory and native stack are bounded by
/// the frame's gas, whatever the code does (invariant I7).
pub trait Machine: Send + Sync + 'static {
    /// What users see as the name of the layer that a contract runs on.
    fn name(&self) -> &'static str;

    /// Whether a contract with this code runs here; decided by the first bytes. They begin with
    /// `0xef`, which no EVM contract does (EIP-3541), and not with `0xeff00f`, which stands for the code
    /// of a contract with hooks.
    fn owns(&self, code: &[u8]) -> bool;

    /// Whether the machine answers calls to this address itself, as long as there is no code at it: a
    /// system contract that needs no place in the genesis. Such a frame has empty code.
    fn serves(&self, address: Address) -> bool {
        let _ = address;
        false
    }

    /// The code of the contract that a creation with this init data makes without running anything;
    /// `None` when the init data is not for this machine.
    fn assemble(&self, init: &Bytes) -> Option<Bytes>;

    /// Checks code before it is stored at a contract. Returns the gas that this costs on top of the
    /// code deposit.
    ///
    /// # Errors
    /// Why the code must not be stored, or that its gas is above `gas`.
    fn admit(&self, code: &Bytes, gas: u64) -> Result<u64, HaltReason>;

    /// Hears that code which it [owns](Self::owns) may be run soon, and must return at once. What it
    /// makes ready meanwhile changes no result.
    fn prepare(&self, code_hash: B256, code: &Bytes) {
        let _ = (code_hash, code);
    }

    /// Runs code that it [owns](Self::owns) and has admitted, or that a genesis has put there; or
    /// answers a call to an address that it [serves](Self::serves).
    fn run(&self, frame: &Frame, host: &mut dyn Host) -> FrameEnd;
}

/// One call of a contract.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The code.
    pub code: Bytes,
    /// keccak-256 of the code.
    pub code_hash: B256,
    /// Account that the frame acts as: its storage, its balance.
    pub contract: Address,
    /// Who called.
    pub caller: Address,
    /// Value that came along, in wei; in a delegated call that of the frame above.
    pub value: U256,
    /// Calldata.
    pub input: Bytes,
    /// Gas that the frame has.
    pub gas: u64,
    /// Whether nothing may be written.
    pub is_static: bool,
    /// Whether the code is another account's than [`Self::contract`].
    pub is_delegated: bool,
}

/// How a frame ended. What it wrote is kept only if it returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameEnd {
    /// It returned.
    Returned {
        /// Return data.
        output: Bytes,
        /// Gas that is left.
        gas_left: u64,
    },
    /// It reverted.
    Reverted {
        /// Revert data.
        output: Bytes,
        /// Gas that is left.
        gas_left: u64,
    },
    /// It was stopped; nothing is left of its gas.
    Halted(HaltReason),
    /// The host could not read the state, and has the reason.
    StateUnread,
}
