//! Predicts which places of the state a transaction will read and write, before it runs.
//!
//! A prediction is a hint: a wrong one costs time and never the result. What calls of a contract's
//! function do is learned from executions, as patterns of where places come from: "the entry of the
//! mapping at slot 3 for calldata's first word". To predict, patterns are filled in from the
//! transaction. No hash of the state's own is made then: a place's name is made of what its slot
//! would be hashed from.

mod call;
mod encoding;
mod keys;
mod names;
mod pattern;
mod resolve;
mod table;
mod template;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::atomic::{AtomicU32, Ordering},
};

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, U256};
// Not `crate::sync`: the model checker has no such lock, and needs none here. What predictions are
// is no part of a block's result, and no thread waits for another with the lock held.
use parking_lot::{RwLock, RwLockReadGuard};
use weft_primitives::RecoveredTransaction;

pub use encoding::PredictorError;

use call::Call;
pub(crate) use keys::declared_keys;
use names::Names;
use pattern::Pattern;
use resolve::{Resolved, resolve};
use table::{Key, Table};
use template::Template;

/// Places of a transaction's own access list that are predicted.
const MAX_LISTED: usize = 128;

/// A place of the state that a transaction is expected at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PredictedAccess {
    /// Names the place: the same place nearly always has the same name, and different places nearly
    /// always have different ones. Comparable within one [`Predictor`].
    pub(crate) place: u64,
    /// Whether it is expected to be written.
    pub(crate) write: bool,
}

/// What is predicted of a transaction besides its places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prediction {
    /// Whether the like of it has been seen, or it is a plain transfer.
    pub(crate) known: bool,
    /// Whether the like of it has been seen with the contracts that its calldata names, if it names
    /// some. Otherwise what they lead to is missing: a pair's slots are known, and its tokens' are
    /// not.
    pub(crate) complete: bool,
    /// Time that its execution is expected to take, in nanoseconds; zero where that is not known.
    pub(crate) time: u64,
}

/// What an executed transaction read and wrote. Of what settles apart from execution, such as the
/// beneficiary's fee, it has nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observed<'a> {
    /// Time that its execution took, in nanoseconds, where it was taken.
    pub(crate) time: Option<u64>,
    /// Accounts, and whether balance, nonce or code were written.
    pub(crate) accounts: &'a [(Address, bool)],
    /// Account and slot, and whether it was written.
    pub(crate) slots: &'a [(Address, U256, bool)],
}

/// Learns what transactions read and write, and predicts it of others.
///
/// It takes 8 KiB for each template at most.
pub struct Predictor {
    names: Names,
    table: RwLock<Table>,
    /// Readers so far: one for each block.
    blocks: AtomicU32,
}

impl fmt::Debug for Predictor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Predictor").finish_non_exhaustive()
    }
}

impl Predictor {
    /// A predictor that knows nothing. `capacity` is how many templates it may have: mostly one for
    /// each function of a contract.
    pub fn new(capacity: usize) -> Self {
        Self::with(Names::default(), Table::new(capacity))
    }

    fn with(names: Names, table: Table) -> Self {
        Self {
            names,
            table: RwLock::new(table),
            blocks: AtomicU32::new(0),
        }
    }

    /// What is known now. There is one reader for each block: by them it is counted in how many
    /// blocks a template was of use. [`Self::learn`] waits until there is none, so a thread that
    /// holds one must not learn.
    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader {
            names: &self.names,
            table: self.table.read(),
            block: self.blocks.fetch_add(1, Ordering::Relaxed).wrapping_add(1),
        }
    }

    /// Learns from an executed transaction.
    ///
    /// It takes some microseconds, and up to half a millisecond when slots come up that no pattern
    /// explains.
    pub(crate) fn learn(&self, transaction: &RecoveredTransaction, observed: &Observed<'_>) {
        let Some(call) = Call::new(transaction) else {
            return;
        };
        let key = Key::new(&call);
        let (patterns, budget) = {
            let table = self.table.read();
            let shared = table.get(&key);
            if shared.is_none() && is_plain(&call, observed) {
                return;
            }
            let context = shared
                .and_then(|template| template.context(&call))
                .and_then(|context| table.get(&in_context(key, context)));
            let patterns: Vec<Pattern> = shared
                .into_iter()
                .chain(context)
                .flat_map(|template| &template.patterns)
                .copied()
                .collect();
            let budget = shared.map_or(resolve::MAX_HASHES, Template::budget);
            (patterns, budget)
        };
        let Resolved {
            mut accesses,
            search,
        } = resolve(&call, observed, &patterns, budget);
        let pays = !transaction.value().is_zero();
        accesses.retain(|access| !is_implied(access, &call, pays));

        let block = self.blocks.load(Ordering::Relaxed);
        let mut table = self.table.write();
        let mut shared = table.get(&key).cloned().unwrap_or_default();
        shared.find_context(&call, observed);
        shared.count(observed.time, search);
        let context = shared.context(&call);
        shared.observe(&call, &mut accesses, |pattern| {
            context.is_none() || !pattern.has_hidden_address(&call)
        });
        shared.name(&self.names);
        table.put(key, shared, block);
        if let Some(context) = context {
            let key = in_context(key, context);
            let mut template = table.get(&key).cloned().unwrap_or_default();
            template.count(observed.time, None);
            template.observe(&call, &mut accesses, |_| true);
            template.name(&self.names);
            table.put(key, template, block);
        }
    }
}

