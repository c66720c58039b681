use alloy_consensus::{
    SignableTransaction, Transaction as _, TxEip1559, TxEip2930, TxEip7702, TxLegacy, Typed2718,
};
use alloy_eips::{eip2930::AccessList, eip7702::SignedAuthorization};
use alloy_primitives::{Bytes, Signature, TxKind, U256};
use weft_primitives::Transaction;

use super::{BatchDecodeError, BatchEncodeError};

/// The four types that a batch carries.
pub(super) const LEGACY: u8 = 0;
pub(super) const EIP2930: u8 = 1;
pub(super) const EIP1559: u8 = 2;
pub(super) const EIP7702: u8 = 4;

/// A transaction taken apart, so that a column can go over one part of all transactions.
#[derive(Debug, Clone)]
pub(super) struct TransactionParts {
    /// EIP-2718 type byte.
    pub(super) ty: u8,
    pub(super) signature: Signature,
    /// `None` only for a legacy transaction from before EIP-155.
    pub(super) chain_id: Option<u64>,
    pub(super) nonce: u64,
    pub(super) gas_limit: u64,
    /// `gasPrice` of the types 0 and 1, `maxFeePerGas` of the others.
    pub(super) max_fee: u128,
    /// `maxPriorityFeePerGas`; unused by the types 0 and 1.
    pub(super) max_priority_fee: u128,
    pub(super) to: TxKind,
    pub(super) value: U256,
    pub(super) input: Bytes,
    pub(super) access_list: AccessList,
    pub(super) authorizations: Vec<SignedAuthorization>,
}

impl Default for TransactionParts {
    fn default() -> Self {
        Self {
            ty: LEGACY,
            signature: Signature::new(U256::ZERO, U256::ZERO, false),
            chain_id: None,
            nonce: 0,
            gas_limit: 0,
            max_fee: 0,
            max_priority_fee: 0,
            to: TxKind::Create,
            value: U256::ZERO,
            input: Bytes::new(),
            access_list: AccessList::default(),
            authorizations: Vec::new(),
        }
    }
}

impl TransactionParts {
    pub(super) fn of(transaction: &Transaction) -> Result<Self, BatchEncodeError> {
        let signature = match transaction {
            Transaction::Legacy(tx) => tx.signature(),
            Transaction::Eip2930(tx) => tx.signature(),
            Transaction::Eip1559(tx) => tx.signature(),
            Transaction::Eip7702(tx) => tx.signature(),
            Transaction::Eip4844(_) | Transaction::Deposit(_) => {
                return Err(BatchEncodeError::TransactionType(transaction.ty()));
            }
        };
        Ok(Self {
            ty: transaction.ty(),
            signature: *signature,
            chain_id: transaction.chain_id(),
            nonce: transaction.nonce(),
            gas_limit: transaction.gas_limit(),
            max_fee: transaction.max_fee_per_gas(),
            max_priority_fee: transaction.max_priority_fee_per_gas().unwrap_or_default(),
            to: transaction.kind(),
            value: transaction.value(),
            input: transaction.input().clone(),
            access_list: transaction.access_list().cloned().unwrap_or_default(),
            authorizations: transaction
                .authorization_list()
                .map(<[_]>::to_vec)
                .unwrap_or_default(),
        })
    }

    /// Whether transactions of this type have a tip of their own.
    pub(super) const fn has_priority_fee(&self) -> bool {
        matches!(self.ty, EIP1559 | EIP7702)
    }

    /// Whether transactions of this type have an access list.
    pub(super) const fn has_access_list(&self) -> bool {
        !matches!(self.ty, LEGACY)
    }

    /// Whether transactions of this type have an authorization list.
    pub(super) const fn has_authorizations(&self) -> bool {
        matches!(self.ty, EIP7702)
    }

    pub(super) fn into_transaction(self) -> Result<Transaction, BatchDecodeError> {
        let chain_id = |id: Option<u64>| {
            id.ok_or(BatchDecodeError::Invalid {
                column: "chain ids",
                reason: "only a legacy transaction may lack its chain id",
            })
        };
        Ok(match self.ty {
            EIP2930 => Transaction::Eip2930(
                TxEip2930 {
                    chain_id: chain_id(self.chain_id)?,
                    nonce: self.nonce,
                    gas_price: self.max_fee,
                    gas_limit: self.gas_limit,
                    to: self.to,
                    value: self.value,
                    access_list: self.access_list,
                    input: self.input,
                }
                .into_signed(self.signature),
            ),
            EIP1559 => Transaction::Eip1559(
                TxEip1559 {
                    chain_id: chain_id(self.chain_id)?,
                    nonce: self.nonce,
                    gas_limit: self.gas_limit,
                    max_fee_per_gas: self.max_fee,
                    max_priority_fee_per_gas: self.max_priority_fee,
                    to: self.to,
                    value: self.value,
                    access_list: self.access_list,
                    input: self.input,
                }
                .into_signed(self.signature),
            ),
            EIP7702 => Transaction::Eip7702(
                TxEip7702 {
                    chain_id: chain_id(self.chain_id)?,
                    nonce: self.nonce,
                    gas_limit: self.gas_limit,
                    max_fee_per_gas: self.max_fee,
                    max_priority_fee_per_gas: self.max_priority_fee,
                    to: match self.to {
                        TxKind::Call(to) => to,
                        TxKind::Create => {
                            return Err(BatchDecodeError::Invalid {
                                column: "recipients",
                                reason: "an EIP-7702 transaction cannot create a contract",
                            });
                        }
                    },
                    value: self.value,
                    access_list: self.access_list,
                    authorization_list: self.authorizations,
                    input: self.input,
                }
                .into_signed(self.signature),
            ),
            _ => Transaction::Legacy(
                TxLegacy {
                    chain_id: self.chain_id,
                    nonce: self.nonce,
                    gas_price: self.max_fee,
                    gas_limit: self.gas_limit,
                    to: self.to,
                    value: self.value,
                    input: self.input,
                }
                .into_signed(self.signature),
            ),
        })
    }
}
