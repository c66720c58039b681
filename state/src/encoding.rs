//! Keys and values as they are on disk. Numbers in keys are big-endian, so that keys sort by them.

use alloy_consensus::{Header, Sealed};
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use alloy_rlp::{Encodable, RlpDecodable, RlpEncodable};
use alloy_trie::Nibbles;
use weft_executor_core::Account;
use weft_primitives::L1Origin;

use crate::TransactionLocation;

pub(crate) fn number_key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

pub(crate) fn storage_key(address: Address, slot: U256) -> [u8; 52] {
    concat(address.as_slice(), &slot.to_be_bytes::<32>())
}

pub(crate) fn account_history_key(address: Address, block: u64) -> [u8; 28] {
    concat(address.as_slice(), &block.to_be_bytes())
}

pub(crate) fn storage_history_key(address: Address, slot: U256, block: u64) -> [u8; 60] {
    concat(&storage_key(address, slot), &block.to_be_bytes())
}

pub(crate) fn log_index_key(hash: u64, block: u64) -> [u8; 16] {
    concat(&hash.to_be_bytes(), &block.to_be_bytes())
}

/// The block's number.
pub(crate) fn decode_log_index_key(key: &[u8]) -> Result<u64, alloy_rlp::Error> {
    key.split_at_checked(8)
        .ok_or(alloy_rlp::Error::InputTooShort)
        .and_then(|(_, number)| decode_number(number))
}

/// The key of a trie's node: the length in nibbles, then the nibbles, two a byte, so that no two
/// paths share a key. Behind the owner's hash, if there is one.
#[derive(Clone, Copy)]
pub(crate) struct NodeKey {
    bytes: [u8; 65],
    length: usize,
}

impl NodeKey {
    fn new(owner: Option<B256>, path: &Nibbles) -> Self {
        let mut bytes = [0; 65];
        let packed = path.pack();
        let parts = [
            owner
                .as_ref()
                .map_or::<&[u8], _>(&[], |owner| owner.as_slice()),
            // A path has at most 64 nibbles.
            &[u8::try_from(path.len()).unwrap_or(u8::MAX)],
            &packed,
        ];
        let mut length = 0_usize;
        for (byte, from) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *byte = *from;
            length = length.saturating_add(1);
        }
        Self { bytes, length }
    }
}

impl AsRef<[u8]> for NodeKey {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

pub(crate) fn account_node_key(path: &Nibbles) -> NodeKey {
    NodeKey::new(None, path)
}

pub(crate) fn storage_node_key(address_hash: B256, path: &Nibbles) -> NodeKey {
    NodeKey::new(Some(address_hash), path)
}

/// `out` is filled from two parts whose lengths add up to `N` at every call.
fn concat<const N: usize>(first: &[u8], second: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    for (byte, from) in out.iter_mut().zip(first.iter().chain(second)) {
        *byte = *from;
    }
    out
}

#[derive(RlpEncodable, RlpDecodable)]
#[rlp(trailing)]
struct StoredAccount {
    nonce: u64,
    balance: U256,
    code_hash: Option<B256>,
}

pub(crate) fn encode_account(account: &Account) -> Vec<u8> {
    alloy_rlp::encode(StoredAccount {
        nonce: account.nonce,
        balance: account.balance,
        code_hash: (account.code_hash != KECCAK256_EMPTY).then_some(account.code_hash),
    })
}

pub(crate) fn decode_account(bytes: &[u8]) -> Result<Account, alloy_rlp::Error> {
    let stored: StoredAccount = alloy_rlp::decode_exact(bytes)?;
    Ok(Account {
        nonce: stored.nonce,
        balance: stored.balance,
        code_hash: stored.code_hash.unwrap_or(KECCAK256_EMPTY),
    })
}

/// An account in the history: no bytes when it did not exist.
pub(crate) fn encode_past_account(account: Option<&Account>) -> Vec<u8> {
    account.map(encode_account).unwrap_or_default()
}

pub(crate) fn decode_past_account(bytes: &[u8]) -> Result<Option<Account>, alloy_rlp::Error> {
    if bytes.is_empty() {
        return Ok(None);
    }
    decode_account(bytes).map(Some)
}

/// Big-endian without leading zeros; zero is no bytes.
pub(crate) fn encode_word(value: U256) -> Vec<u8> {
    value.to_be_bytes_trimmed_vec()
}

pub(crate) fn decode_word(bytes: &[u8]) -> Result<U256, alloy_rlp::Error> {
    U256::try_from_be_slice(bytes).ok_or(alloy_rlp::Error::Overflow)
}

pub(crate) fn decode_number(bytes: &[u8]) -> Result<u64, alloy_rlp::Error> {
    bytes
        .try_into()
        .map(u64::from_be_bytes)
        .map_err(|_| alloy_rlp::Error::UnexpectedLength)
}

pub(crate) fn encode_location(location: TransactionLocation) -> [u8; 16] {
    concat(
        &location.block_number.to_be_bytes(),
        &location.index.to_be_bytes(),
    )
}

pub(crate) fn decode_location(bytes: &[u8]) -> Result<TransactionLocation, alloy_rlp::Error> {
    let (block_number, index) = bytes
        .split_at_checked(8)
        .ok_or(alloy_rlp::Error::UnexpectedLength)?;
    Ok(TransactionLocation {
        block_number: decode_number(block_number)?,
        index: decode_number(index)?,
    })
}

pub(crate) fn encode_senders(senders: &[Address]) -> Vec<u8> {
    senders.iter().flat_map(|sender| sender.0.0).collect()
}

pub(crate) fn decode_senders(bytes: &[u8]) -> Result<Vec<Address>, alloy_rlp::Error> {
    let (senders, rest) = bytes.as_chunks::<20>();
    if !rest.is_empty() {
        return Err(alloy_rlp::Error::UnexpectedLength);
    }
    Ok(senders.iter().map(Address::from).collect())
}

/// What of L1 a chain has taken in after a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, RlpEncodable, RlpDecodable)]
#[rlp(trailing)]
pub(crate) struct L1Progress {
    /// Number of user deposits executed so far.
    pub(crate) deposits: u64,
    /// The L1 origin in force.
    pub(crate) origin: Option<L1Origin>,
}

/// A header is stored after its hash, which saves hashing it at every read.
pub(crate) fn encode_header(header: &Sealed<Header>) -> Vec<u8> {
    let mut out = header.hash().to_vec();
    header.inner().encode(&mut out);
    out
}

pub(crate) fn decode_header(bytes: &[u8]) -> Result<Sealed<Header>, alloy_rlp::Error> {
    let (hash, header) = split_header(bytes)?;
    Ok(Sealed::new_unchecked(
        alloy_rlp::decode_exact(header)?,
        hash,
    ))
}

/// The hash and the encoded header.
pub(crate) fn split_header(bytes: &[u8]) -> Result<(B256, &[u8]), alloy_rlp::Error> {
    bytes
        .split_first_chunk::<32>()
        .map(|(hash, header)| (B256::from(hash), header))
        .ok_or(alloy_rlp::Error::InputTooShort)
}