const fn in_context(key: Key, context: [Address; template::CONTEXT_ADDRESSES]) -> Key {
    Key {
        context: Some(context),
        ..key
    }
}

/// Whether the transaction did what is predicted of every plain transfer.
fn is_plain(call: &Call<'_>, observed: &Observed<'_>) -> bool {
    let ends = [*call.sender(), call.to().into_word()];
    let mut accounts = observed.accounts.iter();
    !call.has_input()
        && observed.slots.is_empty()
        && accounts.all(|(address, _)| ends.contains(&address.into_word()))
}

/// Whether the access is predicted without any template.
fn is_implied(access: &pattern::Access, call: &Call<'_>, pays: bool) -> bool {
    let account = access.account;
    let is_account = matches!(access.place, pattern::Place::Account);
    is_account
        && (account.into_word() == *call.sender()
            || (account == call.to() && (!access.write || pays)))
}

/// Predicts from what was known when it was made.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    names: &'a Names,
    table: RwLockReadGuard<'a, Table>,
    block: u32,
}

impl Reader<'_> {
    /// Appends the places that the transaction is expected at; one may come more than once.
    pub(crate) fn predict(
        &self,
        transaction: &RecoveredTransaction,
        places: &mut Vec<PredictedAccess>,
    ) -> Prediction {
        self.predict_listed(transaction, places);
        let unknown = Prediction {
            known: false,
            complete: false,
            time: 0,
        };
        let Some(call) = Call::new(transaction) else {
            let place = self.names.word(&transaction.signer().into_word());
            places.push(PredictedAccess { place, write: true });
            return unknown;
        };
        let sender = self.names.word(call.sender());
        places.push(PredictedAccess {
            place: sender,
            write: true,
        });
        places.push(PredictedAccess {
            place: self.names.word(&call.to().into_word()),
            write: !call.has_input() || !transaction.value().is_zero(),
        });
        let key = Key::new(&call);
        let Some(shared) = self.table.used(&key, self.block) else {
            return if call.has_input() {
                unknown
            } else {
                Prediction {
                    known: true,
                    complete: true,
                    time: 0,
                }
            };
        };
        self.predict_template(shared, &call, sender, places);
        let mut prediction = Prediction {
            known: true,
            complete: true,
            time: shared.time,
        };
        if let Some(context) = shared.context(&call) {
            match self.table.used(&in_context(key, context), self.block) {
                Some(template) => {
                    self.predict_template(template, &call, sender, places);
                    prediction.time = template.time;
                }
                None => prediction.complete = false,
            }
        }
        prediction
    }

    /// The place of an account.
    pub(crate) fn account(&self, address: Address) -> u64 {
        self.names.word(&address.into_word())
    }

    fn predict_template(
        &self,
        template: &Template,
        call: &Call<'_>,
        sender: u64,
        places: &mut Vec<PredictedAccess>,
    ) {
        places.extend(template.named().iter().filter_map(|pattern| {
            let place = pattern.name(call, sender, self.names)?;
            Some(PredictedAccess {
                place,
                write: pattern.write,
            })
        }));
    }

    /// The transaction's own access list (EIP-2930). It does not say what is written.
    fn predict_listed(
        &self,
        transaction: &RecoveredTransaction,
        places: &mut Vec<PredictedAccess>,
    ) {
        let Some(list) = transaction.access_list() else {
            return;
        };
        let listed = list.iter().flat_map(|item| {
            let account = self.names.word(&item.address.into_word());
            let slots = item.storage_keys.iter().map(move |slot| PredictedAccess {
                place: self.names.slot(account, slot),
                write: true,
            });
            let read = PredictedAccess {
                place: account,
                write: false,
            };
            [read].into_iter().chain(slots)
        });
        places.extend(listed.take(MAX_LISTED));
    }
}
