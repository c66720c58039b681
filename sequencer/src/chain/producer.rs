use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256};
use tokio::{runtime::Handle, sync::watch, time};
use tokio_util::sync::CancellationToken;
use weft_executor_core::{Account, ChangeSet, InvalidTransaction};
use weft_l1_bridge::OriginAdvance;
use weft_primitives::{
    BlockAttributes, L1Origin, RecoveredTransaction, Transaction, attributes_deposit,
};

use super::{
    ChainHandle, ChainWriter, ElasticConfig, ExecutedBlock,
    elastic::{Elastic, MadeBlock, Plan},
};
use crate::{
    error::NodeError,
    mempool::{AdmissionRules, Mempool, PooledTransaction},
    tasks::Tasks,
};

/// When blocks are made and what they may hold.
#[derive(Debug, Clone)]
pub struct ProducerConfig {
    /// Least time between the starts of two blocks.
    pub min_interval: Duration,
    /// Time after which an idle chain makes an empty block; `None` never.
    pub heartbeat: Option<Duration>,
    /// Gas limit of a block of a chain that nothing presses, in gas.
    pub gas_limit: u64,
    /// Account that earns the fees.
    pub beneficiary: Address,
    /// Most transactions in one block.
    pub max_transactions: usize,
    /// Most bytes of transactions in one block (EIP-2718 encodings, deposits left out). A chain
    /// whose batches go to an L1 must not exceed
    /// [`weft_batcher::MAX_BLOCK_TRANSACTION_BYTES`].
    pub max_transaction_bytes: usize,
    /// How far size and interval may move from the above; `None` keeps them as they are.
    pub elastic: Option<ElasticConfig>,
}

impl ProducerConfig {
    /// Gas limit that no block is below, in gas: what is taken in must fit into any block.
    pub fn least_gas_limit(&self) -> u64 {
        let least = self.elastic.as_ref().map(|elastic| elastic.min_gas_limit);
        least.map_or(self.gas_limit, |least| least.min(self.gas_limit))
    }
}

/// An L1 origin that the next block may move to.
#[derive(Debug)]
pub struct OriginUpdate {
    /// The origin that it follows; useless once the chain has moved past it.
    pub from: Option<L1Origin>,
    /// The new origin with all deposits in between.
    pub advance: OriginAdvance,
}

/// What the producer reads the newest L1 origin from.
pub(super) type OriginFeed = watch::Receiver<Option<Arc<OriginUpdate>>>;

/// No transaction is shorter than its signature, in bytes: the mempool need not be asked for more
/// transactions than a block can hold.
const SIGNATURE_BYTES: usize = 64;

/// Makes blocks on demand: at once when the chain is idle and a transaction or a deposit comes,
/// back to back under load, and none otherwise but for a slow heartbeat.
#[derive(Debug)]
pub struct Producer {
    writer: ChainWriter,
    mempool: Mempool,
    origins: OriginFeed,
    config: ProducerConfig,
    elastic: Elastic,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wake {
    Work,
    Heartbeat,
    Stop,
    /// A later stage has failed.
    Failed,
}

impl Producer {
    /// Puts a producer together. A chain without an L1 above it gets a feed that stays `None`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn new(
        writer: ChainWriter,
        chain: &ChainHandle,
        mempool: Mempool,
        origins: OriginFeed,
        config: ProducerConfig,
    ) -> Result<Self, NodeError> {
        let elastic = Elastic::new(chain.clone(), mempool.clone(), origins.clone(), &config)?;
        Ok(Self {
            writer,
            mempool,
            origins,
            config,
            elastic,
        })
    }

    /// Starts what keeps size, interval and admission up to date while no block is made.
    pub(crate) fn spawn_controller(&self, tasks: &mut Tasks) {
        self.elastic.spawn(tasks);
    }

    /// Makes blocks until `stop`, and returns when all are durable. To be called on a thread of its
    /// own: blocks are executed on it.
    ///
    /// # Errors
    /// The first failure to execute, seal or write; the chain must not go on then.
    pub fn run(mut self, runtime: &Handle, stop: &CancellationToken) -> Result<(), NodeError> {
        let mut last_start = Instant::now()
            .checked_sub(self.config.min_interval)
            .unwrap_or_else(Instant::now);
        loop {
            match runtime.block_on(self.wait(last_start, stop)) {
                Wake::Stop => return self.writer.flush().map(drop),
                Wake::Failed => return Err(self.writer.failure()),
                wake => {
                    last_start = Instant::now();
                    self.make_block(wake == Wake::Heartbeat)?;
                }
            }
        }
    }

