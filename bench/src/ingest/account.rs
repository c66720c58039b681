//! Accounts with keys, and what they sign.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::{
    MnemonicBuilder, PrivateKeySigner, Secp256k1Signer, coins_bip39::English,
};

use super::SigningError;

/// The mnemonic that Ethereum's development tools share. Its keys are public.
pub const DEV_MNEMONIC: &str = "test test test test test test test test test test test junk";

/// Accounts of the mnemonic that senders are funded from: those that development nodes fund.
pub(crate) const FUNDED_ACCOUNTS: u32 = 10;

/// Most that a transaction pays, in wei per gas. Far above what base fees start at, because full
/// blocks raise them.
pub(crate) const MAX_FEE: u128 = 100_000_000_000;

/// Tip, in wei per gas. The same for all, so that nobody is served first.
const TIP: u128 = 1_000_000_000;

/// A key and the nonce of its next transaction.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    signer: Secp256k1Signer,
    pub(crate) nonce: u64,
}

/// What a transaction does.
#[derive(Debug, Clone)]
pub(crate) struct Action {
    pub(crate) to: TxKind,
    pub(crate) value: U256,
    pub(crate) input: Bytes,
    pub(crate) gas_limit: u64,
}

/// A signed transaction.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    pub(crate) hash: B256,
    /// EIP-2718 encoding.
    pub(crate) raw: Vec<u8>,
}

impl Action {
    /// A plain transfer of so many wei.
    pub(crate) const fn transfer(to: Address, value: U256) -> Self {
        Self {
            to: TxKind::Call(to),
            value,
            input: Bytes::new(),
            gas_limit: 21_000,
        }
    }

    /// Most that it can cost its sender, in wei.
    pub(crate) fn cost(&self) -> U256 {
        self.value + U256::from(self.gas_limit) * U256::from(MAX_FEE)
    }
}

impl Account {
    /// The account with this number among those of a seed.
    pub(crate) fn of_seed(seed: u64, number: u64) -> Result<Self, SigningError> {
        let key = keccak256([seed.to_be_bytes(), number.to_be_bytes()].concat());
        let signer: Secp256k1Signer = key.to_string().parse()?;
        Ok(Self { signer, nonce: 0 })
    }

    /// The account with this number among those of a mnemonic.
    pub(crate) fn of_mnemonic(mnemonic: &str, number: u32) -> Result<Self, SigningError> {
        let signer: PrivateKeySigner = MnemonicBuilder::<English>::default()
            .phrase(mnemonic)
            .index(number)?
            .build()?;
        Ok(Self {
            signer: signer.into(),
            nonce: 0,
        })
    }

    pub(crate) const fn address(&self) -> Address {
        self.signer.address()
    }

    /// Signs at the next nonce.
    pub(crate) fn sign(&mut self, chain_id: u64, action: Action) -> Result<Signed, SigningError> {
        let nonce = self.nonce;
        self.nonce += 1;
        self.sign_at(chain_id, nonce, action)
    }

    /// Signs at any nonce.
    pub(crate) fn sign_at(
        &self,
        chain_id: u64,
        nonce: u64,
        action: Action,
    ) -> Result<Signed, SigningError> {
        let transaction = TxEip1559 {
            chain_id,
            nonce,
            gas_limit: action.gas_limit,
            max_fee_per_gas: MAX_FEE,
            max_priority_fee_per_gas: TIP,
            to: action.to,
            value: action.value,
            access_list: Default::default(),
            input: action.input,
        };
        let signature = self.signer.sign_hash_sync(&transaction.signature_hash())?;
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        let raw = envelope.encoded_2718();
        Ok(Signed {
            hash: *envelope.tx_hash(),
            raw,
        })
    }
}

#[cfg(test)]
mod tests {
    use alloy_consensus::transaction::SignerRecoverable;
    use alloy_eips::eip2718::Decodable2718;
    use alloy_primitives::address;

    use super::*;

    #[test]
    fn the_mnemonic_is_the_one_that_tools_know() {
        let account = Account::of_mnemonic(DEV_MNEMONIC, 0).unwrap();
        let known = address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
        assert_eq!(account.address(), known);
    }

    #[test]
    fn what_is_signed_is_its_senders() {
        let mut account = Account::of_seed(7, 3).unwrap();
        assert_ne!(account.address(), Account::of_seed(7, 4).unwrap().address());
        let to = Address::repeat_byte(9);
        for nonce in 0..3 {
            let signed = account
                .sign(31337, Action::transfer(to, U256::from(nonce)))
                .unwrap();
            let envelope = TxEnvelope::decode_2718_exact(&signed.raw).unwrap();
            assert_eq!(*envelope.tx_hash(), signed.hash);
            assert_eq!(envelope.recover_signer().unwrap(), account.address());
            assert_eq!(alloy_consensus::Transaction::nonce(&envelope), nonce);
        }
    }
}
