//! Hooks: programs of machines that run before and after the calls of a contract, bound by its
//! owner. docs/hooks.md says what they are for those who use them.
//!
//! A contract that has hooks has a [`marker`] for code, so that calls of those that have none cost
//! nothing.

mod abi;
pub(crate) mod marker;
mod meter;
mod registry;
mod storage;

use std::mem;

use alloy_primitives::{Address, B256, Bytes, U256, address, map::B256Map};
use alloy_sol_types::{SolCall, SolError};
use revm::{
    Database,
    bytecode::Bytecode,
    context_interface::{Cfg, ContextTr, JournalTr, journaled_state::JournalCheckpoint},
    handler::FrameResult,
    interpreter::{
        CallInput, CallInputs, CallScheme, CallValue, FrameInput, InstructionResult, SharedMemory,
        interpreter_action::FrameInit,
    },
    primitives::constants::CALL_STACK_LIMIT,
};

use self::{
    marker::hooked_code_hash,
    meter::{Meter, Stop},
    storage::{Hook, Slots},
};
use super::{Frames, machine_frame::ended};
use crate::{
    database::ReadFailed,
    evm::{TransactionContext, TransactionError, TransactionEvm},
};

/// The contract without code at which hooks are bound and which calls them. It begins with "weft" in
/// ASCII. It is there on chains with machines, from Prague on.
pub const HOOKS: Address = address!("0x7765667400000000000000000000000000000001");

/// Most hooks of one contract.
const MAX_HOOKS: usize = 8;

/// Most gas that one run of a hook may be given.
const MAX_HOOK_GAS: u64 = 5_000_000;

/// Phase of a hook that runs before calls.
const BEFORE: u8 = 1;

/// Phase of a hook that runs after calls.
const AFTER: u8 = 2;

/// What the frames of a transaction know of hooks.
#[derive(Default)]
pub(super) struct HookState {
    /// Whether calls run without hooks: below a hook, and while the registry asks for an owner.
    suspended: bool,
    /// Depth of the frame that may log although it is static: a hook's.
    logging_depth: Option<usize>,
    /// Calls with hooks that have not ended, on all stacks.
    running: Vec<HookedCall>,
    /// Stacks of frames below which others wait.
    pub(super) stacks: usize,
    /// Codes that markers have replaced in this transaction, which may not be in the state yet.
    pub(super) replaced: B256Map<Bytecode>,
}

impl HookState {
    /// Whether no call with hooks is under way.
    pub(super) fn none_running(&self) -> bool {
        self.running.is_empty()
    }

    /// Whether a static frame at this depth may log.
    pub(super) fn may_log(&self, depth: usize) -> bool {
        self.logging_depth == Some(depth)
    }
}

/// A call of a contract that has hooks.
struct HookedCall {
    /// All hooks that were bound when the call began.
    hooks: Vec<Hook>,
    target: Address,
    caller: Address,
    value: U256,
    data: Bytes,
    is_static: bool,
    depth: usize,
    gas_limit: u64,
    memory: SharedMemory,
    /// Takes back what the call and its hooks did.
    checkpoint: JournalCheckpoint,
    /// The call's own frame, where it does not end at once: its stack, and its place there.
    stack: usize,
    frame: Option<usize>,
}

