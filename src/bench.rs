use std::{
    fmt::Display,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Subcommand};
use eyre::Result;
use serde::Serialize;
use weft_bench::{
    Report, RunConfig, Selection,
    derive::{DeriveBenchConfig, run_derive},
    ingest::{
        DEV_MNEMONIC, IngestConfig, IngestReport, Pace, TransactionKind, Transport, run_ingest,
    },
    programs::{ProgramsConfig, Twins, run_programs},
    state_bench::{StateBenchConfig, run_state},
};

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
    /// Call contracts that are WASM programs and their twins on the EVM, and compare the times.
    Programs(ProgramsArguments),
    /// Drive a node over real sockets with transactions that are signed beforehand. Without --url, a
    /// node of its own: `weft sequence` without an L1, in a temporary folder.
    Ingest(Box<IngestArguments>),
    /// Build a state of many accounts on disk, read it cold and warm, and execute, seal and commit
    /// blocks of random transfers on it, with preloading and without.
    State(StateArguments),
    /// Make a chain, post it to the embedded L1 in batches, derive it from there into an empty folder,
    /// and compare how fast both are.
    Derive(DeriveArguments),
    /// Encode real blocks as batches for L1: bytes for each transaction, and how fast.
    Encode(EncodeArguments),
}

#[derive(Debug, Args)]
struct EncodeArguments {
    /// Folder with real blocks (NUMBER.json.gz).
    #[arg(long)]
    fixtures: PathBuf,
    /// Runs at each level, of which the fastest counts.
    #[arg(long, default_value = "9")]
    runs: NonZeroUsize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct DeriveArguments {
    /// Transactions of the chain.
    #[arg(long, default_value = "100000")]
    txs: NonZeroUsize,
    /// transfers, erc20 or mix.
    #[arg(long, default_value = "mix")]
    workload: TransactionKind,
    /// Accounts that send, in turn.
    #[arg(long, default_value = "1000")]
    senders: NonZeroUsize,
    /// Accounts that receive.
    #[arg(long, default_value = "10000")]
    receivers: NonZeroUsize,
    /// Threads of the engine; the machine's cores when left out.
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// What keys, receivers and values come from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder in which the chains are made, for the time of the run.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ProgramsArguments {
    /// Contract: empty, erc20 or hashing; all of them when left out.
    #[arg(long)]
    program: Option<Twins>,
    /// Threads of the engine; the machine's cores when left out.
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Runs of each that count.
    #[arg(long, default_value = "9")]
    runs: NonZeroUsize,
    /// What accounts are generated from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct StateArguments {
    /// Accounts of the state.
    #[arg(long, default_value = "1000000")]
    accounts: NonZeroU32,
    /// Memory for caches, as a part of the state's size on disk.
    #[arg(long, default_value_t = 0.1)]
    cache_fraction: f64,
    /// Transfers in a block.
    #[arg(long, default_value = "2000")]
    txs: NonZeroUsize,
    /// Blocks in a run.
    #[arg(long, default_value = "10")]
    blocks: NonZeroUsize,
    /// Threads of the engine; the machine's cores when left out.
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Threads that preload.
    #[arg(long, default_value = "16")]
    preload_threads: NonZeroUsize,
    /// Runs with preloading, and as many without.
    #[arg(long, default_value = "3")]
    runs: NonZeroUsize,
    /// What transfers are generated from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder in which the state stays for the next time; a temporary one when left out.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
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

#[derive(Debug, Args)]
struct IngestArguments {
    /// HTTP endpoint of a running node, any Ethereum node. Senders are funded by --mnemonic.
    #[arg(long)]
    url: Option<String>,
    /// WebSocket endpoint, when it is not at the same host and port.
    #[arg(long)]
    ws_url: Option<String>,
    /// Process id of that node, to measure its CPU time and memory.
    #[arg(long, requires = "url")]
    pid: Option<u32>,
    /// The first ten accounts of this mnemonic pay for everything.
    #[arg(long, default_value = DEV_MNEMONIC)]
    mnemonic: String,
    /// transfers, erc20 or mix.
    #[arg(long, default_value = "transfers")]
    workload: TransactionKind,
    /// http (one request at a time on a connection), batch or ws.
    #[arg(long, default_value = "http")]
    transport: Transport,
    /// Requests in one batch, or in flight on one WebSocket connection.
    #[arg(long, default_value = "100")]
    batch: NonZeroUsize,
    /// Connections; 64 with http and 8 otherwise when left out.
    #[arg(long)]
    connections: Option<NonZeroUsize>,
    /// Accounts that send, in turn.
    #[arg(long, default_value = "1000")]
    senders: NonZeroUsize,
    /// Accounts that receive.
    #[arg(long, default_value = "10000")]
    receivers: NonZeroUsize,
    /// Transactions of one throughput run.
    #[arg(long, default_value = "100000")]
    txs: NonZeroUsize,
    /// Throughput runs.
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// Most transactions that are sent and not seen in a block, in a throughput run.
    #[arg(long, default_value = "20000")]
    in_flight: NonZeroUsize,
    /// First measure the idle chain with so many transactions one after the other, over HTTP and
    /// WebSocket each.
    #[arg(long, default_value_t = 0)]
    idle: usize,
    /// Pause before each of these, in milliseconds.
    #[arg(long, default_value_t = 0)]
    idle_pause_ms: u64,
    /// Then measure latencies at these shares of the fastest throughput run, one after the other.
    #[arg(long, value_delimiter = ',', conflicts_with = "rate")]
    fractions: Vec<f64>,
    /// Or at so many transactions a second.
    #[arg(long)]
    rate: Option<f64>,
    /// Then send so many times what the fastest throughput run came to.
    #[arg(long)]
    overload: Option<f64>,
    /// Seconds of each of --fractions, --rate and --overload.
    #[arg(long, default_value = "10")]
    seconds: NonZeroUsize,
    /// What keys, receivers and values come from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder in which the node's data folder is made.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// A setting of the node that is started, as `weft sequence` takes it; may be repeated.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    settings: Vec<String>,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Command::Execute(arguments) => execute(arguments),
        Command::Programs(arguments) => tokio::task::spawn_blocking(|| programs(arguments)).await?,
        Command::State(arguments) => tokio::task::spawn_blocking(|| state(arguments)).await?,
        Command::Derive(arguments) => tokio::task::spawn_blocking(|| derive(arguments)).await?,
        Command::Encode(arguments) => tokio::task::spawn_blocking(|| encode(arguments)).await?,
        // It has a thread and a runtime of its own.
        Command::Ingest(arguments) => tokio::task::spawn_blocking(|| ingest(*arguments)).await?,
    }
}

fn ingest(arguments: IngestArguments) -> Result<()> {
    let json = arguments.json;
    let config = IngestConfig {
        url: arguments.url,
        websocket_url: arguments.ws_url,
        pid: arguments.pid,
        mnemonic: arguments.mnemonic,
        kind: arguments.workload,
        transport: arguments.transport,
        batch: arguments.batch,
        connections: arguments.connections,
        senders: arguments.senders,
        receivers: arguments.receivers,
        transactions: arguments.txs,
        runs: arguments.runs,
        window: arguments.in_flight,
        idle: arguments.idle,
        idle_pause: Duration::from_millis(arguments.idle_pause_ms),
        paces: match arguments.rate {
            Some(rate) => vec![Pace::Rate(rate)],
            None => arguments
                .fractions
                .into_iter()
                .map(Pace::Fraction)
                .collect(),
        },
        overload: arguments.overload,
        seconds: arguments.seconds,
        seed: arguments.seed,
        data_dir: arguments.data_dir,
        settings: arguments.settings,
    };
    if !json {
        println!("{}", IngestReport::TABLE_HEAD);
    }
    run_ingest(&config, |report| {
        if !json {
            println!("{report}");
        } else if let Ok(line) = serde_json::to_string(&report) {
            println!("{line}");
        }
    })?;
    Ok(())
}

fn programs(arguments: ProgramsArguments) -> Result<()> {
    let config = ProgramsConfig {
        threads: threads(arguments.threads)?,
        program: arguments.program,
        seed: arguments.seed,
        runs: arguments.runs,
    };
    run_programs(&config, |report| {
        if !arguments.json {
            println!("{report}");
        } else if let Ok(line) = serde_json::to_string(&report) {
            println!("{line}");
        }
    })?;
    Ok(())
}

/// Prints a report, for people or as one line of JSON.
fn show<T: Serialize + Display>(report: &T, json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string(report)?);
    } else {
        println!("{report}");
    }
    Ok(())
}

