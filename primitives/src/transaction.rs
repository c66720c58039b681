use alloy_consensus::{
    Sealable, Sealed, Signed, TransactionEnvelope, TxEip1559, TxEip2930, TxEip4844, TxEip7702,
    TxLegacy,
    crypto::RecoveryError,
    transaction::{Recovered, SignerRecoverable},
};
use alloy_eips::eip2718::{Decodable2718, Eip2718Error};
use alloy_primitives::{Address, B256};
use op_alloy_consensus::{TxDeposit, serde_deposit_tx_rpc};

/// A transaction in its EIP-2718 envelope.
///
/// Blob transactions (EIP-4844) can be decoded and executed, so that blocks of Ethereum itself can
/// be replayed, but a weft chain does not take them in: see [`Transaction::decode_for_l2`].
#[derive(Debug, Clone, TransactionEnvelope)]
#[envelope(tx_type_name = TransactionType, typed = TypedTransaction)]
pub enum Transaction {
    /// A transaction without a type byte.
    #[envelope(ty = 0)]
    Legacy(Signed<TxLegacy>),
    /// EIP-2930: with an access list.
    #[envelope(ty = 1)]
    Eip2930(Signed<TxEip2930>),
    /// EIP-1559: with a fee cap and a tip.
    #[envelope(ty = 2)]
    Eip1559(Signed<TxEip1559>),
    /// EIP-4844: with blobs (without their sidecar).
    #[envelope(ty = 3)]
    Eip4844(Signed<TxEip4844>),
    /// EIP-7702: with authorizations to set code.
    #[envelope(ty = 4)]
    Eip7702(Signed<TxEip7702>),
    /// A deposit from L1, as the OP Stack defines it (type 0x7E). It carries no signature: only
    /// the derivation rules put it into a block.
    #[envelope(ty = 126)]
    #[serde(serialize_with = "serde_deposit_tx_rpc")]
    Deposit(Sealed<TxDeposit>),
}

/// A transaction together with the address that signed it (or, for a deposit, its `from`).
pub type RecoveredTransaction = Recovered<Transaction>;

/// Why bytes are not a transaction that a user may send to a weft chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// The bytes are not one whole transaction.
    #[error("{0}")]
    Malformed(String),
    /// Bytes follow the transaction.
    #[error("rlp: {0} bytes after the transaction")]
    TrailingBytes(usize),
    /// EIP-4844 transactions exist on L1 only.
    #[error("blob transactions (type 0x03) are not accepted on this chain")]
    BlobTransaction,
    /// Deposits come from L1 only.
    #[error("deposit transactions (type 0x7e) are made from L1 deposits and cannot be sent")]
    Deposit,
    /// The signature recovers to no address.
    #[error("invalid sender: {0}")]
    InvalidSignature(String),
}

impl Transaction {
    /// Decodes one transaction (EIP-2718 encoding) that a user sent to the chain.
    ///
    /// The signature is not checked here: see [`Transaction::recover`].
    ///
    /// # Errors
    /// When the bytes are malformed, are followed by others, or are of a type that users of a weft
    /// chain may not send.
    pub fn decode_for_l2(mut bytes: &[u8]) -> Result<Self, TransactionError> {
        match bytes.first() {
            None => {
                return Err(TransactionError::Malformed(
                    "empty transaction bytes".into(),
                ));
            }
            Some(0x03) => return Err(TransactionError::BlobTransaction),
            Some(0x7e) => return Err(TransactionError::Deposit),
            // From 0x80 on it is a legacy transaction, whose first byte is that of an RLP list.
            Some(0x01 | 0x02 | 0x04 | 0x80..) => {}
            Some(ty) => {
                return Err(TransactionError::Malformed(format!(
                    "transaction type not supported: {ty:#04x}"
                )));
            }
        }
        let transaction = Self::decode_2718(&mut bytes).map_err(|error| match error {
            Eip2718Error::UnexpectedType(ty) => {
                TransactionError::Malformed(format!("transaction type not supported: {ty:#04x}"))
            }
            Eip2718Error::RlpError(error) => TransactionError::Malformed(format!("rlp: {error}")),
            other => TransactionError::Malformed(other.to_string()),
        })?;
        if bytes.is_empty() {
            Ok(transaction)
        } else {
            Err(TransactionError::TrailingBytes(bytes.len()))
        }
    }

    /// Recovers the sender. High-`s` signatures are refused (EIP-2).
    ///
    /// # Errors
    /// When the signature recovers to no address.
    pub fn recover(self) -> Result<RecoveredTransaction, TransactionError> {
        let sender = self
            .recover_signer()
            .map_err(|error| TransactionError::InvalidSignature(error.to_string()))?;
        Ok(Recovered::new_unchecked(self, sender))
    }

    /// The transaction's hash, which is also its id.
    pub fn hash(&self) -> B256 {
        match self {
            Self::Legacy(tx) => *tx.hash(),
            Self::Eip2930(tx) => *tx.hash(),
            Self::Eip1559(tx) => *tx.hash(),
            Self::Eip4844(tx) => *tx.hash(),
            Self::Eip7702(tx) => *tx.hash(),
            Self::Deposit(tx) => tx.hash(),
        }
    }

    /// The deposit, when this is one.
    pub const fn as_deposit(&self) -> Option<&Sealed<TxDeposit>> {
        match self {
            Self::Deposit(tx) => Some(tx),
            _ => None,
        }
    }

    /// Whether this transaction came from L1.
    pub const fn is_deposit(&self) -> bool {
        matches!(self, Self::Deposit(_))
    }
}

impl From<TxDeposit> for Transaction {
    fn from(deposit: TxDeposit) -> Self {
        Self::Deposit(deposit.seal_slow())
    }
}

impl SignerRecoverable for Transaction {
    fn recover_signer(&self) -> Result<Address, RecoveryError> {
        match self {
            Self::Legacy(tx) => SignerRecoverable::recover_signer(tx),
            Self::Eip2930(tx) => SignerRecoverable::recover_signer(tx),
            Self::Eip1559(tx) => SignerRecoverable::recover_signer(tx),
            Self::Eip4844(tx) => SignerRecoverable::recover_signer(tx),
            Self::Eip7702(tx) => SignerRecoverable::recover_signer(tx),
            Self::Deposit(tx) => Ok(tx.from),
        }
    }

    fn recover_signer_unchecked(&self) -> Result<Address, RecoveryError> {
        match self {
            Self::Legacy(tx) => SignerRecoverable::recover_signer_unchecked(tx),
            Self::Eip2930(tx) => SignerRecoverable::recover_signer_unchecked(tx),
            Self::Eip1559(tx) => SignerRecoverable::recover_signer_unchecked(tx),
            Self::Eip4844(tx) => SignerRecoverable::recover_signer_unchecked(tx),
            Self::Eip7702(tx) => SignerRecoverable::recover_signer_unchecked(tx),
            Self::Deposit(tx) => Ok(tx.from),
        }
    }
}
