//! Values that stand in the configuration as whole numbers of a unit, which the key names.

/// A duration in milliseconds.
pub(crate) mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn of(duration: Duration) -> u64 {
        u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn serialize<S: Serializer>(
        duration: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(of(*duration))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// An amount in wei. TOML has no numbers above 2^63.
pub(crate) mod wei {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn of(amount: u128) -> u64 {
        u64::try_from(amount).unwrap_or(u64::MAX)
    }

    pub(crate) fn serialize<S: Serializer>(
        amount: &u128,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(of(*amount))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<u128, D::Error> {
        u64::deserialize(deserializer).map(u128::from)
    }
}
