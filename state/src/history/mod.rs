//! States of old blocks: which keys each block changed, how far back the values are kept, and proofs
//! against them.

mod changed_keys;
mod keep;
mod prune;
mod rewind;

pub(crate) use changed_keys::ChangedKeys;
pub use keep::{History, ParseHistoryError};
pub(crate) use prune::{oldest_state, stage_left_lists, stage_oldest_state, stage_pruning};

pub(crate) use changed_keys::decode_changed_keys;
