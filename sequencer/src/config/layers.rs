use std::path::Path;

use serde::Deserialize;
use toml::{Table, Value};

use super::{Config, ConfigError};

/// Start of the name of every environment variable that stands for a key.
const PREFIX: &str = "WEFT_";

/// Names that would hold a secret itself.
const SECRET_KEYS: [&str; 7] = [
    "key",
    "private_key",
    "secret",
    "mnemonic",
    "seed",
    "password",
    "keystore_password",
];

/// The values that were set so far, over the defaults. The defaults are also the schema: every key
/// is in them, with a value of its kind.
pub(super) struct Layers {
    defaults: Table,
    values: Table,
    /// Variables that look like a key and are none, unless the configuration names them.
    unknown_variables: Vec<String>,
}

impl Layers {
    /// The first layer: the file, or nothing.
    pub(super) fn new(path: Option<&Path>) -> Result<Self, ConfigError> {
        let defaults = Table::try_from(Config::default())
            .map_err(|error| ConfigError::Value(error.to_string()))?;
        let values = match path {
            Some(path) => read(path)?,
            None => Table::new(),
        };
        Ok(Self {
            defaults,
            values,
            unknown_variables: Vec::new(),
        })
    }

    /// The second layer: `WEFT_SECTION_KEY` variables. Those of no section belong to others.
    pub(super) fn apply_env(
        &mut self,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        for (name, text) in env {
            let Some((section, key)) = name
                .strip_prefix(PREFIX)
                .and_then(|rest| rest.split_once('_'))
            else {
                continue;
            };
            let (section, key) = (section.to_lowercase(), key.to_lowercase());
            if !self.defaults.contains_key(&section) {
                continue;
            }
            if self.default(&section, &key).is_some() {
                self.set(&name, &section, &key, &text)?;
            } else {
                self.unknown_variables.push(name);
            }
        }
        Ok(())
    }

    /// The third layer: `SECTION.KEY=VALUE`.
    pub(super) fn apply_overrides(
        &mut self,
        overrides: &[impl AsRef<str>],
    ) -> Result<(), ConfigError> {
        for text in overrides {
            let (name, value) = text.as_ref().split_once('=').ok_or(ConfigError::Override)?;
            let (section, key) = name.split_once('.').ok_or(ConfigError::Override)?;
            self.set(name, section, key, value)?;
        }
        Ok(())
    }

    /// The configuration that the layers make.
    pub(super) fn finish(self) -> Result<Config, ConfigError> {
        let config: Config = self.values.try_into().map_err(|error: toml::de::Error| {
            ConfigError::Value(error.to_string().trim().replace('\n', " "))
        })?;
        let named = [
            config.batcher.private_key_env.as_ref(),
            config.batcher.keystore_password_env.as_ref(),
            config.rpc.rate_limit_keys_env.as_ref(),
            Some(&config.admin.token_env),
        ];
        match self
            .unknown_variables
            .into_iter()
            .find(|name| !named.contains(&Some(name)))
        {
            Some(name) => Err(ConfigError::UnknownKey(name)),
            None => Ok(config),
        }
    }

    fn default(&self, section: &str, key: &str) -> Option<&Value> {
        self.defaults.get(section)?.get(key)
    }

    /// Sets a key from a text, which is read as what the key's default is.
    fn set(&mut self, name: &str, section: &str, key: &str, text: &str) -> Result<(), ConfigError> {
        let default = self
            .default(section, key)
            .ok_or_else(|| ConfigError::UnknownKey(name.to_owned()))?;
        let kind = |expected| ConfigError::Kind {
            name: name.to_owned(),
            expected,
        };
        let value = match default {
            Value::Integer(_) => {
                Value::Integer(text.trim().parse().map_err(|_| kind("a whole number"))?)
            }
            Value::Boolean(_) => {
                Value::Boolean(text.trim().parse().map_err(|_| kind("true or false"))?)
            }
            Value::Array(_) => Value::Array(
                text.split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty())
                    .map(|item| Value::String(item.to_owned()))
                    .collect(),
            ),
            _ => Value::String(text.to_owned()),
        };
        let section = self
            .values
            .entry(section)
            .or_insert_with(|| Value::Table(Table::new()));
        // Anything else was refused when the file was read.
        if let Value::Table(section) = section {
            section.insert(key.to_owned(), value);
        }
        Ok(())
    }
}

/// Reads the file. Errors name places and keys and leave the text out, which may hold a secret.
fn read(path: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    let at = |error: toml::de::Error| {
        let before = error
            .span()
            .and_then(|span| text.get(..span.start))
            .unwrap_or_default();
        ConfigError::Syntax {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            message: error.message().to_owned(),
        }
    };
    let table: Table = text.parse().map_err(at)?;
    refuse_secrets(&table)?;
    Config::deserialize(toml::Deserializer::parse(&text).map_err(at)?).map_err(at)?;
    Ok(table)
}

fn refuse_secrets(table: &Table) -> Result<(), ConfigError> {
    let is_secret = |key: &str| SECRET_KEYS.contains(&key.to_lowercase().as_str());
    for (section, value) in table {
        if is_secret(section) {
            return Err(ConfigError::SecretInFile(section.clone()));
        }
        let keys = value.as_table().into_iter().flat_map(Table::keys);
        if let Some(key) = keys.into_iter().find(|key| is_secret(key)) {
            return Err(ConfigError::SecretInFile(format!("{section}.{key}")));
        }
    }
    Ok(())
}
