use alloy_primitives::Bytes;
use wasmtime::{Store, Trap};
use weft_executor_core::HaltReason;

use crate::{
    host::{Instance, Stop},
    meter::FUEL_PER_GAS,
    stack::StackExhausted,
};

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With status 0.
    Returned { output: Bytes, gas_left: u64 },
    /// With another status, or because the program or the host gave up.
    Reverted { output: Bytes, gas_left: u64 },
    /// It was stopped; nothing is left of its gas.
    Halted(HaltReason),
    /// The state could not be read; the host has the reason.
    StateUnread,
}

/// Why a program did not come to its end.
enum Cause {
    /// It wanted to end with this status.
    Exit(u32),
    /// It gave up, or the host refused what it wanted. What it has used is known.
    Failure,
    /// It did what cannot be done. What it has used is not known exactly.
    Trap(HaltReason),
    StateUnread,
}

impl Ending {
    /// The end of an instance that could not be made.
    pub(crate) fn of_error(error: wasmtime::Error) -> Self {
        match cause(&error) {
            Cause::StateUnread => Self::StateUnread,
            Cause::Trap(reason) => Self::Halted(reason),
            Cause::Exit(_) | Cause::Failure => Self::Halted(STOPPED),
        }
    }
}

/// How a program ended whose entry point came to this result.
pub(crate) fn how_it_ended(
    result: wasmtime::Result<u32>,
    store: &mut Store<Instance>,
) -> wasmtime::Result<Ending> {
    let cause = match result {
        Ok(status) => Cause::Exit(status),
        Err(error) => cause(&error),
    };
    // wasmtime checks fuel at calls and loops only, so the last instructions may have used more
    // than there was; nothing left counts as too little.
    let gas_left = store
        .get_fuel()?
        .checked_sub(store.data().growth.owed_fuel())
        .filter(|left| *left > 0)
        .map(|fuel| fuel / FUEL_PER_GAS);
    Ok(match (cause, gas_left) {
        (Cause::StateUnread, _) => Ending::StateUnread,
        (Cause::Trap(reason), _) => Ending::Halted(reason),
        (Cause::Exit(_) | Cause::Failure, None) => Ending::Halted(HaltReason::OutOfGas),
        (Cause::Exit(status), Some(gas_left)) => {
            let output = std::mem::take(&mut store.data_mut().result);
            if status == 0 {
                Ending::Returned { output, gas_left }
            } else {
                Ending::Reverted { output, gas_left }
            }
        }
        (Cause::Failure, Some(gas_left)) => Ending::Reverted {
            output: Bytes::new(),
            gas_left,
        },
    })
}

const STOPPED: HaltReason = HaltReason::Other("wasm: the program was stopped");

fn cause(error: &wasmtime::Error) -> Cause {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return match stop {
            Stop::Exit(status) => Cause::Exit(*status),
            Stop::OutOfGas => Cause::Trap(HaltReason::OutOfGas),
            Stop::State => Cause::StateUnread,
            Stop::Pointer | Stop::Topics | Stop::StorageCache | Stop::Static => Cause::Failure,
        };
    }
    if error.is::<StackExhausted>() {
        return Cause::Trap(HaltReason::CallDepth);
    }
    Cause::Trap(match error.downcast_ref::<Trap>() {
        // The only trap before which compiled code writes down all the fuel that it has used.
        Some(Trap::UnreachableCodeReached) => return Cause::Failure,
        Some(Trap::OutOfFuel) => HaltReason::OutOfGas,
        Some(Trap::StackOverflow) => HaltReason::CallDepth,
        Some(Trap::MemoryOutOfBounds) => HaltReason::Other("wasm: memory access out of bounds"),
        Some(Trap::TableOutOfBounds | Trap::IndirectCallToNull | Trap::BadSignature) => {
            HaltReason::Other("wasm: bad indirect call")
        }
        Some(
            Trap::IntegerOverflow | Trap::IntegerDivisionByZero | Trap::BadConversionToInteger,
        ) => HaltReason::Other("wasm: division by zero or integer overflow"),
        _ => STOPPED,
    })
}
