//! Fixed addresses that every weft chain knows.

use alloy_primitives::{Address, address};

/// The only account that may set the L1 origin: `from` of the attributes deposit, as on the OP
/// Stack. Nobody holds a key for it.
pub const DEPOSITOR: Address = address!("0xDeaDDEaDDeAdDeAdDEAdDEaddeAddEAdDEAd0001");

/// The predeploy that says which L1 block the chain has taken in (`L1Block` of the OP Stack).
pub const L1_ORIGIN: Address = address!("0x4200000000000000000000000000000000000015");
