use tokio_util::sync::CancellationToken;
use weft_sequencer::signal::stop_requested;

/// Cancels the token at the first signal. A second one ends the process at once.
pub(crate) fn stop_on_signal(stop: CancellationToken) {
    tokio::spawn(async move {
        if let Err(error) = stop_requested().await {
            tracing::error!(%error, "cannot listen for signals");
        }
        stop.cancel();
        if stop_requested().await.is_ok() {
            std::process::exit(130);
        }
    });
}
