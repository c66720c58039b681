//! The host interface: Stylus' `vm_hooks`.

mod accounts;
mod call;
mod calls;
mod context;
mod data;
mod imports;
mod math;
mod meter;
mod storage;

pub(crate) use imports::check_import;

use alloy_primitives::{Address, Bytes, U256};
use wasmtime::{Caller, Linker, Memory};
use weft_executor_core::{Frame, StateUnread, WriteError};

use crate::{memory::MemoryGrowth, storage_cache::StorageCache};

/// The only module that programs may import from.
pub(crate) const MODULE: &str = "vm_hooks";

/// The host as a host function is given it.
type Guest<'a> = Caller<'a, Instance>;

/// Makes the host interface known to a linker.
pub(crate) fn link(linker: &mut Linker<Instance>) -> wasmtime::Result<()> {
    data::link(linker)?;
    storage::link(linker)?;
    accounts::link(linker)?;
    calls::link(linker)?;
    context::link(linker)?;
    math::link(linker)?;
    meter::link(linker)
}

/// Why the host stopped a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    /// The program has ended itself, with this status.
    #[error("exit")]
    Exit(u32),
    #[error("out of gas")]
    OutOfGas,
    #[error("a pointer given to the host is out of bounds")]
    Pointer,
    #[error("emit_log was given bad topics")]
    Topics,
    #[error("too many slots in the storage cache")]
    StorageCache,
    #[error("write protection")]
    Static,
    #[error("the state could not be read")]
    State,
}

impl From<StateUnread> for Stop {
    fn from(StateUnread: StateUnread) -> Self {
        Self::State
    }
}

impl From<WriteError> for Stop {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Static => Self::Static,
            WriteError::OutOfGas => Self::OutOfGas,
            WriteError::State(unread) => unread.into(),
        }
    }
}

/// What wasmtime's store holds for a running program.
#[derive(Debug)]
pub(crate) struct Instance {
    input: Bytes,
    caller: Address,
    contract: Address,
    value: U256,
    /// The program's memory, from the end of instantiation on.
    pub(crate) memory: Option<Memory>,
    /// What `write_result` was given last.
    pub(crate) result: Bytes,
    pub(crate) growth: MemoryGrowth,
    storage: StorageCache,
    /// What the last call or creation returned or reverted with.
    return_data: Bytes,
    /// The code that was asked for last, which is not paid for twice.
    last_code: Option<(Address, Bytes)>,
}

impl Instance {
    pub(crate) fn new(frame: &Frame, growth: MemoryGrowth) -> Self {
        Self {
            input: frame.input.clone(),
            caller: frame.caller,
            contract: frame.contract,
            value: frame.value,
            memory: None,
            result: Bytes::new(),
            growth,
            storage: StorageCache::default(),
            return_data: Bytes::new(),
            last_code: None,
        }
    }

    /// Takes on another frame, and keeps the memory and the empty storage cache.
    pub(crate) fn renew(&mut self, mut frame: Self) {
        frame.memory = self.memory;
        frame.storage = std::mem::take(&mut self.storage);
        *self = frame;
    }

    /// Forgets all but where the memory is.
    pub(crate) fn clear(&mut self) {
        self.input = Bytes::new();
        self.result = Bytes::new();
        self.return_data = Bytes::new();
        self.last_code = None;
        self.storage.reset();
    }
}

/// Length of bytes as programs count.
fn length(bytes: &[u8]) -> Result<u32, Stop> {
    u32::try_from(bytes.len()).map_err(|_| Stop::Pointer)
}
