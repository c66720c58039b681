//! The code of an account that has hooks: it names the code that the account had before.

use alloy_primitives::{B256, Bytes};

/// First bytes of a marker. No creation leaves such code: the EVM refuses it (EIP-3541), and no
/// machine owns it.
const PREFIX: [u8; 3] = [0xef, 0xf0, 0x0f];

/// The marker of an account whose own code has this hash.
pub(crate) fn marker(code_hash: B256) -> Bytes {
    [&PREFIX[..], code_hash.as_slice()].concat().into()
}

/// Hash of the code that a contract with hooks runs, if this is the code of one: binding the first
/// hook has put another code in its place.
pub fn hooked_code_hash(code: &[u8]) -> Option<B256> {
    let hash = code.strip_prefix(&PREFIX)?;
    B256::try_from(hash).ok()
}
