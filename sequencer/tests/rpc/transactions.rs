//! Transactions to send, and signing them.

use alloy_consensus::{SignableTransaction, Signed, TxEip1559, TxEip2930, TxEip7702, TxLegacy};
use alloy_eips::{eip2718::Encodable2718, eip2930::AccessList};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use weft_primitives::{Transaction, TxDeposit};

use crate::harness::{CHAIN_ID, COUNTER, key};

/// The EIP-2718 encoding.
pub(crate) fn raw(transaction: &Transaction) -> Bytes {
    transaction.encoded_2718().into()
}

/// An EIP-1559 transaction, to be changed as needed.
pub(crate) fn transfer(nonce: u64) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 20_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        to: TxKind::Call(Address::repeat_byte(0x77)),
        value: U256::from(1),
        access_list: AccessList::default(),
        input: Bytes::new(),
    }
}

/// A call of a contract.
pub(crate) fn message(nonce: u64, to: Address, input: impl Into<Bytes>) -> TxEip1559 {
    TxEip1559 {
        gas_limit: 300_000,
        to: TxKind::Call(to),
        value: U256::ZERO,
        input: input.into(),
        ..transfer(nonce)
    }
}

pub(crate) fn legacy(nonce: u64) -> TxLegacy {
    TxLegacy {
        chain_id: Some(CHAIN_ID),
        nonce,
        gas_price: 20_000_000_000,
        gas_limit: 100_000,
        to: TxKind::Call(Address::repeat_byte(0x77)),
        value: U256::from(1),
        input: Bytes::new(),
    }
}

pub(crate) fn with_access_list(nonce: u64) -> TxEip2930 {
    TxEip2930 {
        chain_id: CHAIN_ID,
        nonce,
        gas_price: 20_000_000_000,
        gas_limit: 100_000,
        to: TxKind::Call(COUNTER),
        value: U256::ZERO,
        access_list: AccessList(vec![alloy_eips::eip2930::AccessListItem {
            address: COUNTER,
            storage_keys: vec![B256::ZERO],
        }]),
        input: Bytes::new(),
    }
}

pub(crate) fn delegating(nonce: u64, authority: &PrivateKeySigner) -> TxEip7702 {
    let authorization = alloy_eips::eip7702::Authorization {
        chain_id: U256::from(CHAIN_ID),
        address: COUNTER,
        nonce: 0,
    };
    let signature = authority
        .sign_hash_sync(&authorization.signature_hash())
        .unwrap();
    TxEip7702 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 200_000,
        max_fee_per_gas: 20_000_000_000,
        max_priority_fee_per_gas: 1,
        to: authority.address(),
        value: U256::ZERO,
        access_list: AccessList::default(),
        authorization_list: vec![authorization.into_signed(signature)],
        input: Bytes::new(),
    }
}

pub(crate) fn deposit(to: TxKind, mint: u128) -> TxDeposit {
    TxDeposit {
        source_hash: B256::repeat_byte(0x5a),
        from: Address::repeat_byte(0x31),
        to,
        mint,
        value: U256::ZERO,
        gas_limit: 200_000,
        is_system_transaction: false,
        input: Bytes::new(),
    }
}

/// A kind of transaction that can be signed.
pub(crate) trait Signable: SignableTransaction<Signature> {
    fn envelope(signed: Signed<Self>) -> Transaction
    where
        Self: Sized;
}

impl Signable for TxLegacy {
    fn envelope(signed: Signed<Self>) -> Transaction {
        Transaction::Legacy(signed)
    }
}

impl Signable for TxEip2930 {
    fn envelope(signed: Signed<Self>) -> Transaction {
        Transaction::Eip2930(signed)
    }
}

impl Signable for TxEip1559 {
    fn envelope(signed: Signed<Self>) -> Transaction {
        Transaction::Eip1559(signed)
    }
}

impl Signable for TxEip7702 {
    fn envelope(signed: Signed<Self>) -> Transaction {
        Transaction::Eip7702(signed)
    }
}

/// Signs with the key of this index.
pub(crate) fn sign<T: Signable>(signer: u32, transaction: T) -> Transaction {
    let signature = key(signer)
        .sign_hash_sync(&transaction.signature_hash())
        .unwrap();
    T::envelope(transaction.into_signed(signature))
}
