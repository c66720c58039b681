use std::cell::RefCell;

use alloy_primitives::{B256, keccak256};
use revm::interpreter::{
    Host, InstructionContext, InstructionExecResult, InstructionResult,
    instructions::system,
    interpreter::{EthInterpreter, resize_memory},
};

/// Length of what is hashed to find an entry of a mapping: its key and the mapping's slot.
const MAPPING_KEY: usize = 64;

/// Hashes that a thread remembers; a power of two. Together they are 200 KiB.
const REMEMBERED: usize = 2048;

/// The last hashes of 64 bytes, each at the place that its input points to.
///
/// A contract that changes an entry of a mapping computes its slot twice, and the next transaction
/// often goes to the same ones.
struct Memory(Vec<([u8; MAPPING_KEY], B256)>);

thread_local! {
    static MEMORY: RefCell<Memory> = const { RefCell::new(Memory(Vec::new())) };
}

impl Memory {
    fn hash(&mut self, input: &[u8; MAPPING_KEY]) -> B256 {
        if self.0.is_empty() {
            // The entry of other inputs too: it is compared as a whole.
            let zeros = [0; MAPPING_KEY];
            self.0.resize(REMEMBERED, (zeros, keccak256(zeros)));
        }
        let Some(entry) = self.0.get_mut(place(input)) else {
            return keccak256(input);
        };
        if entry.0 != *input {
            *entry = (*input, keccak256(input));
        }
        entry.1
    }
}

/// Keys are addresses, hashes and numbers: they differ in the last bytes of their words.
fn place(input: &[u8; MAPPING_KEY]) -> usize {
    let word = |end: usize| {
        let bytes = input
            .get(end.saturating_sub(8)..end)
            .and_then(|bytes| bytes.first_chunk());
        bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
    };
    let mixed = (word(32) ^ word(64).rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> 32).unwrap_or(0) % REMEMBERED
}

/// keccak-256, with the hashes of mappings remembered.
pub(crate) fn remembered_keccak256(input: &[u8]) -> B256 {
    match input.first_chunk() {
        Some(chunk) if input.len() == MAPPING_KEY => {
            MEMORY.with_borrow_mut(|memory| memory.hash(chunk))
        }
        _ => keccak256(input),
    }
}

/// KECCAK256 as revm has it, with the hashes of mappings remembered.
pub(crate) fn keccak256_instruction<H: Host>(
    context: InstructionContext<'_, H, EthInterpreter>,
) -> InstructionExecResult {
    let InstructionContext { interpreter, host } = context;
    if interpreter.stack.peek(1) != Ok(alloy_primitives::U256::from(MAPPING_KEY)) {
        return system::keccak256(InstructionContext { interpreter, host });
    }
    let Some(([offset], top)) = interpreter.stack.popn_top() else {
        return Err(InstructionResult::StackUnderflow);
    };
    let cost = host.gas_params().keccak256_cost(MAPPING_KEY);
    if !interpreter.gas.record_regular_cost(cost) {
        return Err(InstructionResult::OutOfGas);
    }
    let Ok(offset) = usize::try_from(offset) else {
        return Err(InstructionResult::InvalidOperandOOG);
    };
    resize_memory(
        &mut interpreter.gas,
        &mut interpreter.memory,
        host.gas_params(),
        offset,
        MAPPING_KEY,
    )?;
    let input = interpreter.memory.slice_len(offset, MAPPING_KEY);
    *top = remembered_keccak256(&input).into();
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn remembers_what_was_hashed_and_nothing_else(
            // Few words, so that they meet.
            words in prop::collection::vec((0u8..3, 0u8..3, any::<bool>()), 1..200),
        ) {
            let mut memory = Memory(Vec::new());
            for (key, slot, shifted) in words {
                let mut input = [0; MAPPING_KEY];
                input[if shifted { 0 } else { 31 }] = key;
                input[if shifted { 32 } else { 63 }] = slot;
                prop_assert_eq!(memory.hash(&input), keccak256(input));
            }
        }
    }
}
