use weft_batcher::{MAX_BLOCK_TRANSACTION_BYTES, MAX_POSTED_BYTES};
use weft_l1_bridge::{MAX_BATCH_BLOBS, MAX_DEPOSIT_GAS};
use weft_primitives::ATTRIBUTES_GAS_LIMIT;

use super::{
    Config, ConfigError,
    units::{milliseconds, wei},
};

/// Least gas limit of a block below an L1: the deposits that it may bring must always fit, or the
/// chain could never go on.
const MIN_GAS_LIMIT_WITH_L1: u64 = MAX_DEPOSIT_GAS + ATTRIBUTES_GAS_LIMIT;

/// How many times larger or smaller than configured a block may become.
const ELASTICITY: u64 = 16;

impl Config {
    /// Checks what the kinds of the values cannot express.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if self.chain.genesis.is_none() {
            return Err(ConfigError::Missing {
                key: "chain.genesis",
                why: "the path of the chain's genesis.json",
            });
        }
        if self.chain.data_dir.as_os_str().is_empty() {
            return Err(ConfigError::Missing {
                key: "chain.data_dir",
                why: "the folder that the chain is kept in",
            });
        }
        self.validate_sizes()?;
        self.validate_l1()?;
        self.validate_batcher()
    }

    fn validate_sizes(&self) -> Result<(), ConfigError> {
        let Self {
            rpc,
            mempool,
            block,
            ..
        } = self;
        let positive = [
            ("rpc.max_body_bytes", rpc.max_body_bytes as u64),
            ("rpc.max_batch", rpc.max_batch as u64),
            ("rpc.max_response_bytes", rpc.max_response_bytes as u64),
            (
                "rpc.max_batch_response_bytes",
                rpc.max_batch_response_bytes as u64,
            ),
            ("rpc.max_log_range", rpc.max_log_range),
            ("rpc.max_log_results", rpc.max_log_results as u64),
            ("rpc.max_connections", rpc.max_connections as u64),
            ("rpc.idle_timeout_ms", milliseconds::of(rpc.idle_timeout)),
            (
                "rpc.max_requests_per_connection",
                rpc.max_requests_per_connection as u64,
            ),
            (
                "rpc.max_subscriptions_per_connection",
                u64::from(rpc.max_subscriptions_per_connection),
            ),
            (
                "rpc.max_websocket_buffer_bytes",
                rpc.max_websocket_buffer_bytes as u64,
            ),
            ("rpc.max_filters", rpc.max_filters as u64),
            ("rpc.filter_ttl_ms", milliseconds::of(rpc.filter_ttl)),
            ("rpc.call_gas", rpc.call_gas),
            ("rpc.call_timeout_ms", milliseconds::of(rpc.call_timeout)),
            ("rpc.max_waiting_calls", rpc.max_waiting_calls as u64),
            ("rpc.max_messages_in_work", rpc.max_messages_in_work as u64),
            ("rpc.rate_limit_burst_s", u64::from(rpc.rate_limit_burst_s)),
            ("rpc.sync_timeout_ms", milliseconds::of(rpc.sync_timeout)),
            ("mempool.max_transactions", mempool.max_transactions as u64),
            ("mempool.max_per_sender", mempool.max_per_sender as u64),
            ("mempool.max_bytes", mempool.max_bytes as u64),
            (
                "mempool.max_transaction_bytes",
                mempool.max_transaction_bytes as u64,
            ),
            ("block.max_transactions", block.max_transactions as u64),
        ];
        for (key, found) in positive {
            at_least(key, found, 1, "")?;
        }
        at_least(
            "rpc.max_bytes_in_work",
            rpc.max_bytes_in_work as u64,
            rpc.max_body_bytes as u64,
            " (rpc.max_body_bytes)",
        )?;
        if let Some(name) = &rpc.rate_limit_keys_env
            && !is_variable_name(name)
        {
            return Err(ConfigError::VariableName {
                key: "rpc.rate_limit_keys_env",
            });
        }
        at_least(
            "rpc.max_sync_timeout_ms",
            milliseconds::of(rpc.max_sync_timeout),
            milliseconds::of(rpc.sync_timeout),
            " (rpc.sync_timeout_ms)",
        )?;
        at_least(
            "rpc.min_suggested_tip_wei",
            wei::of(rpc.min_suggested_tip),
            wei::of(mempool.min_tip),
            " (mempool.min_tip_wei, or nobody could follow the suggestion)",
        )?;
        at_least(
            "mempool.max_bytes",
            mempool.max_bytes as u64,
            mempool.max_transaction_bytes as u64,
            " (mempool.max_transaction_bytes)",
        )?;
        at_most(
            "mempool.max_transaction_bytes",
            mempool.max_transaction_bytes as u64,
            MAX_BLOCK_TRANSACTION_BYTES as u64,
            " (what a block can hold)",
        )?;
        self.validate_blocks()
    }

    fn validate_blocks(&self) -> Result<(), ConfigError> {
        let block = &self.block;
        // The bounds of a header's gas limit, as in the genesis.
        if !(5000..=1 << 62).contains(&block.gas_limit) {
            return Err(ConfigError::Range {
                key: "block.gas_limit",
                expected: "between 5000 and 2^62".to_owned(),
                found: block.gas_limit,
            });
        }
        // Steps of size are small enough to settle only within these.
        let gas_limit = block.gas_limit;
        let smallest = gas_limit.div_ceil(ELASTICITY).max(5000);
        let largest = gas_limit.saturating_mul(ELASTICITY).min(1 << 62);
        for (key, found, range) in [
            (
                "block.min_gas_limit",
                block.min_gas_limit,
                smallest..=gas_limit,
            ),
            (
                "block.max_gas_limit",
                block.max_gas_limit,
                gas_limit..=largest,
            ),
        ] {
            if found > 0 && !range.contains(&found) {
                return Err(ConfigError::Range {
                    key,
                    expected: format!(
                        "0, or between {} and {} (block.gas_limit, and up to {ELASTICITY} times less or more)",
                        range.start(),
                        range.end()
                    ),
                    found,
                });
            }
        }
        at_least(
            "block.max_interval_ms",
            block.max_interval_ms,
            block.min_interval_ms.max(1),
            " (block.min_interval_ms)",
        )?;
        at_least("block.target_block_ms", block.target_block_ms, 1, "")
    }

    fn validate_l1(&self) -> Result<(), ConfigError> {
        let l1 = &self.l1;
        let Some(url) = &l1.rpc_url else {
            return Ok(());
        };
        if !matches!(url.scheme(), "http" | "https") || url.authority().is_empty() {
            return Err(ConfigError::Kind {
                name: "l1.rpc_url".to_owned(),
                expected: "an http:// or https:// URL",
            });
        }
        let own = [
            format!("{}:{}", self.rpc.host, self.rpc.port),
            format!("localhost:{}", self.rpc.port),
            format!("127.0.0.1:{}", self.rpc.port),
            format!("[{}]:{}", self.rpc.host, self.rpc.port),
        ];
        if own.iter().any(|own| own == url.authority()) {
            return Err(ConfigError::OwnL1);
        }
        for (name, source) in [
            ("l1.beacon_url", &l1.beacon_url),
            ("l1.blob_archive", &l1.blob_archive),
        ] {
            let Some(source) = source else { continue };
            let is_url = matches!(source.scheme(), "http" | "https");
            let may_be_path = name == "l1.blob_archive" && source.scheme().is_empty();
            if !(may_be_path || is_url && !source.authority().is_empty()) {
                return Err(ConfigError::Kind {
                    name: name.to_owned(),
                    expected: "an http:// or https:// URL, or for an archive the path of a folder",
                });
            }
        }
        if l1.contract.is_none() {
            return Err(ConfigError::Missing {
                key: "l1.contract",
                why: "the address that weft deploy printed",
            });
        }
        at_least(
            "block.gas_limit",
            self.block.gas_limit,
            MIN_GAS_LIMIT_WITH_L1,
            " (what the deposits of a block may need)",
        )?;
        if self.block.min_gas_limit > 0 {
            at_least(
                "block.min_gas_limit",
                self.block.min_gas_limit,
                MIN_GAS_LIMIT_WITH_L1,
                " (what the deposits of a block may need)",
            )?;
        }
        for (key, slow, stop) in [
            (
                "l1.stop_at_backlog_bytes",
                l1.slow_at_backlog_bytes,
                l1.stop_at_backlog_bytes,
            ),
            (
                "l1.stop_at_backlog_s",
                l1.slow_at_backlog_s,
                l1.stop_at_backlog_s,
            ),
            (
                "l1.slowest_at_base_fee_wei",
                l1.slow_at_base_fee_wei,
                l1.slowest_at_base_fee_wei,
            ),
        ] {
            if stop > 0 {
                at_least(
                    key,
                    stop,
                    slow.saturating_add(1),
                    " (where the chain begins to slow down, and one more)",
                )?;
            }
        }
        at_least("l1.safe_confirmations", l1.safe_confirmations, 1, "")?;
        at_least("l1.poll_interval_ms", l1.poll_interval_ms, 1, "")?;
        at_least("l1.timeout_ms", l1.timeout_ms, 1, "")
    }

    fn validate_batcher(&self) -> Result<(), ConfigError> {
        let batcher = &self.batcher;
        if !batcher.enabled {
            return Ok(());
        }
        if self.l1.rpc_url.is_none() {
            return Err(ConfigError::Missing {
                key: "l1.rpc_url",
                why: "the batcher is on (batcher.enabled) and posts to L1",
            });
        }
        for (key, name) in [
            ("batcher.private_key_env", &batcher.private_key_env),
            (
                "batcher.keystore_password_env",
                &batcher.keystore_password_env,
            ),
        ] {
            if name.as_ref().is_some_and(|name| !is_variable_name(name)) {
                return Err(ConfigError::VariableName { key });
            }
        }
        if let Some(url) = &batcher.remote_signer_url {
            if batcher.address.is_none() {
                return Err(ConfigError::Missing {
                    key: "batcher.address",
                    why: "batcher.remote_signer_url is set, and signs for this account",
                });
            }
            if batcher.keystore_path.is_some() {
                return Err(ConfigError::TwoKeys);
            }
            if !matches!(url.scheme(), "http" | "https") || url.authority().is_empty() {
                return Err(ConfigError::SignerUrl);
            }
        } else if batcher.keystore_path.is_some() {
            if batcher.keystore_password_env.is_none() {
                return Err(ConfigError::Missing {
                    key: "batcher.keystore_password_env",
                    why: "batcher.keystore_path is set, and its password must come from a variable",
                });
            }
        } else if batcher.private_key_env.is_none() {
            return Err(ConfigError::Missing {
                key: "batcher.private_key_env",
                why: "the batcher needs this, batcher.keystore_path or batcher.remote_signer_url",
            });
        }
        at_least("batcher.max_fee_wei", batcher.max_fee_wei, 1, "")?;
        at_least("batcher.max_blob_fee_wei", batcher.max_blob_fee_wei, 1, "")?;
        at_least("batcher.resend_after_s", batcher.resend_after_s, 1, "")?;
        at_least("batcher.stuck_after_s", batcher.stuck_after_s, 1, "")?;
        at_least("batcher.max_age_s", batcher.max_age_s, 1, "")?;
        at_least("batcher.max_blocks", batcher.max_blocks as u64, 1, "")?;
        at_least("batcher.max_bytes", batcher.max_bytes as u64, 1, "")?;
        at_most(
            "batcher.max_bytes",
            batcher.max_bytes as u64,
            MAX_POSTED_BYTES as u64,
            " (what L1 takes in one transaction)",
        )?;
        at_most(
            "batcher.max_blobs",
            batcher.max_blobs as u64,
            MAX_BATCH_BLOBS as u64,
            " (what L1 takes in one transaction)",
        )?;
        if !(1..=19).contains(&batcher.compression_level) {
            return Err(ConfigError::Range {
                key: "batcher.compression_level",
                expected: "between 1 and 19".to_owned(),
                found: u64::from(batcher.compression_level),
            });
        }
        Ok(())
    }
}

fn at_least(
    key: &'static str,
    found: u64,
    least: u64,
    reason: &'static str,
) -> Result<(), ConfigError> {
    if found >= least {
        return Ok(());
    }
    Err(ConfigError::Range {
        key,
        expected: format!("at least {least}{reason}"),
        found,
    })
}

fn at_most(
    key: &'static str,
    found: u64,
    most: u64,
    reason: &'static str,
) -> Result<(), ConfigError> {
    if found <= most {
        return Ok(());
    }
    Err(ConfigError::Range {
        key,
        expected: format!("at most {most}{reason}"),
        found,
    })
}

/// Whether a text is the name of a variable, and not by mistake the key that it should hold.
fn is_variable_name(text: &str) -> bool {
    let is_word = text
        .chars()
        .all(|character| character.is_ascii_alphanumeric() || character == '_');
    let digits = text.trim_start_matches("0x");
    let is_key = digits.len() == 64 && digits.chars().all(|c| c.is_ascii_hexdigit());
    is_word && !is_key && !text.starts_with(|c: char| c.is_ascii_digit())
}
