//! Transactions that wait for a block.
//!
//! A transaction comes in when it passes the checks that need no state and those against its
//! sender's account. Those of one sender form a queue by nonce: an unbroken run from the account's
//! nonce on that the balance covers is executable, the rest is queued. The rules, bounds and errors
//! are those of geth where users can see them; `docs/mempool.md` lists them.

mod admission;
mod error;
mod executed;
mod fee_order;
mod pool;
mod pressure;
mod price_index;
mod recent_accounts;
mod selection;
mod sender;
#[cfg(test)]
mod tests;
mod transaction;

use std::{sync::Arc, time::Instant};

use alloy_primitives::{Address, B256};
use parking_lot::{Mutex, MutexGuard, RwLock};
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, watch};
use weft_executor_core::{Account, BlockEnv};
use weft_primitives::{Fork, RecoveredTransaction};

pub use admission::check_sender_code;
pub use error::MempoolError;
pub use pressure::Pressure;
pub use transaction::PooledTransaction;

use crate::config::units::wei;
use pool::Pool;

/// Base fee from which on it falls after a block without transactions, in wei per gas (EIP-1559:
/// by an eighth, rounded down).
const FALLING_BASE_FEE: u64 = 8;

/// Transactions that a subscriber may lag behind before it misses some.
const SUBSCRIPTION_CAPACITY: usize = 4096;

/// Bounds of the pool: `[mempool]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MempoolLimits {
    /// Transactions in total.
    pub max_transactions: usize,
    /// Transactions of one sender, and how far a nonce may be ahead of its account's.
    pub max_per_sender: usize,
    /// Bytes (EIP-2718 encodings) in total.
    pub max_bytes: usize,
    /// Lowest tip cap that is taken in, in wei per gas.
    #[serde(rename = "min_tip_wei", with = "wei")]
    pub min_tip: u128,
    /// Largest encoding of one transaction, in bytes.
    pub max_transaction_bytes: usize,
    /// Whether legacy transactions without a chain id (EIP-155) are taken in. Off, as in geth;
    /// deployers that publish one presigned transaction for every chain need it on.
    pub allow_unprotected: bool,
}

impl Default for MempoolLimits {
    fn default() -> Self {
        Self {
            max_transactions: 100_000,
            max_per_sender: 16_384,
            max_bytes: 256 << 20,
            min_tip: 0,
            max_transaction_bytes: weft_batcher::MAX_BLOCK_TRANSACTION_BYTES,
            allow_unprotected: false,
        }
    }
}

/// What admission checks a transaction against: the rules of the next block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmissionRules {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Rules in force.
    pub fork: Fork,
    /// Gas limit of the next block, in gas.
    pub block_gas_limit: u64,
    /// Base fee of the next block, in wei per gas.
    pub base_fee: u64,
}

impl AdmissionRules {
    /// The rules of a block.
    pub const fn of(block: &BlockEnv) -> Self {
        Self {
            chain_id: block.chain_id,
            fork: block.fork,
            block_gas_limit: block.gas_limit,
            base_fee: block.base_fee,
        }
    }
}

/// A transaction that comes in.
#[derive(Debug)]
pub struct Arrival {
    /// The transaction with its sender.
    pub transaction: RecoveredTransaction,
    /// The sender's account at the head.
    pub account: Account,
    /// When it was received.
    pub received: Instant,
}

/// The pool; clones share it. No method blocks on I/O.
#[derive(Debug, Clone)]
pub struct Mempool {
    shared: Arc<Shared>,
}

/// What the next block could hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readiness {
    Nothing,
    /// Nothing, unless the base fee falls, which it can.
    PricedOut,
    Transactions,
}

#[derive(Debug)]
struct Shared {
    limits: MempoolLimits,
    /// Those of the pool, for checks that need no more of it.
    rules: RwLock<AdmissionRules>,
    /// What is asked of admission beyond the rules.
    pressure: RwLock<Pressure>,
    pool: Mutex<Pool>,
    /// Whether a block could be made. Set under the lock, so that it never lags behind the pool.
    ready: watch::Sender<Readiness>,
    promoted: broadcast::Sender<Arc<PooledTransaction>>,
}

