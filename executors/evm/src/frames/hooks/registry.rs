//! The contract without code at which hooks are bound.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolError, SolEvent, SolValue};
use revm::{
    bytecode::Bytecode,
    context_interface::{Cfg, ContextTr, JournalTr},
    handler::FrameResult,
    interpreter::{
        CallInput, CallInputs, CallScheme, CallValue, FrameInput, InstructionResult, SharedMemory,
        interpreter_action::FrameInit,
    },
    primitives::constants::CALL_STACK_LIMIT,
};

use super::{
    AFTER, BEFORE, HOOKS, MAX_HOOK_GAS, MAX_HOOKS,
    abi::{Owned, Registry},
    marker::{hooked_code_hash, marker},
    meter::{Meter, Stop},
    storage::{Hook, Slots, keep_account},
};
use crate::{
    evm::{TransactionContext, TransactionError, TransactionEvm},
    frames::{Frames, machine_frame::ended},
};

/// Most gas that the call of a target's `owner()` gets.
const OWNER_GAS: u64 = 100_000;

/// What a byte of code costs that is put back: a block's change set and access list name it again,
/// at the price of calldata.
const RESTORED_BYTE_GAS: u64 = 16;

/// Longest calldata that means anything here: four words behind the selector.
const MAX_CALLDATA: usize = 4 + 4 * 32;

/// A call of the registry.
struct Request<'i> {
    inputs: &'i CallInputs,
    depth: usize,
    memory: SharedMemory,
    gas: Meter,
}

fn refuse(error: impl SolError) -> Stop {
    Stop::Reverted(error.abi_encode().into())
}

/// The arguments of a call. What is behind them does not count, as in Solidity.
fn arguments<C: SolCall>(data: &[u8], words: usize) -> Result<C, Stop> {
    data.get(..32 * words)
        .and_then(|data| C::abi_decode_raw_validate(data).ok())
        .ok_or(Stop::Reverted(Bytes::new()))
}