impl Frames<'_> {
    /// Starts the call of a contract whose code is a marker; `original` is the hash of its code.
    pub(super) fn start_marked(
        &mut self,
        evm: &mut TransactionEvm<'_>,
        mut init: FrameInit,
        original: B256,
    ) -> Result<Option<FrameResult>, TransactionError> {
        let code = self.replaced_code(&mut evm.ctx, original)?;
        let FrameInput::Call(inputs) = &mut init.frame_input else {
            return Err(TransactionError::Custom("only calls have hooks".into()));
        };
        // An account that is delegated to the target (EIP-7702) has the target's code, not its hooks.
        let runs_own_code = matches!(inputs.scheme, CallScheme::Call | CallScheme::StaticCall)
            && evm
                .ctx
                .journal_mut()
                .load_account(inputs.target_address)?
                .data
                .info
                .code_hash
                == inputs.known_bytecode.0;
        inputs.known_bytecode = (original, code);
        if self.hooks.suspended || !runs_own_code || init.depth > CALL_STACK_LIMIT as usize {
            return self.start(evm, init);
        }
        let (mut call, mut gas) = hooked_call(evm, inputs, init.depth, init.memory.clone());
        if let Err(stop) = self.run_before(evm, inputs, &mut call, &mut gas) {
            evm.ctx.journal_mut().checkpoint_revert(call.checkpoint);
            let (result, output) = match stop {
                Stop::Reverted(output) => (InstructionResult::Revert, output),
                Stop::OutOfGas | Stop::Static => {
                    gas.left = 0;
                    (InstructionResult::OutOfGas, Bytes::new())
                }
                Stop::Failed(error) => return Err(error),
            };
            return Ok(Some(ended(inputs, result, gas.left, 0, output)));
        }
        inputs.gas_limit = gas.left;
        inputs.input = CallInput::Bytes(call.data.clone());
        self.hooks.running.push(call);
        if let Some(result) = self.start(evm, init)? {
            return self.end_hooked(evm, result).map(Some);
        }
        let frame = evm.frame_stack.index();
        if let Some(call) = self.hooks.running.last_mut() {
            call.frame = frame;
            call.stack = self.hooks.stacks;
        }
        Ok(None)
    }

    /// What the frame on top of the stack, which has ended, comes to if hooks run after it.
    pub(super) fn end_frame(
        &mut self,
        evm: &mut TransactionEvm<'_>,
        result: FrameResult,
    ) -> Result<FrameResult, TransactionError> {
        match self.hooks.running.last() {
            Some(call)
                if call.stack == self.hooks.stacks && call.frame == evm.frame_stack.index() =>
            {
                self.end_hooked(evm, result)
            }
            _ => Ok(result),
        }
    }

    /// Ends the last call with hooks, whose own frame has come to this.
    fn end_hooked(
        &mut self,
        evm: &mut TransactionEvm<'_>,
        mut result: FrameResult,
    ) -> Result<FrameResult, TransactionError> {
        let Some(mut call) = self.hooks.running.pop() else {
            return Ok(result);
        };
        let FrameResult::Call(outcome) = &mut result else {
            return Err(TransactionError::Custom("only calls have hooks".into()));
        };
        let result_gas = &mut outcome.result.gas;
        result_gas.tracker_mut().set_limit(call.gas_limit);
        if !outcome.result.result.is_ok() {
            evm.ctx.journal_mut().checkpoint_revert(call.checkpoint);
            return Ok(result);
        }
        let mut gas = Meter::new(result_gas.remaining());
        match self.run_after(evm, &mut call, &outcome.result.output, &mut gas) {
            Ok(()) => {
                evm.ctx.journal_mut().checkpoint_commit();
                result_gas.set_remaining(gas.left);
                return Ok(result);
            }
            Err(Stop::Failed(error)) => return Err(error),
            Err(Stop::Reverted(output)) => {
                outcome.result.result = InstructionResult::Revert;
                outcome.result.output = output;
                result_gas.set_remaining(gas.left);
            }
            Err(Stop::OutOfGas | Stop::Static) => {
                outcome.result.result = InstructionResult::OutOfGas;
                outcome.result.output = Bytes::new();
                result_gas.set_remaining(0);
            }
        }
        result_gas.set_refund(0);
        evm.ctx.journal_mut().checkpoint_revert(call.checkpoint);
        Ok(result)
    }

    fn run_before(
        &mut self,
        evm: &mut TransactionEvm<'_>,
        inputs: &CallInputs,
        call: &mut HookedCall,
        gas: &mut Meter,
    ) -> Result<(), Stop> {
        gas.account(&mut evm.ctx, HOOKS)?;
        let slots = Slots::of(&evm.ctx, call.target, gas)?;
        call.hooks = slots.read(&mut evm.ctx, gas)?;
        gas.copy(&evm.ctx, inputs.input.len())?;
        call.data = inputs.input.bytes(&evm.ctx);
        let input = |call: &HookedCall| {
            abi::Hook::beforeCallCall {
                target: call.target,
                caller: call.caller,
                value: call.value,
                data: call.data.clone(),
            }
            .abi_encode()
        };
        self.run_phase(evm, call, BEFORE, input, gas)
    }

    fn run_after(
        &mut self,
        evm: &mut TransactionEvm<'_>,
        call: &mut HookedCall,
        output: &Bytes,
        gas: &mut Meter,
    ) -> Result<(), Stop> {
        let input = |call: &HookedCall| {
            abi::Hook::afterCallCall {
                target: call.target,
                caller: call.caller,
                value: call.value,
                data: call.data.clone(),
                result: output.clone(),
            }
            .abi_encode()
        };
        if call.hooks.iter().any(|hook| hook.phases & AFTER != 0) {
            gas.copy(&evm.ctx, output.len())?;
        }
        self.run_phase(evm, call, AFTER, input, gas)
    }

    fn run_phase(
        &mut self,
        evm: &mut TransactionEvm<'_>,
        call: &mut HookedCall,
        phase: u8,
        input: impl FnOnce(&HookedCall) -> Vec<u8>,
        gas: &mut Meter,
    ) -> Result<(), Stop> {
        let hooks: Vec<_> = call
            .hooks
            .iter()
            .filter(|hook| hook.phases & phase != 0)
            .copied()
            .collect();
        if hooks.is_empty() {
            return Ok(());
        }
        gas.copy(&evm.ctx, call.data.len())?;
        let input = Bytes::from(input(call));
        for hook in hooks {
            self.run_hook(evm, call, &hook, input.clone(), gas)?;
        }
        Ok(())
    }

    /// Runs one hook. One that does not return vetoes the call.
    fn run_hook(
        &mut self,
        evm: &mut TransactionEvm<'_>,
        call: &mut HookedCall,
        hook: &Hook,
        input: Bytes,
        gas: &mut Meter,
    ) -> Result<(), Stop> {
        let failed = || {
            let error = abi::Registry::HookFailed { hook: hook.address };
            Stop::Reverted(error.abi_encode().into())
        };
        let known_bytecode = gas.account(&mut evm.ctx, hook.address)?;
        // A program can be gone if the transaction that bound it created it, too.
        if !self.is_program(&mut evm.ctx, &known_bytecode.1)? {
            return Err(failed());
        }
        let params = evm.ctx.cfg().gas_params();
        let handed = params.call_stipend_reduction(gas.left).min(hook.gas_limit);
        gas.pay(handed)?;
        let init = FrameInit {
            depth: call.depth + 1,
            memory: call.memory.new_child_context(),
            frame_input: FrameInput::Call(Box::new(CallInputs {
                input: CallInput::Bytes(input),
                return_memory_offset: 0..0,
                gas_limit: handed,
                reservoir: 0,
                bytecode_address: hook.address,
                known_bytecode,
                target_address: hook.address,
                caller: HOOKS,
                value: CallValue::Transfer(U256::ZERO),
                scheme: CallScheme::StaticCall,
                is_static: true,
                charged_new_account_state_gas: false,
            })),
        };
        let logging_depth = (!call.is_static).then_some(call.depth + 1);
        let result = self.run_unhooked(evm, init, logging_depth);
        call.memory.free_child_context();
        let result = result.map_err(Stop::Failed)?;
        let end = result.instruction_result();
        if end.is_ok_or_revert() {
            gas.left += result.gas().remaining();
        }
        match result {
            _ if end.is_ok() => Ok(()),
            FrameResult::Call(outcome) if end == InstructionResult::Revert => {
                Err(Stop::Reverted(outcome.result.output))
            }
            _ => Err(failed()),
        }
    }

    /// Runs a frame in which no call runs hooks.
    fn run_unhooked(
        &mut self,
        evm: &mut TransactionEvm<'_>,
        init: FrameInit,
        logging_depth: Option<usize>,
    ) -> Result<FrameResult, TransactionError> {
        let suspended = mem::replace(&mut self.hooks.suspended, true);
        let outer = mem::replace(&mut self.hooks.logging_depth, logging_depth);
        let result = self.run_nested(evm, init);
        self.hooks.suspended = suspended;
        self.hooks.logging_depth = outer;
        result
    }

    /// Whether a machine runs this code, which may be a marker.
    fn is_program(
        &self,
        context: &mut TransactionContext<'_>,
        code: &Bytecode,
    ) -> Result<bool, ReadFailed> {
        let code = code.original_byte_slice();
        let Some(original) = hooked_code_hash(code) else {
            return Ok(self.owner(code).is_some());
        };
        let original = self.replaced_code(context, original)?;
        Ok(self.owner(original.original_byte_slice()).is_some())
    }

    /// The code that a marker has replaced.
    fn replaced_code(
        &self,
        context: &mut TransactionContext<'_>,
        code_hash: B256,
    ) -> Result<Bytecode, ReadFailed> {
        match self.hooks.replaced.get(&code_hash) {
            Some(code) => Ok(code.clone()),
            None => context.journal_mut().db_mut().code_by_hash(code_hash),
        }
    }
}

fn hooked_call(
    evm: &mut TransactionEvm<'_>,
    inputs: &CallInputs,
    depth: usize,
    memory: SharedMemory,
) -> (HookedCall, Meter) {
    let call = HookedCall {
        hooks: Vec::new(),
        target: inputs.target_address,
        caller: inputs.caller,
        value: inputs.value.get(),
        data: Bytes::new(),
        is_static: inputs.is_static,
        depth,
        gas_limit: inputs.gas_limit,
        memory,
        checkpoint: evm.ctx.journal_mut().checkpoint(),
        stack: 0,
        frame: None,
    };
    (call, Meter::new(inputs.gas_limit))
}
