use alloy_primitives::{Address, B256, Bytes, U64};
use serde::Serialize;
use weft_executor_core::StateView;
use weft_executor_evm::hooked_code_hash;

use super::block_or_latest;
use crate::rpc::{
    RpcError,
    api::{Api, Registry},
    params::Arguments,
};

/// First bytes of the code of an account that has delegated to a contract (EIP-7702).
const DELEGATION: [u8; 3] = [0xef, 0x01, 0x00];

/// Methods about contracts.
pub(super) fn register(registry: &mut Registry) {
    registry.read("weft_getContractInfo", 2, contract_info);
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ContractInfo {
    /// The layer that calls of the account run on; `None` where they run nothing, because what the
    /// account delegates to has no code.
    layer: Option<&'static str>,
    code_hash: B256,
    code_size: U64,
    /// The contract whose code runs instead of the account's own (EIP-7702).
    delegates_to: Option<Address>,
    /// Whether hooks are bound to it. Its code, as others see it, is then a marker.
    hooked: bool,
}

/// What runs when the account is called; `None` when it has no code.
fn contract_info(api: &Api, mut arguments: Arguments) -> Result<Option<ContractInfo>, RpcError> {
    let address: Address = arguments.required("a 20-byte address")?;
    let (_, mut state) = api.state(block_or_latest(&mut arguments)?)?;
    let Some((code_hash, code)) = code_of(&mut state, address)? else {
        return Ok(None);
    };
    let delegates_to = code
        .strip_prefix(&DELEGATION)
        .and_then(|address| Address::try_from(address).ok());
    let running = match delegates_to {
        None => Some(code.clone()),
        Some(delegate) => code_of(&mut state, delegate)?.map(|(_, code)| code),
    };
    let original = running.as_ref().and_then(|code| hooked_code_hash(code));
    let running = match original {
        Some(hash) => Some(state.code(hash)?),
        None => running,
    };
    Ok(Some(ContractInfo {
        layer: running.and_then(|code| api.chain.layers().of_code(&code)),
        code_hash,
        code_size: U64::from(code.len()),
        delegates_to,
        hooked: original.is_some() && delegates_to.is_none(),
    }))
}

fn code_of<S: StateView>(
    state: &mut S,
    address: Address,
) -> Result<Option<(B256, Bytes)>, S::Error> {
    match state.account(address)? {
        Some(account) if account.has_code() => {
            let code = state.code(account.code_hash)?;
            Ok(Some((account.code_hash, code)))
        }
        _ => Ok(None),
    }
}
