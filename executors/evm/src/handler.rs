use std::{cell::Cell, marker::PhantomData};

use alloy_primitives::{Bytes, KECCAK256_EMPTY, U256};
use revm::{
    Database,
    context_interface::{
        Block, Cfg, ContextTr, JournalTr, Transaction,
        journaled_state::account::JournaledAccountTr,
        result::{HaltReason, InvalidTransaction},
    },
    handler::{
        EvmTr, EvmTrError, FrameResult, FrameTr, Handler, ItemOrResult, post_execution,
        pre_execution, validation,
    },
    interpreter::{
        CreateInputs, CreateOutcome, FrameInput, Gas, InitialAndFloorGas, InstructionResult,
        InterpreterResult, interpreter_action::FrameInit,
    },
    primitives::{constants::CALL_STACK_LIMIT, hardfork::SpecId},
    state::EvmState,
};

use crate::database::StateDatabase;

/// Who stands behind a message, which decides what is checked and who pays.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin {
    /// A signed transaction: Ethereum's rules.
    Signed,
    /// A deposit: L1 has checked the sender and taken the fee, and what the deposit brings is
    /// credited first (<https://specs.optimism.io/protocol/deposits.html>).
    Deposit {
        /// Wei that come into being.
        mint: u128,
    },
    /// A message of `eth_call`: neither the sender's nonce nor its code are checked.
    Call {
        /// Nonce that the sender is taken to have.
        nonce: Option<u64>,
    },
}

/// revm's execution of one transaction, with the steps that depend on its [`Origin`] replaced.
pub(crate) struct TransactionHandler<'a, EVM, ERROR> {
    origin: Origin,
    beneficiary_credit: Cell<Option<U256>>,
    types: PhantomData<(&'a (), EVM, ERROR)>,
}

impl<EVM, ERROR> TransactionHandler<'_, EVM, ERROR> {
    pub(crate) const fn new(origin: Origin) -> Self {
        Self {
            origin,
            beneficiary_credit: Cell::new(None),
            types: PhantomData,
        }
    }

    /// What the beneficiary earns, in wei, where the journal does not have it: a transaction that
    /// never looks at the beneficiary need not read it only to pay it.
    pub(crate) fn beneficiary_credit(&self) -> Option<U256> {
        self.beneficiary_credit.get()
    }
}

impl<'a, EVM, ERROR> TransactionHandler<'a, EVM, ERROR>
where
    EVM: EvmTr<
            Context: ContextTr<
                Db = StateDatabase<'a>,
                Journal: JournalTr<Database = StateDatabase<'a>, State = EvmState>,
            >,
            Frame: FrameTr<FrameInit = FrameInit, FrameResult = FrameResult>,
        >,
    ERROR: EvmTrError<EVM>,
{
    /// EIP-7610: a creation collides with storage too, which revm does not look at. The result is
    /// that of revm's own collision; `None` leaves everything to revm.
    fn storage_collision(
        evm: &mut EVM,
        depth: usize,
        inputs: &CreateInputs,
    ) -> Result<Option<FrameResult>, ERROR> {
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
                gas: Gas::new_with_regular_gas_and_reservoir(
                    inputs.gas_limit(),
                    inputs.reservoir(),
                ),
                output: Bytes::new(),
            },
            address: None,
            charged_create_state_gas: inputs.charged_create_state_gas(),
        })))
    }

    /// Starts a frame; gives its result when it ended at once.
    fn start_frame(evm: &mut EVM, init: FrameInit) -> Result<Option<FrameResult>, ERROR> {
        if let FrameInput::Create(inputs) = &init.frame_input
            && let Some(result) = Self::storage_collision(evm, init.depth, inputs)?
        {
            return Ok(Some(result));
        }
        Ok(match evm.frame_init(init)? {
            ItemOrResult::Item(_) => None,
            ItemOrResult::Result(result) => Some(result),
        })
    }
}

/// Checks the sender of a signed transaction and takes the fee. Does what revm does, without the
/// code of senders that have none: all threads would count references to the same empty code.
fn deduct_caller<CTX, ERROR>(context: &mut CTX) -> Result<(), ERROR>
where
    CTX: ContextTr,
    ERROR: From<InvalidTransaction> + From<<CTX::Db as Database>::Error>,
{
    let (block, tx, cfg, journal, _, _) = context.all_mut();
    let mut sender = journal.load_account_mut(tx.caller())?.data;
    if *sender.code_hash() != KECCAK256_EMPTY {
        drop(sender);
        return pre_execution::validate_against_state_and_deduct_caller(context);
    }
    // There is no code that EIP-3607 could refuse.
    pre_execution::validate_account_nonce_and_code(
        &sender.account().info,
        tx.nonce(),
        true,
        cfg.is_nonce_check_disabled(),
    )?;
    let balance = pre_execution::calculate_caller_fee(*sender.balance(), tx, block, cfg)?;
    sender.set_balance(balance);
    if tx.kind().is_call() {
        sender.bump_nonce();
    }
    Ok(())
}

