use std::{num::NonZeroU64, path::PathBuf, time::Duration};

use alloy_primitives::Address;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use weft_batcher::{BatchPolicy, MAX_BLOCK_TRANSACTION_BYTES};
use weft_l1_bridge::{BlobReader, BlobSourceError, FeeCaps, MAX_BATCH_BLOBS, TxManagerConfig};
use weft_state::{History, StoreOptions};

use super::{SecretUrl, optional};
use crate::{
    chain::{ElasticConfig, ExecutionMode, ProducerConfig, Ramp},
    l1::OnDeepReorg,
};

/// `[chain]`: the chain and where it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChainSection {
    /// Folder of this node alone.
    pub data_dir: PathBuf,
    /// Path of the chain's geth-format `genesis.json`. Must be set.
    #[serde(with = "optional")]
    pub genesis: Option<PathBuf>,
    /// Layers that run. All nodes of a chain must agree on them.
    #[serde(
        serialize_with = "serialize_execution",
        deserialize_with = "deserialize_execution"
    )]
    pub execution: ExecutionMode,
    /// Threads that execute blocks; 0 takes one for each core.
    pub threads: usize,
    /// How far back states are kept: `all`, or a number of blocks.
    #[serde(
        serialize_with = "serialize_history",
        deserialize_with = "deserialize_history"
    )]
    pub history: History,
}

impl Default for ChainSection {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("weft-data"),
            genesis: None,
            execution: ExecutionMode::default(),
            threads: 0,
            history: History::All,
        }
    }
}

fn serialize_execution<S: Serializer>(
    mode: &ExecutionMode,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(mode)
}

fn deserialize_execution<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<ExecutionMode, D::Error> {
    String::deserialize(deserializer)?
        .parse()
        .map_err(D::Error::custom)
}

fn serialize_history<S: Serializer>(history: &History, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(history)
}

/// A file may have the number without quotes.
fn deserialize_history<'de, D: Deserializer<'de>>(deserializer: D) -> Result<History, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected \"all\" or a number of blocks from 1")]
    enum Value {
        Text(String),
        Blocks(NonZeroU64),
    }
    match Value::deserialize(deserializer)? {
        Value::Text(text) => text.parse().map_err(D::Error::custom),
        Value::Blocks(blocks) => Ok(History::Blocks(blocks)),
    }
}

/// `[state]`: memory of the state, and what is read ahead of execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StateSection {
    /// Accounts and slots that are kept in memory, in bytes.
    pub hot_state_bytes: u64,
    /// Code that is kept in memory, in bytes.
    pub hot_code_bytes: u64,
    /// Trie nodes that are kept in memory from block to block, in bytes.
    pub trie_bytes: u64,
    /// Blocks of the database's files that are kept in memory, in bytes.
    pub disk_cache_bytes: u64,
    /// Threads that read what sent transactions are expected to look at; 0 reads nothing ahead.
    pub preload_threads: usize,
    /// Accounts and slots that wait for these threads; what does not fit is not read ahead.
    pub preload_queue: usize,
}

impl Default for StateSection {
    fn default() -> Self {
        let options = StoreOptions::default();
        Self {
            hot_state_bytes: options.hot_state_bytes,
            hot_code_bytes: options.hot_code_bytes,
            trie_bytes: options.trie_bytes,
            disk_cache_bytes: options.cache_bytes,
            preload_threads: 2,
            preload_queue: 100_000,
        }
    }
}

impl StateSection {
    /// What of it is the store's.
    pub(crate) fn store_options(&self, history: History) -> StoreOptions {
        StoreOptions {
            history,
            cache_bytes: self.disk_cache_bytes,
            hot_state_bytes: self.hot_state_bytes,
            hot_code_bytes: self.hot_code_bytes,
            trie_bytes: self.trie_bytes,
            ..StoreOptions::default()
        }
    }
}

/// `[block]`: when blocks are made and what they hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BlockSection {
    /// Least time between the starts of two blocks, in milliseconds.
    pub min_interval_ms: u64,
    /// Longest time between the starts of two blocks while L1 slows the chain down, in milliseconds.
    pub max_interval_ms: u64,
    /// How long executing, sealing and writing a block should take together, in milliseconds.
    pub target_block_ms: u64,
    /// Time after which an idle chain makes an empty block, in seconds; 0 never.
    pub heartbeat_s: u64,
    /// Gas limit of a block while neither speed nor L1 ask for another, in gas.
    pub gas_limit: u64,
    /// Least gas limit of a block; 0 takes half of `gas_limit`, or what any transaction fits into.
    pub min_gas_limit: u64,
    /// Largest gas limit of a block; 0 takes twice `gas_limit`.
    pub max_gas_limit: u64,
    /// Account that earns the fees.
    pub beneficiary: Address,
    /// Most transactions in one block.
    pub max_transactions: usize,
}

