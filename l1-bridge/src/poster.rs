use std::sync::{Arc, Mutex, PoisonError};

use alloy_eips::BlockId;
use alloy_primitives::{Address, TxKind, U256};
use alloy_sol_types::SolCall;
use weft_batcher::{
    BatchHeader, BatchPoster, EventSink, LastBatch, PostError, Posted, SubmitterEvent,
};
use weft_primitives::L1Origin;

use crate::{
    L1Client, L1Error, Payload, SendError, Severity, Slot, TransactionManager,
    contract::{AbiBatchHeader, Rollup},
};

/// Posts batches to the contract as calldata.
#[derive(Debug, Clone)]
pub struct ContractPoster {
    client: L1Client,
    manager: TransactionManager,
    contract: Address,
    /// The slot for the batch that follows from the last reading of the contract.
    slot: Arc<Mutex<Option<Slot>>>,
}

impl ContractPoster {
    /// A poster for a contract; the account of `manager` needs the batcher role, and must not be used
    /// by anybody else while this one is.
    pub fn new(client: L1Client, manager: TransactionManager, contract: Address) -> Self {
        Self {
            client,
            manager,
            contract,
            slot: Arc::default(),
        }
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Slot>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn view<C: SolCall + Send>(&self, call: C, at: BlockId) -> Result<C::Return, L1Error> {
        self.client.view(self.contract, &call, at).await
    }

    async fn read_last_batch(&self) -> Result<LastBatch, L1Error> {
        let slot = self.manager.settle().await?;
        *self.slot() = Some(slot);
        // All at one block, so that they fit each other.
        let at = BlockId::number(self.client.block_number().await?);
        let count: U256 = self.view(Rollup::batchCountCall {}, at).await?;
        Ok(LastBatch {
            count: count.try_into().map_err(|_| {
                L1Error::answer("batchCount()", "a number below 2^64", count.to_string())
            })?,
            hash: self.view(Rollup::lastBatchHashCall {}, at).await?,
            last_block: self.view(Rollup::lastBlockCall {}, at).await?,
            last_block_hash: self.view(Rollup::lastBlockHashCall {}, at).await?,
        })
    }

    async fn send(
        &self,
        index: u64,
        header: &BatchHeader,
        data: &[u8],
        events: &EventSink,
    ) -> Result<Posted, SendError> {
        let call = Rollup::postBatchCall {
            header: AbiBatchHeader::from(header),
            data: data.to_vec().into(),
        };
        let taken = self.slot().take();
        let slot = match taken {
            Some(slot) => slot,
            None => self.manager.settle().await?,
        };
        let payload = Payload::plain(
            TxKind::Call(self.contract),
            U256::ZERO,
            call.abi_encode().into(),
        );
        let batch_hash = header.hash();
        let sender = self.manager.address();
        let receipt = self
            .manager
            .send_in(slot, payload, |sent| {
                events.send(SubmitterEvent::Attempt {
                    index,
                    batch_hash,
                    header: *header,
                    data_bytes: data.len(),
                    sender,
                    tx_hash: sent.tx_hash,
                    nonce: sent.nonce,
                    gas_limit: sent.gas_limit,
                    max_fee_per_gas: sent.max_fee_per_gas,
                    max_priority_fee_per_gas: sent.max_priority_fee_per_gas,
                })
            })
            .await?;
        let (Some(l1_block), Some(l1_block_hash)) = (receipt.block_number, receipt.block_hash)
        else {
            let asked = format!("receipt of {}", receipt.transaction_hash);
            return Err(L1Error::answer(asked, "a block", "none").into());
        };
        Ok(Posted {
            tx_hash: receipt.transaction_hash,
            l1_block,
            l1_block_hash,
            gas_used: receipt.gas_used,
            gas_price: receipt.effective_gas_price,
        })
    }
}

fn classify(error: impl Into<SendError>) -> PostError {
    let error = error.into();
    match error.severity() {
        Severity::Stop => PostError::Fatal(error.into()),
        Severity::Retry | Severity::Alarm => PostError::Retry(error.into()),
    }
}

impl BatchPoster for ContractPoster {
    async fn last_batch(&self) -> Result<LastBatch, PostError> {
        self.read_last_batch().await.map_err(classify)
    }

    async fn check_origin(&self, origin: &L1Origin) -> Result<(), PostError> {
        self.client
            .check_origin(origin)
            .await
            .map_err(|error| PostError::Retry(error.into()))
    }

    async fn post(
        &self,
        index: u64,
        header: &BatchHeader,
        data: &[u8],
        events: &EventSink,
    ) -> Result<Posted, PostError> {
        self.send(index, header, data, events)
            .await
            .map_err(classify)
    }
}
