use std::{fmt, sync::Arc};

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, TxKind, U256, map::B256Map};
use revm::{
    Context, Journal,
    bytecode::Bytecode,
    context::{Evm, TxEnv},
    context_interface::result::{EVMError, ExecutionResult},
    handler::{EthPrecompiles, Handler},
    interpreter::instructions::gas_table_spec,
    state::EvmState,
};
use weft_executor_core::{
    Account, BlockEnv, Call, CallOutcome, ExecuteError, Execution, ExecutionLayer, HaltReason,
    InvalidTransaction, Machine, Outcome, StateView, TransactionChange, TransactionChanges,
    Transfer,
};
use weft_primitives::{Fork, RecoveredTransaction, Transaction, TxDeposit};

use crate::{
    changes::{accessed_accounts, nonce_before, transaction_changes},
    code_cache::CodeCache,
    database::{FallibleState, ReadFailed, State, StateDatabase},
    environment::{call_env, transaction_env},
    evm::{Instructions, TransactionError, TransactionEvm},
    frames::{Frames, hooks::HOOKS},
    handler::{Origin, TransactionHandler},
    outcome::{execution, invalid_transaction},
    scratch::Scratch,
    transfer::plain_transfer,
};

/// First fork with contracts of machines: the prices of their host are those of Prague.
const FIRST_FORK_OF_MACHINES: Fork = Fork::Prague;

/// The EVM, and the machines whose contracts run beside its own in the same transactions.
///
/// Clones share one cache of analysed contracts.
#[derive(Clone)]
pub struct EvmLayer {
    code: Arc<CodeCache>,
    machines: Vec<Arc<dyn Machine>>,
    evm_contracts: bool,
}

impl Default for EvmLayer {
    fn default() -> Self {
        Self {
            code: Arc::default(),
            machines: Vec::new(),
            evm_contracts: true,
        }
    }
}

impl fmt::Debug for EvmLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machines: Vec<_> = self.machines.iter().map(|machine| machine.name()).collect();
        f.debug_struct("EvmLayer")
            .field("machines", &machines)
            .field("evm_contracts", &self.evm_contracts)
            .finish_non_exhaustive()
    }
}

/// One message with all that it sees.
struct Message<'a> {
    block: &'a BlockEnv,
    tx: TxEnv,
    origin: Origin,
    /// Whether the message may bring more gas along than EIP-7825 allows.
    uncapped_gas: bool,
    /// Whether the base fee is taken as zero.
    no_base_fee: bool,
}

/// Why a message gave no result.
enum Failure {
    Invalid(InvalidTransaction),
    State(ReadFailed),
    Layer(String),
}

/// What a message came to.
struct Ran {
    result: ExecutionResult,
    /// What the beneficiary earns apart from the journal, in wei.
    credit: Option<U256>,
    /// Why it was stopped, where revm has no word for it.
    halted: Option<HaltReason>,
    /// Codes that may be in the state under no account, by hash.
    replaced: B256Map<Bytecode>,
}

impl Ran {
    /// What the message came to; `state` is all accounts that it has loaded.
    fn execution(self, sender: Address, block: &BlockEnv, state: &EvmState) -> Execution {
        let clears_empty_accounts = clears_empty_accounts(block.fork);
        let changes = transaction_changes(state, clears_empty_accounts, &self.replaced);
        let sender_nonce = nonce_before(state, sender);
        execution(self.result, self.halted, sender_nonce, changes, self.credit)
    }
}

impl EvmLayer {
    /// The EVM alone, with an empty code cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// With contracts of one more kind, from Prague on. Machines must agree on whose code is whose.
    #[must_use]
    pub fn with_machine(mut self, machine: Arc<dyn Machine>) -> Self {
        self.machines.push(machine);
        self
    }

    /// Without contracts of the EVM, from Prague on: calling one fails, and so does a creation whose
    /// init code returns one. Init code that returns a machine's contract runs.
    #[must_use]
    pub fn without_evm_contracts(mut self) -> Self {
        self.evm_contracts = false;
        self
    }

    fn has_machines(&self, fork: Fork) -> bool {
        !self.machines.is_empty() && fork >= FIRST_FORK_OF_MACHINES
    }

