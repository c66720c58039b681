//! The chain, made by the stages of a sequencer.

use std::{
    num::NonZeroUsize,
    path::Path,
    sync::{Arc, mpsc::sync_channel},
    thread,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, TxKind, U256};
use alloy_sol_types::SolCall;
use rayon::prelude::*;
use weft_batcher::MAX_BLOCK_TRANSACTION_BYTES;
use weft_primitives::{BlockAttributes, ChainSpec, RecoveredTransaction, Transaction};
use weft_sequencer::{
    NodeError,
    chain::{ChainHandle, ChainWriter, ExecutionMode, LabelSource, Layers, engine},
    metrics::BlockSource,
};
use weft_state::Store;

use super::{CHAIN_ID, DeriveBenchError, GAS_LIMIT};
use crate::{
    contracts::Token,
    ingest::{Account, Action, Plan, Supply, TransactionKind},
};

/// Accounts that one call mints for: some 25,000 gas each.
const HOLDERS_A_MINT: usize = 400;
/// Gas limit of such a call, and of the token's deployment.
const SETUP_GAS: u64 = 15_000_000;
/// Tokens that each holder gets.
const TOKENS: u64 = 1_000_000_000_000;
/// Most transactions in a block.
const MAX_BLOCK_TRANSACTIONS: usize = 10_000;
/// Blocks whose transactions are admitted ahead of the one that is executed.
const ADMITTED_AHEAD: usize = 4;

/// Signed transactions, in blocks as large as those that a sequencer may make.
pub(super) struct Blocks {
    /// What prepares the chain.
    setup: Vec<Vec<u8>>,
    supply: Supply,
    /// Number of transactions of each block behind those of the setup.
    sizes: Vec<usize>,
}

impl Blocks {
    pub(super) fn sign(
        plan: &Plan,
        owner: &mut Account,
        count: usize,
        folder: &Path,
    ) -> Result<Self, DeriveBenchError> {
        let supply = plan.supply(count, folder)?;
        let (mut sizes, mut size, mut bytes) = (Vec::new(), 0, 0);
        for number in 0..count {
            let length = supply.get(number)?.raw().len();
            if size == MAX_BLOCK_TRANSACTIONS || bytes + length > MAX_BLOCK_TRANSACTION_BYTES {
                sizes.push(size);
                (size, bytes) = (0, 0);
            }
            size += 1;
            bytes += length;
        }
        sizes.push(size);
        Ok(Self {
            setup: setup(plan, owner)?,
            supply,
            sizes,
        })
    }

    /// Number of transactions of the workload.
    pub(super) const fn transactions(&self) -> usize {
        self.supply.len()
    }

    /// Number of blocks of the workload.
    pub(super) const fn len(&self) -> usize {
        self.sizes.len()
    }

    fn raw(&self) -> impl Iterator<Item = Result<Vec<Vec<u8>>, DeriveBenchError>> {
        let mut start = 0;
        self.sizes.iter().map(move |size| {
            let numbers = start..start + size;
            start += size;
            numbers
                .map(|number| Ok(self.supply.get(number)?.raw().to_vec()))
                .collect()
        })
    }

    /// All blocks with their senders.
    pub(super) fn recover(&self) -> Result<Vec<Vec<RecoveredTransaction>>, DeriveBenchError> {
        self.raw().map(|raw| admit(&raw?)).collect()
    }
}

/// The token and what the senders have of it.
fn setup(plan: &Plan, owner: &mut Account) -> Result<Vec<Vec<u8>>, DeriveBenchError> {
    if matches!(plan.kind, TransactionKind::Transfers) {
        return Ok(Vec::new());
    }
    let action = |to, input| Action {
        to,
        value: U256::ZERO,
        input,
        gas_limit: SETUP_GAS,
    };
    let mut actions = vec![action(TxKind::Create, Token::BYTECODE.clone())];
    for holders in plan.senders.chunks(HOLDERS_A_MINT) {
        let call = Token::mintCall {
            holders: holders.iter().map(Account::address).collect(),
            value: U256::from(TOKENS),
        };
        actions.push(action(plan.token.into(), call.abi_encode().into()));
    }
    actions
        .into_iter()
        .map(|action| Ok(owner.sign(CHAIN_ID, action)?.raw))
        .collect()
}

/// What admission has to do for a transaction, on all cores.
fn admit(raw: &[Vec<u8>]) -> Result<Vec<RecoveredTransaction>, DeriveBenchError> {
    raw.par_iter()
        .with_min_len(16)
        .map(|raw| Ok(Transaction::decode_for_l2(raw)?.recover()?))
        .collect()
}

/// A chain that grows.
pub(super) struct Chain {
    writer: ChainWriter,
    handle: ChainHandle,
}

impl Chain {
    pub(super) fn new(
        spec: &Arc<ChainSpec>,
        folder: &Path,
        threads: NonZeroUsize,
    ) -> Result<Self, DeriveBenchError> {
        let store = Store::open(folder, spec)?;
        let (writer, handle) = ChainWriter::new(
            spec.clone(),
            store,
            Arc::new(Layers::new(ExecutionMode::default(), None).map_err(NodeError::from)?),
            engine(threads.get())?,
            LabelSource::Durable,
            BlockSource::Produced,
        )?;
        Ok(Self { writer, handle })
    }

    /// Makes blocks whose senders are known, after those of `blocks`' setup, until all are durable.
    pub(super) fn make(
        mut self,
        blocks: &Blocks,
        recovered: Vec<Vec<RecoveredTransaction>>,
    ) -> Result<(Duration, ChainHandle), DeriveBenchError> {
        self.set_up(blocks)?;
        let started = Instant::now();
        for block in recovered {
            self.append(block)?;
        }
        self.writer.flush()?;
        Ok((started.elapsed(), self.handle))
    }

    /// As [`Self::make`], from the bytes of transactions.
    pub(super) fn make_admitting(
        mut self,
        blocks: &Blocks,
    ) -> Result<(Duration, ChainHandle), DeriveBenchError> {
        self.set_up(blocks)?;
        let started = Instant::now();
        let (sender, admitted) = sync_channel(ADMITTED_AHEAD);
        thread::scope(|scope| {
            scope.spawn(move || {
                for raw in blocks.raw() {
                    if sender.send(raw.and_then(|raw| admit(&raw))).is_err() {
                        return;
                    }
                }
            });
            for block in admitted {
                self.append(block?)?;
            }
            self.writer.flush()?;
            Ok::<_, DeriveBenchError>(())
        })?;
        Ok((started.elapsed(), self.handle))
    }

    fn set_up(&mut self, blocks: &Blocks) -> Result<(), DeriveBenchError> {
        for raw in &blocks.setup {
            self.append(admit(std::slice::from_ref(raw))?)?;
        }
        self.writer.flush()?;
        Ok(())
    }

    fn append(&mut self, transactions: Vec<RecoveredTransaction>) -> Result<(), DeriveBenchError> {
        let attributes = BlockAttributes {
            timestamp: self.writer.tip().timestamp + 1,
            gas_limit: GAS_LIMIT,
            beneficiary: Address::repeat_byte(0xbe),
            new_l1_origin: None,
        };
        let block = self.writer.execute(&attributes, transactions)?;
        if let Some((_, reason)) = block.dropped.first() {
            return Err(DeriveBenchError::LeftOut {
                number: block.number(),
                reason: reason.to_string(),
            });
        }
        Ok(self.writer.append(block)?)
    }
}
