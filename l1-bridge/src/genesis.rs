//! Genesis states of chains that weft makes itself.

use std::collections::BTreeMap;

use alloy_genesis::{ChainConfig, Genesis, GenesisAccount};
use alloy_primitives::{Address, B256, Bytes, U256};
use weft_primitives::{ChainSpec, ChainSpecError, predeploys};

use crate::contract::{L1OriginPredeploy, L2TokenBridgePredeploy, WithdrawalsPredeploy};

/// Base fee of the genesis block, in wei per gas: geth's.
const GENESIS_BASE_FEE: u128 = 1_000_000_000;

/// A chain above an L1: with the predeploys that say which L1 block the chain has taken in, start
/// withdrawals, and mint and burn what `token_bridge`, a contract on L1, holds.
///
/// `funded` are accounts with their balances in wei, `gas_limit` is in gas, `timestamp` in seconds
/// since the Unix epoch.
///
/// # Errors
/// When no chain can have these values.
pub fn l2_genesis(
    chain_id: u64,
    funded: &[(Address, U256)],
    gas_limit: u64,
    timestamp: u64,
    token_bridge: Address,
) -> Result<ChainSpec, ChainSpecError> {
    let mut alloc = funded_accounts(funded);
    alloc.extend(predeployed(token_bridge));
    genesis(chain_id, alloc, gas_limit, timestamp)
}

/// The same chain with the predeploys of [`l2_genesis`], whatever the file has at their addresses.
///
/// # Errors
/// None for a spec that was checked before.
pub fn with_predeploys(
    spec: &ChainSpec,
    token_bridge: Address,
) -> Result<ChainSpec, ChainSpecError> {
    let mut genesis = spec.genesis().clone();
    genesis.alloc.extend(predeployed(token_bridge));
    ChainSpec::new(genesis)
}

fn predeployed(token_bridge: Address) -> [(Address, GenesisAccount); 3] {
    let account = |code: &Bytes| GenesisAccount {
        code: Some(code.clone()),
        nonce: Some(1),
        ..GenesisAccount::default()
    };
    let l1_bridge = (
        B256::from(predeploys::TOKEN_BRIDGE_L1_SLOT),
        token_bridge.into_word(),
    );
    [
        (
            predeploys::L1_ORIGIN,
            account(&L1OriginPredeploy::DEPLOYED_BYTECODE),
        ),
        (
            predeploys::WITHDRAWALS,
            account(&WithdrawalsPredeploy::DEPLOYED_BYTECODE),
        ),
        (
            predeploys::TOKEN_BRIDGE,
            GenesisAccount {
                storage: Some(BTreeMap::from([l1_bridge])),
                ..account(&L2TokenBridgePredeploy::DEPLOYED_BYTECODE)
            },
        ),
    ]
}

/// A chain that is its own L1, for development: funded accounts and nothing else. Arguments as in
/// [`l2_genesis`].
///
/// # Errors
/// When no chain can have these values.
pub fn dev_l1_genesis(
    chain_id: u64,
    funded: &[(Address, U256)],
    gas_limit: u64,
    timestamp: u64,
) -> Result<ChainSpec, ChainSpecError> {
    genesis(chain_id, funded_accounts(funded), gas_limit, timestamp)
}

fn funded_accounts(funded: &[(Address, U256)]) -> BTreeMap<Address, GenesisAccount> {
    funded
        .iter()
        .map(|(address, balance)| {
            let account = GenesisAccount {
                balance: *balance,
                ..GenesisAccount::default()
            };
            (*address, account)
        })
        .collect()
}

fn genesis(
    chain_id: u64,
    alloc: BTreeMap<Address, GenesisAccount>,
    gas_limit: u64,
    timestamp: u64,
) -> Result<ChainSpec, ChainSpecError> {
    ChainSpec::new(Genesis {
        config: ChainConfig {
            chain_id,
            ..ChainConfig::default()
        },
        timestamp,
        gas_limit,
        base_fee_per_gas: Some(GENESIS_BASE_FEE),
        alloc,
        ..Genesis::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_l2_has_predeploys() {
        let funded = [(Address::repeat_byte(1), U256::from(5))];
        let bridge = Address::repeat_byte(9);
        let l2 = l2_genesis(31338, &funded, 30_000_000, 7, bridge).unwrap();
        let l1 = dev_l1_genesis(31337, &funded, 30_000_000, 7).unwrap();
        assert_eq!(l2.chain_id(), 31338);
        assert_eq!(l2.alloc().len(), 4);
        for predeploy in [
            predeploys::L1_ORIGIN,
            predeploys::WITHDRAWALS,
            predeploys::TOKEN_BRIDGE,
        ] {
            let code = l2.alloc()[&predeploy].code.as_ref().unwrap();
            assert!(code.len() > 100);
        }
        let storage = l2.alloc()[&predeploys::TOKEN_BRIDGE]
            .storage
            .as_ref()
            .unwrap();
        assert_eq!(storage[&B256::ZERO], bridge.into_word());
        assert_eq!(l1.alloc().len(), 1);
        assert_eq!(l1.alloc()[&Address::repeat_byte(1)].balance, U256::from(5));
        assert!(matches!(
            l2_genesis(0, &funded, 30_000_000, 7, bridge),
            Err(ChainSpecError::ChainId)
        ));
        let again = ChainSpec::from_json(&l2.to_json()).unwrap();
        assert_eq!(again, l2);
    }
}
