use alloy_primitives::{Address, Log, U256};
use scoped_tls_hkt::scoped_thread_local;

/// A read of the state failed; the journal keeps the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the state could not be read")]
pub(crate) struct StateFailed;

/// Why the storage cache could not be written back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlushError {
    /// A write costs more gas than is left.
    OutOfGas,
    /// A read failed.
    State(StateFailed),
}

/// A value and the gas that reading it cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Priced {
    pub(crate) value: U256,
    pub(crate) gas: u64,
}

/// What a running program can reach outside itself: its storage, balances and its logs.
pub(crate) trait World {
    /// Reads a slot of the program through its storage cache.
    fn load(&mut self, slot: U256) -> Result<Priced, StateFailed>;

    /// Writes a slot to the storage cache and says the gas; `None` when the cache is full.
    fn cache(&mut self, slot: U256, value: U256) -> Option<u64>;

    /// Writes the cache back to the state and says the gas, which is at most `gas_left`. With
    /// `clear` the cache is empty afterwards.
    fn flush(&mut self, clear: bool, gas_left: u64) -> Result<u64, FlushError>;

    /// Balance of an account, in wei, as it is while the transaction runs.
    fn balance(&mut self, address: Address) -> Result<Priced, StateFailed>;

    /// Emits a log of the program.
    fn log(&mut self, log: Log);
}

scoped_thread_local!(
    // wasmtime's store holds only what outlives every borrow, and a `StateView` does not. A program
    // runs from its first to its last instruction on one thread, so the thread keeps the borrow.
    static mut WORLD: for<'a> &'a mut (dyn World + 'a)
);

/// Runs `program` with `world` as the world that [`with_world`] finds.
pub(crate) fn enter<R>(world: &mut dyn World, program: impl FnOnce() -> R) -> R {
    WORLD.set(world, program)
}

/// The world of the program that runs on this thread. Only host functions may call this, outside
/// of one another.
pub(crate) fn with_world<R>(act: impl FnOnce(&mut dyn World) -> R) -> R {
    WORLD.with(|world| act(world))
}
