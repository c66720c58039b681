use std::fmt::Debug;

use alloy_consensus::{Transaction as _, Typed2718};
use alloy_primitives::{Address, U256};
use weft_executor_core::{
    Account, BlockEnv, ChangeSet, ExecuteError, Execution, ExecutionLayer, InvalidTransaction,
    Overlay, Place, StateView, TransactionChange, TransactionChanges, Transfer, credited,
};
use weft_primitives::{Receipt, RecoveredTransaction};

use crate::{
    BlockAccesses, BlockExecution, EngineError, ExecutionStats, Pushed,
    access::{Read, Recorder, TransactionAccess},
    accesses::AccessRecord,
};

/// A state that takes changes.
pub(crate) trait WorldState: StateView {
    /// Where an account is, which saves looking for it again.
    type Place: Copy + Debug;

    fn locate(&mut self, address: Address) -> Result<Self::Place, Self::Error>;

    fn account_at(&self, place: Self::Place) -> Option<Account>;

    /// Sets an account, and leaves its storage as it is.
    fn set_account_at(&mut self, place: Self::Place, account: Option<Account>);

    fn apply(&mut self, changes: &TransactionChanges) -> Result<(), Self::Error>;
}

impl<S: StateView> WorldState for Overlay<S> {
    type Place = Place;

    fn locate(&mut self, address: Address) -> Result<Place, S::Error> {
        Self::locate(self, address)
    }

    fn account_at(&self, place: Place) -> Option<Account> {
        Self::account_at(self, place)
    }

    fn set_account_at(&mut self, place: Place, account: Option<Account>) {
        Self::set_account_at(self, place, account);
    }

    fn apply(&mut self, changes: &TransactionChanges) -> Result<(), S::Error> {
        Self::apply(self, changes)
    }
}

/// An execution ahead of its turn, and what it found in the state. It counts if the state still has
/// all of it when the turn comes.
#[derive(Debug)]
pub(crate) struct Speculation {
    pub(crate) reads: Vec<Read>,
    pub(crate) result: Result<Execution, InvalidTransaction>,
}

/// What is known of a transaction before its turn.
#[derive(Debug)]
pub(crate) enum Prepared<P> {
    Nothing,
    /// A transfer, with the places of sender and receiver.
    Transfer(Transfer, P, P),
    Speculated(Box<Speculation>),
}

impl<P> Prepared<P> {
    /// The transaction as a transfer, or nothing. Where an account cannot be read, nothing too: its
    /// layer may find the transaction invalid without having to read it.
    pub(crate) fn transfer<L: ExecutionLayer, S: WorldState<Place = P>>(
        layer: &L,
        block: &BlockEnv,
        transaction: &RecoveredTransaction,
        state: &mut S,
    ) -> Self {
        let Some(transfer) = layer.transfer(block, transaction) else {
            return Self::Nothing;
        };
        match (
            state.locate(transfer.sender),
            state.locate(transfer.receiver),
        ) {
            (Ok(sender), Ok(receiver)) => Self::Transfer(transfer, sender, receiver),
            _ => Self::Nothing,
        }
    }
}

/// The transactions of a block so far, in order: the only place where what they did comes to count.
#[derive(Debug)]
pub(crate) struct Settlement<'a, L> {
    layer: &'a L,
    block: &'a BlockEnv,
    pub(crate) pushed: usize,
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) gas_used: u64,
    pub(crate) dropped: Vec<(usize, InvalidTransaction)>,
    pub(crate) accesses: Vec<TransactionAccess>,
    /// Speculations whose turn has come.
    pub(crate) speculated: usize,
    /// Speculations that did not hold.
    pub(crate) stale: usize,
    /// What the beneficiary has earned since its account was last written.
    earned: Option<Earned>,
}

/// Credits that are not paid yet.
#[derive(Debug, Clone, Copy)]
struct Earned {
    /// The first of them: nothing, if it is that, deletes an empty account (EIP-161), and what comes
    /// later does not bring its storage back.
    first: U256,
    sum: U256,
}

impl<'a, L: ExecutionLayer> Settlement<'a, L> {
    pub(crate) fn new(layer: &'a L, block: &'a BlockEnv, capacity: usize) -> Self {
        Self {
            layer,
            block,
            pushed: 0,
            receipts: Vec::with_capacity(capacity),
            gas_used: 0,
            dropped: Vec::new(),
            accesses: Vec::with_capacity(capacity),
            speculated: 0,
            stale: 0,
            earned: None,
        }
    }

    pub(crate) const fn gas_left(&self) -> u64 {
        self.block.gas_limit.saturating_sub(self.gas_used)
    }

