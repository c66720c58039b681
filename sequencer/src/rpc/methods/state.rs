use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_rpc_types_eth::{EIP1186AccountProofResponse, EIP1186StorageProof};
use alloy_serde::JsonStorageKey;
use weft_executor_core::{Account, StateView};
use weft_state::AccountProof;

use super::block_or_latest;
use crate::rpc::{
    RpcError,
    api::{Api, Registry},
    blocks::is_head,
    params::Arguments,
    workers::Deadline,
};

const ADDRESS: &str = "a 20-byte address";
const SLOT: &str = "a storage slot of at most 32 bytes";
/// Most slots in one `eth_getProof`; geth's bound.
const MAX_PROOF_SLOTS: usize = 1024;

/// Methods about accounts.
pub(super) fn register(registry: &mut Registry) {
    registry.read("eth_getBalance", 2, |api, arguments| {
        Ok(account(api, arguments)?.balance)
    });
    registry.read("eth_getCode", 2, get_code);
    registry.read("eth_getStorageAt", 3, get_storage_at);
    registry.read("eth_getTransactionCount", 2, get_transaction_count);
    registry.long("eth_getProof", 3, get_proof);
}

/// The account that the arguments name; an empty one when there is none.
fn account(api: &Api, mut arguments: Arguments) -> Result<Account, RpcError> {
    let address: Address = arguments.required(ADDRESS)?;
    let (_, mut state) = api.state(block_or_latest(&mut arguments)?)?;
    Ok(state.account(address)?.unwrap_or_default())
}

fn get_code(api: &Api, mut arguments: Arguments) -> Result<Bytes, RpcError> {
    let address: Address = arguments.required(ADDRESS)?;
    let (_, mut state) = api.state(block_or_latest(&mut arguments)?)?;
    match state.account(address)? {
        Some(account) if account.code_hash != alloy_primitives::KECCAK256_EMPTY => {
            Ok(state.code(account.code_hash)?)
        }
        _ => Ok(Bytes::new()),
    }
}

fn get_storage_at(api: &Api, mut arguments: Arguments) -> Result<B256, RpcError> {
    let address: Address = arguments.required(ADDRESS)?;
    let slot: JsonStorageKey = arguments.required(SLOT)?;
    let (_, mut state) = api.state(block_or_latest(&mut arguments)?)?;
    Ok(state.storage(address, slot.as_b256().into())?.into())
}

fn get_transaction_count(api: &Api, mut arguments: Arguments) -> Result<U64, RpcError> {
    let address: Address = arguments.required(ADDRESS)?;
    let id = block_or_latest(&mut arguments)?;
    let (_, mut state) = api.state(id)?;
    let nonce = state.account(address)?.unwrap_or_default().nonce;
    let waiting = api
        .mempool
        .as_ref()
        .filter(|_| id == BlockId::pending())
        .and_then(|mempool| mempool.next_nonce(address));
    Ok(U64::from(waiting.map_or(nonce, |next| next.max(nonce))))
}

fn get_proof(
    api: &Api,
    mut arguments: Arguments,
    deadline: Deadline,
) -> Result<EIP1186AccountProofResponse, RpcError> {
    let address: Address = arguments.required(ADDRESS)?;
    let keys: Vec<JsonStorageKey> = arguments
        .optional("a list of storage slots")?
        .unwrap_or_default();
    let id = block_or_latest(&mut arguments)?;
    if keys.len() > MAX_PROOF_SLOTS {
        return Err(RpcError::LimitExceeded(format!(
            "at most {MAX_PROOF_SLOTS} slots in one proof, found {}",
            keys.len()
        )));
    }
    let slots: Vec<U256> = keys.iter().map(|key| key.as_b256().into()).collect();
    let found = proof(api, id, address, &slots, deadline)?;
    let account = found.account.unwrap_or_default();
    Ok(EIP1186AccountProofResponse {
        address: found.address,
        balance: account.balance,
        code_hash: account.code_hash,
        nonce: account.nonce,
        storage_hash: found.storage_root,
        account_proof: found.proof,
        storage_proof: keys
            .into_iter()
            .zip(found.storage)
            .map(|(key, slot)| EIP1186StorageProof::new(key, slot.value, slot.proof))
            .collect(),
    })
}

fn proof(
    api: &Api,
    id: BlockId,
    address: Address,
    slots: &[U256],
    deadline: Deadline,
) -> Result<AccountProof, RpcError> {
    let store = api.chain.store();
    if is_head(id) {
        let (_, proof) = store.proof(address, slots)?;
        return Ok(proof);
    }
    let header = api.known_header(id)?;
    let found = store.proof_at(
        header.number,
        address,
        slots,
        api.config.max_proof_changes,
        || deadline.check(),
    )?;
    let (_, proof) = found.ok_or(RpcError::StateNotKept(header.number))?;
    Ok(proof)
}
