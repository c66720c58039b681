//! What a transaction takes on L1, and how fast batches are encoded and decoded.

use std::{
    fmt,
    num::NonZeroUsize,
    path::Path,
    time::{Duration, Instant},
};

use alloy_consensus::Typed2718;
use alloy_eips::eip2718::Encodable2718;
use serde::Serialize;
use weft_batcher::{
    BatchBlock, BatchEncodeError, BatchPolicy, MAX_ENCODED_BYTES, decode_batch, encode_batch,
};

use crate::{BenchError, Fixture, fixture_files};

/// Levels that are measured.
const LEVELS: [i32; 4] = [1, 6, 9, 19];

/// Bytes of a signature's `r` and `s`.
const SIGNATURE_BYTES: f64 = 64.0;

/// Type of blob transactions, which a weft chain does not have.
const BLOB_TRANSACTION: u8 = 3;

/// Real blocks as batches: one JSON object.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EncodeReport {
    /// Blocks that have transactions.
    pub blocks: usize,
    /// Transactions, blob transactions left out.
    pub txs: usize,
    /// Sum of the transactions' EIP-2718 encodings, in bytes.
    pub raw_bytes: usize,
    /// Level of [`BatchPolicy::default`], at which the numbers below were measured.
    pub level: i32,
    /// Batches into which the blocks were split, because one may not be longer than
    /// [`MAX_ENCODED_BYTES`].
    pub batches: usize,
    /// Bytes of these batches.
    pub bytes: usize,
    /// Bytes of a batch for each transaction, everything included.
    pub bytes_per_tx: f64,
    /// Of these, the signatures' `r` and `s`.
    pub signature_bytes_per_tx: f64,
    /// Millions of raw bytes encoded a second, by the fastest run.
    pub mb_per_s: f64,
    /// Millions of raw bytes decoded a second, by the fastest run.
    pub decode_mb_per_s: f64,
    /// Bytes for each transaction when every block is a batch of its own.
    pub alone_bytes_per_tx: f64,
    /// The same at several levels.
    pub levels: Vec<LevelReport>,
}

/// One level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LevelReport {
    /// The level.
    pub level: i32,
    /// Bytes of a batch for each transaction.
    pub bytes_per_tx: f64,
    /// Millions of raw bytes encoded a second, by the fastest run.
    pub mb_per_s: f64,
}

/// Encodes the fixtures in a folder as batches, `runs` times, and checks that they decode to the same
/// blocks.
///
/// # Errors
/// When there are no fixtures or they cannot be read, or a batch does not decode to its blocks.
pub fn run_encode(folder: &Path, runs: NonZeroUsize) -> Result<EncodeReport, BenchError> {
    let blocks = blocks(folder)?;
    let transactions = || blocks.iter().flat_map(|block| &block.transactions);
    let txs = transactions().count();
    let raw_bytes: usize = transactions().map(Encodable2718::encode_2718_len).sum();
    let per_tx = |bytes: usize| bytes as f64 / txs as f64;
    let speed = |time: Duration| raw_bytes as f64 / 1e6 / time.as_secs_f64();

    let level = BatchPolicy::default().compression_level;
    let measured = measure(&blocks, level, runs)?;
    let mut decode = Duration::MAX;
    for _ in 0..runs.get() {
        let start = Instant::now();
        let decoded = measured
            .batches
            .iter()
            .map(|batch| decode_batch(batch))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| BenchError::Batch(error.to_string()))?;
        decode = decode.min(start.elapsed());
        if decoded.concat() != blocks {
            return Err(BenchError::Batch("decoded to other blocks".to_owned()));
        }
    }
    let mut alone = 0;
    for block in &blocks {
        alone += encode(std::slice::from_ref(block), level)?.len();
    }
    let levels = LEVELS
        .into_iter()
        .map(|level| {
            let measured = measure(&blocks, level, runs)?;
            Ok(LevelReport {
                level,
                bytes_per_tx: per_tx(measured.bytes()),
                mb_per_s: speed(measured.time),
            })
        })
        .collect::<Result<_, BenchError>>()?;
    Ok(EncodeReport {
        blocks: blocks.len(),
        txs,
        raw_bytes,
        level,
        batches: measured.batches.len(),
        bytes: measured.bytes(),
        bytes_per_tx: per_tx(measured.bytes()),
        signature_bytes_per_tx: SIGNATURE_BYTES,
        mb_per_s: speed(measured.time),
        decode_mb_per_s: speed(decode),
        alone_bytes_per_tx: per_tx(alone),
        levels,
    })
}

