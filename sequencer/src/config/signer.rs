use std::time::Duration;

use alloy_signer_local::PrivateKeySigner;
use weft_l1_bridge::{L1Signer, RemoteSigner};

use super::{BatcherSection, ConfigError, Secret};

/// Longest wait for a remote signer's answer.
const SIGNER_TIMEOUT: Duration = Duration::from_secs(15);

impl BatcherSection {
    /// Whoever signs the batcher's transactions: the remote signer when there is one, else the key
    /// out of the keystore when one is named, else the key out of the environment variable.
    /// `variable` looks up an environment variable. Opening a keystore is slow on purpose, so this is
    /// not for tokio's threads.
    ///
    /// # Errors
    /// When a variable is not set, or what is found holds no key.
    pub fn signer(
        &self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<L1Signer, ConfigError> {
        if let Some(url) = &self.remote_signer_url {
            let address = self.address.ok_or(ConfigError::Missing {
                key: "batcher.address",
                why: "batcher.remote_signer_url is set, and signs for this account",
            })?;
            return Ok(RemoteSigner::new(url.expose(), address, SIGNER_TIMEOUT)?.into());
        }
        self.key(variable).map(L1Signer::from)
    }

    fn key(
        &self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<PrivateKeySigner, ConfigError> {
        let lookup = |name: &Option<String>, key, holds| -> Result<(String, Secret), ConfigError> {
            let name = name.as_deref().ok_or(ConfigError::Missing {
                key,
                why: "the batcher needs a key",
            })?;
            let secret = variable(name).ok_or_else(|| ConfigError::MissingVariable {
                variable: name.to_owned(),
                holds,
            })?;
            Ok((name.to_owned(), Secret::from(secret)))
        };
        if let Some(path) = &self.keystore_path {
            let (_, password) = lookup(
                &self.keystore_password_env,
                "batcher.keystore_password_env",
                "the keystore's password",
            )?;
            return PrivateKeySigner::decrypt_keystore(path, password.expose()).map_err(|error| {
                ConfigError::Keystore {
                    path: path.clone(),
                    reason: error.to_string(),
                }
            });
        }
        let (name, key) = lookup(
            &self.private_key_env,
            "batcher.private_key_env",
            "the batcher's private key",
        )?;
        key.expose()
            .trim()
            .parse()
            .map_err(|_| ConfigError::PrivateKey(name))
    }
}