impl<'a, EVM, ERROR> Handler for TransactionHandler<'a, EVM, ERROR>
where
    EVM: EvmTr<
            Context: ContextTr<
                Db = StateDatabase<'a>,
                Journal: JournalTr<Database = StateDatabase<'a>, State = EvmState>,
            >,
            Frame: FrameTr<FrameInit = FrameInit, FrameResult = FrameResult>,
        >,
    ERROR: EvmTrError<EVM>,
{
    type Evm = EVM;
    type Error = ERROR;
    type HaltReason = HaltReason;

    fn validate_env(&self, evm: &mut EVM) -> Result<(), ERROR> {
        match self.origin {
            Origin::Signed | Origin::Call { .. } => validation::validate_env(evm.ctx()),
            Origin::Deposit { .. } => {
                let context = evm.ctx_ref();
                let tx = context.tx();
                // EIP-3860; everything else was L1's to check.
                if context.cfg().spec().into().is_enabled_in(SpecId::SHANGHAI)
                    && tx.kind().is_create()
                    && tx.input().len() > context.cfg().max_initcode_size()
                {
                    return Err(InvalidTransaction::CreateInitCodeSizeLimit.into());
                }
                Ok(())
            }
        }
    }

    fn validate_against_state_and_deduct_caller(
        &self,
        evm: &mut EVM,
        _gas: &mut InitialAndFloorGas,
    ) -> Result<(), ERROR> {
        match self.origin {
            Origin::Signed => deduct_caller(evm.ctx()),
            Origin::Deposit { mint } => {
                let (_, tx, _, journal, _, _) = evm.ctx().all_mut();
                let mut sender = journal.load_account_mut(tx.caller())?;
                if mint != 0 {
                    sender.incr_balance(U256::from(mint));
                }
                if *sender.balance() < tx.value() {
                    return Err(InvalidTransaction::LackOfFundForMaxFee {
                        fee: Box::new(tx.value()),
                        balance: Box::new(*sender.balance()),
                    }
                    .into());
                }
                // A creation's frame does this itself, after it has taken the address from it.
                if tx.kind().is_call() {
                    sender.bump_nonce();
                }
                Ok(())
            }
            Origin::Call { nonce } => {
                let (block, tx, cfg, journal, _, _) = evm.ctx().all_mut();
                let mut sender = journal.load_account_mut(tx.caller())?;
                let balance =
                    pre_execution::calculate_caller_fee(*sender.balance(), tx, block, cfg)?;
                sender.set_balance(balance);
                if let Some(nonce) = nonce {
                    sender.set_nonce(nonce);
                }
                if tx.kind().is_call() {
                    sender.bump_nonce();
                }
                Ok(())
            }
        }
    }

    fn run_exec_loop(&mut self, evm: &mut EVM, first: FrameInit) -> Result<FrameResult, ERROR> {
        if let Some(result) = Self::start_frame(evm, first)? {
            return Ok(result);
        }
        loop {
            let result = match evm.frame_run()? {
                ItemOrResult::Item(init) => match Self::start_frame(evm, init)? {
                    None => continue,
                    Some(result) => result,
                },
                ItemOrResult::Result(result) => result,
            };
            if let Some(result) = evm.frame_return_result(result)? {
                return Ok(result);
            }
        }
    }

    fn reimburse_caller(&self, evm: &mut EVM, result: &mut FrameResult) -> Result<(), ERROR> {
        match self.origin {
            // Nobody bought this gas on L2.
            Origin::Deposit { .. } => Ok(()),
            Origin::Signed | Origin::Call { .. } => {
                post_execution::reimburse_caller(evm.ctx(), result.gas(), U256::ZERO)
                    .map_err(From::from)
            }
        }
    }

    fn reward_beneficiary(&self, evm: &mut EVM, result: &mut FrameResult) -> Result<(), ERROR> {
        match self.origin {
            // The account is not even touched.
            Origin::Deposit { .. } => Ok(()),
            Origin::Signed => {
                let (block, tx, cfg, journal, _, _) = evm.ctx().all_mut();
                if journal.evm_state().contains_key(&block.beneficiary()) {
                    return post_execution::reward_beneficiary(evm.ctx(), result.gas())
                        .map_err(From::from);
                }
                let base_fee = u128::from(block.basefee());
                let price = tx.effective_gas_price(base_fee);
                let tip = if cfg.spec().into().is_enabled_in(SpecId::LONDON) {
                    price.saturating_sub(base_fee)
                } else {
                    price
                };
                self.beneficiary_credit
                    .set(Some(U256::from(tip) * U256::from(result.gas().used())));
                Ok(())
            }
            Origin::Call { .. } => {
                post_execution::reward_beneficiary(evm.ctx(), result.gas()).map_err(From::from)
            }
        }
    }
}
