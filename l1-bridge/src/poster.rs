use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use alloy_eips::{
    BlockId, BlockNumberOrTag,
    eip4844::{Blob, Bytes48},
};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_rpc_types_eth::Block;
use alloy_sol_types::SolCall;
use weft_batcher::{
    BatchHeader, BatchPoster, BlobMarket, BlobSpace, EventSink, L1Market, LastBatch, Placement,
    PostError, Posted, Prepared, SubmitterEvent,
};
use weft_primitives::L1Origin;

use crate::{
    BlobEncodeError, BlobPayload, BlobSourceError, KzgError, L1Client, L1Error, Payload, SendError,
    SentTransaction, Severity, Slot, TransactionManager, blob_commitment,
    blobs::{BLOB_BYTES, BLOB_OVERHEAD_BYTES},
    blobs_data_hash,
    contract::{AbiBatchHeader, Rollup},
    encode_blobs,
};

/// Gas limit of a batch, besides what its calldata costs, where L1 cannot execute the transaction ahead, in
/// gas: several times what the contract uses.
const POST_GAS_LIMIT: u64 = 600_000;

/// Posts batches to the contract.
#[derive(Debug, Clone)]
pub struct ContractPoster {
    client: L1Client,
    manager: TransactionManager,
    contract: Address,
    /// Most blobs of one batch; 0 posts none.
    max_blobs: usize,
    /// The slot for the batch that follows from the last reading of the contract.
    slot: Arc<Mutex<Option<Slot>>>,
    /// Set once L1 was seen to have blobs: it does not lose them again.
    has_blobs: Arc<OnceLock<()>>,
}

/// A batch's data on its way to L1.
#[derive(Debug, Clone)]
pub enum PostableData {
    /// As calldata.
    Calldata(Bytes),
    /// In blobs.
    Blobs(Arc<BlobPayload>),
}

