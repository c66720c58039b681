use std::{fmt, marker::PhantomData, sync::Arc};

use alloy_primitives::U256;
use revm::{
    Context, Journal,
    bytecode::opcode::KECCAK256,
    context::{Evm, TxEnv},
    context_interface::result::{EVMError, ExecutionResult},
    handler::{EthPrecompiles, Handler, instructions::InstructionProvider},
    interpreter::{
        Host,
        instructions::{
            GasTable, Instruction, InstructionTable, gas_table_spec, instruction_table,
        },
        interpreter::EthInterpreter,
    },
    state::EvmState,
};
use weft_executor_core::{
    Account, BlockEnv, Call, CallOutcome, ExecuteError, Execution, ExecutionLayer, HaltReason,
    InvalidTransaction, Outcome, StateView, TransactionChange, TransactionChanges, Transfer,
};
use weft_primitives::{Fork, RecoveredTransaction, Transaction, TxDeposit};

use crate::{
    changes::{accessed_accounts, nonce_before, transaction_changes},
    code_cache::CodeCache,
    database::{FallibleState, ReadFailed, State, StateDatabase},
    environment::{call_env, transaction_env},
    handler::{Origin, TransactionHandler},
    keccak::keccak256_instruction,
    outcome::{execution, invalid_transaction},
    scratch::Scratch,
    transfer::plain_transfer,
};

/// The EVM.
///
/// Clones share one cache of analysed contracts.
#[derive(Clone, Default)]
pub struct EvmLayer {
    code: Arc<CodeCache>,
}

impl fmt::Debug for EvmLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EvmLayer").finish_non_exhaustive()
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

/// A result with what the beneficiary earns apart from the journal, in wei.
type Ran = Result<(ExecutionResult, Option<U256>), Failure>;

impl EvmLayer {
    /// The EVM with an empty code cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a message and gives its result together with all accounts that it has loaded to `read`.
    fn run<S: StateView, T>(
        &self,
        message: Message<'_>,
        state: &mut S,
        read: impl FnOnce(ExecutionResult, &EvmState, Option<U256>) -> T,
    ) -> Result<T, ExecuteError<S::Error>> {
        let mut state = FallibleState::new(state);
        let (result, scratch) = self.run_message(message, &mut state);
        let result = match result {
            Ok((result, credit)) => Ok(read(result, &scratch.journal.state, credit)),
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
    fn run_message(&self, message: Message<'_>, state: &mut dyn State) -> (Ran, Box<Scratch>) {
        let Message {
            block,
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
        } = *Scratch::take(block);
        let spec = rules.spec;
        rules.tx_gas_limit_cap = uncapped_gas.then_some(u64::MAX);
        env.basefee = if no_base_fee { 0 } else { block.base_fee };
        let database = StateDatabase {
            state,
            code: &self.code,
        };
        let mut journal = Journal::new_with_inner(database, journal);
        journal.inner.set_spec_id(spec);
        let mut evm = Evm {
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
            instruction: Instructions {
                gas: gas_table_spec(spec),
                context: PhantomData,
            },
            precompiles: EthPrecompiles::new(spec),
            frame_stack: frames,
        };
        let mut handler = TransactionHandler::new(origin);
        let result: Result<_, EVMError<ReadFailed>> = handler.run(&mut evm);
        let credit = handler.beneficiary_credit();
        let context = evm.ctx;
        let scratch = Box::new(Scratch {
            block,
            rules: context.cfg,
            env: context.block,
            journal: context.journaled_state.inner,
            frames: evm.frame_stack,
            local: context.local,
        });
        let result = result
            .map(|result| (result, credit))
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
        self.run(message, state, |result, state, credit| {
            let changes = transaction_changes(state, clears_empty_accounts(block.fork));
            execution(result, nonce_before(state, sender), changes, credit)
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
        let result = self.run(message, state, |result, state, credit| {
            let changes = transaction_changes(state, clears_empty_accounts(block.fork));
            execution(result, nonce_before(state, deposit.from), changes, credit)
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
        plain_transfer(block, transaction)
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
        self.run(message, state, |result, state, credit| {
            let changes = transaction_changes(state, clears_empty_accounts(block.fork));
            CallOutcome {
                execution: execution(result, nonce_before(state, call.from), changes, credit),
                accessed: accessed_accounts(state),
            }
        })
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "the table has an entry for each byte"
)]
const fn instructions<CTX: Host>() -> InstructionTable<EthInterpreter, CTX> {
    let mut table = instruction_table::<EthInterpreter, CTX>();
    table[KECCAK256 as usize] = Instruction::new(keccak256_instruction);
    table
}

/// Ethereum's instructions. Their table is a constant of the program, so that nothing is allocated
/// or copied for it when a transaction starts.
struct Instructions<CTX> {
    gas: GasTable,
    context: PhantomData<fn(CTX)>,
}

impl<CTX: Host> InstructionProvider for Instructions<CTX> {
    type Context = CTX;
    type InterpreterTypes = EthInterpreter;

    fn instruction_table(&self) -> &InstructionTable<EthInterpreter, CTX> {
        const { &instructions::<CTX>() }
    }

    fn gas_table(&self) -> &GasTable {
        &self.gas
    }
}