    fn frames<'m>(&'m self, block: &'m BlockEnv, spare: crate::frames::SpareStacks) -> Frames<'m> {
        if !self.has_machines(block.fork) {
            return Frames::new(&[], true, block, spare);
        }
        Frames::new(&self.machines, self.evm_contracts, block, spare)
    }

    /// Runs a message and gives its result together with all accounts that it has loaded to `read`.
    fn run<S: StateView, T>(
        &self,
        message: Message<'_>,
        state: &mut S,
        read: impl FnOnce(Ran, &EvmState) -> T,
    ) -> Result<T, ExecuteError<S::Error>> {
        let mut state = FallibleState::new(state);
        let (result, scratch) = self.run_message(message, &mut state);
        let result = match result {
            Ok(ran) => Ok(read(ran, &scratch.journal.state)),
            Err(Failure::Invalid(reason)) => Err(ExecuteError::Invalid(reason)),
            Err(Failure::Layer(error)) => Err(ExecuteError::Layer(error)),
            Err(Failure::State(failed)) => Err(match state.error {
                Some(error) => ExecuteError::State(error),
                None => ExecuteError::Layer(failed.to_string()),
            }),
        };
        scratch.keep();
        result
    }

    /// [`Self::run`] without its types. The journal in the scratch has the loaded accounts.
    fn run_message(
        &self,
        message: Message<'_>,
        state: &mut dyn State,
    ) -> (Result<Ran, Failure>, Box<Scratch>) {
        let Message {
            block: block_env,
            tx,
            origin,
            uncapped_gas,
            no_base_fee,
        } = message;
        let Scratch {
            block,
            mut rules,
            mut env,
            journal,
            frames,
            local,
            spare,
        } = *Scratch::take(block_env);
        let spec = rules.spec;
        rules.tx_gas_limit_cap = uncapped_gas.then_some(u64::MAX);
        env.basefee = if no_base_fee { 0 } else { block_env.base_fee };
        let database = StateDatabase {
            state,
            code: &self.code,
        };
        let mut journal = Journal::new_with_inner(database, journal);
        journal.inner.set_spec_id(spec);
        let mut evm: TransactionEvm<'_> = Evm {
            ctx: Context {
                block: env,
                tx,
                cfg: rules,
                journaled_state: journal,
                chain: (),
                local,
                error: Ok(()),
            },
            inspector: (),
            instruction: Instructions::new(gas_table_spec(spec)),
            precompiles: EthPrecompiles::new(spec),
            frame_stack: frames,
        };
        let mut handler = TransactionHandler::new(origin, self.frames(block_env, spare));
        let result: Result<_, TransactionError> = handler.run(&mut evm);
        let (credit, mut ran) = handler.finish();
        let context = evm.ctx;
        let scratch = Box::new(Scratch {
            block,
            rules: context.cfg,
            env: context.block,
            journal: context.journaled_state.inner,
            frames: evm.frame_stack,
            local: context.local,
            spare: std::mem::take(&mut ran.spare),
        });
        let result = result
            .map(|result| Ran {
                result,
                credit,
                halted: ran.take_halted(),
                replaced: ran.take_replaced(),
            })
            .map_err(|error| match error {
                EVMError::Database(failed) => Failure::State(failed),
                EVMError::Transaction(reason) => {
                    let sender = scratch.journal.state.get(&context.tx.caller);
                    Failure::Invalid(invalid_transaction(
                        &reason,
                        &context.tx,
                        &scratch.rules,
                        scratch.env.basefee,
                        sender.map_or(U256::ZERO, |account| account.info.balance),
                    ))
                }
                EVMError::Header(_) | EVMError::Custom(_) | EVMError::CustomAny(_) => {
                    Failure::Layer(error.to_string())
                }
            });
        (result, scratch)
    }

    fn execute_signed<S: StateView>(
        &self,
        block: &BlockEnv,
        transaction: &RecoveredTransaction,
        state: &mut S,
    ) -> Result<Execution, ExecuteError<S::Error>> {
        let sender = transaction.signer();
        let message = Message {
            block,
            tx: transaction_env(transaction),
            origin: Origin::Signed,
            uncapped_gas: false,
            no_base_fee: false,
        };
        self.run(message, state, |ran, state| {
            ran.execution(sender, block, state)
        })
    }

    fn execute_deposit<S: StateView>(
        &self,
        block: &BlockEnv,
        transaction: &RecoveredTransaction,
        deposit: &TxDeposit,
        state: &mut S,
    ) -> Result<Execution, ExecuteError<S::Error>> {
        let message = Message {
            block,
            tx: transaction_env(transaction),
            origin: Origin::Deposit { mint: deposit.mint },
            // L1's contract bounds the gas of a deposit.
            uncapped_gas: true,
            no_base_fee: false,
        };
        let result = self.run(message, state, |ran, state| {
            ran.execution(deposit.from, block, state)
        });
        match result {
            Err(ExecuteError::Invalid(reason)) => failed_deposit(deposit, reason, state),
            other => other,
        }
    }
}

