//! What clients were told, in a file that only grows: whatever happens to the node, this stands.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use alloy_primitives::{Address, B256, U64};
use eyre::{bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::rpc::Rpc;

/// Blocks that are read in one HTTP request.
const BLOCKS: u64 = 50;

/// A record that several clients write; clones share it.
#[derive(Debug, Clone)]
pub struct Witness {
    path: PathBuf,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    /// Hash of every block that any client was shown, by number.
    blocks: BTreeMap<u64, B256>,
    acknowledged: usize,
}

/// A receipt, as far as it says where its transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// Hash of the transaction.
    pub transaction_hash: B256,
    /// Index in the block.
    pub transaction_index: U64,
    /// Number of the block.
    pub block_number: U64,
    /// Hash of the block.
    pub block_hash: B256,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block {
    hash: B256,
    parent_hash: B256,
    transactions: Vec<Transaction>,
}

#[derive(Debug, Deserialize)]
struct Transaction {
    hash: B256,
    from: Address,
    nonce: U64,
    #[serde(rename = "type", default)]
    kind: U64,
}

/// Type of deposits, which have no nonce of their own.
const DEPOSIT: u64 = 0x7e;

impl Witness {
    /// A record in a new file.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn new(path: &Path) -> eyre::Result<Self> {
        let file = File::options().append(true).create_new(true).open(path)?;
        Ok(Self {
            path: path.to_path_buf(),
            inner: Arc::new(Mutex::new(Inner {
                file,
                blocks: BTreeMap::new(),
                acknowledged: 0,
            })),
        })
    }

    /// A client has been answered this receipt: its transaction is acknowledged.
    ///
    /// # Errors
    /// When it is no receipt, or contradicts what was shown before.
    pub fn receipt(&self, receipt: &Value) -> eyre::Result<()> {
        let place = Place::deserialize(receipt)?;
        self.block(place.block_number.to(), place.block_hash)?;
        let mut inner = self.lock();
        inner.acknowledged += 1;
        writeln!(
            inner.file,
            "receipt {} {} {} {}",
            place.transaction_hash, place.transaction_index, place.block_number, place.block_hash
        )?;
        Ok(())
    }

    /// A client has been shown this block.
    ///
    /// # Errors
    /// When another one with its number was shown before.
    pub fn block(&self, number: u64, hash: B256) -> eyre::Result<()> {
        let mut inner = self.lock();
        match inner.blocks.insert(number, hash) {
            Some(other) if other != hash => {
                bail!("block {number} was shown as {other}, and then as {hash}")
            }
            Some(_) => Ok(()),
            None => Ok(writeln!(inner.file, "block {number} {hash}")?),
        }
    }

    /// As [`Witness::block`], for a header as JSON-RPC gives it.
    ///
    /// # Errors
    /// As [`Witness::block`], and when it is no header.
    pub fn header(&self, header: &Value) -> eyre::Result<()> {
        let field = |name| header.get(name).cloned().unwrap_or_default();
        let number: U64 = serde_json::from_value(field("number"))?;
        self.block(number.to(), serde_json::from_value(field("hash"))?)
    }

    /// How many receipts were answered.
    pub fn acknowledged(&self) -> usize {
        self.lock().acknowledged
    }

    /// The highest block that was shown.
    pub fn highest_block(&self) -> u64 {
        let inner = self.lock();
        inner
            .blocks
            .last_key_value()
            .map_or(0, |(number, _)| *number)
    }

    /// Reads the whole chain from `rpc` and compares: what was acknowledged is in it, once, where it
    /// was said to be; no block is another one than was shown; no transaction is in it twice, and
    /// every account's nonces follow on each other. Returns the hashes of the blocks from 0 on.
    ///
    /// # Errors
    /// With the first difference.
    pub async fn check(&self, rpc: &Rpc) -> eyre::Result<Vec<B256>> {
        let chain = Chain::read(rpc).await?;
        let (mut receipts, mut blocks) = (0, 0);
        for line in fs::read_to_string(&self.path)?.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["block", number, hash] => {
                    blocks += 1;
                    chain.check_block(number.parse()?, hash.parse()?)?;
                }
                ["receipt", transaction, index, number, hash] => {
                    receipts += 1;
                    let place = (number.parse::<U64>()?.to(), index.parse::<U64>()?.to());
                    chain.check_block(place.0, hash.parse()?)?;
                    let found = chain.transactions.get(&transaction.parse::<B256>()?);
                    ensure!(
                        found == Some(&place),
                        "{transaction} was acknowledged in block {} at {}, found {found:?}",
                        place.0,
                        place.1
                    );
                }
                _ => bail!("expected a line of the witness, found {line:?}"),
            }
        }
        let inner = self.lock();
        ensure!(
            (receipts, blocks) == (inner.acknowledged, inner.blocks.len()),
            "the witness has lost lines: {receipts} receipts and {blocks} blocks"
        );
        Ok(chain.hashes)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a node says that its chain is.
