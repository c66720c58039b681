use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount, nodes::RlpNode};
use weft_executor_core::Account;

use crate::{
    StateError,
    trie::{AccountNodes, Link, Node, NodeSource, StorageNodes, load},
};

/// Merkle proof of an account (EIP-1186).
#[derive(Debug, Clone)]
pub struct AccountProof {
    /// The account's address.
    pub address: Address,
    /// The account; `None` when it does not exist, which the proof shows.
    pub account: Option<Account>,
    /// Root of the account's storage trie; [`EMPTY_ROOT_HASH`] without storage.
    pub storage_root: B256,
    /// RLP of the nodes from the state root down. Nodes inside their parents have no entry. Empty
    /// for the empty trie.
    pub proof: Vec<Bytes>,
    /// One proof for each slot that was asked for, in that order.
    pub storage: Vec<StorageProof>,
}

/// Merkle proof of a slot (EIP-1186).
#[derive(Debug, Clone)]
pub struct StorageProof {
    /// The slot.
    pub slot: U256,
    /// Its value; zero when it is absent, which the proof shows.
    pub value: U256,
    /// RLP of the nodes from the storage root down, as in [`AccountProof::proof`].
    pub proof: Vec<Bytes>,
}

/// Proves an account and its slots against `state_root`, which is the root of `nodes`.
pub(crate) fn account_proof(
    nodes: &AccountNodes<'_>,
    state_root: B256,
    address: Address,
    slots: &[U256],
) -> Result<AccountProof, StateError> {
    let address_hash = keccak256(address);
    let key = Nibbles::unpack(address_hash);
    let (proof, leaf) = walk(nodes, state_root, &key)?;
    let leaf = leaf
        .map(|leaf| {
            alloy_rlp::decode_exact::<TrieAccount>(&leaf)
                .map_err(|error| nodes.corrupt(&key, format!("leaf of account {address}: {error}")))
        })
        .transpose()?;
    let storage_root = leaf
        .as_ref()
        .map_or(EMPTY_ROOT_HASH, |leaf| leaf.storage_root);
    let storage_nodes = StorageNodes {
        accounts: nodes,
        address_hash,
        wiped: false,
    };
    let storage = slots
        .iter()
        .map(|slot| {
            let key = Nibbles::unpack(keccak256(slot.to_be_bytes::<32>()));
            let (proof, value) = walk(&storage_nodes, storage_root, &key)?;
            let value = value
                .map(|value| {
                    alloy_rlp::decode_exact(value).map_err(|error| {
                        storage_nodes.corrupt(&key, format!("leaf of slot {slot}: {error}"))
                    })
                })
                .transpose()?
                .unwrap_or_default();
            Ok(StorageProof {
                slot: *slot,
                value,
                proof,
            })
        })
        .collect::<Result<_, StateError>>()?;
    Ok(AccountProof {
        address,
        account: leaf.map(|leaf| Account {
            nonce: leaf.nonce,
            balance: leaf.balance,
            code_hash: leaf.code_hash,
        }),
        storage_root,
        proof,
        storage,
    })
}

/// The nodes on the way to `key`, and the value there. Every node is checked against the hash that
/// its parent, or at the top `root`, names it by.
pub(crate) fn walk(
    nodes: &impl NodeSource,
    root: B256,
    key: &Nibbles,
) -> Result<(Vec<Bytes>, Option<Vec<u8>>), StateError> {
    let mut proof = Vec::new();
    if root == EMPTY_ROOT_HASH {
        return Ok((proof, None));
    }
    let mut reference = RlpNode::word_rlp(&root);
    let mut depth = 0;
    loop {
        let path = key.slice(..depth);
        if let Some(expected) = reference.as_hash() {
            let bytes = nodes.node(&path)?.ok_or_else(|| {
                nodes.corrupt(&path, format!("expected node {expected}, found no entry"))
            })?;
            let found = keccak256(&bytes);
            if found != expected {
                return Err(
                    nodes.corrupt(&path, format!("expected node {expected}, found {found}"))
                );
            }
            proof.push(Bytes::copy_from_slice(&bytes));
        }
        let (node, _) = load(nodes, &path, &reference)?;
        let rest = key.slice(depth..);
        let child = match node {
            Node::Leaf { key, value } => return Ok((proof, (key == rest).then_some(value))),
            Node::Extension { key, child } if rest.starts_with(&key) => {
                depth += key.len();
                child
            }
            Node::Extension { .. } => return Ok((proof, None)),
            Node::Branch { mut children } => {
                depth += 1;
                rest.first()
                    .and_then(|nibble| children.get_mut(usize::from(nibble)))
                    .map(std::mem::take)
                    .unwrap_or_default()
            }
        };
        match child {
            Link::Reference(below) => reference = below,
            Link::Empty | Link::Loaded { .. } => return Ok((proof, None)),
        }
    }
}
