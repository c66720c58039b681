//! Tally: a contract language of a few instructions on a stack of words, and everything that a
//! [`Machine`] must do, in little code. `docs/execution-layers.md` goes through it.
//!
//! A contract's code is [`MARK`] and its instructions, see [`Instruction`]. It is created by init
//! data that is [`MAGIC`] and the instructions, or by EVM init code that returns the code.

mod instruction;
mod run;

use alloy_primitives::Bytes;
use weft_executor_core::{Frame, FrameEnd, HaltReason, Host, Machine};

pub use instruction::Instruction;

/// How a contract's code begins.
pub const MARK: [u8; 3] = [0xef, 0xf0, 0x10];

/// How init data that is a contract begins. As EVM init code it would stop at once: `00` is STOP.
pub const MAGIC: [u8; 4] = *b"\0tly";

/// Gas for each byte of code that is checked before it is stored.
pub const CHECK_GAS: u64 = 2;

/// What runs contracts written in Tally.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally;

impl Machine for Tally {
    fn name(&self) -> &'static str {
        "tally"
    }

    fn owns(&self, code: &[u8]) -> bool {
        code.starts_with(&MARK)
    }

    fn assemble(&self, init: &Bytes) -> Option<Bytes> {
        let instructions = init.strip_prefix(&MAGIC)?;
        Some([&MARK, instructions].concat().into())
    }

    fn admit(&self, code: &Bytes, gas: u64) -> Result<u64, HaltReason> {
        let length = u64::try_from(code.len()).unwrap_or(u64::MAX);
        let cost = length.saturating_mul(CHECK_GAS);
        // Before the work that it pays for.
        if cost > gas {
            return Err(HaltReason::OutOfGas);
        }
        let mut rest = code.get(MARK.len()..).unwrap_or_default();
        while !rest.is_empty() {
            (_, rest) = Instruction::decode(rest)
                .ok_or(HaltReason::Other("tally: there is no such instruction"))?;
        }
        Ok(cost)
    }

    fn run(&self, frame: &Frame, host: &mut dyn Host) -> FrameEnd {
        run::run(frame, host)
    }
}