impl Default for BlockSection {
    fn default() -> Self {
        Self {
            min_interval_ms: 0,
            max_interval_ms: 2000,
            target_block_ms: 200,
            heartbeat_s: 600,
            gas_limit: 60_000_000,
            min_gas_limit: 0,
            max_gas_limit: 0,
            beneficiary: Address::ZERO,
            max_transactions: 10_000,
        }
    }
}

impl BlockSection {
    /// How blocks are made below this L1.
    pub fn producer(&self, l1: &L1Section) -> ProducerConfig {
        let around = ElasticConfig::around(self.gas_limit);
        let or = |configured: u64, derived: u64| match configured {
            0 => derived,
            configured => configured,
        };
        let ramp = |slow: u64, stop: u64| (stop > 0).then_some(Ramp { slow, stop });
        let elastic = ElasticConfig {
            min_gas_limit: or(self.min_gas_limit, around.min_gas_limit),
            max_gas_limit: or(self.max_gas_limit, around.max_gas_limit),
            max_interval: Duration::from_millis(self.max_interval_ms),
            target_block_time: Duration::from_millis(self.target_block_ms),
            backlog_bytes: ramp(l1.slow_at_backlog_bytes, l1.stop_at_backlog_bytes),
            backlog_age: ramp(l1.slow_at_backlog_s, l1.stop_at_backlog_s),
            l1_base_fee: ramp(l1.slow_at_base_fee_wei, l1.slowest_at_base_fee_wei),
        };
        ProducerConfig {
            min_interval: Duration::from_millis(self.min_interval_ms),
            heartbeat: (self.heartbeat_s > 0).then(|| Duration::from_secs(self.heartbeat_s)),
            gas_limit: self.gas_limit,
            beneficiary: self.beneficiary,
            max_transactions: self.max_transactions,
            max_transaction_bytes: MAX_BLOCK_TRANSACTION_BYTES,
            elastic: Some(elastic),
        }
    }
}

/// `[l1]`: the L1 that the chain posts to and takes deposits from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct L1Section {
    /// RPC URL; `None` for a chain without an L1.
    #[serde(with = "optional")]
    pub rpc_url: Option<SecretUrl>,
    /// The rollup's contract. Must be set with an L1.
    #[serde(with = "optional")]
    pub contract: Option<Address>,
    /// URL of a consensus node (Beacon API) of L1, where blobs are read.
    #[serde(with = "optional")]
    pub beacon_url: Option<SecretUrl>,
    /// Archive of blobs: the path of a folder, or the URL of a server. Without this and
    /// `beacon_url` no blobs are posted.
    #[serde(with = "optional")]
    pub blob_archive: Option<SecretUrl>,
    /// Blocks on top of an L1 block before its deposits are taken in.
    pub deposit_confirmations: u64,
    /// What the node does when L1 drops the block that the chain has as its origin.
    pub on_deep_reorg: OnDeepReorg,
    /// Confirmations after which a batch counts as safe; 1 is to be in a block.
    pub safe_confirmations: u64,
    /// How often L1 is asked for news, in milliseconds.
    pub poll_interval_ms: u64,
    /// How long a request to L1 may take, in milliseconds.
    pub timeout_ms: u64,
    /// Bytes of transactions in blocks that are not safe yet from which on the chain slows down.
    pub slow_at_backlog_bytes: u64,
    /// Bytes at which it stops taking transactions in until L1 has caught up; 0 never.
    pub stop_at_backlog_bytes: u64,
    /// Age of the oldest block that is not safe yet from which on the chain slows down, in seconds.
    pub slow_at_backlog_s: u64,
    /// Age at which it stops taking transactions in, in seconds; 0 never.
    pub stop_at_backlog_s: u64,
    /// Base fee of L1 from which on the chain slows down, in wei per gas.
    pub slow_at_base_fee_wei: u64,
    /// Base fee of L1 from which on it is slowest, in wei per gas; 0 never. It does not stop.
    pub slowest_at_base_fee_wei: u64,
}

impl Default for L1Section {
    fn default() -> Self {
        Self {
            rpc_url: None,
            contract: None,
            beacon_url: None,
            blob_archive: None,
            deposit_confirmations: 4,
            on_deep_reorg: OnDeepReorg::Unwind,
            safe_confirmations: 2,
            poll_interval_ms: 2000,
            timeout_ms: 15_000,
            slow_at_backlog_bytes: 64 << 20,
            stop_at_backlog_bytes: 256 << 20,
            slow_at_backlog_s: 0,
            stop_at_backlog_s: 0,
            slow_at_base_fee_wei: 0,
            slowest_at_base_fee_wei: 0,
        }
    }
}

