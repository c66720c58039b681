use alloy_consensus::{Signed, Transaction as _, TxEip4844, TxEip4844Variant, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{B256, Bytes, TxKind, keccak256};
use alloy_sol_types::SolCall;
use weft_batcher::BatchHeader;

use super::{BatchFault, DerivationError};
use crate::{
    BlobPlace, L1Client, L1Error, RollupInfo, blobs_data_hash,
    contract::{AbiBatchHeader, Rollup},
    decode_blobs,
};

/// A batch that the contract has taken, as its event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostedBatch {
    /// Index of the batch, from zero.
    pub index: u64,
    /// Hash of the batch.
    pub batch_hash: B256,
    /// Its header.
    pub header: BatchHeader,
    /// Number of the L1 block.
    pub l1_block: u64,
    /// Hash of the L1 block.
    pub l1_block_hash: B256,
    /// Index in the L1 block of the log that says so.
    pub log_index: u64,
    /// Hash of the L1 transaction, whose calldata or blobs hold the data.
    pub tx_hash: B256,
}

/// Reads the data of a batch: out of the calldata that posted it, or out of the blobs beside it. It
/// is what the header commits to.
pub(super) async fn fetch_data(
    client: &L1Client,
    info: &RollupInfo,
    posted: &PostedBatch,
) -> Result<Bytes, DerivationError> {
    let envelope = read_transaction(client, posted.tx_hash).await?;
    // From here on the content is what was signed for L1: what does not fit is the batch's fault.
    let wrong = |fault| DerivationError::Batch {
        index: posted.index,
        fault,
    };
    if posted.header.blob_count == 0 {
        return data_in_calldata(&envelope, info, posted).map_err(wrong);
    }
    let hashes = hashes_of_blobs(&envelope, info, posted).map_err(wrong)?;
    let block = client.existing_block(posted.l1_block).await?;
    if block.hash != posted.l1_block_hash {
        return Err(DerivationError::Reorg {
            number: posted.l1_block,
            expected: posted.l1_block_hash,
            found: block.hash,
        });
    }
    let place = BlobPlace {
        l1_block: block.number,
        l1_block_hash: block.hash,
        timestamp: block.timestamp,
    };
    let read = client.blobs().read(&place, hashes).await?;
    let decoded = tokio::task::spawn_blocking(move || decode_blobs(&read))
        .await
        .map_err(|_| DerivationError::Interrupted)?;
    Ok(decoded.map_err(|error| wrong(error.into()))?.into())
}

/// The transaction with this hash, which L1 must have.
async fn read_transaction(client: &L1Client, tx_hash: B256) -> Result<TxEnvelope, L1Error> {
    let asked = || format!("eth_getTransactionByHash({tx_hash})");
    let transaction = client
        .transaction(tx_hash)
        .await?
        .ok_or_else(|| L1Error::answer(asked(), "the transaction of a log", "null"))?;
    let envelope = without_sidecar(transaction.inner.into_inner());
    let hash = keccak256(envelope.encoded_2718());
    if hash == tx_hash {
        Ok(envelope)
    } else {
        Err(L1Error::answer(
            asked(),
            "a transaction of this hash",
            format!("one with hash {hash}"),
        ))
    }
}

/// The transaction as it stands in a block. Some nodes show it with its blobs, which its hash does not
/// cover.
fn without_sidecar(envelope: TxEnvelope) -> TxEnvelope {
    match envelope {
        TxEnvelope::Eip4844(signed) => {
            let (transaction, signature, _) = signed.into_parts();
            let plain = TxEip4844Variant::from(TxEip4844::from(transaction));
            TxEnvelope::Eip4844(Signed::new_unhashed(plain, signature))
        }
        other => other,
    }
}

/// Decodes the call of the contract, which must carry the posted header.
fn decode_call<C: SolCall>(
    envelope: &TxEnvelope,
    info: &RollupInfo,
    posted: &PostedBatch,
    header: impl Fn(&C) -> &AbiBatchHeader,
) -> Result<C, BatchFault> {
    if envelope.kind() != TxKind::Call(info.contract) {
        return Err(BatchFault::Call(format!(
            "expected one to {}, found one to {:?}",
            info.contract,
            envelope.to()
        )));
    }
    let call = C::abi_decode(envelope.input())
        .map_err(|error| BatchFault::Call(crate::error::shorten(&error.to_string())))?;
    let found = header(&call);
    if BatchHeader::from(found) == posted.header {
        Ok(call)
    } else {
        Err(BatchFault::Call(format!(
            "expected the header of batch {}, found one of blocks {} to {}",
            posted.batch_hash, found.firstBlock, found.lastBlock
        )))
    }
}

fn data_in_calldata(
    envelope: &TxEnvelope,
    info: &RollupInfo,
    posted: &PostedBatch,
) -> Result<Bytes, BatchFault> {
    let call = decode_call(envelope, info, posted, |call: &Rollup::postBatchCall| {
        &call.header
    })?;
    check_data_hash(posted, keccak256(&call.data))?;
    Ok(call.data)
}

/// The versioned hashes of the blobs that hold the batch: all of the transaction's.
fn hashes_of_blobs<'a>(
    envelope: &'a TxEnvelope,
    info: &RollupInfo,
    posted: &PostedBatch,
) -> Result<&'a [B256], BatchFault> {
    decode_call(
        envelope,
        info,
        posted,
        |call: &Rollup::postBatchBlobsCall| &call.header,
    )?;
    let hashes = envelope.blob_versioned_hashes().unwrap_or_default();
    if hashes.len() != usize::from(posted.header.blob_count) {
        return Err(BatchFault::BlobCount {
            expected: posted.header.blob_count,
            found: hashes.len(),
        });
    }
    check_data_hash(posted, blobs_data_hash(hashes))?;
    Ok(hashes)
}

fn check_data_hash(posted: &PostedBatch, found: B256) -> Result<(), BatchFault> {
    let expected = posted.header.data_hash;
    if found == expected {
        Ok(())
    } else {
        Err(BatchFault::DataHash { expected, found })
    }
}