impl Frames<'_> {
    /// Whether this is a call of the registry.
    pub(in crate::frames) fn is_registry(inputs: &CallInputs) -> bool {
        inputs.bytecode_address == HOOKS
            && inputs.target_address == HOOKS
            && matches!(inputs.scheme, CallScheme::Call | CallScheme::StaticCall)
    }

    /// Answers a call of the registry.
    pub(in crate::frames) fn run_registry(
        &mut self,
        evm: &mut TransactionEvm<'_>,
        inputs: &CallInputs,
        depth: usize,
        memory: SharedMemory,
    ) -> Result<FrameResult, TransactionError> {
        let end = |result, left, refund, output| Ok(ended(inputs, result, left, refund, output));
        if depth > CALL_STACK_LIMIT as usize {
            let left = inputs.gas_limit;
            return end(InstructionResult::CallTooDeep, left, 0, Bytes::new());
        }
        let mut request = Request {
            inputs,
            depth,
            memory,
            gas: Meter::new(inputs.gas_limit),
        };
        let checkpoint = evm.ctx.journal_mut().checkpoint();
        let answer = self.answer(evm, &mut request);
        if answer.is_ok() {
            evm.ctx.journal_mut().checkpoint_commit();
        } else {
            evm.ctx.journal_mut().checkpoint_revert(checkpoint);
        }
        let Meter { left, refund } = request.gas;
        match answer {
            Ok(output) => end(InstructionResult::Return, left, refund, output),
            Err(Stop::Reverted(output)) => end(InstructionResult::Revert, left, 0, output),
            Err(Stop::OutOfGas) => end(InstructionResult::OutOfGas, 0, 0, Bytes::new()),
            Err(Stop::Static) => end(
                InstructionResult::StateChangeDuringStaticCall,
                0,
                0,
                Bytes::new(),
            ),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    fn answer(
        &mut self,
        evm: &mut TransactionEvm<'_>,
        request: &mut Request<'_>,
    ) -> Result<Bytes, Stop> {
        if !request.inputs.value.get().is_zero() {
            return Err(refuse(Registry::ValueNotAccepted {}));
        }
        let data = {
            let data = request.inputs.input.as_bytes(&evm.ctx);
            let length = data.len().min(MAX_CALLDATA);
            data.get(..length).map(<[u8]>::to_vec).unwrap_or_default()
        };
        let Some((selector, data)) = data.split_first_chunk::<4>() else {
            return Err(Stop::Reverted(Bytes::new()));
        };
        match *selector {
            Registry::bindCall::SELECTOR => {
                let call = arguments::<Registry::bindCall>(data, 4)?;
                let position = self.bind(evm, request, &call)?;
                Ok(U256::from(position).abi_encode().into())
            }
            Registry::unbindCall::SELECTOR => {
                let call = arguments::<Registry::unbindCall>(data, 2)?;
                let remaining = self.unbind(evm, request, &call)?;
                Ok(U256::from(remaining).abi_encode().into())
            }
            Registry::hooksOfCall::SELECTOR => {
                let call = arguments::<Registry::hooksOfCall>(data, 1)?;
                hooks_of(&mut evm.ctx, &mut request.gas, call.target)
            }
            _ => Err(Stop::Reverted(Bytes::new())),
        }
    }

    /// Returns the position of the hook among those of its target.
    fn bind(
        &mut self,
        evm: &mut TransactionEvm<'_>,
        request: &mut Request<'_>,
        call: &Registry::bindCall,
    ) -> Result<usize, Stop> {
        let Registry::bindCall {
            target,
            hook,
            phases,
            gasLimit: gas_limit,
        } = *call;
        if request.inputs.is_static {
            return Err(Stop::Static);
        }
        if phases == 0 || phases & !(BEFORE | AFTER) != 0 {
            return Err(refuse(Registry::BadPhases { phases }));
        }
        if gas_limit > MAX_HOOK_GAS {
            return Err(refuse(Registry::GasLimitTooHigh {
                gasLimit: gas_limit,
                most: MAX_HOOK_GAS,
            }));
        }
        let (code_hash, code) = request.gas.account(&mut evm.ctx, target)?;
        if code.is_empty() || code.is_eip7702() {
            return Err(refuse(Registry::NotAContract { target }));
        }
        self.authorise(evm, request, target, (code_hash, code.clone()))?;
        let (_, hook_code) = request.gas.account(&mut evm.ctx, hook)?;
        if !self.is_program(&mut evm.ctx, &hook_code)? {
            return Err(refuse(Registry::NotAProgram { hook }));
        }
        let context = &mut evm.ctx;
        let gas = &mut request.gas;
        let slots = Slots::of(context, target, gas)?;
        let is_hooked = hooked_code_hash(code.original_byte_slice()).is_some();
        let mut hooks = if is_hooked {
            slots.read(context, gas)?
        } else {
            Vec::new()
        };
        if hooks.iter().any(|bound| bound.address == hook) {
            return Err(refuse(Registry::AlreadyBound { target, hook }));
        }
        let position = hooks.len();
        if position >= MAX_HOOKS {
            let most = U256::from(MAX_HOOKS);
            return Err(refuse(Registry::TooManyHooks { target, most }));
        }
        hooks.push(Hook {
            address: hook,
            phases,
            gas_limit,
        });
        slots.write(context, &hooks, position, position, gas)?;
        keep_account(context)?;
        if !is_hooked {
            let marker = marker(code_hash);
            gas.pay(context.cfg().gas_params().code_deposit_cost(marker.len()))?;
            gas.hash(context, marker.len())?;
            self.hooks.replaced.insert(code_hash, code);
            context
                .journal_mut()
                .set_code(target, Bytecode::new_legacy(marker));
        }
        let event = Registry::HookBound {
            target,
            hook,
            phases,
            gasLimit: gas_limit,
        };
        emit(context, gas, &event)?;
        Ok(position)
    }

    /// Returns how many hooks the target still has.
    fn unbind(
        &mut self,
        evm: &mut TransactionEvm<'_>,
        request: &mut Request<'_>,
        call: &Registry::unbindCall,
    ) -> Result<usize, Stop> {
        let Registry::unbindCall { target, hook } = *call;
        if request.inputs.is_static {
            return Err(Stop::Static);
        }
        let (code_hash, code) = request.gas.account(&mut evm.ctx, target)?;
        let Some(original) = hooked_code_hash(code.original_byte_slice()) else {
            return Err(refuse(Registry::NotBound { target, hook }));
        };
        self.authorise(evm, request, target, (code_hash, code))?;
        let context = &mut evm.ctx;
        let gas = &mut request.gas;
        let slots = Slots::of(context, target, gas)?;
        let mut hooks = slots.read(context, gas)?;
        let Some(position) = hooks.iter().position(|bound| bound.address == hook) else {
            return Err(refuse(Registry::NotBound { target, hook }));
        };
        let old_length = hooks.len();
        hooks.remove(position);
        slots.write(context, &hooks, position, old_length, gas)?;
        if hooks.is_empty() {
            let code = self.replaced_code(context, original)?;
            let length = u64::try_from(code.original_byte_slice().len()).unwrap_or(u64::MAX);
            gas.pay(length.saturating_mul(RESTORED_BYTE_GAS))?;
            context
                .journal_mut()
                .set_code_with_hash(target, code, original);
        }
        emit(context, gas, &Registry::HookUnbound { target, hook })?;
        Ok(hooks.len())
    }

    /// Checks that the caller owns the target (ERC-173). The target runs without its hooks, which
    /// could otherwise keep themselves bound.
    fn authorise(
        &mut self,
        evm: &mut TransactionEvm<'_>,
        request: &mut Request<'_>,
        target: Address,
        known_bytecode: (B256, Bytecode),
    ) -> Result<(), Stop> {
        let caller = request.inputs.caller;
        let gas = &mut request.gas;
        let params = evm.ctx.cfg().gas_params();
        gas.pay(params.warm_storage_read_cost())?;
        let handed = params.call_stipend_reduction(gas.left).min(OWNER_GAS);
        gas.pay(handed)?;
        let init = FrameInit {
            depth: request.depth + 1,
            memory: request.memory.new_child_context(),
            frame_input: FrameInput::Call(Box::new(CallInputs {
                input: CallInput::Bytes(Owned::ownerCall {}.abi_encode().into()),
                return_memory_offset: 0..0,
                gas_limit: handed,
                reservoir: 0,
                bytecode_address: target,
                known_bytecode,
                target_address: target,
                caller: HOOKS,
                value: CallValue::Transfer(U256::ZERO),
                scheme: CallScheme::StaticCall,
                is_static: true,
                charged_new_account_state_gas: false,
            })),
        };
        let result = self.run_unhooked(evm, init, None);
        request.memory.free_child_context();
        let result = result.map_err(Stop::Failed)?;
        if result.instruction_result().is_ok_or_revert() {
            gas.left += result.gas().remaining();
        }
        let owner = match &result {
            FrameResult::Call(outcome) if outcome.result.result.is_ok() => {
                let word = outcome.result.output.get(..32);
                word.and_then(|word| Address::abi_decode_validate(word).ok())
            }
            _ => None,
        };
        if owner != Some(caller) {
            return Err(refuse(Registry::NotOwner { caller, target }));
        }
        Ok(())
    }
}

fn hooks_of(
    context: &mut TransactionContext<'_>,
    gas: &mut Meter,
    target: Address,
) -> Result<Bytes, Stop> {
    let (_, code) = gas.account(context, target)?;
    let hooks = if hooked_code_hash(code.original_byte_slice()).is_some() {
        Slots::of(context, target, gas)?.read(context, gas)?
    } else {
        Vec::new()
    };
    let bound: Vec<_> = hooks
        .iter()
        .map(|hook| Registry::Bound {
            hook: hook.address,
            phases: hook.phases,
            gasLimit: hook.gas_limit,
        })
        .collect();
    Ok(bound.abi_encode().into())
}

fn emit(
    context: &mut TransactionContext<'_>,
    gas: &mut Meter,
    event: &impl SolEvent,
) -> Result<(), Stop> {
    let log = event.encode_log_data();
    gas.log(context, log.topics().to_vec(), log.data)
}
