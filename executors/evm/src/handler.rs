use std::{cell::Cell, marker::PhantomData};

use alloy_primitives::{KECCAK256_EMPTY, U256};
use revm::{
    Database,
    context_interface::{
        Block, Cfg, ContextTr, JournalTr, Transaction,
        journaled_state::account::JournaledAccountTr,
        result::{HaltReason, InvalidTransaction},
    },
    handler::{EvmTr, FrameResult, Handler, post_execution, pre_execution, validation},
    interpreter::{InitialAndFloorGas, interpreter_action::FrameInit},
    primitives::hardfork::SpecId,
};

use crate::{
    evm::{TransactionError, TransactionEvm},
    frames::Frames,
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
pub(crate) struct TransactionHandler<'m, 'a> {
    origin: Origin,
    frames: Frames<'m>,
    beneficiary_credit: Cell<Option<U256>>,
    state: PhantomData<&'a ()>,
}

impl<'m> TransactionHandler<'m, '_> {
    pub(crate) const fn new(origin: Origin, frames: Frames<'m>) -> Self {
        Self {
            origin,
            frames,
            beneficiary_credit: Cell::new(None),
            state: PhantomData,
        }
    }

    /// What the beneficiary earns, in wei, where the journal does not have it: a transaction that
    /// never looks at the beneficiary need not read it only to pay it. And what ran the frames.
    pub(crate) fn finish(self) -> (Option<U256>, Frames<'m>) {
        (self.beneficiary_credit.get(), self.frames)
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

impl<'a> Handler for TransactionHandler<'_, 'a> {
    type Evm = TransactionEvm<'a>;
    type Error = TransactionError;
    type HaltReason = HaltReason;

    fn validate_env(&self, evm: &mut Self::Evm) -> Result<(), Self::Error> {
        match self.origin {
            Origin::Signed | Origin::Call { .. } => validation::validate_env(evm.ctx()),
            Origin::Deposit { .. } => {
                let context = evm.ctx_ref();
                let tx = context.tx();
                // EIP-3860; everything else was L1's to check.
                if context.cfg().spec().is_enabled_in(SpecId::SHANGHAI)
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
        evm: &mut Self::Evm,
        _gas: &mut InitialAndFloorGas,
    ) -> Result<(), Self::Error> {
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

    fn run_exec_loop(
        &mut self,
        evm: &mut Self::Evm,
        first: FrameInit,
    ) -> Result<FrameResult, Self::Error> {
        self.frames.run(evm, first)
    }

    fn reimburse_caller(
        &self,
        evm: &mut Self::Evm,
        result: &mut FrameResult,
    ) -> Result<(), Self::Error> {
        match self.origin {
            // Nobody bought this gas on L2.
            Origin::Deposit { .. } => Ok(()),
            Origin::Signed | Origin::Call { .. } => {
                post_execution::reimburse_caller(evm.ctx(), result.gas(), U256::ZERO)
                    .map_err(From::from)
            }
        }
    }

    fn reward_beneficiary(
        &self,
        evm: &mut Self::Evm,
        result: &mut FrameResult,
    ) -> Result<(), Self::Error> {
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
                let tip = if cfg.spec().is_enabled_in(SpecId::LONDON) {
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
