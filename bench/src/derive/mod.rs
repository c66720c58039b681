//! How fast a chain is derived from L1, beside how fast it was made: transactions are signed, made
//! into blocks by the sequencer's own stages, posted to the embedded L1 in batches, and followed into
//! an empty folder.

mod error;
mod l1;
mod produce;
mod report;

use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use alloy_primitives::{Address, U256, keccak256};
use tokio_util::sync::CancellationToken;
use weft_l1_bridge::genesis;
use weft_primitives::ChainSpec;
use weft_sequencer::{
    History,
    chain::ExecutionMode,
    dev,
    follower::{Follower, FollowerConfig},
};

pub use error::DeriveBenchError;
pub use report::DeriveReport;

use crate::ingest::{Account, Plan, TransactionKind};
use l1::BenchL1;
use produce::{Blocks, Chain};

/// What [`run_derive`] measures.
#[derive(Debug, Clone)]
pub struct DeriveBenchConfig {
    /// Transactions of the chain, beside those that prepare it.
    pub transactions: NonZeroUsize,
    /// What they do.
    pub kind: TransactionKind,
    /// Accounts that send, in turn.
    pub senders: NonZeroUsize,
    /// Accounts that receive.
    pub receivers: NonZeroUsize,
    /// Threads of the engine.
    pub threads: NonZeroUsize,
    /// What keys, receivers and values come from.
    pub seed: u64,
    /// Folder in which the chains are made; the system's for temporary files when left out.
    pub data_dir: Option<PathBuf>,
}

const CHAIN_ID: u64 = 31_338;
/// More than transactions of one block use, so that fees stay low.
const GAS_LIMIT: u64 = 1_000_000_000;
const TIMESTAMP: u64 = 1_700_000_000;
/// What a sender needs for so many transactions is far below.
const FUNDS: U256 = U256::from_limbs([0, 1 << 20, 0, 0]);

/// Makes the chain, posts it and derives it. Blocking; must not be called from a tokio runtime.
///
/// # Errors
/// When a part fails, or the derived chain is another one.
pub fn run_derive(config: &DeriveBenchConfig) -> Result<DeriveReport, DeriveBenchError> {
    let parent = config.data_dir.clone().unwrap_or_else(std::env::temp_dir);
    fs::create_dir_all(&parent)?;
    let folder = tempfile::TempDir::with_prefix_in("weft-derive-", parent)?;
    let folder = folder.path();
    let mut owner = Account::of_seed(config.seed, u64::MAX)?;
    let plan = plan(config, owner.address())?;
    let spec = Arc::new(spec(&plan, owner.address())?);
    let blocks = Blocks::sign(&plan, &mut owner, config.transactions.get(), folder)?;

    let recovered = blocks.recover()?;
    let chain = Chain::new(&spec, &folder.join("made"), config.threads)?;
    let (made, chain) = chain.make(&blocks, recovered)?;
    drop(chain);
    let chain = Chain::new(&spec, &folder.join("admitted"), config.threads)?;
    let (admitted, chain) = chain.make_admitting(&blocks)?;
    let head = chain.head();

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let stop = CancellationToken::new();
    let guard = stop.clone().drop_guard();
    let started = Instant::now();
    let l1 = runtime.block_on(BenchL1::start(&folder.join("l1"), &spec, &stop))?;
    let posted = runtime.block_on(l1.post(&chain))?;
    let posting = started.elapsed();
    drop(chain);

    let started = Instant::now();
    let derived = runtime.block_on(async {
        let follower = follow(config, &l1, &spec, &folder.join("followed"), &stop).await?;
        let mut progress = follower.progress();
        let all = progress.wait_for(|progress| progress.batches >= posted.batches);
        let reached = tokio::select! {
            reached = all => reached.is_ok(),
            () = stop.cancelled() => false,
        };
        let took = started.elapsed();
        let found = follower.chain().head();
        stop.cancel();
        let ended = follower.join().await;
        if !reached {
            ended?;
        }
        if found.hash() != head.hash() {
            return Err(DeriveBenchError::OtherChain {
                expected: head.hash(),
                found: found.hash(),
            });
        }
        Ok(took)
    })?;
    drop(guard);
    Ok(DeriveReport::new(
        config,
        &blocks,
        &posted,
        [made, admitted, posting, derived],
    ))
}

async fn follow(
    config: &DeriveBenchConfig,
    l1: &BenchL1,
    spec: &ChainSpec,
    data_dir: &Path,
    stop: &CancellationToken,
) -> Result<Follower, DeriveBenchError> {
    let follower = FollowerConfig {
        l1: l1.config(),
        data_dir: data_dir.to_owned(),
        history: History::All,
        spec: Some(spec.clone()),
        execution: ExecutionMode::default(),
        threads: config.threads.get(),
        rpc: None,
        access_lists: None,
        compare: None,
        metrics: None,
    };
    Ok(Follower::start(follower, stop.child_token()).await?)
}

/// Senders and receivers; receivers are accounts that exist before, as those of a chain in use.
fn plan(config: &DeriveBenchConfig, owner: Address) -> Result<Plan, DeriveBenchError> {
    let account = |number: u64| Account::of_seed(config.seed, number);
    let senders = (0..config.senders.get() as u64)
        .map(account)
        .collect::<Result<Vec<_>, _>>()?;
    let receivers = (0..config.receivers.get() as u64)
        .map(|number| {
            let name = [config.seed.to_be_bytes(), number.to_be_bytes()].concat();
            Address::from_word(keccak256(name))
        })
        .collect();
    Ok(Plan {
        kind: config.kind,
        chain_id: CHAIN_ID,
        seed: config.seed,
        senders,
        receivers,
        token: owner.create(0),
    })
}

fn spec(plan: &Plan, owner: Address) -> Result<ChainSpec, DeriveBenchError> {
    let senders = plan.senders.iter().map(|sender| (sender.address(), FUNDS));
    let receivers = plan.receivers.iter().map(|receiver| (*receiver, U256::ONE));
    let funded: Vec<(Address, U256)> = senders.chain(receivers).chain([(owner, FUNDS)]).collect();
    // The second contract that the operator creates on a new L1.
    let token_bridge = dev::operator()?.address().create(1);
    Ok(genesis::l2_genesis(
        CHAIN_ID,
        &funded,
        GAS_LIMIT,
        TIMESTAMP,
        token_bridge,
    )?)
}
