use std::{fmt, marker::PhantomData};

use jsonrpsee_types::Params;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, DeserializeSeed, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::RpcError;

/// Most arguments that any method takes; further ones are counted but not kept.
const MAX_ARGUMENTS: usize = 8;

/// The positional arguments of a request.
#[derive(Debug)]
pub(super) struct Arguments {
    values: std::vec::IntoIter<Box<RawValue>>,
    index: usize,
}

impl Arguments {
    /// # Errors
    /// When the parameters are not a list of at most `most` values.
    pub(super) fn parse(params: &Params<'_>, most: usize) -> Result<Self, RpcError> {
        let text = params.as_str().unwrap_or("null");
        let values = if text == "null" {
            BoundedSequence::default()
        } else if text.starts_with('[') {
            parse_bounded::<Box<RawValue>>(text, MAX_ARGUMENTS)
                .map_err(|error| RpcError::InvalidParams(format!("invalid params: {error}")))?
        } else {
            return Err(RpcError::InvalidParams(
                "non-array args: expected a list of positional arguments".into(),
            ));
        };
        if values.total > most {
            return Err(RpcError::InvalidParams(format!(
                "too many arguments, want at most {most}"
            )));
        }
        Ok(Self {
            values: values.items.into_iter(),
            index: 0,
        })
    }

    /// The next argument; `None` when it is missing or null.
    ///
    /// # Errors
    /// When it is not an `expected`.
    pub(super) fn optional<T: DeserializeOwned>(
        &mut self,
        expected: &str,
    ) -> Result<Option<T>, RpcError> {
        let index = self.index;
        self.index = self.index.saturating_add(1);
        let Some(value) = self.values.next() else {
            return Ok(None);
        };
        serde_json::from_str(value.get()).map_err(|error| {
            RpcError::InvalidParams(format!(
                "invalid argument {index}: expected {expected}: {error}"
            ))
        })
    }

    /// The next argument.
    ///
    /// # Errors
    /// When it is missing or not an `expected`.
    pub(super) fn required<T: DeserializeOwned>(&mut self, expected: &str) -> Result<T, RpcError> {
        let index = self.index;
        self.optional(expected)?.ok_or_else(|| {
            RpcError::InvalidParams(format!(
                "missing value for required argument {index}: expected {expected}"
            ))
        })
    }
}

/// A list of which only the first items are kept.
#[derive(Debug)]
pub(super) struct BoundedSequence<T> {
    /// The first items.
    pub(super) items: Vec<T>,
    /// Number of all items.
    pub(super) total: usize,
}

impl<T> Default for BoundedSequence<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            total: 0,
        }
    }
}

/// Parses a JSON list and keeps at most `limit` of its items.
///
/// # Errors
/// When the text is not a JSON list of such items.
pub(super) fn parse_bounded<'a, T: Deserialize<'a>>(
    json: &'a str,
    limit: usize,
) -> Result<BoundedSequence<T>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let sequence = Bounded {
        limit,
        item: PhantomData,
    }
    .deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(sequence)
}

struct Bounded<T> {
    limit: usize,
    item: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Bounded<T> {
    type Value = BoundedSequence<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Bounded<T> {
    type Value = BoundedSequence<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut sequence = BoundedSequence::default();
        while sequence.items.len() < self.limit {
            let Some(item) = list.next_element()? else {
                sequence.total = sequence.items.len();
                return Ok(sequence);
            };
            sequence.items.push(item);
        }
        sequence.total = sequence.items.len();
        while list.next_element::<IgnoredAny>()?.is_some() {
            sequence.total = sequence.total.saturating_add(1);
        }
        Ok(sequence)
    }
}
