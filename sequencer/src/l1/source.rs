use weft_batcher::{ChainSource, ChainSourceError};
use weft_primitives::{L1Origin, SealedBlock};

use crate::chain::ChainHandle;

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
