use std::{net::IpAddr, num::NonZeroUsize, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::config::{
    optional,
    units::{milliseconds, wei},
};

/// Where JSON-RPC, `/health`, `/ready` and `/metrics` are served, and the server's bounds: `[rpc]` of
/// the configuration. Each bound has an error of its own; `docs/rpc.md` lists them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RpcConfig {
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on; 0 takes a free one.
    pub port: u16,
    /// Threads for calls and reads from disk, and as many for sent transactions; 0 takes one for
    /// each core, and at least two, so that a long call never keeps short requests waiting.
    pub threads: usize,
    /// Largest HTTP body and largest WebSocket message, in bytes.
    pub max_body_bytes: usize,
    /// Most requests in one batch.
    pub max_batch: usize,
    /// Largest answer to one request, in bytes.
    pub max_response_bytes: usize,
    /// Largest answer to one batch, in bytes.
    pub max_batch_response_bytes: usize,
    /// Most blocks that one `eth_getLogs` looks at.
    pub max_log_range: u64,
    /// Most logs that one `eth_getLogs` answers.
    pub max_log_results: usize,
    /// Most accounts and slots that blocks after the one asked for changed, in one `eth_getProof`.
    pub max_proof_changes: usize,
    /// Most connections, HTTP and WebSocket together.
    pub max_connections: usize,
    /// How long a connection may neither send nor take a byte.
    #[serde(rename = "idle_timeout_ms", with = "milliseconds")]
    pub idle_timeout: Duration,
    /// Most messages of one WebSocket connection that are worked on at a time; further ones wait
    /// unread.
    pub max_requests_per_connection: usize,
    /// Most open subscriptions of one WebSocket connection.
    pub max_subscriptions_per_connection: u32,
    /// Most bytes waiting to be sent on one WebSocket connection.
    pub max_websocket_buffer_bytes: usize,
    /// Most open filters of all clients together.
    pub max_filters: usize,
    /// How long a filter lives after it was last polled.
    #[serde(rename = "filter_ttl_ms", with = "milliseconds")]
    pub filter_ttl: Duration,
    /// Most gas of one `eth_call`, `eth_estimateGas` or `eth_createAccessList` execution.
    pub call_gas: u64,
    /// How long a caller waits for a call, an estimate or a log query.
    #[serde(rename = "call_timeout_ms", with = "milliseconds")]
    pub call_timeout: Duration,
    /// Most calls, estimates and log queries waiting for a thread.
    pub max_waiting_calls: usize,
    /// Most sent transactions that wait to be checked, of all clients together; those of one client
    /// never take more than the places that are left.
    pub max_waiting_sends: NonZeroUsize,
    /// How long `eth_sendRawTransactionSync` waits when the caller does not say.
    #[serde(rename = "sync_timeout_ms", with = "milliseconds")]
    pub sync_timeout: Duration,
    /// Longest wait that a caller of `eth_sendRawTransactionSync` may ask for.
    #[serde(rename = "max_sync_timeout_ms", with = "milliseconds")]
    pub max_sync_timeout: Duration,
    /// Smallest tip that `eth_maxPriorityFeePerGas` suggests, in wei per gas. Must be at least what
    /// the mempool takes in.
    #[serde(rename = "min_suggested_tip_wei", with = "wei")]
    pub min_suggested_tip: u128,
    /// Messages that are worked on or wait at a time, of all clients together; further ones are
    /// answered with an error at once.
    pub max_messages_in_work: usize,
    /// Bytes of these messages.
    pub max_bytes_in_work: usize,
    /// Requests in a second that one IP address may make without a key, in the long run (IPv6: all
    /// addresses with the same first 64 bits); 0 is no limit.
    pub rate_limit_per_ip: u32,
    /// Transactions in a second that one IP address may send without a key; 0 is no limit.
    pub send_limit_per_ip: u32,
    /// Seconds' worth of a limit that may be used at once.
    pub rate_limit_burst_s: u32,
    /// Environment variable that holds the keys of clients with limits of their own; not used with a
    /// file.
    #[serde(with = "optional")]
    pub rate_limit_keys_env: Option<String>,
    /// File with the keys.
    #[serde(with = "optional")]
    pub rate_limit_keys_path: Option<PathBuf>,
    /// Proxies in front of the node whose `x-forwarded-for` is believed; 0 takes the address of the
    /// connection.
    pub trusted_proxies: usize,
    /// Origins that browsers may call from: `*`, or a list.
    pub cors: Vec<String>,
}

impl Default for RpcConfig {
    fn default() -> Self {
        Self {
            host: IpAddr::from([127, 0, 0, 1]),
            port: 8545,
            threads: 0,
            max_body_bytes: 5 << 20,
            max_batch: 1000,
            max_response_bytes: 32 << 20,
            max_batch_response_bytes: 32 << 20,
            max_log_range: 100_000,
            max_log_results: 20_000,
            max_proof_changes: 100_000,
            max_connections: 1000,
            idle_timeout: Duration::from_secs(60),
            max_requests_per_connection: 64,
            max_subscriptions_per_connection: 128,
            max_websocket_buffer_bytes: 16 << 20,
            max_filters: 10_000,
            filter_ttl: Duration::from_secs(300),
            call_gas: 50_000_000,
            call_timeout: Duration::from_secs(10),
            max_waiting_calls: 256,
            max_waiting_sends: NonZeroUsize::MIN.saturating_add(16_383),
            sync_timeout: Duration::from_secs(2),
            max_sync_timeout: Duration::from_secs(30),
            min_suggested_tip: 1_000_000,
            max_messages_in_work: 16_384,
            max_bytes_in_work: 512 << 20,
            rate_limit_per_ip: 0,
            send_limit_per_ip: 0,
            rate_limit_burst_s: 5,
            rate_limit_keys_env: None,
            rate_limit_keys_path: None,
            trusted_proxies: 0,
            cors: vec!["*".to_owned()],
        }
    }
}
