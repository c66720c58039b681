//! Whether a transaction would revert, and what gas it takes, before it is sent.

use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{Address, B256, Bytes, TxKind, address};
use alloy_rpc_types_eth::TransactionRequest;
use serde_json::json;

use super::{Market, Payload, SendError};
use crate::{
    L1Client, L1Error,
    contract::{Revert, is_on_newest_block},
};

/// What a node was found to make of blob hashes in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlobCalls {
    /// Contracts see them.
    Seen,
    /// Contracts see none.
    Unseen,
}

/// Result of executing a payload ahead.
pub(super) enum Simulation {
    /// It succeeds with this gas limit, in gas.
    Gas(u64),
    /// The node cannot tell: it shows contracts no blob hashes, or another block than the next.
    Blind,
}

/// Executes a payload on top of L1's newest block.
///
/// # Errors
/// When it would revert, or L1 does not answer properly.
pub(super) async fn simulate(
    client: &L1Client,
    account: Address,
    payload: &Payload,
    market: &Market,
) -> Result<Simulation, SendError> {
    let mut request = TransactionRequest {
        from: Some(account),
        to: Some(payload.to),
        value: Some(payload.value),
        input: payload.input.clone().into(),
        ..TransactionRequest::default()
    };
    if let Some(blobs) = &payload.blobs {
        blob_fields(&mut request, blobs.versioned_hashes(), market);
    }
    let error = match client.estimate_gas(&request).await {
        // State may move between the estimate and the block.
        Ok(gas) => return Ok(Simulation::Gas(gas.saturating_add(gas / 5))),
        Err(error) => error,
    };
    if !matches!(error, L1Error::Refused { .. }) {
        return Err(error.into());
    }
    if let L1Error::Refused {
        revert: Some(data), ..
    } = &error
        && is_on_newest_block(data)
    {
        return Ok(Simulation::Blind);
    }
    if payload.blobs.is_some() && blob_calls(client, account, market).await? == BlobCalls::Unseen {
        return Ok(Simulation::Blind);
    }
    match error {
        L1Error::Refused {
            revert: Some(data), ..
        } => Err(SendError::WouldRevert(Revert::from_data(&data))),
        error => Err(error.into()),
    }
}

fn blob_fields(request: &mut TransactionRequest, hashes: &[B256], market: &Market) {
    request.blob_versioned_hashes = Some(hashes.to_vec());
    request.max_fee_per_blob_gas = Some(market.blob_base_fee.unwrap_or(1).saturating_mul(2).max(1));
}

/// Code that returns its first blob hash: PUSH0 BLOBHASH PUSH0 MSTORE PUSH1 32 PUSH0 RETURN.
const RETURN_BLOB_HASH: &str = "0x5f495f5260205ff3";

/// Where that code is put for the time of a call; nobody has the key of this address.
const PROBE: Address = address!("0x00000000000000000000000000000000b10bca11");

/// Asks a node to show a contract a blob hash. An answer that is not that hash, or a refusal, means
/// that its calls cannot tell how a blob transaction ends.
async fn blob_calls(
    client: &L1Client,
    account: Address,
    market: &Market,
) -> Result<BlobCalls, L1Error> {
    let mut hash = B256::repeat_byte(0x42);
    if let Some(version) = hash.0.first_mut() {
        *version = alloy_eips::eip4844::VERSIONED_HASH_VERSION_KZG;
    }
    let mut request = TransactionRequest {
        from: Some(account),
        to: Some(TxKind::Call(PROBE)),
        ..TransactionRequest::default()
    };
    blob_fields(&mut request, &[hash], market);
    let overrides = json!({ PROBE.to_string(): { "code": RETURN_BLOB_HASH } });
    let answer: Result<Bytes, _> = client
        .request("eth_call", (request, BlockNumberOrTag::Latest, overrides))
        .await;
    match answer {
        Ok(shown) if *shown == *hash.as_slice() => Ok(BlobCalls::Seen),
        Ok(_) | Err(L1Error::Refused { .. }) => Ok(BlobCalls::Unseen),
        Err(error) => Err(error),
    }
}