impl Mempool {
    /// An empty pool.
    pub fn new(limits: MempoolLimits, rules: AdmissionRules) -> Self {
        Self {
            shared: Arc::new(Shared {
                rules: RwLock::new(rules.clone()),
                pool: Mutex::new(Pool::new(limits.clone(), rules)),
                limits,
                pressure: RwLock::default(),
                ready: watch::Sender::new(Readiness::Nothing),
                promoted: broadcast::Sender::new(SUBSCRIPTION_CAPACITY),
            }),
        }
    }

    /// Checks that need no state: type, size, chain id, initcode size, gas, fee fields, ...
    ///
    /// # Errors
    /// The first check that fails.
    pub fn check_stateless(&self, transaction: &RecoveredTransaction) -> Result<(), MempoolError> {
        self.encoded_size(transaction).map(drop)
    }

    /// Takes a transaction in, which was received now, after all checks (but that of the sender's
    /// code, see [`check_sender_code`]). `account` is the sender's at the head (`Account::default()`
    /// when it does not exist); where [`Self::on_executed`] has told of a newer state of it, that one
    /// counts.
    ///
    /// # Errors
    /// The first check that fails; the pool is then as it was.
    pub fn add(
        &self,
        transaction: RecoveredTransaction,
        account: Account,
    ) -> Result<Arc<PooledTransaction>, MempoolError> {
        let size = self.encoded_size(&transaction)?;
        let pressure = *self.shared.pressure.read();
        let mut pool = self.shared.pool.lock();
        let added = pool.add(transaction, size, account, Instant::now(), &pressure);
        self.publish(&mut pool);
        added
    }

    /// As [`Self::add`], for several transactions one after another: each with its sender's account
    /// and when it was received.
    pub fn add_all(
        &self,
        arrivals: impl IntoIterator<Item = Arrival>,
    ) -> Vec<Result<Arc<PooledTransaction>, MempoolError>> {
        let checked: Vec<_> = arrivals
            .into_iter()
            .map(|arrival| (self.encoded_size(&arrival.transaction), arrival))
            .collect();
        let pressure = *self.shared.pressure.read();
        let mut pool = self.shared.pool.lock();
        let added = checked
            .into_iter()
            .map(|(size, arrival)| {
                pool.add(
                    arrival.transaction,
                    size?,
                    arrival.account,
                    arrival.received,
                    &pressure,
                )
            })
            .collect();
        self.publish(&mut pool);
        added
    }

    /// Resolves once any transaction could stand in the next block.
    pub async fn ready(&self) {
        self.becomes(Readiness::Transactions).await;
    }

    /// Resolves once executable transactions wait, none of which can pay the base fee, and the base
    /// fee would fall if a block without transactions were made.
    pub async fn priced_out(&self) {
        self.becomes(Readiness::PricedOut).await;
    }

    async fn becomes(&self, wanted: Readiness) {
        // Fails only without a sender, and `self` holds one.
        let _ = self
            .shared
            .ready
            .subscribe()
            .wait_for(|ready| *ready == wanted)
            .await;
    }

    /// Asks admission to take in less, or as much as the limits allow again.
    pub fn set_pressure(&self, pressure: Pressure) {
        *self.shared.pressure.write() = pressure;
    }

    /// Whether transactions are taken in at all. A cheap check to begin with.
    ///
    /// # Errors
    /// [`MempoolError::WaitsForL1`] while they are not.
    pub fn check_open(&self) -> Result<(), MempoolError> {
        self.shared.pressure.read().check_open()
    }

    /// Executable transactions for the next block in order of effective tip (first come among
    /// equals), nonces of one sender in order, gas limits adding up to at most `gas_limit`, at most
    /// `max_transactions` of them. They stay in the pool until [`Self::on_executed`].
    pub fn best(&self, gas_limit: u64, max_transactions: usize) -> Vec<Arc<PooledTransaction>> {
        selection::best(&self.shared.pool.lock(), gas_limit, max_transactions)
    }

