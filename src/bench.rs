use std::{num::NonZeroUsize, path::PathBuf};

use clap::{Args, Subcommand};
use eyre::Result;
use weft_bench::{Report, RunConfig, Selection};

/// Arguments of `weft bench`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Execute blocks by a plain loop over revm, by the sequential oracle and by the engine, in turn,
    /// and compare the times. A wrong result is an error and gives no number.
    Execute(ExecuteArguments),
}

#[derive(Debug, Args)]
struct ExecuteArguments {
    /// transfers, transfers-random, transfers-hot, transfers-chain, erc20, erc20-random, erc20-hot,
    /// amm, amm-100, amm-one, crafted, fixtures or all.
    #[arg(long, default_value = "all")]
    workload: Selection,
    /// Threads of the engine; the machine's cores when left out.
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
    /// What the blocks are generated from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder with real blocks (NUMBER.json.gz).
    #[arg(long)]
    fixtures: Option<PathBuf>,
    /// Runs of each contestant that count.
    #[arg(long, default_value = "15")]
    runs: NonZeroUsize,
    /// Transactions in a generated block; 10,000 when left out, 1,000 for amm.
    #[arg(long)]
    txs: Option<NonZeroUsize>,
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let Command::Execute(arguments) = arguments.command;
    let threads = match arguments.threads {
        Some(threads) => threads,
        None => std::thread::available_parallelism()?,
    };
    let json = arguments.json;
    let config = RunConfig {
        selection: arguments.workload,
        threads,
        seed: arguments.seed,
        runs: arguments.runs,
        transactions: arguments.txs,
        fixtures: arguments.fixtures,
    };
    if !json {
        println!("{}", Report::TABLE_HEAD);
    }
    let left_out = weft_bench::run(&config, |report| {
        if !json {
            println!("{report}");
        } else if let Ok(line) = serde_json::to_string(&report) {
            println!("{line}");
        }
    })?;
    if let Some(left_out) = left_out {
        eprintln!("{left_out}");
    }
    Ok(())
}
