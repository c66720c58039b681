use alloy_primitives::{Address, B256};
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner, coins_bip39::English};
use serde::{Deserialize, Serialize};

use crate::error::NodeError;

/// The mnemonic that Ethereum's development tools share. Its keys are public: never use them on a
/// chain that holds value.
pub const DEV_MNEMONIC: &str = "test test test test test test test test test test test junk";

/// Funded accounts: the first ten of [`DEV_MNEMONIC`].
pub(super) const FUNDED_ACCOUNTS: u32 = 10;

/// A test account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevAccount {
    /// Its address.
    pub address: Address,
    /// Its private key; public knowledge.
    pub private_key: B256,
}

pub(super) fn signer(index: u32) -> Result<PrivateKeySigner, NodeError> {
    let setup = |error: alloy_signer_local::LocalSignerError| NodeError::Setup(error.to_string());
    MnemonicBuilder::<English>::default()
        .phrase(DEV_MNEMONIC)
        .index(index)
        .map_err(setup)?
        .build()
        .map_err(setup)
}

/// The funded test accounts.
pub(super) fn funded() -> Result<Vec<DevAccount>, NodeError> {
    (0..FUNDED_ACCOUNTS)
        .map(|index| {
            let signer = signer(index)?;
            Ok(DevAccount {
                address: signer.address(),
                private_key: signer.to_bytes(),
            })
        })
        .collect()
}

/// The key that deploys the contracts and posts the batches: the account after the funded ones, so
/// that their nonces belong to whoever tests.
///
/// # Errors
/// Never, for a mnemonic that is valid.
pub fn operator() -> Result<PrivateKeySigner, NodeError> {
    signer(FUNDED_ACCOUNTS)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::address;

    use super::*;

    #[test]
    fn first_account_is_the_one_that_tools_know() {
        assert_eq!(
            funded().unwrap()[0].address,
            address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
        );
    }
}
