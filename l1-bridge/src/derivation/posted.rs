use alloy_consensus::Transaction as _;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{B256, Bytes, TxKind, keccak256};
use alloy_sol_types::SolCall;
use weft_batcher::BatchHeader;

use super::{BatchFault, DerivationError};
use crate::{L1Client, L1Error, RollupInfo, contract::Rollup};

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
    /// Hash of the L1 transaction, whose calldata holds the data.
    pub tx_hash: B256,
}

/// Reads the data of a batch out of the calldata that posted it, and checks its hash.
pub(super) async fn fetch_data(
    client: &L1Client,
    info: &RollupInfo,
    posted: &PostedBatch,
) -> Result<Bytes, DerivationError> {
    let asked = || format!("eth_getTransactionByHash({})", posted.tx_hash);
    let transaction = client
        .transaction(posted.tx_hash)
        .await?
        .ok_or_else(|| L1Error::answer(asked(), "the transaction of a log", "null"))?;
    let envelope = transaction.inner.inner();
    let hash = keccak256(envelope.encoded_2718());
    if hash != posted.tx_hash {
        return Err(L1Error::answer(
            asked(),
            "a transaction of this hash",
            format!("one with hash {hash}"),
        )
        .into());
    }
    // From here on the content is what was signed for L1: what does not fit is the batch's fault.
    let wrong = |reason: String| DerivationError::Batch {
        index: posted.index,
        fault: BatchFault::Calldata(reason),
    };
    if envelope.kind() != TxKind::Call(info.contract) {
        return Err(wrong(format!(
            "expected one to {}, found one to {:?}",
            info.contract,
            envelope.to()
        )));
    }
    let call = Rollup::postBatchCall::abi_decode(envelope.input())
        .map_err(|error| wrong(crate::error::shorten(&error.to_string())))?;
    if BatchHeader::from(&call.header) != posted.header {
        return Err(wrong(format!(
            "expected the header of batch {}, found one of blocks {} to {}",
            posted.batch_hash, call.header.firstBlock, call.header.lastBlock
        )));
    }
    let found = keccak256(&call.data);
    if found != posted.header.data_hash {
        return Err(DerivationError::Batch {
            index: posted.index,
            fault: BatchFault::DataHash {
                expected: posted.header.data_hash,
                found,
            },
        });
    }
    Ok(call.data)
}
