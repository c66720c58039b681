//! Keys without a default: the empty text stands for none, so that every key has a value that the
//! example file can show.

use std::{fmt::Display, path::PathBuf, str::FromStr};

use alloy_primitives::Address;
use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

use super::SecretUrl;

/// A value that a text stands for.
pub(crate) trait Text: FromStr {
    fn text(&self) -> String;
}

impl Text for PathBuf {
    fn text(&self) -> String {
        self.display().to_string()
    }
}

impl Text for Address {
    fn text(&self) -> String {
        self.to_string()
    }
}

impl Text for SecretUrl {
    fn text(&self) -> String {
        self.to_string()
    }
}

impl Text for String {
    fn text(&self) -> String {
        self.clone()
    }
}

pub(crate) fn serialize<T: Text, S: Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.as_ref().map(Text::text).unwrap_or_default())
}

pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Text<Err: Display>,
    D: Deserializer<'de>,
{
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(D::Error::custom)
}
