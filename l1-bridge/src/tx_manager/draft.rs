use alloy_consensus::{
    Transaction, TxEip1559, TxEip4844, TxEip4844Variant, TxEnvelope, TypedTransaction,
};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};

use super::{BlobError, Fees, Payload, SidecarForm};

/// A transaction that has everything but fees and signature. Its nonce, type and content never
/// change.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) payload: Payload,
    pub(super) chain_id: u64,
    pub(super) nonce: u64,
    /// Gas limit, in gas.
    pub(super) gas_limit: u64,
}

impl Draft {
    /// The transaction with these fees, without the blobs themselves.
    pub(super) fn with_fees(&self, fees: &Fees) -> Result<TypedTransaction, BlobError> {
        let Payload {
            to, value, input, ..
        } = &self.payload;
        let Some(blobs) = &self.payload.blobs else {
            return Ok(TxEip1559 {
                chain_id: self.chain_id,
                nonce: self.nonce,
                gas_limit: self.gas_limit,
                max_fee_per_gas: fees.max_fee_per_gas,
                max_priority_fee_per_gas: fees.max_priority_fee_per_gas,
                to: *to,
                value: *value,
                access_list: Default::default(),
                input: input.clone(),
            }
            .into());
        };
        let TxKind::Call(to) = *to else {
            return Err(BlobError::Creation);
        };
        Ok(TxEip4844 {
            chain_id: self.chain_id,
            nonce: self.nonce,
            gas_limit: self.gas_limit,
            max_fee_per_gas: fees.max_fee_per_gas,
            max_priority_fee_per_gas: fees.max_priority_fee_per_gas,
            to,
            value: *value,
            access_list: Default::default(),
            blob_versioned_hashes: blobs.versioned_hashes().to_vec(),
            max_fee_per_blob_gas: fees.max_fee_per_blob_gas.unwrap_or_default(),
            input: input.clone(),
        }
        .into())
    }

    /// Whether a transaction does the same as this one, under the same nonce.
    pub(super) fn is_same(&self, other: &TxEnvelope) -> bool {
        self.nonce == other.nonce() && is_payload_of(&self.payload, self.chain_id, other)
    }
}

/// Whether a transaction does what the payload says.
pub(super) fn is_payload_of(payload: &Payload, chain_id: u64, other: &TxEnvelope) -> bool {
    let hashes: Option<&[B256]> = payload.blobs.as_ref().map(|blobs| blobs.versioned_hashes());
    other.chain_id() == Some(chain_id)
        && other.kind() == payload.to
        && other.value() == payload.value
        && *other.input() == payload.input
        && other.blob_versioned_hashes() == hashes
        && other.access_list().is_none_or(|list| list.is_empty())
        && other.authorization_list().is_none()
}

/// A transaction that does nothing but use a nonce up: of the same kind as what it takes the place
/// of, because pools take no other.
pub(super) fn cancellation(account: Address, of_blobs: bool) -> Payload {
    Payload {
        to: TxKind::Call(account),
        value: U256::ZERO,
        input: Bytes::new(),
        blobs: of_blobs.then(|| std::sync::Arc::new(super::BlobPayload::of_zeros())),
        fallback_gas_limit: Some(PLAIN_GAS),
    }
}

/// What a transfer without input to an account without code takes, in gas.
pub(super) const PLAIN_GAS: u64 = 21_000;

/// Fees of a signed transaction.
pub(super) fn fees_of(transaction: &TxEnvelope) -> Fees {
    Fees {
        max_fee_per_gas: transaction.max_fee_per_gas(),
        max_priority_fee_per_gas: transaction
            .max_priority_fee_per_gas()
            .unwrap_or(transaction.max_fee_per_gas()),
        max_fee_per_blob_gas: transaction.max_fee_per_blob_gas(),
    }
}

/// The bytes that go to L1's pool: with the blobs, in the form that L1 wants. May compute proofs, so
/// it is not for tokio's threads.
pub(super) fn pooled_bytes(
    transaction: &TxEnvelope,
    payload: &Payload,
    form: SidecarForm,
) -> Result<Bytes, BlobError> {
    let (TxEnvelope::Eip4844(signed), Some(blobs)) = (transaction, &payload.blobs) else {
        return Ok(transaction.encoded_2718().into());
    };
    let (tx, signature, hash) = signed.clone().into_parts();
    let tx: TxEip4844Variant = TxEip4844::from(tx)
        .with_sidecar(blobs.sidecar(form).map_err(Clone::clone)?.clone())
        .into();
    let whole = alloy_consensus::Signed::new_unchecked(tx, signature, hash);
    Ok(TxEnvelope::Eip4844(whole).encoded_2718().into())
}
