use std::path::PathBuf;

use clap::Args;
use eyre::Result;
use tokio_util::sync::CancellationToken;
use weft_sequencer::{config::Config, metrics, production};

use crate::{
    logging::{self, LogFormat},
    stop::stop_on_signal,
};

/// Arguments of `weft sequence`. What is given here overrides `WEFT_` variables, and those the file.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Configuration file; weft.example.toml has every key.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Overrides one key of the file, as SECTION.KEY=VALUE; may be repeated.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    overrides: Vec<String>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let config = Config::load(
        arguments.config.as_deref(),
        std::env::vars(),
        &arguments.overrides,
    )?;
    let format = if config.log.is_json() {
        LogFormat::Json
    } else {
        LogFormat::Text
    };
    logging::install(&config.log.filter, format)?;
    let metrics = config.metrics.enabled.then(metrics::install).transpose()?;
    let stop = CancellationToken::new();
    stop_on_signal(stop.clone());
    Ok(production::run(config, metrics, stop).await?)
}
