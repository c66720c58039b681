use serde::{Deserialize, Serialize};

use super::{ConfigError, Secret};
use crate::admin::{AdminConfig, LEAST_TOKEN_LENGTH};

/// `[admin]`: the operator's JSON-RPC, which tells and steers the batcher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminSection {
    /// Whether it is served.
    pub enabled: bool,
    /// Address to listen on.
    pub host: String,
    /// Port; 0 lets the system choose.
    pub port: u16,
    /// Environment variable that holds the token which every request has to bring.
    pub token_env: String,
}

impl Default for AdminSection {
    fn default() -> Self {
        Self {
            enabled: false,
            host: "127.0.0.1".to_owned(),
            port: 8549,
            token_env: "WEFT_ADMIN_TOKEN".to_owned(),
        }
    }
}

impl AdminSection {
    /// Where it is served; `None` when it is not. `variable` looks up an environment variable.
    ///
    /// # Errors
    /// When the variable is not set, or holds a token that could be guessed.
    pub fn server(
        &self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<AdminConfig>, ConfigError> {
        if !self.enabled {
            return Ok(None);
        }
        let token = variable(&self.token_env).ok_or_else(|| ConfigError::MissingVariable {
            variable: self.token_env.clone(),
            holds: "the admin token",
        })?;
        let token = token.trim();
        if token.len() < LEAST_TOKEN_LENGTH {
            return Err(ConfigError::ShortToken {
                variable: self.token_env.clone(),
                least: LEAST_TOKEN_LENGTH,
            });
        }
        Ok(Some(AdminConfig {
            host: self.host.clone(),
            port: self.port,
            token: Secret::from(token.to_owned()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_needed_and_never_shown() {
        let off = AdminSection::default();
        assert!(off.server(|_| None).unwrap().is_none());
        let on = AdminSection {
            enabled: true,
            ..off
        };
        let error = on.server(|_| None).unwrap_err().to_string();
        assert!(error.contains("WEFT_ADMIN_TOKEN"), "{error}");
        let error = on
            .server(|_| Some("guess-me".into()))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("16") && !error.contains("guess-me"),
            "{error}"
        );
        let token = "0123456789abcdef";
        let config = on.server(|_| Some(format!(" {token}\n"))).unwrap().unwrap();
        assert_eq!(config.token.expose(), token);
        assert!(!format!("{config:?}").contains(token));
    }
}
