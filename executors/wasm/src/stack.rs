//! The native stack that a program may use.

use wasmtime::Linker;

use crate::instrument::{EXHAUSTED_MODULE, EXHAUSTED_NAME};

/// Native stack that a program may use, in bytes. Programs bound themselves below it
/// ([`BUDGET_BYTES`]).
pub(crate) const MAX_STACK_BYTES: usize = 1 << 20;

/// What the frames of a program may count for together, in bytes.
pub(crate) const BUDGET_BYTES: u32 = 832 * 1024;

/// The most that one frame may count for, in bytes.
pub(crate) const MAX_FRAME_BYTES: u32 = 384 * 1024;

/// A program used up the stack that it may have.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the program's calls are nested too deep")]
pub(crate) struct StackExhausted;

/// Defines what every instrumented module imports to end itself when its stack is used up.
pub(crate) fn link_stack_bound<T: 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.func_wrap(
        EXHAUSTED_MODULE,
        EXHAUSTED_NAME,
        || -> wasmtime::Result<()> { Err(StackExhausted.into()) },
    )?;
    Ok(())
}
