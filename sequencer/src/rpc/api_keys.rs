//! The keys of clients that have limits of their own. Keys are secrets: only hashes are kept, and no
//! error repeats one.

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
};

use alloy_primitives::{B256, keccak256};

use super::RpcConfig;

/// Shortest key: a shorter one could be guessed.
const LEAST_LENGTH: usize = 16;

/// A key and what its owner may ask in a second; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ApiKey {
    /// keccak-256 of the key.
    pub(super) hash: B256,
    /// Requests.
    pub(super) requests: u32,
    /// Sent transactions.
    pub(super) sends: u32,
}

/// All keys.
#[derive(Debug, Default)]
pub(super) struct ApiKeys {
    keys: Vec<ApiKey>,
    hashes: HashSet<B256>,
}

/// Why there are no keys to go by.
#[derive(Debug, thiserror::Error)]
pub enum ApiKeyError {
    /// The variable that the configuration names is not set.
    #[error("expected client keys in the environment variable {0}, which is not set")]
    MissingVariable(String),
    /// The file cannot be read.
    #[error("client keys {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is not one of a key.
    #[error(
        "client keys in {place}, line {line}: expected a key of at least {LEAST_LENGTH} characters, requests in a second and sent transactions in a second, separated by spaces"
    )]
    Line {
        /// The variable or file.
        place: String,
        /// Line, from 1.
        line: usize,
    },
    /// A key stands there twice.
    #[error("client keys in {place}, line {line}: the key has been named before")]
    Twice {
        /// The variable or file.
        place: String,
        /// Line, from 1.
        line: usize,
    },
}

impl ApiKeys {
    /// Reads the keys from where the configuration says they are, if it does. `variable` looks up an
    /// environment variable.
    pub(super) fn load(
        config: &RpcConfig,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ApiKeyError> {
        match (&config.rate_limit_keys_path, &config.rate_limit_keys_env) {
            (Some(path), _) => Self::parse(&read(path)?, &path.display().to_string()),
            (None, Some(name)) => {
                let text =
                    variable(name).ok_or_else(|| ApiKeyError::MissingVariable(name.clone()))?;
                Self::parse(&text, name)
            }
            (None, None) => Ok(Self::default()),
        }
    }

    /// Reads one key a line. Lines that are empty or begin with `#` do not count; `;` ends a line
    /// too, for variables.
    pub(super) fn parse(text: &str, place: &str) -> Result<Self, ApiKeyError> {
        let mut all = Self::default();
        for (text, line) in text.split(['\n', ';']).zip(1..) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let mut fields = text.split_whitespace();
            let number = |fields: &mut std::str::SplitWhitespace<'_>| {
                fields.next().and_then(|number| number.parse().ok())
            };
            let key = fields.next().filter(|key| key.len() >= LEAST_LENGTH);
            let (requests, sends) = (number(&mut fields), number(&mut fields));
            let (Some(key), Some(requests), Some(sends), None) =
                (key, requests, sends, fields.next())
            else {
                return Err(ApiKeyError::Line {
                    place: place.to_owned(),
                    line,
                });
            };
            let hash = keccak256(key);
            if !all.hashes.insert(hash) {
                return Err(ApiKeyError::Twice {
                    place: place.to_owned(),
                    line,
                });
            }
            all.keys.push(ApiKey {
                hash,
                requests,
                sends,
            });
        }
        Ok(all)
    }

    /// Whether the key with this hash is known.
    pub(super) fn contains(&self, hash: &B256) -> bool {
        self.hashes.contains(hash)
    }

    /// All keys, as they stand.
    pub(super) fn iter(&self) -> impl Iterator<Item = &ApiKey> {
        self.keys.iter()
    }
}

fn read(path: &Path) -> Result<String, ApiKeyError> {
    std::fs::read_to_string(path).map_err(|source| ApiKeyError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_with_their_rates() {
        let text = "# partners\n\nfirst-key-0123456 100 10\n second-key-012345\t0 0 ; third-key-0123456 7 8";
        let keys = ApiKeys::parse(text, "test").unwrap();
        let rates: Vec<_> = keys.iter().map(|key| (key.requests, key.sends)).collect();
        assert_eq!(rates, [(100, 10), (0, 0), (7, 8)]);
        assert!(keys.contains(&keccak256("second-key-012345")));
        assert!(!keys.contains(&keccak256("# partners")));
    }

    #[test]
    fn errors_name_the_line_and_never_the_key() {
        for (text, line) in [
            ("a-good-key-0123456 1 2\nsecret 1 2", 2),
            ("secret-key-0123456", 1),
            ("secret-key-0123456 1", 1),
            ("secret-key-0123456 1 -2", 1),
            ("secret-key-0123456 1 2 3", 1),
            ("secret-key-0123456 1 2\n\nsecret-key-0123456 3 4", 3),
        ] {
            let error = ApiKeys::parse(text, "WEFT_KEYS").unwrap_err().to_string();
            assert!(
                error.contains(&format!("WEFT_KEYS, line {line}:")),
                "{error}"
            );
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_variable_that_is_named_must_be_set() {
        let config = RpcConfig {
            rate_limit_keys_env: Some("CLIENTS".to_owned()),
            ..RpcConfig::default()
        };
        let error = ApiKeys::load(&config, |_| None).unwrap_err().to_string();
        assert!(error.contains("CLIENTS"), "{error}");
        let keys = ApiKeys::load(&config, |name| {
            (name == "CLIENTS").then(|| "first-key-0123456 1 2".to_owned())
        });
        assert_eq!(keys.unwrap().iter().count(), 1);
    }
}
