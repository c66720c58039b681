use alloy_primitives::B256;
use weft_batcher::{ChainSource, ChainSourceError};
use weft_primitives::{L1Origin, SealedBlock};

use crate::chain::{ChainHandle, withdrawals_root_at};

/// The chain as the batcher reads it: durable blocks only.
#[derive(Debug)]
pub(super) struct DurableBlocks(pub(super) ChainHandle);

impl ChainSource for DurableBlocks {
    fn head(&self) -> u64 {
        self.0.head().number
    }

    fn block(&self, number: u64) -> Result<Option<SealedBlock>, ChainSourceError> {
        self.0.store().block(number).map_err(boxed)
    }

    fn deposit_count(&self, number: u64) -> Result<u64, ChainSourceError> {
        self.0.store().deposit_count(number).map_err(boxed)
    }

    fn withdrawals_root(&self, number: u64) -> Result<B256, ChainSourceError> {
        // The predeploy holds the root. Where the state after a block is not kept any more, the root
        // follows from the logs up to it, which always are.
        match withdrawals_root_at(&self.0, number).map_err(boxed)? {
            Some(root) => Ok(root),
            None => {
                let known = self.0.withdrawals();
                known.root_after(self.0.store(), number).map_err(boxed)
            }
        }
    }

    fn l1_origin(&self, number: u64) -> Result<Option<L1Origin>, ChainSourceError> {
        self.0.store().l1_origin(number).map_err(boxed)
    }

    async fn wait_for(&self, number: u64) {
        let mut head = self.0.watch_head();
        if head
            .wait_for(|head| head.header.number >= number)
            .await
            .is_err()
        {
            // The chain has stopped: no such block will come.
            std::future::pending::<()>().await;
        }
    }
}

fn boxed(error: impl std::error::Error + Send + Sync + 'static) -> ChainSourceError {
    ChainSourceError(Box::new(error))
}