/// As many threads as were asked for, or as the machine has cores.
fn threads(asked: Option<NonZeroUsize>) -> Result<NonZeroUsize> {
    Ok(match asked {
        Some(threads) => threads,
        None => std::thread::available_parallelism()?,
    })
}

fn state(arguments: StateArguments) -> Result<()> {
    let threads = threads(arguments.threads)?;
    let report = run_state(&StateBenchConfig {
        accounts: arguments.accounts,
        cache_fraction: arguments.cache_fraction,
        transactions: arguments.txs,
        blocks: arguments.blocks,
        threads,
        preload_threads: arguments.preload_threads,
        runs: arguments.runs,
        seed: arguments.seed,
        data_dir: arguments.data_dir,
    })?;
    show(&report, arguments.json)
}

fn derive(arguments: DeriveArguments) -> Result<()> {
    let threads = threads(arguments.threads)?;
    let report = run_derive(&DeriveBenchConfig {
        transactions: arguments.txs,
        kind: arguments.workload,
        senders: arguments.senders,
        receivers: arguments.receivers,
        threads,
        seed: arguments.seed,
        data_dir: arguments.data_dir,
    })?;
    show(&report, arguments.json)
}

fn encode(arguments: EncodeArguments) -> Result<()> {
    let report = weft_bench::run_encode(&arguments.fixtures, arguments.runs)?;
    show(&report, arguments.json)
}

fn execute(arguments: ExecuteArguments) -> Result<()> {
    let threads = threads(arguments.threads)?;
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
