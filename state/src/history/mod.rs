//! States of old blocks: which keys each block changed, and how far back the values are kept.

mod changed_keys;

pub(crate) use changed_keys::{ChangedAccount, ChangedKeys, decode_changed_keys};
