use std::io::IsTerminal;

use clap::ValueEnum;
use eyre::{Result, WrapErr};
use tracing_subscriber::EnvFilter;

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Sends logs to standard error, so that standard output stays free for results.
pub(crate) fn install(filter: &str, format: LogFormat) -> Result<()> {
    // What comes later overrides: the database's own log only shows when it is asked for.
    let filter = EnvFilter::try_new(format!("fjall=warn,lsm_tree=warn,{filter}"))
        .wrap_err_with(|| format!("log filter {filter:?} is not valid"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
