use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, TxKind, U256, keccak256};
use weft_executor_core::{
    AccessedAccount, BlockEnv, Call, CallOutcome, ExecuteError, Execution, ExecutionLayer,
    HaltReason, Outcome, StateView, Transfer,
};
use weft_primitives::{Fork, RecoveredTransaction};

use crate::{
    MODULE_MAGIC, MachineError, ModuleError,
    code::{is_program, module_of, stored_code},
    envelope::{Content, Envelope},
    journal::Journal,
    machine::{Ended, Machine, Program},
    masked::Masked,
    message::Message,
    meter::{call_gas, creation_gas},
};

/// First fork whose rules about gas this layer has (EIP-7623); before it there are no programs.
const FIRST_FORK: Fork = Fork::Prague;

/// WASM programs, and an inner layer that executes everything else.
///
/// The inner layer also does what is the same for all transactions: it executes a transaction to a
/// program with the program's code hidden behind a single zero byte, and a creation of a program
/// with its init data, which begins with a zero byte. It must therefore take code that begins with
/// a zero byte as the EVM does: as code that stops at once, without output.
#[derive(Clone)]
pub struct WasmLayer<Inner> {
    inner: Inner,
    machine: Arc<Machine>,
}

impl<Inner> WasmLayer<Inner> {
    /// Puts the layer in front of another.
    ///
    /// # Errors
    /// When WebAssembly cannot be compiled on this machine.
    pub fn new(inner: Inner) -> Result<Self, MachineError> {
        Ok(Self {
            inner,
            machine: Arc::new(Machine::new()?),
        })
    }
}

impl<Inner: std::fmt::Debug> std::fmt::Debug for WasmLayer<Inner> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WasmLayer")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

