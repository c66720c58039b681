//! KZG commitments of blobs, and the hashes by which L1 names blobs (EIP-4844).

use alloy_eips::eip4844::{Blob, Bytes48, kzg_to_versioned_hash};
use alloy_primitives::{B256, keccak256};
use c_kzg::ethereum_kzg_settings;

/// Bytes that are no blob, or a library that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("KZG commitment: {0}")]
pub struct KzgError(String);

/// Tables of 2^this points for proofs, which commitments have no use for.
const PRECOMPUTE: u64 = 0;

/// The commitment of a blob. Takes milliseconds: not for tokio's threads.
///
/// # Errors
/// When a field element is not below the modulus.
pub fn blob_commitment(blob: &Blob) -> Result<Bytes48, KzgError> {
    // On the heap: a thread's stack holds but a few blobs.
    let blob = Box::new(c_kzg::Blob::new(blob.0));
    let commitment = ethereum_kzg_settings(PRECOMPUTE)
        .blob_to_kzg_commitment(&blob)
        .map_err(|error| KzgError(format!("{error:?}")))?;
    Ok(Bytes48::from(*commitment.to_bytes()))
}

/// The versioned hash of a blob, from its commitment. Takes milliseconds: not for tokio's threads.
///
/// # Errors
/// When a field element is not below the modulus.
pub fn versioned_hash(blob: &Blob) -> Result<B256, KzgError> {
    Ok(kzg_to_versioned_hash(blob_commitment(blob)?.as_slice()))
}

/// What a batch header says about blobs: `keccak256` of their versioned hashes, one after the other.
pub fn blobs_data_hash(versioned_hashes: &[B256]) -> B256 {
    keccak256(
        versioned_hashes
            .iter()
            .flat_map(|hash| hash.0)
            .collect::<Vec<u8>>(),
    )
}
