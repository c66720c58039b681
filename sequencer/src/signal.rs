//! When the process is asked to stop.

use tokio::signal::unix::{SignalKind, signal};

/// Resolves at the first SIGINT (Ctrl-C) or SIGTERM.
///
/// # Errors
/// When the system does not let the process listen for signals.
pub async fn stop_requested() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}
