use alloy_primitives::Bytes;
use revm::{
    context_interface::{ContextTr, JournalTr, context::take_error},
    handler::FrameResult,
    interpreter::{
        CallInputs, CallOutcome, CallValue, FrameInput, Gas, InstructionResult, InterpreterResult,
        interpreter_action::FrameInit,
    },
    primitives::constants::CALL_STACK_LIMIT,
};
use weft_executor_core::{Frame, FrameEnd, HaltReason};

use super::{Frames, creation::EVM_CONTRACTS_REFUSED, entered, host::FrameHost};
use crate::evm::{TransactionError, TransactionEvm};

/// Native stack that a machine's frame finds at least, down to where it calls the next one: EVM
/// frames and precompiles run on it, too. A machine that needs more sees to it.
const FRAME_STACK_BYTES: usize = 256 << 10;

/// Native stack that is added when there is less.
const STACK_SEGMENT_BYTES: usize = 4 << 20;

impl Frames<'_> {
    /// Runs a call of a machine's contract to its end. What belongs to any call (depth, value,
    /// what is taken back) is as in revm's call frames.
    pub(super) fn run_machine(
        &mut self,
        evm: &mut TransactionEvm<'_>,
        machine: usize,
        init: FrameInit,
    ) -> Result<FrameResult, TransactionError> {
        let FrameInit {
            frame_input: FrameInput::Call(inputs),
            depth,
            memory,
        } = init
        else {
            return Err(TransactionError::Custom("a machine runs calls only".into()));
        };
        if depth > CALL_STACK_LIMIT as usize {
            return Ok(ended(
                &inputs,
                InstructionResult::CallTooDeep,
                inputs.gas_limit,
                0,
                Bytes::new(),
            ));
        }
        let checkpoint = evm.ctx.journal_mut().checkpoint();
        if let CallValue::Transfer(value) = inputs.value
            && let Some(error) =
                evm.ctx
                    .journal_mut()
                    .transfer_loaded(inputs.caller, inputs.target_address, value)
        {
            evm.ctx.journal_mut().checkpoint_revert(checkpoint);
            return Ok(ended(
                &inputs,
                error.into(),
                inputs.gas_limit,
                0,
                Bytes::new(),
            ));
        }
        let Some(runner) = self.machines.get(machine) else {
            return Err(TransactionError::Custom(
                "a machine that is not there".into(),
            ));
        };
        let frame = frame(evm, &inputs);
        self.running.push(entered(&inputs));
        let mut host = FrameHost::new(self, evm, machine, &frame, depth, memory);
        // Frames of machines nest on the native stack, up to 1,024.
        let end = stacker::maybe_grow(FRAME_STACK_BYTES, STACK_SEGMENT_BYTES, || {
            runner.run(&frame, &mut host)
        });
        let (refund, failure) = host.finish();
        self.running.pop();
        if let Some(failure) = failure {
            return Err(failure);
        }

        let (result, gas_left, output) = match end {
            FrameEnd::Returned { output, gas_left } => {
                (InstructionResult::Return, gas_left, output)
            }
            FrameEnd::Reverted { output, gas_left } => {
                (InstructionResult::Revert, gas_left, output)
            }
            FrameEnd::Halted(reason) => {
                let result = match reason {
                    HaltReason::OutOfGas => InstructionResult::OutOfGas,
                    _ => InstructionResult::PrecompileError,
                };
                self.note_halt(depth, reason);
                (result, 0, Bytes::new())
            }
            FrameEnd::StateUnread => {
                take_error::<TransactionError, _>(evm.ctx.error())?;
                return Err(TransactionError::Custom(
                    "a machine gave up without a reason".into(),
                ));
            }
        };
        if result.is_ok() {
            evm.ctx.journal_mut().checkpoint_commit();
        } else {
            evm.ctx.journal_mut().checkpoint_revert(checkpoint);
        }
        Ok(ended(&inputs, result, gas_left, refund, output))
    }

    /// The result of a call of an EVM contract where those do not run.
    pub(super) fn refuse_evm_contract(&mut self, depth: usize, inputs: &CallInputs) -> FrameResult {
        self.note_halt(depth, HaltReason::Other(EVM_CONTRACTS_REFUSED));
        ended(
            inputs,
            InstructionResult::PrecompileError,
            0,
            0,
            Bytes::new(),
        )
    }
}

fn frame(evm: &TransactionEvm<'_>, inputs: &CallInputs) -> Frame {
    let (code_hash, code) = &inputs.known_bytecode;
    Frame {
        code: code.original_bytes(),
        code_hash: *code_hash,
        contract: inputs.target_address,
        caller: inputs.caller,
        value: inputs.value.get(),
        input: inputs.input.bytes(&evm.ctx),
        gas: inputs.gas_limit,
        is_static: inputs.is_static,
        is_delegated: entered(inputs).is_none(),
    }
}

pub(super) fn ended(
    inputs: &CallInputs,
    result: InstructionResult,
    gas_left: u64,
    refund: i64,
    output: Bytes,
) -> FrameResult {
    let mut gas = Gas::new_with_regular_gas_and_reservoir(inputs.gas_limit, inputs.reservoir);
    // A machine that says that more is left than there was has used nothing.
    let _ = gas.record_regular_cost(inputs.gas_limit.saturating_sub(gas_left));
    if result.is_ok() {
        gas.record_refund(refund);
    }
    let result = InterpreterResult {
        result,
        gas,
        output,
    };
    let mut outcome = CallOutcome::new(result, inputs.return_memory_offset.clone());
    outcome.charged_new_account_state_gas = inputs.charged_new_account_state_gas;
    FrameResult::Call(outcome)
}
