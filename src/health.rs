use clap::Args;
use eyre::{Result, WrapErr, bail};

/// Arguments of `weft health`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Base URL of the node's RPC port.
    #[arg(long, default_value = "http://127.0.0.1:8545")]
    url: String,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let url = format!("{}/ready", arguments.url.trim_end_matches('/'));
    let response = reqwest::Client::builder()
        .timeout(std::time::Duration::from_secs(5))
        .build()?
        .get(&url)
        .send()
        .await
        .wrap_err_with(|| format!("no answer from {url}"))?;
    let status = response.status();
    let body = response.text().await.unwrap_or_default();
    if !status.is_success() {
        bail!("{url} answered {status}: {body}");
    }
    println!("{body}");
    Ok(())
}
