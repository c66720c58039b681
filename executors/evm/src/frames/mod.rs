//! The frames of one transaction: revm's own, and those whose code runs on a [`Machine`].

mod creation;
pub(crate) mod hooks;
mod host;
mod machine_frame;

use std::{mem, sync::Arc};

use alloy_primitives::{Address, Bytes, KECCAK256_EMPTY, map::B256Map};
use revm::{
    bytecode::Bytecode,
    context_interface::{
        ContextTr, FrameStack, JournalTr, journaled_state::account::JournaledAccountTr,
    },
    handler::{
        EthFrame, EvmTr, FrameData, FrameResult, ItemOrResult, instructions::InstructionProvider,
    },
    interpreter::{
        CallInputs, CallScheme, CreateInputs, CreateOutcome, FrameInput, Gas, InstructionResult,
        InterpreterAction, InterpreterResult, interpreter::EthInterpreter,
        interpreter_action::FrameInit,
    },
    primitives::constants::CALL_STACK_LIMIT,
};
use weft_executor_core::{BlockEnv, HaltReason, Machine};

use self::hooks::{HookState, marker::hooked_code_hash};
use crate::evm::{TransactionError, TransactionEvm};

/// Stacks of EVM frames that are not in use.
pub(crate) type SpareStacks = Vec<FrameStack<EthFrame<EthInterpreter>>>;

/// What runs a transaction's code.
pub(crate) struct Frames<'m> {
    machines: &'m [Arc<dyn Machine>],
    /// Whether contracts of the EVM run, too.
    evm_contracts: bool,
    block: &'m BlockEnv,
    /// Two numbers of each machine that has asked for them, see [`weft_executor_core::Host::shared`].
    shared: Vec<[u64; 2]>,
    /// For each call and creation that has not ended, of whatever kind, the contract that was called
    /// in its own place; `None` for others, which are part of the frame above them. Kept only where
    /// there are machines.
    running: Vec<Option<Address>>,
    /// One for each machine's frame that calls another contract.
    pub(crate) spare: SpareStacks,
    /// Why the transaction's first frame was stopped, where revm has no word for it.
    halted: Option<HaltReason>,
    hooks: HookState,
}

impl<'m> Frames<'m> {
    pub(crate) fn new(
        machines: &'m [Arc<dyn Machine>],
        evm_contracts: bool,
        block: &'m BlockEnv,
        spare: SpareStacks,
    ) -> Self {
        Self {
            machines,
            evm_contracts,
            block,
            shared: Vec::new(),
            running: Vec::new(),
            spare,
            halted: None,
            hooks: HookState::default(),
        }
    }

    /// Why the transaction was stopped, where revm has no word for it.
    pub(crate) fn take_halted(&mut self) -> Option<HaltReason> {
        self.halted.take()
    }

    /// Codes of contracts that have got their first hook in this transaction, by hash.
    pub(crate) fn take_replaced(&mut self) -> B256Map<Bytecode> {
        mem::take(&mut self.hooks.replaced)
    }

    /// Runs a frame and all below it, on an empty stack of frames.
    pub(crate) fn run(
        &mut self,
        evm: &mut TransactionEvm<'_>,
        first: FrameInit,
    ) -> Result<FrameResult, TransactionError> {
        if let Some(result) = self.start(evm, first)? {
            return Ok(result);
        }
        loop {
            let result = match self.resume(evm)? {
                ItemOrResult::Item(init) => match self.start(evm, init)? {
                    None => continue,
                    Some(result) => result,
                },
                ItemOrResult::Result(result) => {
                    self.running.pop();
                    if self.hooks.none_running() {
                        result
                    } else {
                        self.end_frame(evm, result)?
                    }
                }
            };
            if let Some(result) = evm.frame_return_result(result)? {
                return Ok(result);
            }
        }
    }

    /// Runs a frame below one that a machine runs, or a hook, on a stack of its own.
    fn run_nested(
        &mut self,
        evm: &mut TransactionEvm<'_>,
        first: FrameInit,
    ) -> Result<FrameResult, TransactionError> {
        let mut stack = self.spare.pop().unwrap_or_default();
        stack.clear();
        let outer = mem::replace(&mut evm.frame_stack, stack);
        self.hooks.stacks += 1;
        let result = self.run(evm, first);
        self.hooks.stacks -= 1;
        self.spare.push(mem::replace(&mut evm.frame_stack, outer));
        result
    }

