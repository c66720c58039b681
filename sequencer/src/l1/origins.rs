use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;
use weft_l1_bridge::{OriginError, OriginSource};

use crate::{
    chain::{ChainHandle, OriginUpdate},
    error::NodeError,
    metrics::l1_error,
    trouble::Trouble,
};

/// Offers the producer the newest L1 origin with all deposits up to it.
pub(super) async fn follow(
    mut source: OriginSource,
    chain: ChainHandle,
    updates: watch::Sender<Option<Arc<OriginUpdate>>>,
    poll: Duration,
    stop: CancellationToken,
) -> Result<(), NodeError> {
    let mut trouble = Trouble::default();
    loop {
        let number = chain.head().number;
        let from = chain.store().l1_origin(number)?;
        let deposits = chain.store().deposit_count(number)?;
        match source.newest(from, deposits).await {
            Ok(Some(advance)) => {
                trouble.over();
                updates.send_replace(Some(Arc::new(OriginUpdate { from, advance })));
            }
            Ok(None) => trouble.over(),
            Err(error @ OriginError::Reorg { .. }) => {
                l1_error();
                if trouble.is_news(&error) {
                    tracing::error!(
                        %error,
                        "no deposits are taken in and no batches posted until this is looked into"
                    );
                }
            }
            Err(error) => {
                l1_error();
                if trouble.is_news(&error) {
                    tracing::warn!(%error, "L1 cannot be read; no deposits until it can");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = time::sleep(poll) => {}
        }
    }
}
