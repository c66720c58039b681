//! `weft.toml`: the configuration of a production node.
//!
//! Three layers, the later over the earlier: the file, `WEFT_` environment variables, and what the
//! command line sets. `weft.example.toml` at the root of the repository has every key with its
//! default; `docs/configuration.md` explains the layers. Keys to accounts are never in any of them:
//! the configuration names the environment variable or the keystore that holds one.

mod admin;
mod error;
mod layers;
pub(crate) mod optional;
mod secret;
mod sections;
mod signer;
#[cfg(test)]
mod tests;
pub(crate) mod units;
mod validate;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{mempool::MempoolLimits, rpc::RpcConfig};

pub use admin::AdminSection;
pub use error::ConfigError;
pub use secret::{Secret, SecretUrl};
pub use sections::{
    BatcherSection, BlockSection, ChainSection, L1Section, LedgerSection, LogFormat, LogSection,
    MetricsSection, StateSection,
};

/// Everything that can be configured, by section. Durations and sizes have their unit in the name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The chain and where it is kept.
    pub chain: ChainSection,
    /// Memory of the state, and what is read ahead.
    pub state: StateSection,
    /// The JSON-RPC server.
    pub rpc: RpcConfig,
    /// Bounds of the mempool.
    pub mempool: MempoolLimits,
    /// When blocks are made and what they hold.
    pub block: BlockSection,
    /// The L1 that the chain posts to.
    pub l1: L1Section,
    /// How batches are posted.
    pub batcher: BatcherSection,
    /// The operator's JSON-RPC.
    pub admin: AdminSection,
    /// The SQL ledger.
    pub ledger: LedgerSection,
    /// Prometheus metrics.
    pub metrics: MetricsSection,
    /// Logs.
    pub log: LogSection,
}

impl Config {
    /// Puts the layers together and checks the result: the file (defaults without one), then
    /// `WEFT_SECTION_KEY` variables, then `overrides`, each `SECTION.KEY=VALUE`.
    ///
    /// # Errors
    /// When the file cannot be read, a key is unknown, a value is of the wrong kind, or the values
    /// do not make a node that can run. No error repeats the content of the file or of a URL.
    pub fn load(
        path: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
        overrides: &[impl AsRef<str>],
    ) -> Result<Self, ConfigError> {
        let mut layers = layers::Layers::new(path)?;
        layers.apply_env(env)?;
        layers.apply_overrides(overrides)?;
        let config = layers.finish()?;
        config.validate()?;
        Ok(config)
    }
}
