//! Bounded waiting for something that another process does.

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(50);

/// Looks again and again until `look` finds something.
///
/// # Errors
/// When `limit` has passed: what was waited for, and what the last look said.
pub async fn until<T, F, Fut>(what: &str, limit: Duration, mut look: F) -> eyre::Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = eyre::Result<Option<T>>>,
{
    let start = Instant::now();
    loop {
        let last = match look().await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => "not yet".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        if start.elapsed() > limit {
            eyre::bail!("waited {limit:?} for {what}; last look: {last}");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