struct Chain {
    hashes: Vec<B256>,
    /// Number of the block and index in it.
    transactions: HashMap<B256, (u64, u64)>,
}

impl Chain {
    async fn read(rpc: &Rpc) -> eyre::Result<Self> {
        let head = rpc.block_number("latest").await?;
        let mut chain = Self {
            hashes: Vec::new(),
            transactions: HashMap::new(),
        };
        let mut nonces = HashMap::<Address, u64>::new();
        let mut next = 0;
        while next <= head {
            let last = head.min(next + BLOCKS - 1);
            let params = (next..=last).map(|number| json!([format!("{number:#x}"), true]));
            let blocks: Vec<Block> = rpc.batch("eth_getBlockByNumber", params.collect()).await?;
            for (number, block) in (next..).zip(blocks) {
                chain.push(number, block, &mut nonces)?;
            }
            next = last + 1;
        }
        Ok(chain)
    }

    fn push(
        &mut self,
        number: u64,
        block: Block,
        nonces: &mut HashMap<Address, u64>,
    ) -> eyre::Result<()> {
        if let Some(parent) = self.hashes.last() {
            ensure!(
                block.parent_hash == *parent,
                "block {number}: expected parent {parent}, found {}",
                block.parent_hash
            );
        }
        self.hashes.push(block.hash);
        for (index, transaction) in (0..).zip(block.transactions) {
            let Transaction {
                hash,
                from,
                nonce,
                kind,
            } = transaction;
            if let Some(other) = self.transactions.insert(hash, (number, index)) {
                bail!("{hash} is in the chain twice: {other:?} and {number} at {index}");
            }
            if kind.to::<u64>() == DEPOSIT {
                continue;
            }
            let next = nonces.entry(from).or_default();
            ensure!(
                nonce.to::<u64>() == *next,
                "{from}: expected nonce {next} in block {number}, found {nonce}"
            );
            *next += 1;
        }
        Ok(())
    }

    fn check_block(&self, number: u64, hash: B256) -> eyre::Result<()> {
        let found = self.hashes.get(usize::try_from(number)?);
        ensure!(
            found == Some(&hash),
            "block {number} was shown as {hash}, the chain has {found:?} and ends at {}",
            self.hashes.len() - 1
        );
        Ok(())
    }
}

/// Fails unless both nodes have the same blocks as far as both go; returns how many that are.
///
/// # Errors
/// With the first block that differs.
pub fn same_blocks(one: &[B256], other: &[B256]) -> eyre::Result<usize> {
    for (number, (one, other)) in one.iter().zip(other).enumerate() {
        ensure!(
            one == other,
            "block {number} is {one} here and {other} there"
        );
    }
    Ok(one.len().min(other.len()))
}

/// The hashes of a node's blocks from 0 on.
///
/// # Errors
/// When it does not answer, or its blocks are no chain.
pub async fn block_hashes(rpc: &Rpc) -> eyre::Result<Vec<B256>> {
    let hashes = Chain::read(rpc).await?.hashes;
    let distinct: HashSet<&B256> = hashes.iter().collect();
    ensure!(
        distinct.len() == hashes.len(),
        "a block is in the chain twice"
    );
    Ok(hashes)
}
