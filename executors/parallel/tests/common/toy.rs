//! An execution layer that is as small as can be and still reads, writes, earns, logs, fails and
//! refuses: what a transaction does is in its calldata.

use alloy_consensus::{SignableTransaction, Transaction as _, TxLegacy};
use alloy_primitives::{Address, B256, Bytes, Log, Signature, TxKind, U256};
use weft_executor_core::{
    Account, BlockEnv, Call, CallOutcome, ExecuteError, Execution, ExecutionLayer,
    InvalidTransaction, MemoryState, Outcome, StateView, TransactionChange, TransactionChanges,
};
use weft_primitives::{Fork, RecoveredTransaction, Transaction};

/// The account whose slots all transactions share.
pub(crate) const SHARED: Address = Address::repeat_byte(0x5a);

pub(crate) const BENEFICIARY: Address = Address::repeat_byte(0xbe);

/// One thing that a transaction does. It has a running sum, which starts at one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// Adds a slot of [`SHARED`] to the sum.
    Read(u8),
    /// Writes the sum to a slot.
    Write(u8),
    /// Adds the beneficiary's balance to the sum.
    Beneficiary,
    /// Ends without success when the sum is even, and writes nothing.
    RevertIfEven,
}

/// Calls `hook` with the sender's number and where it is, and otherwise does what calldata says.
pub(crate) struct ToyLayer<H> {
    pub(crate) hook: H,
}

/// Where an execution is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    Start,
    End,
}

pub(crate) const fn plain() -> ToyLayer<impl Fn(u16, At) + Send + Sync + 'static> {
    ToyLayer { hook: |_, _| {} }
}

pub(crate) fn sender(number: u16) -> Address {
    let [high, low] = number.to_be_bytes();
    // Far apart, and each with its number in front.
    Address::from_slice(&[&[low, high][..], &[0x77; 18]].concat())
}

pub(crate) fn env() -> BlockEnv {
    BlockEnv {
        fork: Fork::LATEST,
        chain_id: 1,
        number: 1,
        timestamp: 1,
        beneficiary: BENEFICIARY,
        gas_limit: u64::MAX,
        base_fee: 0,
        difficulty: U256::ZERO,
        prev_randao: B256::ZERO,
        excess_blob_gas: 0,
    }
}

/// Senders with this many numbers, all with money and nonce 0.
pub(crate) fn state(senders: u16) -> MemoryState {
    let mut state = MemoryState::default();
    for number in 0..senders {
        state.insert(
            sender(number),
            0,
            U256::from(1_000_000_000),
            Bytes::new(),
            [],
        );
    }
    state.insert(SHARED, 1, U256::ZERO, Bytes::new(), []);
    state
}

/// A transaction so large that a thread takes no other with it.
pub(crate) fn transaction(from: u16, nonce: u64, steps: &[Step]) -> RecoveredTransaction {
    let input: Vec<u8> = steps
        .iter()
        .flat_map(|step| match step {
            Step::Read(slot) => [0, *slot],
            Step::Write(slot) => [1, *slot],
            Step::Beneficiary => [2, 0],
            Step::RevertIfEven => [3, 0],
        })
        .collect();
    let transaction = TxLegacy {
        chain_id: Some(1),
        nonce,
        gas_price: 1,
        gas_limit: 1_000_000,
        to: TxKind::Call(SHARED),
        value: U256::ZERO,
        input: input.into(),
    };
    let signature = Signature::new(U256::ONE, U256::ONE, false);
    RecoveredTransaction::new_unchecked(
        Transaction::Legacy(transaction.into_signed(signature)),
        sender(from),
    )
}

impl<H: Fn(u16, At) + Send + Sync + 'static> ExecutionLayer for ToyLayer<H> {
    fn execute<S: StateView>(
        &self,
        block: &BlockEnv,
        transaction: &RecoveredTransaction,
        state: &mut S,
    ) -> Result<Execution, ExecuteError<S::Error>> {
        let address = transaction.signer();
        let number = u16::from_le_bytes([address[0], address[1]]);
        (self.hook)(number, At::Start);
        let account = state.account(address).map_err(ExecuteError::State)?;
        let account = account.unwrap_or_default();
        let (found, expected) = (transaction.nonce(), account.nonce);
        if found != expected {
            (self.hook)(number, At::End);
            let sender = address;
            return Err(ExecuteError::Invalid(if found < expected {
                InvalidTransaction::NonceTooLow {
                    sender,
                    found,
                    expected,
                }
            } else {
                InvalidTransaction::NonceTooHigh {
                    sender,
                    found,
                    expected,
                }
            }));
        }
        let mut sum = U256::ONE;
        let mut writes = Vec::<(U256, U256)>::new();
        let mut success = true;
        for step in transaction.input().chunks(2) {
            let slot = U256::from(step[1]);
            match step[0] {
                0 => {
                    let own = writes.iter().find(|(written, _)| *written == slot);
                    sum += match own {
                        Some((_, value)) => *value,
                        None => state.storage(SHARED, slot).map_err(ExecuteError::State)?,
                    };
                }
                1 => {
                    writes.retain(|(written, _)| *written != slot);
                    writes.push((slot, sum));
                }
                2 => {
                    let account = state
                        .account(block.beneficiary)
                        .map_err(ExecuteError::State)?;
                    sum += account.unwrap_or_default().balance;
                }
                _ if sum.bit(0) => {}
                _ => {
                    success = false;
                    writes.clear();
                    break;
                }
            }
        }
        (self.hook)(number, At::End);
        let mut accounts = vec![(
            address,
            TransactionChange {
                account: Some(Account {
                    nonce: account.nonce + 1,
                    ..account
                }),
                ..TransactionChange::default()
            },
        )];
        if !writes.is_empty() {
            let shared = state.account(SHARED).map_err(ExecuteError::State)?;
            writes.sort_unstable();
            accounts.push((
                SHARED,
                TransactionChange {
                    account: shared,
                    storage_wiped: false,
                    storage: writes,
                },
            ));
        }
        accounts.sort_unstable_by_key(|(address, _)| *address);
        let logs = vec![Log::new_unchecked(
            SHARED,
            Vec::new(),
            B256::from(sum).into(),
        )];
        Ok(Execution {
            outcome: if success {
                Outcome::Success {
                    output: Bytes::new(),
                    created: None,
                }
            } else {
                Outcome::Revert {
                    output: Bytes::new(),
                }
            },
            // What it costs depends on what it read.
            gas_used: 21_000 + sum.to::<u64>() % 1_000,
            gas_refunded: 0,
            logs: if success { logs } else { Vec::new() },
            sender_nonce: account.nonce,
            changes: TransactionChanges {
                accounts,
                code: Vec::new(),
            },
            beneficiary_credit: Some(U256::from(3)),
        })
    }

    fn call<S: StateView>(
        &self,
        _block: &BlockEnv,
        _call: &Call,
        _state: &mut S,
    ) -> Result<CallOutcome, ExecuteError<S::Error>> {
        Err(ExecuteError::Layer("blocks only".into()))
    }
}
