use std::{sync::Arc, time::Duration};

use alloy_primitives::B256;
use tokio::{sync::watch, time};
use weft_l1_bridge::{OriginError, OriginSource};

use super::deep_reorg::{LookError, ReorgWatch};
use crate::{
    chain::{ChainHandle, OriginUpdate},
    error::NodeError,
    metrics::{self, l1_error},
    trouble::Trouble,
};

/// Where it is told that L1 has dropped the chain's origin.
pub(super) struct Alarm {
    /// What is wrong, for people.
    pub(super) problem: watch::Sender<Option<String>>,
    /// Decides how far the chain goes back; `None` where it does not.
    pub(super) reorgs: Option<ReorgWatch>,
}

/// Offers the producer the newest L1 origin with all deposits up to it. Ends only with an error, such
/// as [`NodeError::DeepReorg`]; may be dropped at any time.
pub(super) async fn follow(
    mut source: OriginSource,
    chain: ChainHandle,
    updates: watch::Sender<Option<Arc<OriginUpdate>>>,
    mut alarm: Alarm,
    poll: Duration,
) -> Result<(), NodeError> {
    let mut trouble = Trouble::default();
    alarm.over(&chain);
    loop {
        let number = chain.head().number;
        let from = chain.store().l1_origin(number)?;
        let deposits = chain.store().deposit_count(number)?;
        match source.newest(from, deposits).await {
            Ok(Some(advance)) => {
                trouble.over();
                alarm.over(&chain);
                updates.send_replace(Some(Arc::new(OriginUpdate { from, advance })));
            }
            // What was offered before may be gone: L1 can have become shorter.
            Ok(None) => {
                trouble.over();
                alarm.over(&chain);
                withdraw(&updates);
            }
            Err(OriginError::Reorg {
                number,
                expected,
                found,
            }) => {
                withdraw(&updates);
                l1_error();
                let reorg = Dropped {
                    number,
                    expected,
                    found,
                };
                alarm.raise(&chain, &reorg, &mut trouble).await?;
            }
            Err(error) => {
                l1_error();
                alarm.no_answer();
                if trouble.is_news(&error) {
                    tracing::warn!(%error, "L1 cannot be read; no deposits until it can");
                }
            }
        }
        time::sleep(poll).await;
    }
}

/// L1 has another block in the place of the chain's origin.
#[derive(Debug, thiserror::Error)]
#[error(
    "L1 reorganised: expected block {number}, the chain's L1 origin, to be {expected}, found {found}"
)]
struct Dropped {
    number: u64,
    expected: B256,
    found: B256,
}

impl Alarm {
    fn over(&mut self, chain: &ChainHandle) {
        self.no_answer();
        self.problem.send_replace(None);
        metrics::origin_dropped(chain.spec().chain_id(), false);
    }

    /// An answer that did not come is none in a row.
    fn no_answer(&mut self) {
        if let Some(reorgs) = &mut self.reorgs {
            reorgs.reset();
        }
    }

    /// Tells of it; an error once the chain is to go back.
    async fn raise(
        &mut self,
        chain: &ChainHandle,
        dropped: &Dropped,
        trouble: &mut Trouble,
    ) -> Result<(), NodeError> {
        metrics::origin_dropped(chain.spec().chain_id(), true);
        let mut problem = dropped.to_string();
        if let Some(reorgs) = &mut self.reorgs {
            let Dropped {
                number,
                expected,
                found,
            } = *dropped;
            match reorgs.seen(chain.store(), number, expected, found).await {
                Ok(None) => problem.push_str("; the chain goes back if this lasts"),
                Ok(Some(reorg)) => return Err(reorg.into()),
                Err(LookError::Store(error)) => return Err(error.into()),
                Err(LookError::L1(error)) => {
                    tracing::warn!(%error, "L1 cannot be read while it seems to have reorganised");
                }
                Err(LookError::Cannot(reason)) => problem = format!("{problem}; {reason}"),
            }
        }
        if trouble.is_news(&problem) {
            tracing::error!(
                error = %problem,
                "no deposits are taken in and no batches posted until this is looked into"
            );
        }
        self.problem.send_replace(Some(problem));
        Ok(())
    }
}

fn withdraw(updates: &watch::Sender<Option<Arc<OriginUpdate>>>) {
    updates.send_if_modified(|update| update.take().is_some());
}
