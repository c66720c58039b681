//! Fixed addresses that every weft chain knows.

use alloy_primitives::{Address, U256, address};

/// The only account that may set the L1 origin: `from` of the attributes deposit, as on the OP
/// Stack. Nobody holds a key for it.
pub const DEPOSITOR: Address = address!("0xDeaDDEaDDeAdDeAdDEAdDEaddeAddEAdDEAd0001");

/// The predeploy that says which L1 block the chain has taken in (`L1Block` of the OP Stack).
pub const L1_ORIGIN: Address = address!("0x4200000000000000000000000000000000000015");

/// The predeploy that starts withdrawals and keeps their Merkle tree (`L2ToL1MessagePasser` of the OP
/// Stack).
pub const WITHDRAWALS: Address = address!("0x4200000000000000000000000000000000000016");

/// The predeploy that mints and burns the L2 side of L1 tokens (`L2StandardBridge` of the OP Stack).
pub const TOKEN_BRIDGE: Address = address!("0x4200000000000000000000000000000000000010");

/// Storage slot of [`WITHDRAWALS`] with the number of withdrawals.
pub const WITHDRAWALS_COUNT_SLOT: U256 = U256::ZERO;

/// Storage slot of [`WITHDRAWALS`] with the root of the tree; zero before the first withdrawal.
pub const WITHDRAWALS_ROOT_SLOT: U256 = U256::from_limbs([1, 0, 0, 0]);

/// Storage slot of [`TOKEN_BRIDGE`] with the address of the bridge on L1.
pub const TOKEN_BRIDGE_L1_SLOT: U256 = U256::ZERO;