/// Why a batch was not posted.
#[derive(Debug, thiserror::Error)]
enum PosterError {
    #[error(transparent)]
    Send(#[from] SendError),
    #[error(transparent)]
    Encode(#[from] BlobEncodeError),
    #[error(transparent)]
    Kzg(#[from] KzgError),
    #[error(transparent)]
    Archive(#[from] BlobSourceError),
    #[error("putting a batch into blobs ended early")]
    Worker,
}

impl From<L1Error> for PosterError {
    fn from(error: L1Error) -> Self {
        Self::Send(error.into())
    }
}

impl ContractPoster {
    /// A poster for a contract; the account of `manager` needs the batcher role, and must not be used
    /// by anybody else while this one is. Batches take up to `max_blobs` blobs, and none when the
    /// client cannot read blobs.
    pub fn new(
        client: L1Client,
        manager: TransactionManager,
        contract: Address,
        max_blobs: usize,
    ) -> Self {
        Self {
            client,
            manager,
            contract,
            max_blobs: max_blobs.min(crate::MAX_BATCH_BLOBS),
            slot: Arc::default(),
            has_blobs: Arc::default(),
        }
    }

    fn slot(&self) -> MutexGuard<'_, Option<Slot>> {
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

    /// Whether L1 has blobs (EIP-4844): its headers count blob gas.
    async fn l1_has_blobs(&self) -> Result<bool, L1Error> {
        if self.has_blobs.get().is_some() {
            return Ok(true);
        }
        let head: Option<Block<B256>> = self
            .client
            .request("eth_getBlockByNumber", (BlockNumberOrTag::Latest, false))
            .await?;
        let found = head.is_some_and(|head| head.header.excess_blob_gas.is_some());
        if found {
            let _ = self.has_blobs.set(());
        }
        Ok(found)
    }

    async fn read_market(&self) -> Result<L1Market, PosterError> {
        let with_blobs =
            self.max_blobs > 0 && self.client.blobs().has_source() && self.l1_has_blobs().await?;
        let market = self.manager.market(with_blobs).await?;
        let blobs = market.blob_base_fee.map(|base_fee| BlobMarket {
            base_fee,
            space: BlobSpace {
                max_blobs: self.max_blobs,
                bytes_per_blob: BLOB_BYTES,
                overhead_bytes: BLOB_OVERHEAD_BYTES,
            },
        });
        // A pending blob transaction whose kind is not to be had any more is cancelled by the manager.
        let pending = self.pending_placement().await?;
        Ok(L1Market {
            base_fee: market.base_fee,
            tip: market.tip,
            blobs,
            pending: pending.filter(|kind| *kind == Placement::Calldata || blobs.is_some()),
        })
    }

    /// Of which kind the transaction is that holds the slot.
    async fn pending_placement(&self) -> Result<Option<Placement>, L1Error> {
        let Some(slot) = *self.slot() else {
            return Ok(None);
        };
        let with_blobs = self.manager.pending_has_blobs(slot).await?;
        Ok(with_blobs.map(|with_blobs| match with_blobs {
            true => Placement::Blobs,
            false => Placement::Calldata,
        }))
    }

    fn payload(&self, header: &BatchHeader, data: &PostableData) -> Payload {
        let header = AbiBatchHeader::from(header);
        let to = TxKind::Call(self.contract);
        match data {
            PostableData::Calldata(data) => {
                let call = Rollup::postBatchCall {
                    header,
                    data: data.clone(),
                };
                let input = Bytes::from(call.abi_encode());
                Payload {
                    fallback_gas_limit: Some(calldata_gas_limit(&input)),
                    ..Payload::plain(to, U256::ZERO, input)
                }
            }
            PostableData::Blobs(blobs) => {
                let call = Rollup::postBatchBlobsCall { header };
                Payload {
                    blobs: Some(Arc::clone(blobs)),
                    fallback_gas_limit: Some(POST_GAS_LIMIT),
                    ..Payload::plain(to, U256::ZERO, call.abi_encode().into())
                }
            }
        }
    }

    /// What is on L1 in blobs must be there to read for longer than L1 keeps it: so it is kept before
    /// it is posted.
    async fn archive(&self, data: &PostableData) -> Result<(), BlobSourceError> {
        let (PostableData::Blobs(payload), Some(archive)) = (data, self.client.blobs().archive())
        else {
            return Ok(());
        };
        for (hash, blob) in payload.versioned_hashes().iter().zip(payload.blobs()) {
            archive.put(*hash, blob.as_slice()).await?;
        }
        Ok(())
    }

    async fn send(
        &self,
        index: u64,
        header: &BatchHeader,
        prepared: &Prepared<PostableData>,
        events: &EventSink,
    ) -> Result<Posted, PosterError> {
        self.archive(&prepared.data).await?;
        let taken = self.slot().take();
        let slot = match taken {
            Some(slot) => slot,
            None => self.manager.settle().await?,
        };
        let batch_hash = header.hash();
        let sender = self.manager.address();
        let attempt = |sent: SentTransaction| {
            events.send(SubmitterEvent::Attempt {
                index,
                batch_hash,
                header: *header,
                placement: prepared.placement,
                data_bytes: prepared.bytes,
                sender,
                tx_hash: sent.tx_hash,
                nonce: sent.nonce,
                gas_limit: sent.gas_limit,
                max_fee_per_gas: sent.max_fee_per_gas,
                max_priority_fee_per_gas: sent.max_priority_fee_per_gas,
                max_fee_per_blob_gas: sent.max_fee_per_blob_gas,
            })
        };
        let payload = self.payload(header, &prepared.data);
        let mut reported = None;
        let receipt = tokio::select! {
            receipt = self.manager.send_in(slot, payload, attempt) => receipt,
            never = self.report_alarms(events, &mut reported) => match never {},
        };
        if reported.is_some() {
            events.send(SubmitterEvent::Alarm { alarm: None }).await;
        }
        let receipt = receipt?;
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
            blob_gas_used: receipt.blob_gas_used.unwrap_or_default(),
            blob_gas_price: receipt.blob_gas_price.unwrap_or_default(),
        })
    }

    /// Passes on what keeps the manager waiting, whenever that changes.
    async fn report_alarms(
        &self,
        events: &EventSink,
        reported: &mut Option<String>,
    ) -> std::convert::Infallible {
        let mut status = self.manager.status();
        loop {
            let alarm = status
                .borrow_and_update()
                .alarm
                .map(|alarm| alarm.to_string());
            if alarm != *reported {
                reported.clone_from(&alarm);
                events.send(SubmitterEvent::Alarm { alarm }).await;
            }
            if status.changed().await.is_err() {
                // The manager itself holds the other end.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Gas limit of a batch with this input, where L1 cannot execute it ahead, in gas: with what EIP-7623 asks
/// for the input at most.
fn calldata_gas_limit(input: &[u8]) -> u64 {
    let zeros = input.iter().filter(|byte| **byte == 0).count() as u64;
    let others = (input.len() as u64).saturating_sub(zeros);
    let floor = others
        .saturating_mul(40)
        .saturating_add(zeros.saturating_mul(10));
    floor.saturating_add(POST_GAS_LIMIT)
}

/// Takes milliseconds a blob.
fn put_into_blobs(data: &[u8]) -> Result<Prepared<PostableData>, PosterError> {
    let blobs: Vec<Blob> = encode_blobs(data)?;
    let commitments = blobs
        .iter()
        .map(blob_commitment)
        .collect::<Result<Vec<Bytes48>, _>>()?;
    let payload = BlobPayload::new(blobs, commitments).map_err(SendError::from)?;
    let hashes = payload.versioned_hashes();
    Ok(Prepared {
        placement: Placement::Blobs,
        blob_count: u8::try_from(hashes.len()).unwrap_or(u8::MAX),
        data_hash: blobs_data_hash(hashes),
        bytes: data.len(),
        data: PostableData::Blobs(Arc::new(payload)),
    })
}

impl From<PosterError> for PostError {
    fn from(error: PosterError) -> Self {
        let stops = match &error {
            PosterError::Send(error) => error.severity() == Severity::Stop,
            PosterError::Encode(_) | PosterError::Kzg(_) => true,
            PosterError::Archive(error) => !error.is_retryable(),
            PosterError::Worker => false,
        };
        let error = match error {
            // The wrapper says nothing that it does not.
            PosterError::Send(error) => error.into(),
            other => Box::<dyn std::error::Error + Send + Sync>::from(other),
        };
        if stops {
            Self::Fatal(error)
        } else {
            Self::Retry(error)
        }
    }
}

impl BatchPoster for ContractPoster {
    type Data = PostableData;

    async fn last_batch(&self) -> Result<LastBatch, PostError> {
        Ok(self.read_last_batch().await.map_err(PosterError::from)?)
    }

    async fn check_origin(&self, origin: &L1Origin) -> Result<(), PostError> {
        self.client
            .check_origin(origin)
            .await
            .map_err(|error| PostError::Retry(error.into()))
    }

    async fn market(&self) -> Result<L1Market, PostError> {
        Ok(self.read_market().await?)
    }

    async fn prepare(
        &self,
        placement: Placement,
        data: Vec<u8>,
    ) -> Result<Prepared<PostableData>, PostError> {
        if placement == Placement::Calldata {
            return Ok(Prepared {
                placement,
                blob_count: 0,
                data_hash: keccak256(&data),
                bytes: data.len(),
                data: PostableData::Calldata(data.into()),
            });
        }
        let prepared = tokio::task::spawn_blocking(move || put_into_blobs(&data))
            .await
            .unwrap_or(Err(PosterError::Worker));
        Ok(prepared?)
    }

    async fn post(
        &self,
        index: u64,
        header: &BatchHeader,
        prepared: &Prepared<PostableData>,
        events: &EventSink,
    ) -> Result<Posted, PostError> {
        Ok(self.send(index, header, prepared, events).await?)
    }
}
