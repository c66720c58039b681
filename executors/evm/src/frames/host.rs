use std::cell::OnceCell;

use alloy_primitives::{Address, B256, Bytes, Log, U256};
use revm::{
    context_interface::{
        Block, Cfg, ContextTr, CreateScheme, JournalTr, Transaction, host::LoadError,
    },
    handler::FrameResult,
    interpreter::{
        CallInput, CallInputs, CallScheme, CallValue, CreateInputs, FrameInput, Host as RevmHost,
        InstructionResult, SharedMemory, instructions::contract::load_account_delegated,
        interpreter_action::FrameInit,
    },
};
use weft_executor_core::{
    AccountInfo, BlockEnv, CallKind, CallRequest, Called, CreateRequest, Created, Frame, Host,
    Priced, StateUnread, TransactionInfo, WriteError,
};

use super::Frames;
use crate::{
    evm::{TransactionError, TransactionEvm},
    keccak::remembered_keccak256,
};

/// Blocks whose hashes a transaction can ask for.
const BLOCK_HASHES: u64 = 256;

/// What a machine's frame reaches outside of itself.
pub(super) struct FrameHost<'f, 'm, 'a> {
    frames: &'f mut Frames<'m>,
    evm: &'f mut TransactionEvm<'a>,
    machine: usize,
    contract: Address,
    caller: Address,
    value: U256,
    is_static: bool,
    may_log: bool,
    depth: usize,
    /// Where the memory of EVM frames below this one begins.
    memory: SharedMemory,
    is_reentrant: OnceCell<bool>,
    refund: i64,
    failure: Option<TransactionError>,
}

impl<'f, 'm, 'a> FrameHost<'f, 'm, 'a> {
    pub(super) fn new(
        frames: &'f mut Frames<'m>,
        evm: &'f mut TransactionEvm<'a>,
        machine: usize,
        frame: &Frame,
        depth: usize,
        memory: SharedMemory,
    ) -> Self {
        let may_log = !frame.is_static || frames.hooks.may_log(depth);
        Self {
            frames,
            evm,
            machine,
            contract: frame.contract,
            caller: frame.caller,
            value: frame.value,
            is_static: frame.is_static,
            may_log,
            depth,
            memory,
            is_reentrant: OnceCell::new(),
            refund: 0,
            failure: None,
        }
    }

    /// The refund, in gas, and why the state could not be read.
    pub(super) fn finish(self) -> (i64, Option<TransactionError>) {
        (self.refund, self.failure)
    }

    fn access_gas(&self, is_cold: bool) -> u64 {
        let params = self.evm.ctx.cfg().gas_params();
        let additional = if is_cold {
            params.cold_account_additional_cost()
        } else {
            0
        };
        params.warm_storage_read_cost() + additional
    }

    /// Runs a frame below this one; its result, and the gas that it gives back.
    fn nested(&mut self, frame_input: FrameInput) -> Result<(FrameResult, u64), StateUnread> {
        let init = FrameInit {
            frame_input,
            depth: self.depth + 1,
            memory: self.memory.new_child_context(),
        };
        let result = self.frames.run_nested(self.evm, init);
        self.memory.free_child_context();
        match result {
            Ok(result) => {
                let gas = *result.gas();
                let outcome = result.instruction_result();
                let returned = if outcome.is_ok_or_revert() {
                    gas.remaining()
                } else {
                    0
                };
                if outcome.is_ok() {
                    self.refund += gas.refunded();
                }
                Ok((result, returned))
            }
            Err(error) => {
                self.failure = Some(error);
                Err(StateUnread)
            }
        }
    }
}

impl From<LoadError> for Unloaded {
    fn from(error: LoadError) -> Self {
        Self(match error {
            LoadError::ColdLoadSkipped => WriteError::OutOfGas,
            LoadError::DBError => WriteError::State(StateUnread),
        })
    }
}

/// Why something could not be loaded.
struct Unloaded(WriteError);

fn paid(gas_left: u64, cost: u64) -> Result<u64, WriteError> {
    gas_left.checked_sub(cost).ok_or(WriteError::OutOfGas)
}