/// A deposit that could not start is in the chain all the same: what it mints stays minted, the
/// nonce goes up, and all its gas is used.
fn failed_deposit<S: StateView>(
    deposit: &TxDeposit,
    reason: InvalidTransaction,
    state: &mut S,
) -> Result<Execution, ExecuteError<S::Error>> {
    let before = state
        .account(deposit.from)
        .map_err(ExecuteError::State)?
        .unwrap_or_default();
    let after = Account {
        nonce: before.nonce.saturating_add(1),
        balance: before.balance.saturating_add(U256::from(deposit.mint)),
        code_hash: before.code_hash,
    };
    Ok(Execution {
        outcome: Outcome::Halt {
            reason: HaltReason::FailedDeposit(Box::new(reason)),
        },
        gas_used: deposit.gas_limit,
        gas_refunded: 0,
        logs: Vec::new(),
        sender_nonce: before.nonce,
        changes: TransactionChanges {
            accounts: vec![(
                deposit.from,
                TransactionChange {
                    account: Some(after),
                    storage_wiped: false,
                    storage: Vec::new(),
                },
            )],
            code: Vec::new(),
        },
        beneficiary_credit: None,
    })
}

/// EIP-161.
fn clears_empty_accounts(fork: Fork) -> bool {
    fork >= Fork::SpuriousDragon
}

impl ExecutionLayer for EvmLayer {
    fn execute<S: StateView>(
        &self,
        block: &BlockEnv,
        transaction: &RecoveredTransaction,
        state: &mut S,
    ) -> Result<Execution, ExecuteError<S::Error>> {
        match transaction.inner() {
            Transaction::Deposit(deposit) => {
                self.execute_deposit(block, transaction, deposit, state)
            }
            Transaction::Legacy(_)
            | Transaction::Eip2930(_)
            | Transaction::Eip1559(_)
            | Transaction::Eip4844(_)
            | Transaction::Eip7702(_) => self.execute_signed(block, transaction, state),
        }
    }

    fn transfer(&self, block: &BlockEnv, transaction: &RecoveredTransaction) -> Option<Transfer> {
        if let TxKind::Call(receiver) = transaction.kind()
            && self.machines.iter().any(|machine| machine.serves(receiver))
        {
            return None;
        }
        // The registry of hooks has no code, and runs all the same.
        plain_transfer(block, transaction)
            .filter(|transfer| transfer.receiver != HOOKS || !self.has_machines(block.fork))
    }

    fn call<S: StateView>(
        &self,
        block: &BlockEnv,
        call: &Call,
        state: &mut S,
    ) -> Result<CallOutcome, ExecuteError<S::Error>> {
        if !call.authorization_list.is_empty() && call.to.is_create() {
            return Err(InvalidTransaction::Other(format!(
                "EIP-7702 transaction cannot be used to create contract (sender {})",
                call.from
            ))
            .into());
        }
        let message = Message {
            block,
            tx: call_env(call, block.chain_id),
            origin: Origin::Call { nonce: call.nonce },
            uncapped_gas: true,
            no_base_fee: call.gas_price == 0,
        };
        self.run(message, state, |ran, state| CallOutcome {
            execution: ran.execution(call.from, block, state),
            accessed: accessed_accounts(state),
        })
    }
}