    /// Starts a frame; gives its result when it ended at once.
    fn start(
        &mut self,
        evm: &mut TransactionEvm<'_>,
        init: FrameInit,
    ) -> Result<Option<FrameResult>, TransactionError> {
        match &init.frame_input {
            FrameInput::Create(inputs) => {
                if let Some(result) = storage_collision(evm, init.depth, inputs)? {
                    return Ok(Some(result));
                }
            }
            FrameInput::Call(inputs) if !self.machines.is_empty() => {
                let code = inputs.known_bytecode.1.original_byte_slice();
                let machine = if code.is_empty() {
                    if Self::is_registry(inputs) {
                        let (depth, memory) = (init.depth, init.memory);
                        return self.run_registry(evm, inputs, depth, memory).map(Some);
                    }
                    self.server(inputs.bytecode_address)
                } else if let Some(original) = hooked_code_hash(code) {
                    return self.start_marked(evm, init, original);
                } else {
                    self.owner(code)
                };
                if let Some(machine) = machine {
                    return self.run_machine(evm, machine, init).map(Some);
                }
                if !self.evm_contracts && !code.is_empty() {
                    return Ok(Some(self.refuse_evm_contract(init.depth, inputs)));
                }
            }
            FrameInput::Call(_) | FrameInput::Empty => {}
        }
        let entered = match &init.frame_input {
            FrameInput::Call(inputs) => entered(inputs),
            FrameInput::Create(_) | FrameInput::Empty => None,
        };
        Ok(match evm.frame_init(init)? {
            ItemOrResult::Item(_) => {
                if !self.machines.is_empty() {
                    self.running.push(entered);
                }
                None
            }
            ItemOrResult::Result(result) => Some(result),
        })
    }

    /// Runs the frame on top of the stack until it ends or starts another one.
    fn resume(
        &mut self,
        evm: &mut TransactionEvm<'_>,
    ) -> Result<ItemOrResult<FrameInit, FrameResult>, TransactionError> {
        let frame = evm.frame_stack.get();
        let action = frame.interpreter.run_plain(
            evm.instruction.instruction_table(),
            evm.instruction.gas_table(),
            &mut evm.ctx,
        );
        if !self.machines.is_empty()
            && let FrameData::Create(_) = frame.data
            && let InterpreterAction::Return(result) = &action
            && result.result.is_ok()
            && let Some(created) = self.created_by_machine(frame, result)
        {
            let result = self.store(&mut evm.ctx, frame, result.clone(), created);
            frame.set_finished(true);
            return Ok(ItemOrResult::Result(result));
        }
        let next = frame.process_next_action(&mut evm.ctx, action);
        if let Ok(ItemOrResult::Result(_)) = next {
            frame.set_finished(true);
        }
        next
    }

    /// The machine that runs this code.
    fn owner(&self, code: &[u8]) -> Option<usize> {
        if code.first() != Some(&MACHINE_CODE) {
            return None;
        }
        self.machines.iter().position(|machine| machine.owns(code))
    }

    /// The machine that answers calls to this address.
    fn server(&self, address: Address) -> Option<usize> {
        self.machines
            .iter()
            .position(|machine| machine.serves(address))
    }

    /// Notes why the transaction's first frame was stopped.
    fn note_halt(&mut self, depth: usize, reason: HaltReason) {
        if depth == 0 {
            self.halted = Some(reason);
        }
    }
}

/// The contract that a call enters in its own place.
fn entered(inputs: &CallInputs) -> Option<Address> {
    match inputs.scheme {
        CallScheme::Call | CallScheme::StaticCall => Some(inputs.target_address),
        CallScheme::DelegateCall | CallScheme::CallCode => None,
    }
}

/// First byte of code that is not the EVM's (EIP-3541).
const MACHINE_CODE: u8 = 0xef;

/// EIP-7610: a creation collides with storage too, which revm does not look at. The result is
/// that of revm's own collision; `None` leaves everything to revm.
fn storage_collision(
    evm: &mut TransactionEvm<'_>,
    depth: usize,
    inputs: &CreateInputs,
) -> Result<Option<FrameResult>, TransactionError> {
    if depth > CALL_STACK_LIMIT as usize {
        return Ok(None);
    }
    let journal = evm.ctx().journal_mut();
    let creator = &journal.load_account(inputs.caller())?.data.info;
    let nonce = creator.nonce;
    if creator.balance < inputs.value() || nonce == u64::MAX {
        return Ok(None);
    }
    let address = inputs.created_address(nonce);
    let target = journal.load_account(address)?.data;
    if target.is_loaded_as_not_existing()
        || target.info.nonce != 0
        || target.info.code_hash != KECCAK256_EMPTY
        || !journal.db_mut().state.has_storage(address)?
    {
        return Ok(None);
    }
    journal.load_account_mut(inputs.caller())?.bump_nonce();
    Ok(Some(FrameResult::Create(CreateOutcome {
        result: InterpreterResult {
            result: InstructionResult::CreateCollision,
            gas: Gas::new_with_regular_gas_and_reservoir(inputs.gas_limit(), inputs.reservoir()),
            output: Bytes::new(),
        },
        address: None,
        charged_create_state_gas: inputs.charged_create_state_gas(),
    })))
}