/// What is asked of the layer.
#[derive(Clone, Copy)]
enum Request<'a> {
    Transaction(&'a RecoveredTransaction),
    Call(&'a Call),
}

/// Who executes a request.
enum Route {
    Inner,
    /// A program is created.
    Creation,
    /// A program is called.
    Program(StoredProgram),
}

/// A program as the state has it.
struct StoredProgram {
    address: Address,
    code_hash: B256,
    code: Bytes,
}

impl<Inner: ExecutionLayer> ExecutionLayer for WasmLayer<Inner> {
    fn execute<S: StateView>(
        &self,
        block: &BlockEnv,
        transaction: &RecoveredTransaction,
        state: &mut S,
    ) -> Result<Execution, ExecuteError<S::Error>> {
        let message = Message::of_transaction(block, transaction);
        let request = Request::Transaction(transaction);
        Ok(self.serve(block, request, &message, state)?.execution)
    }

    fn transfer(&self, block: &BlockEnv, transaction: &RecoveredTransaction) -> Option<Transfer> {
        self.inner.transfer(block, transaction)
    }

    fn call<S: StateView>(
        &self,
        block: &BlockEnv,
        call: &Call,
        state: &mut S,
    ) -> Result<CallOutcome, ExecuteError<S::Error>> {
        let message = Message::of_call(block, call);
        self.serve(block, Request::Call(call), &message, state)
    }
}

impl<Inner: ExecutionLayer> WasmLayer<Inner> {
    fn serve<S: StateView>(
        &self,
        block: &BlockEnv,
        request: Request<'_>,
        message: &Message<'_>,
        state: &mut S,
    ) -> Result<CallOutcome, ExecuteError<S::Error>> {
        match route(block, message, state).map_err(ExecuteError::State)? {
            Route::Inner => self.inner(block, request, state),
            Route::Creation => {
                let outer = self.inner(block, request, state)?;
                let envelope = Envelope::new(outer.execution, None);
                Ok(CallOutcome {
                    execution: self.create(block, message, envelope, state)?,
                    accessed: outer.accessed,
                })
            }
            Route::Program(program) => {
                let mut masked = Masked {
                    state: &mut *state,
                    program: program.address,
                };
                let outer = self.inner(block, request, &mut masked)?;
                let masked = (program.address, program.code_hash);
                let envelope = Envelope::new(outer.execution, Some(masked));
                self.call_program(block, message, &program, envelope, outer.accessed, state)
            }
        }
    }

    fn inner<S: StateView>(
        &self,
        block: &BlockEnv,
        request: Request<'_>,
        state: &mut S,
    ) -> Result<CallOutcome, ExecuteError<S::Error>> {
        match request {
            Request::Transaction(transaction) => Ok(CallOutcome {
                execution: self.inner.execute(block, transaction, state)?,
                accessed: Vec::new(),
            }),
            Request::Call(call) => self.inner.call(block, call, state),
        }
    }

    fn create<S: StateView>(
        &self,
        block: &BlockEnv,
        message: &Message<'_>,
        envelope: Envelope,
        state: &mut S,
    ) -> Result<Execution, ExecuteError<S::Error>> {
        let Outcome::Success {
            created: Some(address),
            ..
        } = *envelope.outcome()
        else {
            return Ok(envelope.unchanged());
        };
        let module = message.input;
        let code = stored_code(module);
        let gas = message.gas_limit.saturating_sub(message.intrinsic_gas());
        let content = match gas.checked_sub(creation_gas(code.len(), module.len())) {
            None => Content::Halted(HaltReason::OutOfGas),
            Some(gas_left) => {
                let code_hash = keccak256(&code);
                match self.program(code_hash, || Ok(module.as_ref().into())) {
                    Err(refused) => Content::Halted(HaltReason::Other(refused.reason())),
                    Ok(_) => Content::Created {
                        program: address,
                        code,
                        code_hash,
                        gas_left,
                    },
                }
            }
        };
        envelope
            .finish(message, block.beneficiary, content, state)
            .map_err(ExecuteError::State)
    }

    fn call_program<S: StateView>(
        &self,
        block: &BlockEnv,
        message: &Message<'_>,
        program: &StoredProgram,
        envelope: Envelope,
        accessed: Vec<AccessedAccount>,
        state: &mut S,
    ) -> Result<CallOutcome, ExecuteError<S::Error>> {
        if !envelope.outcome().is_success() {
            return Ok(CallOutcome {
                execution: envelope.unchanged(),
                accessed,
            });
        }
        let accounts = envelope.accounts_while_running(message, block.beneficiary);
        let (mut warm_accounts, warm_slots) = message.warm(block, program.address);
        // Accounts that valid authorizations name are warm (EIP-7702), and they were written.
        warm_accounts.extend(accounts.keys().copied());
        let mut journal = Journal::new(
            &mut *state,
            program.address,
            accounts,
            warm_accounts,
            warm_slots,
        );
        let gas = message.gas_limit.saturating_sub(message.intrinsic_gas());
        let ended = self.run(block, message, program, gas, &mut journal);
        let accessed = merge_accessed(accessed, program.address, &journal);
        let content = match ended {
            Ended::Returned { output, gas_left } => Content::Returned {
                program: program.address,
                output,
                effects: journal.into_effects(),
                gas_left,
            },
            Ended::Reverted { output, gas_left } => Content::Reverted { output, gas_left },
            Ended::Halted(reason) => Content::Halted(reason),
            Ended::StateFailed => {
                return Err(journal.take_failure().map_or_else(
                    || ExecuteError::Layer("a read failed and left no reason".to_owned()),
                    ExecuteError::State,
                ));
            }
        };
        let execution = envelope
            .finish(message, block.beneficiary, content, state)
            .map_err(ExecuteError::State)?;
        Ok(CallOutcome {
            execution,
            accessed,
        })
    }

    fn run<S: StateView>(
        &self,
        block: &BlockEnv,
        message: &Message<'_>,
        program: &StoredProgram,
        gas: u64,
        journal: &mut Journal<'_, S>,
    ) -> Ended {
        let Some(gas) = gas.checked_sub(call_gas(program.code.len())) else {
            return Ended::Halted(HaltReason::OutOfGas);
        };
        match self.program(program.code_hash, || module_of(&program.code)) {
            Err(refused) => Ended::Halted(HaltReason::Other(refused.reason())),
            Ok(compiled) => {
                let context = message.context(block, program.address);
                self.machine.run(&compiled, context, gas, journal)
            }
        }
    }

    /// The compiled program with this code hash; `module` is asked for when it was not compiled
    /// before.
    fn program<'a>(
        &self,
        code_hash: B256,
        module: impl FnOnce() -> Result<Cow<'a, [u8]>, ModuleError>,
    ) -> Result<Arc<Program>, ModuleError> {
        match self.machine.known(code_hash) {
            Some(program) => Ok(program),
            None => self.machine.compile(code_hash, &module()?),
        }
    }
}

fn route<S: StateView>(
    block: &BlockEnv,
    message: &Message<'_>,
    state: &mut S,
) -> Result<Route, S::Error> {
    if block.fork < FIRST_FORK {
        return Ok(Route::Inner);
    }
    let address = match message.kind {
        TxKind::Create if message.input.starts_with(&MODULE_MAGIC) => return Ok(Route::Creation),
        TxKind::Create => return Ok(Route::Inner),
        TxKind::Call(address) => address,
    };
    let code_hash = match state.account(address)? {
        Some(account) if account.code_hash != KECCAK256_EMPTY => account.code_hash,
        _ => return Ok(Route::Inner),
    };
    let code = state.code(code_hash)?;
    if !is_program(&code) {
        return Ok(Route::Inner);
    }
    Ok(Route::Program(StoredProgram {
        address,
        code_hash,
        code,
    }))
}

/// Adds what a program looked at to what the inner layer did.
fn merge_accessed<S: StateView>(
    accessed: Vec<AccessedAccount>,
    program: Address,
    journal: &Journal<'_, S>,
) -> Vec<AccessedAccount> {
    let mut merged: BTreeMap<Address, BTreeSet<U256>> = accessed
        .into_iter()
        .map(|account| (account.address, account.slots.into_iter().collect()))
        .collect();
    for address in journal.accounts_looked_at() {
        merged.entry(address).or_default();
    }
    merged
        .entry(program)
        .or_default()
        .extend(journal.slots_looked_at());
    merged
        .into_iter()
        .map(|(address, slots)| AccessedAccount {
            address,
            slots: slots.into_iter().collect(),
        })
        .collect()
}
