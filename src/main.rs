//! The `weft` command.

mod batcher;
mod bench;
mod blobs;
mod bridge;
mod deploy;
mod dev;
mod follow;
mod health;
mod logging;
mod sequence;
mod stop;
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Freed pages stay with their thread, which is where the next block needs them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A rollup sequencer with pluggable, parallel execution layers.
#[derive(Debug, Parser)]
#[command(name = "weft", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run L1, sequencer, batcher, bridge and watcher in one process, with funded test accounts.
    Dev(dev::Arguments),
    /// Run a production sequencer.
    Sequence(sequence::Arguments),
    /// Rebuild the chain from L1 alone, check every batch and serve read-only RPC.
    Follow(follow::Arguments),
    /// Print and check every batch post; a mismatch is a non-zero exit.
    Watch(watch::Arguments),
    /// Put the contracts on an L1 and print their addresses.
    Deploy(deploy::Arguments),
    /// Tell and steer the batcher of a running node.
    Batcher(batcher::Arguments),
    /// Move value between L1 and L2.
    Bridge(bridge::Arguments),
    /// Measure how fast blocks are executed, and how fast a node takes transactions in.
    Bench(bench::Arguments),
    /// Ask a running node whether it is ready; for health checks.
    Health(health::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    weft_sequencer::open_files::raise_limit();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("Error: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        match arguments.command {
            Command::Dev(arguments) => dev::run(arguments).await,
            Command::Sequence(arguments) => sequence::run(arguments).await,
            Command::Follow(arguments) => follow::run(arguments).await,
            Command::Watch(arguments) => return watch::run(arguments).await,
            Command::Deploy(arguments) => deploy::run(arguments).await,
            Command::Batcher(arguments) => batcher::run(arguments).await,
            Command::Bridge(arguments) => bridge::run(arguments).await,
            Command::Bench(arguments) => bench::run(arguments).await,
            Command::Health(arguments) => health::run(arguments).await,
        }
        .map(|()| ExitCode::SUCCESS)
    });
    result.unwrap_or_else(|error| {
        eprintln!("Error: {}", in_one_line(&error));
        ExitCode::FAILURE
    })
}

/// An error and its causes, without those that the text before them already repeats.
fn in_one_line(error: &eyre::Report) -> String {
    error.chain().fold(String::new(), |text, cause| {
        let cause = cause.to_string();
        if text.is_empty() {
            cause
        } else if text.contains(&cause) {
            text
        } else {
            format!("{text}: {cause}")
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use eyre::{Report, eyre};

    #[test]
    fn every_command_can_be_parsed() {
        super::Arguments::command().debug_assert();
    }

    #[test]
    fn each_cause_is_said_once() {
        let error: Report = eyre!("no space left");
        let error = error
            .wrap_err("block 7 could not be written: no space left")
            .wrap_err("stopping");
        assert_eq!(
            super::in_one_line(&error),
            "stopping: block 7 could not be written: no space left"
        );
    }
}
