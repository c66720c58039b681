use std::{fmt, time::Duration};

use serde::Serialize;

use super::{DeriveBenchConfig, l1::PostedChain, produce::Blocks};

/// What making and deriving a chain cost: one JSON object.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeriveReport {
    /// Transactions of the chain, without those that prepare it.
    pub txs: usize,
    /// Blocks that hold them.
    pub blocks: usize,
    /// Batches of the whole chain.
    pub batches: u64,
    /// Bytes of all batches, as posted.
    pub batch_bytes: u64,
    /// Threads of the engine.
    pub threads: usize,
    /// Executed, sealed and written by the sequencer's stages, in transactions a second; senders are
    /// known before.
    pub execute_tps: f64,
    /// The same with what admission has to do: decoding each transaction and recovering its sender.
    pub produce_tps: f64,
    /// Derived from L1 into an empty folder, in transactions a second: from the start of the follower
    /// until all batches are checked.
    pub derive_tps: f64,
    /// `derive_tps / produce_tps`.
    pub ratio: f64,
    /// `derive_tps / execute_tps`.
    pub ratio_execute: f64,
    /// Seconds to encode and post all batches.
    pub posting_s: f64,
}

impl DeriveReport {
    pub(super) fn new(
        config: &DeriveBenchConfig,
        blocks: &Blocks,
        posted: &PostedChain,
        [made, admitted, posting, derived]: [Duration; 4],
    ) -> Self {
        let tps = |took: Duration| blocks.transactions() as f64 / took.as_secs_f64();
        Self {
            txs: blocks.transactions(),
            blocks: blocks.len(),
            batches: posted.batches,
            batch_bytes: posted.bytes,
            threads: config.threads.get(),
            execute_tps: tps(made),
            produce_tps: tps(admitted),
            derive_tps: tps(derived),
            ratio: admitted.as_secs_f64() / derived.as_secs_f64(),
            ratio_execute: made.as_secs_f64() / derived.as_secs_f64(),
            posting_s: posting.as_secs_f64(),
        }
    }
}

impl fmt::Display for DeriveReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} transactions in {} blocks, {} batches of {} KiB in all, {} threads",
            self.txs,
            self.blocks,
            self.batches,
            self.batch_bytes >> 10,
            self.threads,
        )?;
        writeln!(f, "executed, sealed, written {:>9.0} /s", self.execute_tps)?;
        writeln!(f, "made from signed bytes    {:>9.0} /s", self.produce_tps)?;
        writeln!(f, "derived from L1           {:>9.0} /s", self.derive_tps)?;
        write!(
            f,
            "deriving is {:.2} times as fast as making from signed bytes, {:.2} times as executing",
            self.ratio, self.ratio_execute,
        )
    }
}
