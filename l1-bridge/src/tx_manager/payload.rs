use std::sync::{Arc, OnceLock};

use alloy_eips::{
    eip4844::{Blob, BlobTransactionSidecar, Bytes48, kzg_to_versioned_hash},
    eip7594::{BlobTransactionSidecarEip7594, BlobTransactionSidecarVariant},
};
use alloy_primitives::{B256, Bytes, TxKind, U256};
use c_kzg::{KzgProof, ethereum_kzg_settings};

/// What a transaction does: everything of it but nonce, fees and signature.
#[derive(Debug, Clone)]
pub struct Payload {
    /// Whom it calls; a transaction with blobs cannot create a contract.
    pub to: TxKind,
    /// What it pays, in wei.
    pub value: U256,
    /// Its input.
    pub input: Bytes,
    /// The blobs it carries; `Some` makes it a blob transaction (EIP-4844).
    pub blobs: Option<Arc<BlobPayload>>,
    /// Gas limit for when L1 cannot execute the transaction ahead, in gas. Without it such an L1 is an
    /// error.
    pub fallback_gas_limit: Option<u64>,
}

impl Payload {
    /// A transaction without blobs.
    pub const fn plain(to: TxKind, value: U256, input: Bytes) -> Self {
        Self {
            to,
            value,
            input,
            blobs: None,
            fallback_gas_limit: None,
        }
    }
}

/// Which proofs accompany blobs on their way to L1's pool. The transaction's hash does not depend on
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SidecarForm {
    /// One proof for each blob (EIP-4844), until Osaka.
    BlobProofs,
    /// Proofs of all cells of each blob (EIP-7594), from Osaka.
    CellProofs,
}

impl SidecarForm {
    /// The form that this one is not.
    pub const fn other(self) -> Self {
        match self {
            Self::BlobProofs => Self::CellProofs,
            Self::CellProofs => Self::BlobProofs,
        }
    }
}

/// Blobs cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// Each blob has a commitment.
    #[error("blobs: expected {blobs} commitments, found {commitments}")]
    CommitmentCount {
        /// Blobs.
        blobs: usize,
        /// Commitments.
        commitments: usize,
    },
    /// A transaction without a blob is no blob transaction.
    #[error("blobs: expected at least one, found none")]
    Empty,
    /// A blob transaction calls an account.
    #[error("blobs: expected a call, found the creation of a contract")]
    Creation,
    /// The proofs cannot be computed: a blob holds a number that is not below the field's modulus.
    #[error("blobs: KZG proofs: {0}")]
    Kzg(String),
    /// The thread that computed proofs ended early.
    #[error("blobs: computing KZG proofs ended early")]
    Worker,
}

/// Blobs and their commitments. Proofs are computed when a form needs them, and kept.
#[derive(Debug)]
pub struct BlobPayload {
    blobs: Vec<Blob>,
    commitments: Vec<Bytes48>,
    versioned_hashes: Vec<B256>,
    blob_proofs: OnceLock<Result<BlobTransactionSidecarVariant, BlobError>>,
    cell_proofs: OnceLock<Result<BlobTransactionSidecarVariant, BlobError>>,
}

impl BlobPayload {
    /// Blobs with their KZG commitments, in the same order. The commitments are not checked here: a
    /// wrong one makes L1 refuse the transaction.
    ///
    /// # Errors
    /// When there is no blob, or not one commitment for each.
    pub fn new(blobs: Vec<Blob>, commitments: Vec<Bytes48>) -> Result<Self, BlobError> {
        if blobs.is_empty() {
            return Err(BlobError::Empty);
        }
        if blobs.len() != commitments.len() {
            return Err(BlobError::CommitmentCount {
                blobs: blobs.len(),
                commitments: commitments.len(),
            });
        }
        Ok(Self {
            versioned_hashes: commitments
                .iter()
                .map(|commitment| kzg_to_versioned_hash(commitment.as_slice()))
                .collect(),
            blobs,
            commitments,
            blob_proofs: OnceLock::new(),
            cell_proofs: OnceLock::new(),
        })
    }

    /// One blob of zeros, whose commitment and proofs are the point at infinity: what a transaction
    /// carries that has nothing to say but must be a blob transaction.
    pub(super) fn of_zeros() -> Self {
        let mut infinity = Bytes48::ZERO;
        if let Some(first) = infinity.first_mut() {
            *first = 0xc0;
        }
        Self {
            versioned_hashes: vec![kzg_to_versioned_hash(infinity.as_slice())],
            blobs: vec![Blob::ZERO],
            commitments: vec![infinity],
            blob_proofs: OnceLock::new(),
            cell_proofs: OnceLock::new(),
        }
    }

    /// The blobs, in order.
    pub fn blobs(&self) -> &[Blob] {
        &self.blobs
    }

    /// The blobs' versioned hashes (EIP-4844), in order.
    pub fn versioned_hashes(&self) -> &[B256] {
        &self.versioned_hashes
    }

    /// The blobs with the proofs that this form asks for. Computes them at the first call, which
    /// takes up to a second a blob: not for tokio's threads.
    ///
    /// # Errors
    /// When the proofs cannot be computed.
    pub fn sidecar(&self, form: SidecarForm) -> Result<&BlobTransactionSidecarVariant, &BlobError> {
        match form {
            SidecarForm::BlobProofs => self.blob_proofs.get_or_init(|| self.prove_blobs()),
            SidecarForm::CellProofs => self.cell_proofs.get_or_init(|| self.prove_cells()),
        }
        .as_ref()
    }

    fn prove_blobs(&self) -> Result<BlobTransactionSidecarVariant, BlobError> {
        let proofs = self
            .blobs
            .iter()
            .zip(&self.commitments)
            .map(|(blob, commitment)| {
                ethereum_kzg_settings(PRECOMPUTE)
                    .compute_blob_kzg_proof(
                        &c_kzg::Blob::new(blob.0),
                        &c_kzg::Bytes48::new(commitment.0),
                    )
                    .map(|proof| as_bytes(&proof))
            })
            .collect::<Result<_, _>>()?;
        let (blobs, commitments) = (self.blobs.clone(), self.commitments.clone());
        Ok(BlobTransactionSidecar::new(blobs, commitments, proofs).into())
    }

    fn prove_cells(&self) -> Result<BlobTransactionSidecarVariant, BlobError> {
        let mut proofs = Vec::new();
        for blob in &self.blobs {
            let (_cells, of_blob) = ethereum_kzg_settings(PRECOMPUTE)
                .compute_cells_and_kzg_proofs(&c_kzg::Blob::new(blob.0))?;
            proofs.extend(of_blob.iter().map(as_bytes));
        }
        let (blobs, commitments) = (self.blobs.clone(), self.commitments.clone());
        Ok(BlobTransactionSidecarEip7594::new(blobs, commitments, proofs).into())
    }
}

/// Tables of 2^this points for the proofs: none, which saves memory. The trusted setup is loaded
/// once, with what its first user asks for.
const PRECOMPUTE: u64 = 0;

fn as_bytes(proof: &KzgProof) -> Bytes48 {
    Bytes48::from(*proof.to_bytes())
}

impl From<c_kzg::Error> for BlobError {
    fn from(error: c_kzg::Error) -> Self {
        Self::Kzg(format!("{error:?}"))
    }
}
