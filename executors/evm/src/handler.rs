use std::marker::PhantomData;

use alloy_primitives::U256;
use revm::{
    context_interface::{
        Cfg, ContextTr, JournalTr, Transaction,
        journaled_state::account::JournaledAccountTr,
        result::{HaltReason, InvalidTransaction},
    },
    handler::{
        EvmTr, EvmTrError, FrameResult, FrameTr, Handler, post_execution, pre_execution,
        validation,
    },
    interpreter::{InitialAndFloorGas, interpreter_action::FrameInit},
    primitives::hardfork::SpecId,
    state::EvmState,
};

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
pub(crate) struct TransactionHandler<EVM, ERROR> {
    origin: Origin,
    types: PhantomData<(EVM, ERROR)>,
}

impl<EVM, ERROR> TransactionHandler<EVM, ERROR> {
    pub(crate) const fn new(origin: Origin) -> Self {
        Self {
            origin,
            types: PhantomData,
        }
    }
}

impl<EVM, ERROR> Handler for TransactionHandler<EVM, ERROR>
where
    EVM: EvmTr<
            Context: ContextTr<Journal: JournalTr<State = EvmState>>,
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
            Origin::Signed => pre_execution::validate_against_state_and_deduct_caller(evm.ctx()),
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
            Origin::Signed | Origin::Call { .. } => {
                post_execution::reward_beneficiary(evm.ctx(), result.gas()).map_err(From::from)
            }
        }
    }
}
