use alloy_signer_local::PrivateKeySigner;

use super::{BatcherSection, ConfigError, Secret};

impl BatcherSection {
    /// The batcher's key on L1: out of the keystore when one is named, else out of the environment
    /// variable. `variable` looks up an environment variable. Opening a keystore is slow on purpose,
    /// so this is not for tokio's threads.
    ///
    /// # Errors
    /// When a variable is not set, or what is found holds no key.
    pub fn signer(
        &self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<PrivateKeySigner, ConfigError> {
        let lookup = |name: &Option<String>, key, holds| {
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