/// The fixtures' blocks, as a chain would post them, oldest first.
fn blocks(folder: &Path) -> Result<Vec<BatchBlock>, BenchError> {
    let mut blocks = Vec::new();
    for path in fixture_files(folder)? {
        let scenario = Fixture::read(&path)?.scenario;
        let transactions: Vec<_> = scenario
            .transactions
            .iter()
            .map(|transaction| transaction.inner().clone())
            .filter(|transaction| transaction.ty() != BLOB_TRANSACTION)
            .collect();
        if !transactions.is_empty() {
            blocks.push(BatchBlock {
                timestamp: scenario.block.timestamp,
                gas_limit: scenario.block.gas_limit,
                beneficiary: scenario.block.beneficiary,
                l1_origin: None,
                transactions,
            });
        }
    }
    if blocks.is_empty() {
        return Err(BenchError::NoFixtures(folder.to_owned()));
    }
    blocks.sort_by_key(|block| block.timestamp);
    Ok(blocks)
}

/// Batches and the fastest run's time.
struct Measured {
    batches: Vec<Vec<u8>>,
    time: Duration,
}

impl Measured {
    fn bytes(&self) -> usize {
        self.batches.iter().map(Vec::len).sum()
    }
}

fn measure(blocks: &[BatchBlock], level: i32, runs: NonZeroUsize) -> Result<Measured, BenchError> {
    // Where to split is found out before the clock starts.
    let parts = split(blocks, level)?;
    let mut measured = Measured {
        batches: Vec::new(),
        time: Duration::MAX,
    };
    for _ in 0..runs.get() {
        let start = Instant::now();
        let batches = parts.iter().map(|part| encode(part, level));
        measured.batches = batches.collect::<Result<_, _>>()?;
        measured.time = measured.time.min(start.elapsed());
    }
    Ok(measured)
}

/// As few parts of about the same length as fit into batches.
fn split(blocks: &[BatchBlock], level: i32) -> Result<Vec<&[BatchBlock]>, BenchError> {
    for count in 1..=blocks.len() {
        let parts: Vec<&[BatchBlock]> = blocks.chunks(blocks.len().div_ceil(count)).collect();
        let mut fits = true;
        for part in &parts {
            match encode_batch(part, level) {
                Ok(_) => {}
                Err(
                    BatchEncodeError::Encoded(_)
                    | BatchEncodeError::Inputs
                    | BatchEncodeError::Transactions(_),
                ) => {
                    fits = false;
                    break;
                }
                Err(error) => return Err(BenchError::Batch(error.to_string())),
            }
        }
        if fits {
            return Ok(parts);
        }
    }
    Err(BenchError::Batch(format!(
        "a block alone is longer than {MAX_ENCODED_BYTES} bytes"
    )))
}

fn encode(blocks: &[BatchBlock], level: i32) -> Result<Vec<u8>, BenchError> {
    encode_batch(blocks, level).map_err(|error| BenchError::Batch(error.to_string()))
}

impl fmt::Display for EncodeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} transactions of {} blocks, {} raw bytes, in {} batches of {} bytes",
            self.txs, self.blocks, self.raw_bytes, self.batches, self.bytes
        )?;
        writeln!(
            f,
            "{:.2} bytes a transaction, {:.0} of them signature; {:.2} with a batch for each block",
            self.bytes_per_tx, self.signature_bytes_per_tx, self.alone_bytes_per_tx
        )?;
        write!(
            f,
            "level {}: {:.1} MB/s encoded, {:.1} MB/s decoded",
            self.level, self.mb_per_s, self.decode_mb_per_s
        )?;
        for level in &self.levels {
            write!(
                f,
                "\nlevel {}: {:.2} bytes a transaction, {:.1} MB/s",
                level.level, level.bytes_per_tx, level.mb_per_s
            )?;
        }
        Ok(())
    }
}