impl L1Section {
    /// Where batches in blobs are read.
    ///
    /// # Errors
    /// When a URL cannot be used.
    pub fn blobs(&self) -> Result<BlobReader, BlobSourceError> {
        BlobReader::open(
            self.beacon_url.as_ref().map(SecretUrl::expose),
            self.blob_archive.as_ref().map(SecretUrl::expose),
        )
    }
}

/// `[batcher]`: how batches are posted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatcherSection {
    /// Whether this node posts batches.
    pub enabled: bool,
    /// Environment variable that holds the batcher's private key; not used with a keystore.
    #[serde(with = "optional")]
    pub private_key_env: Option<String>,
    /// Keystore file (Web3 Secret Storage) with the batcher's key.
    #[serde(with = "optional")]
    pub keystore_path: Option<PathBuf>,
    /// Environment variable that holds the keystore's password.
    #[serde(with = "optional")]
    pub keystore_password_env: Option<String>,
    /// Server that signs the batcher's transactions (JSON-RPC `eth_signTransaction`); the key is then
    /// not here.
    #[serde(with = "optional")]
    pub remote_signer_url: Option<SecretUrl>,
    /// Account whose key the server has. Must be set with one.
    #[serde(with = "optional")]
    pub address: Option<Address>,
    /// Highest fee cap that is offered to L1, in wei per gas.
    pub max_fee_wei: u64,
    /// Highest fee cap of blobs that is offered to L1, in wei per blob gas.
    pub max_blob_fee_wei: u64,
    /// Time after which a transaction that waits is replaced by one that pays more, in seconds.
    pub resend_after_s: u64,
    /// Time after which the alarm is raised about a transaction that waits, in seconds.
    pub stuck_after_s: u64,
    /// Age of its first block at which a batch closes, in seconds.
    pub max_age_s: u64,
    /// Most blocks in a batch.
    pub max_blocks: usize,
    /// Size that an encoded batch should keep below when it is posted as calldata, in bytes.
    pub max_bytes: usize,
    /// Most blobs that one batch may take; 0 posts everything as calldata.
    pub max_blobs: usize,
    /// Effort of the encoding of what is posted, from 1 (fast) to 19 (small).
    pub compression_level: u8,
}

impl Default for BatcherSection {
    fn default() -> Self {
        let policy = BatchPolicy::default();
        Self {
            enabled: true,
            private_key_env: Some("WEFT_BATCHER_KEY".to_owned()),
            keystore_path: None,
            keystore_password_env: None,
            remote_signer_url: None,
            address: None,
            max_fee_wei: 1_000_000_000_000,
            max_blob_fee_wei: 1_000_000_000_000,
            resend_after_s: 60,
            stuck_after_s: 600,
            max_age_s: policy.max_age.as_secs(),
            max_blocks: policy.max_blocks,
            max_bytes: policy.max_bytes,
            max_blobs: MAX_BATCH_BLOBS,
            compression_level: u8::try_from(policy.compression_level).unwrap_or(u8::MAX),
        }
    }
}

impl BatcherSection {
    /// How its transactions are brought into L1, which is looked at this often.
    pub fn transactions(&self, poll_interval: Duration) -> TxManagerConfig {
        TxManagerConfig {
            poll_interval,
            resend_after: Duration::from_secs(self.resend_after_s),
            stuck_after: Duration::from_secs(self.stuck_after_s),
            give_up_after: None,
            fee_caps: FeeCaps {
                max_fee_per_gas: self.max_fee_wei.into(),
                max_fee_per_blob_gas: self.max_blob_fee_wei.into(),
                ..FeeCaps::default()
            },
            ..TxManagerConfig::default()
        }
    }

    /// When a batch closes.
    pub fn policy(&self) -> BatchPolicy {
        BatchPolicy {
            max_age: Duration::from_secs(self.max_age_s),
            max_blocks: self.max_blocks,
            max_bytes: self.max_bytes,
            compression_level: i32::from(self.compression_level),
            ..BatchPolicy::default()
        }
    }
}

/// `[ledger]`: the SQL ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LedgerSection {
    /// `sqlite:` or `postgres:` URL; `None` for a file in the data folder.
    #[serde(with = "optional")]
    pub url: Option<SecretUrl>,
}

/// `[metrics]`: Prometheus metrics, on the RPC port at `/metrics`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSection {
    /// Whether metrics are kept and served.
    pub enabled: bool,
}

impl Default for MetricsSection {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// `[log]`: logs, on standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// What is logged, in the syntax of `tracing_subscriber::EnvFilter`, as in
    /// `info,weft_sequencer=debug`.
    pub filter: String,
    /// How.
    pub format: LogFormat,
}

impl Default for LogSection {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

impl LogSection {
    /// Whether logs are JSON, one object a line.
    pub const fn is_json(&self) -> bool {
        matches!(self.format, LogFormat::Json)
    }
}

/// Format of the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