    /// Follows a block that was executed on top of the last one: `changed` are accounts that the
    /// block changed, with their new state (`Account::default()` for one that is gone); `dropped`
    /// are transactions the engine found invalid. What the block includes, by its number, no longer
    /// waits, but can still be looked up here until [`Self::on_durable`]. `None`: no block came of it.
    pub fn on_executed(
        &self,
        rules: AdmissionRules,
        block: Option<(u64, Vec<Arc<PooledTransaction>>)>,
        changed: &[(Address, Account)],
        dropped: &[B256],
    ) {
        self.shared.rules.write().clone_from(&rules);
        let mut pool = self.shared.pool.lock();
        if let Some((number, included)) = block {
            pool.executed.push(number, included);
        }
        pool.on_block(rules, changed, dropped);
        self.publish(&mut pool);
    }

    /// Forgets what executed blocks up to this number have included: it is in the chain for all to
    /// see.
    pub fn on_durable(&self, number: u64) {
        // Freed without the lock.
        let _forgotten = self.shared.pool.lock().executed.forget(number);
    }

    /// The transaction with this hash that waits, or is in a block that is not durable yet.
    pub fn get(&self, hash: &B256) -> Option<Arc<PooledTransaction>> {
        let pool = self.shared.pool.lock();
        pool.get(hash).or_else(|| pool.executed.get(hash))
    }

    /// Whether [`Self::get`] has the transaction with this hash.
    pub fn contains(&self, hash: &B256) -> bool {
        let pool = self.shared.pool.lock();
        pool.contains(hash)
    }

    /// Nonce after the sender's last transaction that is executable or in a block that is not
    /// durable yet; `None` when it has none such.
    pub fn next_nonce(&self, sender: Address) -> Option<u64> {
        let pool = self.shared.pool.lock();
        let waiting = pool
            .sender(sender)
            .filter(|queue| queue.executable() > 0)
            .map(|queue| queue.next_nonce);
        waiting.or_else(|| pool.executed.next_nonce(sender))
    }

    /// (pending = executable, queued = behind a nonce gap, or beyond what the balance covers).
    pub fn status(&self) -> (usize, usize) {
        self.shared.pool.lock().status()
    }

    /// All transactions: (pending, queued), by sender and nonce.
    pub fn content(&self) -> (Vec<Arc<PooledTransaction>>, Vec<Arc<PooledTransaction>>) {
        let (mut pending, mut queued) = (Vec::new(), Vec::new());
        for (transaction, executable) in self.shared.pool.lock().transactions() {
            let part = if executable {
                &mut pending
            } else {
                &mut queued
            };
            part.push(Arc::clone(transaction));
        }
        for part in [&mut pending, &mut queued] {
            part.sort_unstable_by_key(|transaction: &Arc<PooledTransaction>| {
                (transaction.sender(), transaction.nonce())
            });
        }
        (pending, queued)
    }

    /// Each transaction once it becomes executable. A receiver that lags too far behind is told
    /// how many it missed.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<PooledTransaction>> {
        self.shared.promoted.subscribe()
    }

    fn encoded_size(&self, transaction: &RecoveredTransaction) -> Result<usize, MempoolError> {
        admission::check_stateless(&self.shared.limits, &self.shared.rules.read(), transaction)
    }

    /// Tells those who wait what a change of the pool means to them. Under the lock, so that they
    /// hear of changes in their order.
    fn publish(&self, pool: &mut MutexGuard<'_, Pool>) {
        for transaction in pool.take_promoted() {
            // Fails only when nobody listens.
            let _ = self.shared.promoted.send(transaction);
        }
        let is_ready = if pool.ready_senders().next().is_some() {
            Readiness::Transactions
        } else if pool.status().0 > 0 && pool.rules().base_fee >= FALLING_BASE_FEE {
            Readiness::PricedOut
        } else {
            Readiness::Nothing
        };
        self.shared.ready.send_if_modified(|ready| {
            let changed = *ready != is_ready;
            *ready = is_ready;
            changed
        });
    }
}
