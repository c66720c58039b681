//! One signed transaction, and handing it to L1.

use std::sync::Arc;

use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_primitives::{B256, Bytes};

use super::{
    BlobError, Fees, Payload, SendError, SidecarForm, TransactionManager,
    draft::{Draft, fees_of, pooled_bytes},
    refusal::Refusal,
};
use crate::L1Error;

/// A transaction that was handed to L1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentTransaction {
    /// Its hash.
    pub tx_hash: B256,
    /// Its nonce.
    pub nonce: u64,
    /// Its gas limit, in gas.
    pub gas_limit: u64,
    /// Its fee cap, in wei per gas.
    pub max_fee_per_gas: u128,
    /// Its tip, in wei per gas.
    pub max_priority_fee_per_gas: u128,
    /// Its fee cap of blobs, in wei per blob gas; `None` without blobs.
    pub max_fee_per_blob_gas: Option<u128>,
}

/// A signed transaction, without its blobs.
#[derive(Debug, Clone)]
pub(super) struct Attempt(Arc<TxEnvelope>);

impl Attempt {
    pub(super) fn new(signed: TxEnvelope) -> Self {
        Self(Arc::new(signed))
    }

    pub(super) fn hash(&self) -> B256 {
        *self.0.tx_hash()
    }

    pub(super) fn fees(&self) -> Fees {
        fees_of(&self.0)
    }

    pub(super) fn describe(&self) -> SentTransaction {
        let fees = self.fees();
        SentTransaction {
            tx_hash: self.hash(),
            nonce: self.0.nonce(),
            gas_limit: self.0.gas_limit(),
            max_fee_per_gas: fees.max_fee_per_gas,
            max_priority_fee_per_gas: fees.max_priority_fee_per_gas,
            max_fee_per_blob_gas: fees.max_fee_per_blob_gas,
        }
    }
}

/// What became of bytes that were handed to a node.
#[derive(Debug)]
pub(super) enum Handed {
    /// The node has them.
    Taken,
    /// The node does not want them.
    Refused(Refusal, L1Error),
    /// Nobody knows: no answer came back, or one without sense.
    Unanswered(L1Error),
}

impl TransactionManager {
    /// Signs the draft with these fees.
    pub(super) async fn sign(&self, draft: &Draft, fees: &Fees) -> Result<Attempt, SendError> {
        let signed = self.signer.sign(draft.with_fees(fees)?).await?;
        Ok(Attempt::new(signed))
    }

    /// Hands a transaction to L1, with its blobs in the form that L1 wants. The text of a refusal
    /// does not reliably say that the form is wrong, so any refusal without known meaning is
    /// answered with the other form, once.
    pub(super) async fn hand_over(
        &self,
        attempt: &Attempt,
        payload: &Payload,
    ) -> Result<Handed, BlobError> {
        let form = match payload.blobs {
            Some(_) => self.form.first_guess(&self.client).await,
            None => SidecarForm::CellProofs,
        };
        let first = self.hand_over_as(attempt, payload, form).await?;
        match first {
            Handed::Refused(Refusal::Other, _) if payload.blobs.is_some() => {
                let second = self.hand_over_as(attempt, payload, form.other()).await?;
                if let Handed::Refused(Refusal::Other, _) = second {
                    return Ok(first);
                }
                if !matches!(second, Handed::Unanswered(_)) {
                    tracing::info!(form = ?form.other(), "L1 takes blobs in this form");
                    self.form.set(form.other());
                }
                Ok(second)
            }
            handed => Ok(handed),
        }
    }

    async fn hand_over_as(
        &self,
        attempt: &Attempt,
        payload: &Payload,
        form: SidecarForm,
    ) -> Result<Handed, BlobError> {
        let bytes = self.bytes(attempt, payload, form).await?;
        Ok(match self.client.send_raw(&bytes).await {
            Ok(hash) if hash == attempt.hash() => Handed::Taken,
            Ok(hash) => Handed::Unanswered(L1Error::answer(
                "eth_sendRawTransaction",
                attempt.hash().to_string(),
                hash.to_string(),
            )),
            Err(error) => match &error {
                L1Error::Refused { message, .. } => match Refusal::from_message(message) {
                    Refusal::Known => Handed::Taken,
                    refusal => Handed::Refused(refusal, error),
                },
                _ => Handed::Unanswered(error),
            },
        })
    }

    async fn bytes(
        &self,
        attempt: &Attempt,
        payload: &Payload,
        form: SidecarForm,
    ) -> Result<Bytes, BlobError> {
        if payload.blobs.is_none() {
            return pooled_bytes(&attempt.0, payload, form);
        }
        let (signed, payload) = (Arc::clone(&attempt.0), payload.clone());
        tokio::task::spawn_blocking(move || pooled_bytes(&signed, &payload, form))
            .await
            .map_err(|_| BlobError::Worker)?
    }
}
