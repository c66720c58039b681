use alloy_primitives::Bytes;
use revm::{
    bytecode::Bytecode,
    context_interface::{Cfg, ContextTr, JournalTr},
    handler::{EthFrame, FrameData, FrameResult},
    interpreter::{
        CreateOutcome, FrameInput, InstructionResult, InterpreterResult,
        interpreter::EthInterpreter,
    },
};
use weft_executor_core::HaltReason;

use super::Frames;
use crate::evm::TransactionContext;

/// What a creation makes that does not make an EVM contract.
pub(super) enum MachineCreation {
    /// A contract of the machine with this index.
    Code {
        machine: usize,
        code: Bytes,
        /// Whether init code of the EVM has returned the code: then EIP-170 bounds it, as it bounds
        /// whatever init code returns. Init data that is the contract itself is bounded by EIP-3860.
        returned: bool,
    },
    /// Nothing: contracts of the EVM do not run on this chain.
    Refused,
}

impl Frames<'_> {
    /// What a creation that has returned makes; `None` for an EVM contract, which is revm's to
    /// store.
    ///
    /// Init data that a machine assembles into code begins with a zero byte, as far as machines that
    /// share a chain with the EVM go, and so has done nothing as init code: STOP.
    pub(super) fn created_by_machine(
        &self,
        frame: &EthFrame<EthInterpreter>,
        result: &InterpreterResult,
    ) -> Option<MachineCreation> {
        let FrameInput::Create(inputs) = &frame.input else {
            return None;
        };
        if result.output.is_empty() {
            let assembled = self
                .machines
                .iter()
                .enumerate()
                .find_map(|(machine, other)| {
                    let code = other.assemble(inputs.init_code())?;
                    Some(MachineCreation::Code {
                        machine,
                        code,
                        returned: false,
                    })
                });
            if assembled.is_some() {
                return assembled;
            }
        }
        match self.owner(&result.output) {
            Some(machine) => Some(MachineCreation::Code {
                machine,
                code: result.output.clone(),
                returned: true,
            }),
            None if !self.evm_contracts && !result.output.is_empty() => {
                Some(MachineCreation::Refused)
            }
            None => None,
        }
    }

    /// Ends a creation's frame: stores the code if its machine admits it.
    pub(super) fn store(
        &mut self,
        context: &mut TransactionContext<'_>,
        frame: &EthFrame<EthInterpreter>,
        mut result: InterpreterResult,
        created: MachineCreation,
    ) -> FrameResult {
        let FrameData::Create(creation) = &frame.data else {
            return FrameResult::Create(CreateOutcome::new(result, None));
        };
        let address = creation.created_address;
        match self.admit(context, &mut result, created) {
            Ok(code) => {
                context.journal_mut().checkpoint_commit();
                context
                    .journal_mut()
                    .set_code(address, Bytecode::new_legacy(code.clone()));
                result.output = code;
                result.result = InstructionResult::Return;
            }
            Err(reason) => {
                context.journal_mut().checkpoint_revert(frame.checkpoint);
                result.output = Bytes::new();
                result.result = match reason {
                    HaltReason::OutOfGas => InstructionResult::OutOfGas,
                    _ => InstructionResult::CreateContractStartingWithEF,
                };
                self.note_halt(frame.depth, reason);
            }
        }
        FrameResult::Create(CreateOutcome::new(result, Some(address)))
    }

    /// The code that is to be stored, paid for.
    fn admit(
        &self,
        context: &TransactionContext<'_>,
        result: &mut InterpreterResult,
        created: MachineCreation,
    ) -> Result<Bytes, HaltReason> {
        let MachineCreation::Code {
            machine,
            code,
            returned,
        } = created
        else {
            return Err(HaltReason::Other(EVM_CONTRACTS_REFUSED));
        };
        if returned && code.len() > context.cfg().max_code_size() {
            return Err(HaltReason::Other("max code size exceeded"));
        }
        let deposit = context.cfg().gas_params().code_deposit_cost(code.len());
        let gas = &mut result.gas;
        if !gas.record_regular_cost(deposit) {
            return Err(HaltReason::OutOfGas);
        }
        let Some(machine) = self.machines.get(machine) else {
            return Err(HaltReason::InvalidInstruction);
        };
        let cost = machine.admit(&code, gas.remaining())?;
        if !gas.record_regular_cost(cost) {
            return Err(HaltReason::OutOfGas);
        }
        Ok(code)
    }
}

/// Why an EVM contract neither runs nor comes into being.
pub(super) const EVM_CONTRACTS_REFUSED: &str = "EVM contracts do not run on this chain";