    /// Settles the block's next transaction on `state`.
    pub(crate) fn push<S: WorldState>(
        &mut self,
        transaction: &RecoveredTransaction,
        prepared: Prepared<S::Place>,
        state: &mut S,
    ) -> Result<Pushed, EngineError<S::Error>> {
        let index = self.pushed;
        self.pushed = self.pushed.saturating_add(1);
        let left = self.gas_left();
        if transaction.gas_limit() > left {
            let reason = InvalidTransaction::BlockGasLimit {
                wanted: transaction.gas_limit(),
                left,
            };
            return self.leave_out(index, transaction, reason);
        }
        if let Prepared::Transfer(transfer, ..) = &prepared
            && [transfer.sender, transfer.receiver].contains(&self.block.beneficiary)
        {
            self.pay_beneficiary(state).map_err(EngineError::State)?;
        }
        if let Prepared::Transfer(transfer, sender, receiver) = &prepared
            && self.settle_transfer(transfer, *sender, *receiver, state)
        {
            return Ok(self.include(transaction, transfer.gas_used, true, Vec::new(), None));
        }
        let held = match prepared {
            Prepared::Speculated(speculation) => {
                self.speculated = self.speculated.saturating_add(1);
                let holds = self.holds(&speculation, state)?;
                self.stale = self.stale.saturating_add(usize::from(!holds));
                holds.then_some(*speculation)
            }
            Prepared::Nothing | Prepared::Transfer(..) => None,
        };
        let speculation = match held {
            Some(speculation) => speculation,
            None => self.execute(transaction, state)?,
        };
        let execution = match speculation.result {
            Ok(execution) => execution,
            Err(reason) => return self.leave_out(index, transaction, reason),
        };
        state
            .apply(&execution.changes)
            .map_err(EngineError::State)?;
        self.earn(execution.beneficiary_credit);
        self.accesses.push(TransactionAccess::Execution {
            reads: speculation.reads,
            changes: execution.changes,
            beneficiary_credit: execution.beneficiary_credit,
            gas_used: execution.gas_used,
        });
        Ok(self.include(
            transaction,
            execution.gas_used,
            execution.outcome.is_success(),
            execution.logs,
            Some(execution.sender_nonce),
        ))
    }

    /// Executes the transaction at its turn.
    fn execute<S: WorldState>(
        &mut self,
        transaction: &RecoveredTransaction,
        state: &mut S,
    ) -> Result<Speculation, EngineError<S::Error>> {
        self.pay_beneficiary(state).map_err(EngineError::State)?;
        let mut recorder = Recorder::new(state);
        let result = match self.layer.execute(self.block, transaction, &mut recorder) {
            Ok(execution) => Ok(execution),
            Err(ExecuteError::Invalid(reason)) => Err(reason),
            Err(ExecuteError::State(error)) => return Err(EngineError::State(error)),
            Err(ExecuteError::Layer(error)) => return Err(EngineError::Layer(error)),
        };
        Ok(Speculation {
            reads: recorder.reads,
            result,
        })
    }

    /// Whether all that the speculation found is there now.
    fn holds<S: WorldState>(
        &mut self,
        speculation: &Speculation,
        state: &mut S,
    ) -> Result<bool, EngineError<S::Error>> {
        for read in &speculation.reads {
            if read.address() == self.block.beneficiary {
                self.pay_beneficiary(state).map_err(EngineError::State)?;
            }
            if !read.holds(state).map_err(EngineError::State)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Moves the value, unless the transaction turns out to be more than a transfer.
    fn settle_transfer<S: WorldState>(
        &mut self,
        transfer: &Transfer,
        sender: S::Place,
        receiver: S::Place,
        state: &mut S,
    ) -> bool {
        let before = state.account_at(receiver);
        let Some((sent, received)) = transfer.apply(state.account_at(sender), before) else {
            return false;
        };
        state.set_account_at(sender, Some(sent));
        if received != before {
            state.set_account_at(receiver, received);
        }
        self.earn(Some(U256::from(transfer.beneficiary_credit)));
        self.accesses.push(TransactionAccess::Transfer(*transfer));
        true
    }

    fn include(
        &mut self,
        transaction: &RecoveredTransaction,
        gas_used: u64,
        success: bool,
        logs: Vec<alloy_primitives::Log>,
        sender_nonce: Option<u64>,
    ) -> Pushed {
        self.gas_used = self.gas_used.saturating_add(gas_used);
        self.receipts.push(Receipt {
            tx_type: transaction.ty(),
            success,
            cumulative_gas_used: self.gas_used,
            logs,
            deposit_nonce: sender_nonce.filter(|_| transaction.is_deposit()),
        });
        Pushed::Included { gas_used }
    }

    fn leave_out<E: std::error::Error>(
        &mut self,
        index: usize,
        transaction: &RecoveredTransaction,
        reason: InvalidTransaction,
    ) -> Result<Pushed, EngineError<E>> {
        if transaction.is_deposit() {
            return Err(EngineError::Deposit { index, reason });
        }
        self.dropped.push((index, reason.clone()));
        Ok(Pushed::Dropped(reason))
    }

    fn earn(&mut self, credit: Option<U256>) {
        if let Some(wei) = credit {
            let earned = self.earned.get_or_insert(Earned {
                first: wei,
                sum: U256::ZERO,
            });
            earned.sum = earned.sum.saturating_add(wei);
        }
    }

    /// Writes what the beneficiary has earned into its account, which somebody looks at next.
    pub(crate) fn pay_beneficiary<S: WorldState>(&mut self, state: &mut S) -> Result<(), S::Error> {
        let Some(Earned { first, sum }) = self.earned.take() else {
            return Ok(());
        };
        let (beneficiary, fork) = (self.block.beneficiary, self.block.fork);
        let place = state.locate(beneficiary)?;
        let mut account = state.account_at(place);
        if account.is_some() && credited(account, first, fork).is_none() {
            state.apply(&TransactionChanges {
                accounts: vec![(
                    beneficiary,
                    TransactionChange {
                        account: None,
                        storage_wiped: true,
                        storage: Vec::new(),
                    },
                )],
                code: Vec::new(),
            })?;
            account = None;
        }
        state.set_account_at(place, credited(account, sum, fork));
        Ok(())
    }

    pub(crate) fn into_execution(
        self,
        changes: ChangeSet,
        stats: ExecutionStats,
    ) -> BlockExecution {
        BlockExecution {
            receipts: self.receipts,
            changes,
            gas_used: self.gas_used,
            dropped: self.dropped,
            accesses: BlockAccesses {
                beneficiary: self.block.beneficiary,
                record: AccessRecord::Transactions(self.accesses),
            },
            stats,
        }
    }
}
