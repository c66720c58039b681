use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use alloy_consensus::Transaction as _;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256};
use tokio::{runtime::Handle, sync::watch, time};
use tokio_util::sync::CancellationToken;
use weft_executor_core::InvalidTransaction;
use weft_l1_bridge::OriginAdvance;
use weft_primitives::{
    BlockAttributes, L1Origin, RecoveredTransaction, Transaction, attributes_deposit,
};
use weft_state::BlockBundle;

use super::{ChainHandle, ChainWriter};
use crate::{
    error::NodeError,
    mempool::{AdmissionRules, Mempool},
    metrics,
};

/// When blocks are made and what they may hold.
#[derive(Debug, Clone)]
pub struct ProducerConfig {
    /// Least time between the starts of two blocks.
    pub min_interval: Duration,
    /// Time after which an idle chain makes an empty block; `None` never.
    pub heartbeat: Option<Duration>,
    /// Gas limit of each block, in gas.
    pub gas_limit: u64,
    /// Account that earns the fees.
    pub beneficiary: Address,
    /// Most transactions in one block.
    pub max_transactions: usize,
    /// Most bytes of transactions in one block (EIP-2718 encodings, deposits left out). A chain
    /// whose batches go to an L1 must not exceed
    /// [`weft_batcher::MAX_BLOCK_TRANSACTION_BYTES`].
    pub max_transaction_bytes: usize,
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
type OriginFeed = watch::Receiver<Option<Arc<OriginUpdate>>>;

/// No transaction is shorter than its signature, in bytes: the mempool need not be asked for more
/// transactions than a block can hold.
const SIGNATURE_BYTES: usize = 64;

/// Makes blocks on demand: at once when the chain is idle and a transaction or a deposit comes,
/// back to back under load, and none otherwise but for a slow heartbeat.
#[derive(Debug)]
pub struct Producer {
    writer: ChainWriter,
    chain: ChainHandle,
    mempool: Mempool,
    origins: OriginFeed,
    config: ProducerConfig,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wake {
    Work,
    Heartbeat,
    Stop,
}

impl Producer {
    /// Puts a producer together. A chain without an L1 above it gets a feed that stays `None`.
    pub const fn new(
        writer: ChainWriter,
        chain: ChainHandle,
        mempool: Mempool,
        origins: OriginFeed,
        config: ProducerConfig,
    ) -> Self {
        Self {
            writer,
            chain,
            mempool,
            origins,
            config,
        }
    }

    /// Makes blocks until `stop`. To be called on a thread of its own: execution, hashing and
    /// fsync happen on it.
    ///
    /// # Errors
    /// The first failure to execute or to write; the chain must not go on then.
    pub fn run(mut self, runtime: &Handle, stop: &CancellationToken) -> Result<(), NodeError> {
        let mut last_start = Instant::now()
            .checked_sub(self.config.min_interval)
            .unwrap_or_else(Instant::now);
        loop {
            let origin = self.current_origin()?;
            let wake = runtime.block_on(self.wait(last_start, origin, stop));
            if wake == Wake::Stop {
                return Ok(());
            }
            last_start = Instant::now();
            self.make_block(origin, wake == Wake::Heartbeat)?;
        }
    }

    fn current_origin(&self) -> Result<Option<L1Origin>, NodeError> {
        Ok(self.chain.store().l1_origin(self.writer.head().number)?)
    }

    async fn wait(
        &mut self,
        last_start: Instant,
        origin: Option<L1Origin>,
        stop: &CancellationToken,
    ) -> Wake {
        let heartbeat = async {
            match self.config.heartbeat {
                Some(period) => time::sleep_until((last_start + period).into()).await,
                None => std::future::pending().await,
            }
        };
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
        let wake = tokio::select! {
            biased;
            () = stop.cancelled() => Wake::Stop,
            () = self.mempool.ready() => Wake::Work,
            () = deposits => Wake::Work,
            () = heartbeat => Wake::Heartbeat,
        };
        let earliest = last_start + self.config.min_interval;
        if wake == Wake::Work && earliest > Instant::now() {
            tokio::select! {
                () = stop.cancelled() => return Wake::Stop,
                () = time::sleep_until(earliest.into()) => {}
            }
        }
        wake
    }

