use alloy_primitives::{Address, B256, Bytes, U64, U256, keccak256};
use serde_json::{Value, json};

use crate::rpc::{RpcError, api::Registry};

/// What `web3_clientVersion` answers.
pub(super) const CLIENT_VERSION: &str = concat!("weft/v", env!("CARGO_PKG_VERSION"));

/// Methods about the node itself.
pub(super) fn register(registry: &mut Registry) {
    registry.quick("web3_clientVersion", 0, |_, _| Ok(CLIENT_VERSION));
    registry.quick("web3_sha3", 1, |_, mut arguments| {
        let data: Bytes = arguments.required("hexadecimal data")?;
        Ok(keccak256(data))
    });
    registry.quick("net_version", 0, |api, _| {
        Ok(api.chain.spec().chain_id().to_string())
    });
    registry.quick("net_listening", 0, |_, _| Ok(true));
    registry.quick("net_peerCount", 0, |_, _| Ok(U64::ZERO));
    registry.quick("rpc_modules", 0, |_, _| {
        let modules = ["debug", "eth", "net", "rpc", "txpool", "web3", "weft"];
        Ok(modules
            .into_iter()
            .map(|module| (module.to_owned(), json!("1.0")))
            .collect::<serde_json::Map<String, Value>>())
    });
    registry.quick("eth_chainId", 0, |api, _| {
        Ok(U64::from(api.chain.spec().chain_id()))
    });
    registry.quick("eth_syncing", 0, |_, _| Ok(false));
    registry.quick("eth_coinbase", 0, |api, _| Ok(api.chain.head().beneficiary));
    registry.quick("eth_accounts", 0, |_, _| Ok(Vec::<Address>::new()));
    registry.quick("eth_mining", 0, |_, _| Ok(false));
    registry.quick("eth_hashrate", 0, |_, _| Ok(U256::ZERO));
    for name in [
        "eth_sign",
        "eth_signTransaction",
        "eth_signTypedData",
        "eth_signTypedData_v4",
        "eth_sendTransaction",
        "personal_sign",
    ] {
        registry.quick::<B256>(name, usize::MAX, |_, _| Err(RpcError::NoKeys));
    }
}
