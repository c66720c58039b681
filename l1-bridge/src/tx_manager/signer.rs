use alloy_consensus::{
    SignableTransaction, Signed, TxEnvelope, TypedTransaction, transaction::SignerRecoverable,
};
use alloy_primitives::{Address, B256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;

use super::remote::RemoteSigner;
use crate::contract::Severity;

/// Whoever signs the transactions of one account. Neither `Debug` nor errors show a key.
#[derive(Debug, Clone)]
pub enum L1Signer {
    /// A key in this process.
    Local(PrivateKeySigner),
    /// A server that holds the key.
    Remote(RemoteSigner),
}

/// Why a transaction was not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// The URL cannot be used.
    #[error("signer: not an HTTP URL: {0}")]
    Url(String),
    /// A local key failed.
    #[error("signer: {0}")]
    Local(String),
    /// Nothing came back from the remote signer, or not in time.
    #[error("remote signer: eth_signTransaction: no answer: {0}")]
    NoAnswer(String),
    /// The remote signer answered with an error.
    #[error("remote signer: eth_signTransaction: error {code}: {message}")]
    Refused {
        /// JSON-RPC error code.
        code: i64,
        /// JSON-RPC error message.
        message: String,
    },
    /// The remote signer answered with something else than a signed transaction.
    #[error("remote signer: eth_signTransaction: expected a signed transaction, found {0}")]
    Answer(String),
    /// The remote signer signed another transaction than it was asked to.
    #[error("remote signer: expected a transaction of signing hash {expected}, found {found}")]
    OtherTransaction {
        /// Signing hash of what was asked.
        expected: B256,
        /// Signing hash of what came back.
        found: B256,
    },
    /// The remote signer signed with another key.
    #[error("remote signer: expected the signature of {expected}, found that of {found:?}")]
    OtherAccount {
        /// The account.
        expected: Address,
        /// Who signed; `None` when the signature is none.
        found: Option<Address>,
    },
}

impl SignerError {
    /// What to do about it. A signer that signs something else than it was asked to must not be used
    /// on.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::NoAnswer(_) => Severity::Retry,
            Self::Refused { .. } | Self::Answer(_) => Severity::Alarm,
            Self::Url(_)
            | Self::Local(_)
            | Self::OtherTransaction { .. }
            | Self::OtherAccount { .. } => Severity::Stop,
        }
    }
}

impl From<PrivateKeySigner> for L1Signer {
    fn from(key: PrivateKeySigner) -> Self {
        Self::Local(key)
    }
}

impl From<RemoteSigner> for L1Signer {
    fn from(signer: RemoteSigner) -> Self {
        Self::Remote(signer)
    }
}

impl L1Signer {
    /// The account.
    pub const fn address(&self) -> Address {
        match self {
            Self::Local(key) => key.address(),
            Self::Remote(signer) => signer.address(),
        }
    }

    /// Signs a transaction; one with blobs is signed without them. What comes back is the
    /// transaction that was asked for, with the account's signature.
    pub(super) async fn sign(
        &self,
        transaction: TypedTransaction,
    ) -> Result<TxEnvelope, SignerError> {
        match self {
            Self::Local(key) => {
                let signature = key
                    .sign_hash_sync(&transaction.signature_hash())
                    .map_err(|error| SignerError::Local(error.to_string()))?;
                Ok(transaction.into_envelope(signature))
            }
            Self::Remote(signer) => {
                let answer = signer.sign(&transaction).await?;
                check(signer.address(), transaction, &answer)
            }
        }
    }
}

/// Takes nothing of the answer but its signature, and that only when it is the account's under the
/// transaction that was asked for.
fn check(
    account: Address,
    asked: TypedTransaction,
    answer: &TxEnvelope,
) -> Result<TxEnvelope, SignerError> {
    let (expected, found) = (asked.signature_hash(), answer.signature_hash());
    if expected != found {
        return Err(SignerError::OtherTransaction { expected, found });
    }
    let signed = Signed::new_unhashed(asked, *answer.signature());
    match signed.recover_signer() {
        Ok(found) if found == account => {}
        found => {
            return Err(SignerError::OtherAccount {
                expected: account,
                found: found.ok(),
            });
        }
    }
    let signature = *signed.signature();
    Ok(signed.strip_signature().into_envelope(signature))
}
