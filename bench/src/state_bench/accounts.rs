use alloy_primitives::{Address, KECCAK256_EMPTY, U256};
use weft_executor_core::Account;
use weft_state::ImportedAccounts;

/// This many accounts with 1,000 ether each. What address an account has follows from its index.
pub(super) struct Accounts(pub(super) u32);

const FUNDS: U256 = U256::from_limbs([0x35c9_adc5_dea0_0000, 0x36, 0, 0]);

impl Accounts {
    /// Addresses lie as if they were random; three of the mixed words have 20 bytes, and the index is
    /// among them, so that no two are equal.
    pub(super) fn address(index: u32) -> Address {
        let (first, second) = (mix(u64::from(index)), mix(u64::from(index) | 1 << 40));
        let mut bytes = [0; 20];
        let parts = [first.to_be_bytes(), second.to_be_bytes()].concat();
        let all = parts.into_iter().chain(index.to_be_bytes());
        for (byte, from) in bytes.iter_mut().zip(all) {
            *byte = from;
        }
        Address::from(bytes)
    }
}

/// The last steps of SplitMix64.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl ImportedAccounts for Accounts {
    fn count(&self) -> u32 {
        self.0
    }

    fn account(&self, index: u32) -> (Address, Account) {
        let account = Account {
            nonce: 0,
            balance: FUNDS,
            code_hash: KECCAK256_EMPTY,
        };
        (Self::address(index), account)
    }
}
