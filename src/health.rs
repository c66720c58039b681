use clap::Args;
use eyre::{Result, WrapErr, bail};

/// Arguments of `weft health`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Base URL of the node's RPC port; given several times, one node that is ready is enough.
    #[arg(long, default_value = "http://127.0.0.1:8545")]
    url: Vec<String>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let mut answer = Ok(());
    for url in arguments.url {
        answer = check(&url).await;
        if answer.is_ok() {
            break;
        }
    }
    answer
}

async fn check(url: &str) -> Result<()> {
    let url = format!("{}/ready", url.trim_end_matches('/'));
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