    async fn wait(&mut self, last_start: Instant, stop: &CancellationToken) -> Wake {
        let heartbeat = async {
            match self.config.heartbeat {
                Some(period) => time::sleep_until((last_start + period).into()).await,
                None => std::future::pending().await,
            }
        };
        let origin = self.writer.l1_origin();
        let deposits = async {
            let waiting = self.origins.wait_for(|update| {
                update.as_ref().is_some_and(|update| {
                    update.from == origin && !update.advance.deposits.is_empty()
                })
            });
            if waiting.await.is_err() {
                // Nobody feeds origins: a chain without L1.
                std::future::pending::<()>().await;
            }
        };
        let cooling = async {
            self.mempool.priced_out().await;
            time::sleep_until((last_start + self.elastic.cooling()).into()).await;
        };
        let wake = tokio::select! {
            biased;
            () = stop.cancelled() => Wake::Stop,
            () = self.writer.failed().cancelled() => Wake::Failed,
            () = self.mempool.ready() => Wake::Work,
            () = deposits => Wake::Work,
            () = cooling => Wake::Heartbeat,
            () = heartbeat => Wake::Heartbeat,
        };
        let earliest = last_start + self.elastic.interval();
        if wake == Wake::Work && earliest > Instant::now() {
            tokio::select! {
                () = stop.cancelled() => return Wake::Stop,
                () = self.writer.failed().cancelled() => return Wake::Failed,
                () = time::sleep_until(earliest.into()) => {}
            }
        }
        wake
    }

    fn make_block(&mut self, even_if_empty: bool) -> Result<(), NodeError> {
        let origin = self.writer.l1_origin();
        let update = self
            .origins
            .borrow()
            .clone()
            .filter(|update| update.from == origin);
        let has_user_deposits = update
            .as_ref()
            .is_some_and(|update| !update.advance.deposits.is_empty());
        let mut advance = update.as_ref().map(|update| &update.advance);
        let plan = self.elastic.plan();
        let mut deposits = deposits_of(advance);
        let mut waiting = self.select(plan, &deposits);
        if waiting.is_empty() && !has_user_deposits && !even_if_empty {
            // Beside the deposit that moves the origin, a transaction that asks for nearly all the
            // gas of a block never fits: it goes first, and the origin moves later.
            advance = None;
            deposits.clear();
            waiting = self.select(plan, &deposits);
            if waiting.is_empty() {
                return Ok(());
            }
        }
        let attributes = BlockAttributes {
            new_l1_origin: advance.map(|advance| advance.origin),
            ..self.attributes(plan.gas_limit)
        };
        let deposits_count = deposits.len();
        let left = self.mempool.status().0.saturating_sub(waiting.len());
        let transactions = deposits
            .into_iter()
            .chain(waiting.iter().map(|pooled| pooled.transaction.clone()))
            .collect();
        let executed = self.writer.execute(&attributes, transactions)?;
        let is_dropped: HashSet<usize> = executed.dropped.iter().map(|(index, _)| *index).collect();
        let given: Vec<(Address, B256)> = waiting
            .iter()
            .map(|pooled| (pooled.sender(), pooled.hash))
            .collect();
        let dropped = invalid_for_good(deposits_count, &given, &executed.dropped);
        let included: Vec<_> = waiting
            .into_iter()
            .enumerate()
            .filter(|(index, _)| !is_dropped.contains(&(index + deposits_count)))
            .map(|(_, pooled)| pooled)
            .collect();
        if included.is_empty() && !has_user_deposits && !even_if_empty {
            self.mempool
                .on_executed(self.next_rules(plan), None, &[], &dropped);
            return Ok(());
        }
        let number = executed.number();
        let made = self.made(&executed, &included, left);
        let changed = changed_accounts(executed.changes());
        let received = included.iter().map(|pooled| pooled.received).collect();
        self.writer.append(executed.with_received(received))?;
        self.mempool.on_executed(
            self.next_rules(plan),
            Some((number, included)),
            &changed,
            &dropped,
        );
        self.elastic.made(&made);
        Ok(())
    }

