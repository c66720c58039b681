use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use alloy_consensus::proofs;
use alloy_primitives::{Address, Bytes, TxKind, U256, map::HashMap};
use rand::{Rng, SeedableRng, rngs::StdRng};
use weft_executor_core::BlockEnv;
use weft_executor_evm::EvmLayer;
use weft_executor_parallel::Engine;
use weft_primitives::{
    Block, BlockAttributes, ChainSpec, Receipt, RecoveredTransaction, child_header,
};
use weft_state::{BlockBundle, PreloadCounters, Sealer, Store};

use super::{StateBenchConfig, StateBenchError, accounts::Accounts};
use crate::scenario::transaction;

/// The chain of the state: its accounts are imported.
pub(super) const SPEC: &str = r#"{"config":{"chainId":31338},"gasLimit":"0x38d7ea4c68000","baseFeePerGas":"0x7","difficulty":"0x0","alloc":{}}"#;

/// Keys that may wait to be preloaded.
const PRELOAD_QUEUE: usize = 1 << 20;

/// One way to execute blocks.
pub(super) struct Contestant<'a> {
    pub(super) config: &'a StateBenchConfig,
    pub(super) accounts: &'a Accounts,
    pub(super) seed: u64,
    pub(super) preload: bool,
}

/// What a run took; times are those of its blocks.
pub(super) struct Measured {
    pub(super) execute: Vec<Duration>,
    pub(super) root: Vec<Duration>,
    pub(super) commit: Vec<Duration>,
    /// All blocks one after another.
    pub(super) all: Duration,
    pub(super) preload: PreloadCounters,
    pub(super) hits: u64,
    pub(super) misses: u64,
}

impl Contestant<'_> {
    /// Executes, seals and commits blocks on a store that was just opened. While a block is
    /// executed, what the next one needs is preloaded, as it is while transactions wait for their
    /// block; only the first block has nothing before it, and waits.
    pub(super) fn run(&self, store: &Store) -> Result<Measured, StateBenchError> {
        let engine = Engine::new(self.config.threads)?;
        let spec = ChainSpec::from_json(SPEC.as_bytes())?;
        let preloader = match self.preload {
            true => Some(store.preloader(
                self.config.preload_threads,
                PRELOAD_QUEUE,
                Box::new(|_, _| {}),
            )?),
            false => None,
        };
        let hint = |block: &[RecoveredTransaction]| {
            if let Some(preloader) = &preloader {
                for transaction in block {
                    preloader.load(engine.predicted_keys(transaction));
                }
            }
        };
        let blocks = self.blocks(store)?;
        let mut sealer = store.sealer();
        let counters = store.cache_counters();
        let mut measured = Measured {
            execute: Vec::new(),
            root: Vec::new(),
            commit: Vec::new(),
            all: Duration::ZERO,
            preload: PreloadCounters::default(),
            hits: 0,
            misses: 0,
        };
        if let (Some(first), Some(preloader)) = (blocks.first(), &preloader) {
            hint(first);
            while preloader.counters().waiting > 0 {
                thread::yield_now();
            }
        }
        let started = Instant::now();
        for (index, transactions) in blocks.iter().enumerate() {
            if let Some(next) = blocks.get(index + 1) {
                hint(next);
            }
            one_block(
                &spec,
                store,
                &engine,
                &mut sealer,
                transactions,
                &mut measured,
            )?;
        }
        measured.all = started.elapsed();
        measured.preload = preloader
            .as_ref()
            .map(|preloader| preloader.counters())
            .unwrap_or_default();
        let after = store.cache_counters();
        measured.hits = after.hits - counters.hits;
        measured.misses = after.misses - counters.misses;
        Ok(measured)
    }

    /// Transfers between random accounts. A sender's nonce is that of the store: earlier runs may
    /// have raised it.
    fn blocks(&self, store: &Store) -> Result<Vec<Vec<RecoveredTransaction>>, StateBenchError> {
        let mut random = StdRng::seed_from_u64(self.seed);
        let count = self.accounts.0;
        // The nonces of accounts that have sent before are in blocks, not in the cache that is
        // measured.
        let mut nonces = sent_before(store)?;
        let mut any = || Accounts::address(random.random_range(0..count));
        let block = |_| {
            (0..self.config.transactions.get())
                .map(|_| {
                    let (from, to) = (any(), any());
                    let nonce = nonces.entry(from).or_default();
                    *nonce += 1;
                    let to = TxKind::Call(to);
                    transaction(from, *nonce - 1, to, U256::ONE, 21_000, Bytes::new())
                })
                .collect()
        };
        Ok((0..self.config.blocks.get()).map(block).collect())
    }
}

/// How many transactions each account has sent.
fn sent_before(store: &Store) -> Result<HashMap<Address, u64>, StateBenchError> {
    let mut nonces = HashMap::default();
    for number in 1..=store.head()?.number {
        for sender in store
            .block_with_receipts(number)?
            .into_iter()
            .flat_map(|block| block.senders)
        {
            *nonces.entry(sender).or_default() += 1;
        }
    }
    Ok(nonces)
}

fn one_block(
    spec: &ChainSpec,
    store: &Store,
    engine: &Engine,
    sealer: &mut Sealer,
    transactions: &[RecoveredTransaction],
    measured: &mut Measured,
) -> Result<(), StateBenchError> {
    let parent = store.head()?;
    let attributes = BlockAttributes {
        timestamp: parent.timestamp + 1,
        gas_limit: parent.gas_limit,
        beneficiary: Address::repeat_byte(0xbe),
        new_l1_origin: None,
    };
    let mut header = child_header(spec.chain_id(), &parent, &attributes);
    let env = BlockEnv::from_header(&header, spec.chain_id(), spec.fork());
    let failed = |reason: String| StateBenchError::Block {
        number: env.number,
        reason,
    };

    let started = Instant::now();
    let execution = engine
        .execute(&EvmLayer::new(), &env, transactions, store.latest_state()?)
        .map_err(|error| failed(error.to_string()))?;
    measured.execute.push(started.elapsed());
    if let Some((index, reason)) = execution.dropped.first() {
        return Err(failed(format!("transfer {index} was left out: {reason}")));
    }

    let started = Instant::now();
    let (root, trie) = sealer.apply(&execution.changes)?;
    measured.root.push(started.elapsed());

    let (included, senders): (Vec<_>, Vec<_>) = transactions
        .iter()
        .cloned()
        .map(RecoveredTransaction::into_parts)
        .unzip();
    header.state_root = root;
    header.gas_used = execution.gas_used;
    header.transactions_root = proofs::calculate_transaction_root(&included);
    header.receipts_root = Receipt::root(&execution.receipts);
    header.logs_bloom = Receipt::block_bloom(&execution.receipts);
    let bundle = BlockBundle {
        block: Block {
            header,
            transactions: included,
        }
        .seal(),
        senders,
        receipts: execution.receipts,
        changes: Arc::new(execution.changes),
        trie: trie.into(),
    };
    let started = Instant::now();
    store.commit(&bundle)?;
    measured.commit.push(started.elapsed());
    Ok(())
}
