use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time};
use weft_l1_bridge::{OriginError, OriginSource};

use crate::{
    chain::{ChainHandle, OriginUpdate},
    error::NodeError,
    metrics::l1_error,
    trouble::Trouble,
};

/// Offers the producer the newest L1 origin with all deposits up to it. Ends only with an error; may
/// be dropped at any time.
pub(super) async fn follow(
    mut source: OriginSource,
    chain: ChainHandle,
    updates: watch::Sender<Option<Arc<OriginUpdate>>>,
    poll: Duration,
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
            // What was offered before may be gone: L1 can have become shorter.
            Ok(None) => {
                trouble.over();
                withdraw(&updates);
            }
            Err(error @ OriginError::Reorg { .. }) => {
                withdraw(&updates);
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
        time::sleep(poll).await;
    }
}

fn withdraw(updates: &watch::Sender<Option<Arc<OriginUpdate>>>) {
    updates.send_if_modified(|update| update.take().is_some());
}
