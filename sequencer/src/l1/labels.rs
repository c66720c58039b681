use std::time::Duration;

use metrics::gauge;
use tokio::{sync::watch, time};
use weft_l1_bridge::{L1LabelSource, PostedLabels};

use crate::{
    chain::{ChainHandle, L1Labels},
    error::NodeError,
    metrics::l1_error,
    trouble::Trouble,
};

/// Keeps the labels as L1 says. While L1 cannot be read they stay as they are. Never ends; may be
/// dropped at any time.
pub(super) async fn follow(
    source: L1LabelSource,
    chain: ChainHandle,
    labels: watch::Sender<L1Labels>,
    poll: Duration,
) -> Result<(), NodeError> {
    let chain_id = chain.spec().chain_id().to_string();
    let mut trouble = Trouble::default();
    loop {
        match source.labels().await {
            Ok(seen) => {
                trouble.over();
                let now = up_to(chain.verified(), &seen);
                labels.send_if_modified(|labels| std::mem::replace(labels, now) != now);
                gauge!("weft_safe_block_number", "chain_id" => chain_id.clone())
                    .set(now.safe as f64);
                gauge!("weft_finalized_block_number", "chain_id" => chain_id.clone())
                    .set(now.finalized as f64);
            }
            Err(error) => {
                l1_error();
                if trouble.is_news(&error) {
                    tracing::warn!(%error, "L1 cannot be read; labels stay as they are");
                }
            }
        }
        time::sleep(poll).await;
    }
}

/// The labels of a chain up to `head`: a follower may know more of L1 than it has checked.
pub(super) fn up_to(head: u64, seen: &PostedLabels) -> L1Labels {
    L1Labels {
        safe: seen.safe.min(head),
        finalized: seen.finalized.min(head),
    }
}