impl Host for FrameHost<'_, '_, '_> {
    fn block(&self) -> &BlockEnv {
        self.frames.block
    }

    fn transaction(&self) -> TransactionInfo {
        let context = &self.evm.ctx;
        let base_fee = context.block().basefee();
        TransactionInfo {
            origin: context.tx().caller(),
            gas_price: context.tx().effective_gas_price(u128::from(base_fee)),
            base_fee,
        }
    }

    fn is_reentrant(&self) -> bool {
        // What is above a frame stays as it is while the frame runs.
        *self.is_reentrant.get_or_init(|| {
            let running = self.frames.running.iter();
            let mut entered = running.filter(|entered| **entered == Some(self.contract));
            entered.nth(1).is_some()
        })
    }

    fn storage(&mut self, slot: U256) -> Result<Priced<U256>, StateUnread> {
        let context = &mut self.evm.ctx;
        let load = context
            .sload_skip_cold_load(self.contract, slot, false)
            .map_err(|_| StateUnread)?;
        let params = context.cfg().gas_params();
        let additional = if load.is_cold {
            params.cold_storage_additional_cost()
        } else {
            0
        };
        Ok(Priced {
            value: load.data,
            gas: params.warm_storage_read_cost() + additional,
        })
    }

    fn set_storage(&mut self, slot: U256, value: U256, gas_left: u64) -> Result<u64, WriteError> {
        if self.is_static {
            return Err(WriteError::Static);
        }
        let context = &mut self.evm.ctx;
        let params = context.cfg().gas_params();
        // EIP-2200.
        if gas_left <= params.call_stipend() {
            return Err(WriteError::OutOfGas);
        }
        let fixed = params.sstore_static_gas();
        let skip_cold_load = paid(gas_left, fixed)? < params.cold_storage_cost();
        let load = context
            .sstore_skip_cold_load(self.contract, slot, value, skip_cold_load)
            .map_err(|error| Unloaded::from(error).0)?;
        let params = context.cfg().gas_params();
        let gas = fixed + params.sstore_dynamic_gas(true, &load.data, load.is_cold);
        paid(gas_left, gas)?;
        self.refund += params.sstore_refund(true, &load.data);
        Ok(gas)
    }

    fn transient_storage(&mut self, slot: U256) -> U256 {
        self.evm.ctx.tload(self.contract, slot)
    }

    fn set_transient_storage(&mut self, slot: U256, value: U256) -> Result<(), WriteError> {
        if self.is_static {
            return Err(WriteError::Static);
        }
        self.evm.ctx.tstore(self.contract, slot, value);
        Ok(())
    }

    fn account(&mut self, address: Address) -> Result<Priced<AccountInfo>, StateUnread> {
        let load = self
            .evm
            .ctx
            .load_account_info_skip_cold_load(address, false, false)
            .map_err(|_| StateUnread)?;
        let value = AccountInfo {
            balance: load.account.balance,
            code_hash: if load.is_empty {
                B256::ZERO
            } else {
                load.account.code_hash
            },
        };
        let is_cold = load.is_cold;
        Ok(Priced {
            value,
            gas: self.access_gas(is_cold),
        })
    }

    fn code(&mut self, address: Address) -> Result<Priced<Bytes>, StateUnread> {
        let load = RevmHost::load_account_code(&mut self.evm.ctx, address).ok_or(StateUnread)?;
        Ok(Priced {
            gas: self.access_gas(load.is_cold),
            value: load.data,
        })
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, StateUnread> {
        let current = self.frames.block.number;
        if number >= current || current - number > BLOCK_HASHES {
            return Ok(B256::ZERO);
        }
        RevmHost::block_hash(&mut self.evm.ctx, number).ok_or(StateUnread)
    }

    fn log(&mut self, topics: Vec<B256>, data: Bytes) -> Result<(), WriteError> {
        if !self.may_log {
            return Err(WriteError::Static);
        }
        let log = Log::new_unchecked(self.contract, topics, data);
        self.evm.ctx.journal_mut().log(log);
        Ok(())
    }

    fn call(&mut self, request: CallRequest) -> Result<Called, WriteError> {
        let CallRequest {
            kind,
            to,
            value,
            input,
            gas,
            gas_left,
        } = request;
        let transfers = kind == CallKind::Call && !value.is_zero();
        if transfers && self.is_static {
            return Err(WriteError::Static);
        }
        let context = &mut self.evm.ctx;
        let spec = context.cfg().spec();
        let params = context.cfg().gas_params();
        let mut cost = params.warm_storage_read_cost();
        if transfers {
            cost += params.transfer_value_cost();
        }
        let left = paid(gas_left, cost)?;
        let (access, _, code, code_hash) =
            load_account_delegated(context, spec, left, to, transfers, kind == CallKind::Call)
                .map_err(|error| Unloaded::from(error).0)?;
        cost += access;
        let left = paid(gas_left, cost)?;
        let params = context.cfg().gas_params();
        let handed = params.call_stipend_reduction(left).min(gas);
        let stipend = if transfers { params.call_stipend() } else { 0 };
        let (target_address, caller, value, scheme) = match kind {
            CallKind::Call => (
                to,
                self.contract,
                CallValue::Transfer(value),
                CallScheme::Call,
            ),
            CallKind::Static => (
                to,
                self.contract,
                CallValue::Transfer(U256::ZERO),
                CallScheme::StaticCall,
            ),
            CallKind::Delegate => (
                self.contract,
                self.caller,
                CallValue::Apparent(self.value),
                CallScheme::DelegateCall,
            ),
        };
        let (result, returned) = self.nested(FrameInput::Call(Box::new(CallInputs {
            input: CallInput::Bytes(input),
            return_memory_offset: 0..0,
            gas_limit: handed.saturating_add(stipend),
            reservoir: 0,
            bytecode_address: to,
            known_bytecode: (code_hash, code),
            target_address,
            caller,
            value,
            scheme,
            is_static: self.is_static || kind == CallKind::Static,
            charged_new_account_state_gas: false,
        })))?;
        let success = result.instruction_result().is_ok();
        let FrameResult::Call(outcome) = result else {
            return Err(WriteError::State(StateUnread));
        };
        Ok(Called {
            success,
            output: outcome.result.output,
            gas: (cost + handed).saturating_sub(returned),
        })
    }

    fn create(&mut self, request: CreateRequest) -> Result<Created, WriteError> {
        let CreateRequest {
            init,
            value,
            salt,
            gas_left,
        } = request;
        if self.is_static {
            return Err(WriteError::Static);
        }
        let context = &self.evm.ctx;
        // In the EVM, too, init code that is too long ends the frame that has it.
        if init.len() > context.cfg().max_initcode_size() {
            return Err(WriteError::OutOfGas);
        }
        let params = context.cfg().gas_params();
        let (scheme, price) = match salt {
            Some(salt) => (
                CreateScheme::Create2 { salt: salt.into() },
                params.create2_cost(init.len()),
            ),
            None => (CreateScheme::Create, params.create_cost()),
        };
        let cost = price + params.initcode_cost(init.len());
        let handed = params.call_stipend_reduction(paid(gas_left, cost)?);
        let inputs = CreateInputs::new(self.contract, scheme, value, init, handed, 0);
        let (result, returned) = self.nested(FrameInput::Create(Box::new(inputs)))?;
        let FrameResult::Create(outcome) = result else {
            return Err(WriteError::State(StateUnread));
        };
        let ended = outcome.result.result;
        Ok(Created {
            address: outcome.address.filter(|_| ended.is_ok()),
            output: if ended == InstructionResult::Revert {
                outcome.result.output
            } else {
                Bytes::new()
            },
            gas: (cost + handed).saturating_sub(returned),
        })
    }

    fn keccak256(&mut self, bytes: &[u8]) -> B256 {
        remembered_keccak256(bytes)
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "there are numbers for this machine from the first line on"
    )]
    fn shared(&mut self) -> &mut [u64; 2] {
        let shared = &mut self.frames.shared;
        if shared.len() <= self.machine {
            shared.resize(self.machine + 1, [0; 2]);
        }
        &mut shared[self.machine]
    }
}