    fn attributes(&self, gas_limit: u64) -> BlockAttributes {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_secs());
        BlockAttributes {
            timestamp: now.max(self.writer.tip().timestamp),
            gas_limit,
            beneficiary: self.config.beneficiary,
            new_l1_origin: None,
        }
    }

    /// Rules of the block after the last one, which need not be durable.
    fn next_rules(&self, plan: Plan) -> AdmissionRules {
        AdmissionRules {
            block_gas_limit: self.config.least_gas_limit(),
            ..AdmissionRules::of(&self.writer.next_env(&self.attributes(plan.gas_limit)))
        }
    }

    /// What the controller is told about a block with these transactions behind its deposits.
    fn made(
        &self,
        block: &ExecutedBlock,
        included: &[Arc<PooledTransaction>],
        left: usize,
    ) -> MadeBlock {
        let gas_wanted = block
            .transactions()
            .iter()
            .map(|transaction| transaction.gas_limit())
            .fold(0, u64::saturating_add);
        MadeBlock {
            number: block.number(),
            timestamp: block.timestamp(),
            bytes: included.iter().map(|pooled| pooled.size as u64).sum(),
            gas_wanted,
            gas_limit: block.gas_limit(),
            execution: block.execution(),
            later_stages: self.writer.last_stage_times(),
            left,
        }
    }

    /// Transactions that fit into a block behind these deposits.
    fn select(&self, plan: Plan, deposits: &[RecoveredTransaction]) -> Vec<Arc<PooledTransaction>> {
        let deposit_gas: u64 = deposits.iter().map(|tx| tx.gas_limit()).sum();
        let mut bytes_left = plan.max_bytes;
        let mut chosen = self.mempool.best(
            plan.gas_limit.saturating_sub(deposit_gas),
            plan.max_transactions.min(plan.max_bytes / SIGNATURE_BYTES),
        );
        let fitting = chosen
            .iter()
            .take_while(|pooled| match bytes_left.checked_sub(pooled.size) {
                Some(left) => {
                    bytes_left = left;
                    true
                }
                None => false,
            })
            .count();
        chosen.truncate(fitting);
        chosen
    }
}

/// The deposits that a move to a new origin puts at the start of a block.
fn deposits_of(advance: Option<&OriginAdvance>) -> Vec<RecoveredTransaction> {
    advance
        .into_iter()
        .flat_map(|advance| {
            std::iter::once(attributes_deposit(&advance.origin))
                .chain(advance.deposits.iter().cloned())
        })
        .map(|deposit| {
            let from = deposit.from;
            RecoveredTransaction::new_unchecked(Transaction::from(deposit), from)
        })
        .collect()
}

/// Hashes of the transactions that the mempool must forget. One whose nonce is too high only because
/// an earlier one of its sender was left out is not among them: it waits for that nonce again.
/// `given` has sender and hash of each transaction of the block behind `first` deposits.
fn invalid_for_good(
    first: usize,
    given: &[(Address, B256)],
    dropped: &[(usize, InvalidTransaction)],
) -> Vec<B256> {
    let mut with_gap = HashSet::new();
    dropped
        .iter()
        .filter_map(|(index, reason)| {
            let (sender, hash) = *given.get(index.checked_sub(first)?)?;
            tracing::debug!(%hash, %reason, "transaction left out of its block");
            let follows_another = !with_gap.insert(sender);
            let waits =
                follows_another && matches!(reason, InvalidTransaction::NonceTooHigh { .. });
            (!waits).then_some(hash)
        })
        .collect()
}

fn changed_accounts(changes: &ChangeSet) -> Vec<(Address, Account)> {
    changes
        .accounts
        .iter()
        .map(|(address, change)| (*address, change.after.unwrap_or_default()))
        .collect()
}

/// Rules that the block after the head will have, whose gas limit is at least this.
pub(crate) fn admission_rules(chain: &ChainHandle, gas_limit: u64) -> AdmissionRules {
    AdmissionRules {
        block_gas_limit: gas_limit,
        ..AdmissionRules::of(&chain.pending_env(0))
    }
}