    fn make_block(&self, origin: Option<L1Origin>, even_if_empty: bool) -> Result<(), NodeError> {
        let parent = self.writer.head();
        let update = self
            .origins
            .borrow()
            .clone()
            .filter(|update| update.from == origin);
        let has_user_deposits = update
            .as_ref()
            .is_some_and(|update| !update.advance.deposits.is_empty());
        let mut advance = update.as_ref().map(|update| &update.advance);
        let mut deposits = deposits_of(advance);
        let mut waiting = self.select(&deposits);
        if waiting.is_empty() && !has_user_deposits && !even_if_empty {
            // Beside the deposit that moves the origin, a transaction that asks for nearly all the
            // gas of a block never fits: it goes first, and the origin moves later.
            advance = None;
            deposits.clear();
            waiting = self.select(&deposits);
            if waiting.is_empty() {
                return Ok(());
            }
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_secs());
        let attributes = BlockAttributes {
            timestamp: now.max(parent.timestamp),
            gas_limit: self.config.gas_limit,
            beneficiary: self.config.beneficiary,
            new_l1_origin: advance.map(|advance| advance.origin),
        };
        let mut transactions = deposits;
        let deposits = transactions.len();
        transactions.extend(waiting);

        let started = Instant::now();
        let given: Vec<(Address, B256)> = transactions
            .iter()
            .map(|tx| (tx.signer(), tx.hash()))
            .collect();
        let executed = self.writer.execute(&attributes, transactions)?;
        let dropped = invalid_for_good(&given, &executed.dropped);
        let included = executed.bundle.block.transactions.len();
        if included == deposits && !has_user_deposits && !even_if_empty {
            self.mempool.on_block(self.next_rules(), &[], &dropped);
            return Ok(());
        }
        let execution_time = started.elapsed();
        let stats = executed.stats;
        let committing = Instant::now();
        let bundle = self.writer.commit(executed)?;
        metrics::block_made(
            metrics::BlockSource::Produced,
            self.chain.spec().chain_id(),
            &bundle,
            execution_time,
            committing.elapsed(),
            stats.reexecutions,
            dropped.len(),
        );
        tracing::debug!(
            number = bundle.block.number(),
            hash = %bundle.block.hash(),
            transactions = included,
            gas = bundle.block.header.gas_used,
            "block"
        );
        self.mempool
            .on_block(self.next_rules(), &changed_accounts(&bundle), &dropped);
        Ok(())
    }

    /// Transactions that fit into a block behind these deposits.
    fn select(&self, deposits: &[RecoveredTransaction]) -> Vec<RecoveredTransaction> {
        let deposit_gas: u64 = deposits.iter().map(|tx| tx.gas_limit()).sum();
        let mut bytes_left = self.config.max_transaction_bytes;
        self.mempool
            .best(
                self.config.gas_limit.saturating_sub(deposit_gas),
                self.config
                    .max_transactions
                    .min(self.config.max_transaction_bytes / SIGNATURE_BYTES),
            )
            .iter()
            .map_while(|pooled| {
                bytes_left =
                    bytes_left.checked_sub(pooled.transaction.inner().encode_2718_len())?;
                Some(pooled.transaction.clone())
            })
            .collect()
    }

    fn next_rules(&self) -> AdmissionRules {
        admission_rules(&self.chain, self.config.gas_limit)
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
/// `given` has sender and hash of each transaction of the block.
fn invalid_for_good(
    given: &[(Address, B256)],
    dropped: &[(usize, InvalidTransaction)],
) -> Vec<B256> {
    let mut with_gap = HashSet::new();
    dropped
        .iter()
        .filter_map(|(index, reason)| {
            let (sender, hash) = *given.get(*index)?;
            tracing::debug!(%hash, %reason, "transaction left out of its block");
            let follows_another = !with_gap.insert(sender);
            let waits =
                follows_another && matches!(reason, InvalidTransaction::NonceTooHigh { .. });
            (!waits).then_some(hash)
        })
        .collect()
}

fn changed_accounts(bundle: &BlockBundle) -> Vec<(Address, weft_executor_core::Account)> {
    bundle
        .changes
        .accounts
        .iter()
        .map(|(address, change)| (*address, change.after.unwrap_or_default()))
        .collect()
}

/// Rules that the block after the head will have.
pub(crate) fn admission_rules(chain: &ChainHandle, gas_limit: u64) -> AdmissionRules {
    let env = chain.pending_env(0);
    AdmissionRules {
        chain_id: env.chain_id,
        fork: env.fork,
        block_gas_limit: gas_limit,
        base_fee: env.base_fee,
    }
}
