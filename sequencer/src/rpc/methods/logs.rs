use alloy_rpc_types_eth::Filter;

use crate::rpc::api::Registry;

/// What a filter argument must be.
pub(super) const FILTER: &str =
    "a filter: an object with fromBlock and toBlock or blockHash, address, topics";

/// Searching logs.
pub(super) fn register(registry: &mut Registry) {
    registry.long("eth_getLogs", 1, |api, mut arguments, deadline| {
        let filter: Filter = arguments.required(FILTER)?;
        api.logs(&filter, deadline)
    });
}
